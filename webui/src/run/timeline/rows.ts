/** The rows of a timeline: nodes in the order in which they began, or their classes where there are too many. */
import { isOver, type Node, type Run } from '../../api/types';
import { ms } from '../../parts/time';
import { nodeName } from '../../parts/tile';

/** With more nodes than this the rows are classes first. */
export const MANY = 2000;

/** A stretch of work. */
export interface Stretch {
  from: number;
  to: number | undefined;
  state: string;
}

/** One row. */
export interface Row {
  key: string;
  name: string;
  /** The node of the row; undefined for a class of nodes. */
  node: Node | undefined;
  /** What is known now; the parts that are still to come are left out at an earlier moment. */
  stretches: Stretch[];
  /** When it will begin, as far as that can be said. */
  expectedFrom: number | undefined;
  expected: number | undefined;
  count: number;
}

function stretchOf(node: Node, end: number | undefined): Stretch[] {
  const from = ms(node.start_time);
  if (from === undefined) return [];
  return [{ from, to: ms(node.end_time) ?? (node.state === 'running' ? undefined : end), state: node.state }];
}

/** A row for each node that began, then one for each that waits, in the order in which they can be expected. */
export function rowsOf(newest: Run, order: ReadonlyMap<string, number>, expected: Record<string, number>, moment: number): Row[] {
  const end = ms(newest.timing.end_time);
  const place = new Map(newest.nodes.map((node, index) => [node.node_id, index]));
  const rank = (node: Node): number => order.get(node.node_id) ?? 0;
  const began = newest.nodes.filter((node) => node.start_time != null);
  began.sort((a, b) => (ms(a.start_time) ?? 0) - (ms(b.start_time) ?? 0) || (ms(a.end_time) ?? Infinity) - (ms(b.end_time) ?? Infinity) || rank(a) - rank(b) || (place.get(a.node_id) ?? 0) - (place.get(b.node_id) ?? 0));
  const waiting = isOver(newest.status) ? [] : newest.nodes.filter((node) => node.start_time == null && node.counts && node.state === 'waiting');
  waiting.sort((a, b) => rank(a) - rank(b) || (place.get(a.node_id) ?? 0) - (place.get(b.node_id) ?? 0));
  let next = moment;
  for (const node of began) {
    const usual = expected[node.node_id];
    if (node.state === 'running' && usual !== undefined) next = Math.max(next, (ms(node.start_time) ?? 0) + usual);
  }
  const rows = began.map((node): Row => row(node, stretchOf(node, end), undefined, expected[node.node_id]));
  for (const node of waiting) {
    const usual = expected[node.node_id];
    rows.push(row(node, [], usual === undefined ? undefined : next, usual));
    next += usual ?? 0;
  }
  return rows;
}

function row(node: Node, stretches: Stretch[], expectedFrom: number | undefined, expected: number | undefined): Row {
  return { key: node.node_id, name: nodeName(node), node, stretches, expectedFrom, expected, count: 1 };
}

/** One row for each class, with all its stretches. */
export function folded(rows: Row[]): Row[] {
  const classes = new Map<string, Row>();
  for (const one of rows) {
    const name = one.node?.node_type || 'made at run time';
    const known = classes.get(name);
    if (!known) classes.set(name, { ...one, key: `class ${name}`, name, node: undefined, expected: undefined, expectedFrom: undefined, stretches: [...one.stretches] });
    else {
      known.count += 1;
      known.stretches.push(...one.stretches);
    }
  }
  for (const known of classes.values()) known.stretches = joined(known.stretches);
  return [...classes.values()];
}

/** Stretches without the gaps that nobody could see: a row of a thousand nodes stays a handful of bars. */
function joined(stretches: Stretch[]): Stretch[] {
  const begin = stretches[0]?.from ?? 0;
  const end = stretches.reduce((most, one) => Math.max(most, one.to ?? one.from), begin);
  const grain = (end - begin) / 300;
  const result: Stretch[] = [];
  for (const one of [...stretches].sort((a, b) => a.from - b.from)) {
    const last = result.at(-1);
    if (last && last.to !== undefined && last.state === one.state && one.from - last.to <= grain) last.to = one.to === undefined ? undefined : Math.max(last.to, one.to);
    else result.push({ ...one });
  }
  return result;
}

/** The order of work: how many nodes must end before each can begin. */
export function orderOf(nodes: readonly Node[], links: readonly [string, string][]): Map<string, number> {
  const depth = new Map(nodes.map((node) => [node.node_id, 0]));
  const after = new Map<string, string[]>();
  const open = new Map<string, number>();
  for (const [from, to] of links) {
    after.set(from, [...(after.get(from) ?? []), to]);
    open.set(to, (open.get(to) ?? 0) + 1);
  }
  const ready = nodes.map((node) => node.node_id).filter((id) => !open.has(id));
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    for (const next of after.get(id) ?? []) {
      depth.set(next, Math.max(depth.get(next) ?? 0, (depth.get(id) ?? 0) + 1));
      const left = (open.get(next) ?? 1) - 1;
      open.set(next, left);
      if (left === 0) ready.push(next);
    }
  }
  return depth;
}
