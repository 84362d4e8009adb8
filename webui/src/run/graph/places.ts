/** Where the nodes of a run stand on the canvas that its user drew: the cards keep who is left of, above and inside of what. */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { get, problemOf, runPath } from '../../api/client';
import type { Node, RunWorkflow } from '../../api/types';
import { CARD, framed, type Layout, paddingOf, type Placed } from './layout';

/** A rectangle of the canvas. */
export interface Area {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** What the server tells of the canvas of a run. */
export interface RunCanvas {
  run_id: string;
  positions: Record<string, Area>;
  boxes: { path: string; title: string; area: Area; nodes: string[] }[];
}

/** The canvas of a run never changes; `null` stands for none that can be had. */
const kept = new Map<string, RunCanvas | null>();

/** The canvas of a run: undefined until it is known whether there is one. */
export function useCanvas(workflow: RunWorkflow | undefined): RunCanvas | null | undefined {
  const id = workflow?.run_id;
  const isThere = workflow?.canvas != null;
  const found = useSignal<RunCanvas | null | undefined>(undefined);
  useEffect(() => {
    found.value = id === undefined ? undefined : isThere ? kept.get(id) : null;
    if (id === undefined || found.value !== undefined) return undefined;
    const abort = new AbortController();
    const take = (canvas: RunCanvas | null): void => {
      if (kept.size > 50) kept.clear();
      if (canvas) kept.set(id, canvas);
      found.value = canvas;
    };
    get<RunCanvas>(runPath(id, '/canvas'), abort.signal).then(take, (thrown: unknown) => {
      if (abort.signal.aborted) return;
      // The graph is drawn in layers then.
      console.warn(problemOf(thrown).message);
      take(null);
    });
    return () => abort.abort();
  }, [id, isThere]);
  return found.value;
}

/** A card on its way to its place. */
interface Card {
  id: string;
  area: Area;
  /** The numbers of the boxes around it. */
  boxes: Set<number>;
}

type Side = 'x' | 'y';
const SIZE = { x: 'width', y: 'height' } as const;
/** How much smaller the picture is than the canvas, at most: cards that would touch push each other away. */
const SCALE = { x: 0.5, y: 0.3 };
const GAP = { x: 26, y: 16 };
/** The cards as on the canvas; nothing if a node has no place there. */
export function drawn(nodes: Node[], links: [string, string][], canvas: RunCanvas): Layout | undefined {
  const cards = cardsOf(nodes, canvas);
  if (!cards || cards.length === 0) return undefined;
  const boxes = canvas.boxes.map((box, number) => ({ area: box.area, number, pad: paddingOf(box, canvas.boxes) }));
  const x = along('x', cards, boxes, (one, other) => meet(one.area, other.area, 'y'), (box, one) => meet(box.area, one.area, 'y'));
  const wide = (id: string): [number, number] => [x.get(id) ?? 0, (x.get(id) ?? 0) + CARD.width];
  const spans = boxes.map((box) => spanOf(cards, box, x));
  const y = along('y', cards, boxes, (one, other) => touch(wide(one.id), wide(other.id)), (box, one) => touch(spans[box.number] ?? [0, 0], 'number' in one ? (spans[one.number] ?? [0, 0]) : wide(one.id)));
  const left = Math.min(...x.values());
  const top = Math.min(...y.values());
  const placed: Placed[] = cards.map(({ id }) => ({ id, x: Math.round((x.get(id) ?? 0) - left), y: Math.round((y.get(id) ?? 0) - top) }));
  return framed(placed, links, new Map(), canvas.boxes);
}

/** The cards with their places on the canvas; what was made at run time stands below who made it. */
function cardsOf(nodes: Node[], canvas: RunCanvas): Card[] | undefined {
  const around = new Map<string, Set<number>>();
  canvas.boxes.forEach((box, number) => box.nodes.forEach((id) => around.set(id, (around.get(id) ?? new Set()).add(number))));
  const cards = new Map<string, Card>();
  for (const node of nodes) {
    const id = node.node_id;
    const own = canvas.positions[id];
    const maker = own ? undefined : cards.get(node.parent_node_id ?? '');
    const area = own ?? (maker && { ...maker.area, x: maker.area.x + 20, y: maker.area.y + maker.area.height + 1 });
    if (!area) return undefined;
    cards.set(id, { id, area, boxes: around.get(id) ?? maker?.boxes ?? new Set() });
  }
  return [...cards.values()];
}

interface Box {
  area: Area;
  number: number;
  /** The room between its frame and its cards. */
  pad: { x: number; y: number };
}

/** Places along one side, in the order of the canvas: nothing overlaps what it does not overlap there. */
function along(side: Side, cards: Card[], boxes: Box[], meets: (one: Card, other: Card) => boolean, reaches: (box: Box, one: Card | Box) => boolean): Map<string, number> {
  const size = CARD[SIZE[side]];
  const at = new Map<string, number>();
  const ends = new Map<number, number>();
  const end = (area: Area): number => area[side] + area[SIZE[side]];
  for (const card of [...cards].sort((one, other) => one.area[side] - other.area[side])) {
    let place = card.area[side] * SCALE[side];
    const after = (value: number): void => {
      place = Math.max(place, value + GAP[side]);
    };
    const own = boxes.filter((box) => card.boxes.has(box.number));
    for (const other of cards) {
      const there = at.get(other.id);
      if (there === undefined) continue;
      if (meets(card, other)) after(there + size);
      // What stands before a box stands before all that is in it.
      for (const box of own) if (!other.boxes.has(box.number) && end(other.area) <= box.area[side] && reaches(box, other)) after(there + size + box.pad[side]);
    }
    for (const box of boxes) {
      const stops = ends.get(box.number);
      if (stops === undefined || card.boxes.has(box.number)) continue;
      if (end(box.area) <= card.area[side] && reaches(box, card)) after(stops);
      for (const mine of own) if (end(box.area) <= mine.area[side] && reaches(mine, box)) after(stops + mine.pad[side]);
    }
    at.set(card.id, place);
    for (const box of own) ends.set(box.number, Math.max(ends.get(box.number) ?? -Infinity, place + size + box.pad.x));
  }
  return at;
}

/** Whether two rectangles of the canvas have something of a side in common. */
function meet(one: Area, other: Area, side: Side): boolean {
  return touch([one[side], one[side] + one[SIZE[side]]], [other[side], other[side] + other[SIZE[side]]]);
}

function touch([from, to]: [number, number], [start, end]: [number, number]): boolean {
  return from < end && start < to;
}

function spanOf(cards: Card[], box: Box, x: Map<string, number>): [number, number] {
  const inside = cards.filter((card) => card.boxes.has(box.number)).map((card) => x.get(card.id) ?? 0);
  return [Math.min(...inside) - box.pad.x, Math.max(...inside) + CARD.width + box.pad.x];
}
