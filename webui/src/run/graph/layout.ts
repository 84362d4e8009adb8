/** Where the nodes of a graph stand: from left to right in the order of work, unless its user drew it otherwise. */
import type { Node, RunWorkflow } from '../../api/types';

/** A node with its place. */
export interface Placed {
  id: string;
  x: number;
  y: number;
}

/** A line from a node to one that takes its result. */
export interface Edge {
  from: string;
  to: string;
  path: string;
}

/** A subgraph, around the nodes that are in it. */
export interface Frame {
  path: string;
  title: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A graph with places. */
export interface Layout {
  nodes: Placed[];
  edges: Edge[];
  frames: Frame[];
  width: number;
  height: number;
}

/** The size of a node's card. */
export const CARD = { width: 188, height: 54 };
const MARGIN = 14;

/** Who takes from whom: the links of the graph, and for nodes made at run time the node that made them. */
export function linksOf(nodes: Node[], workflow: RunWorkflow | undefined): [string, string][] {
  const known = new Set(nodes.map((node) => node.node_id));
  const links = new Set<string>();
  const result: [string, string][] = [];
  const add = (from: string, to: string): void => {
    const key = JSON.stringify([from, to]);
    if (!known.has(from) || !known.has(to) || from === to || links.has(key)) return;
    links.add(key);
    result.push([from, to]);
  };
  for (const [id, node] of Object.entries(workflow?.workflow ?? {})) {
    for (const input of Object.values(node?.inputs ?? {})) {
      const source: unknown = Array.isArray(input) && input.length === 2 && typeof input[1] === 'number' ? input[0] : undefined;
      if (typeof source === 'string' || typeof source === 'number') add(String(source), id);
    }
  }
  for (const node of nodes) if (node.parent_node_id != null) add(node.parent_node_id, node.node_id);
  return result;
}

/** Places the nodes in layers. The library for it is loaded when the first graph is shown. */
export async function layered(nodes: Node[], links: [string, string][]): Promise<Layout> {
  const { Graph, layout } = await import('@dagrejs/dagre');
  const graph = new Graph();
  graph.setGraph({ rankdir: 'LR', nodesep: 18, ranksep: 46, marginx: MARGIN, marginy: MARGIN });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) graph.setNode(node.node_id, { ...CARD });
  for (const [from, to] of links) graph.setEdge(from, to);
  layout(graph);
  const placed = nodes.map((node) => {
    const at = graph.node(node.node_id) as { x?: number; y?: number } | undefined;
    return { id: node.node_id, x: Math.round((at?.x ?? 0) - CARD.width / 2), y: Math.round((at?.y ?? 0) - CARD.height / 2) };
  });
  const ways = new Map(links.map(([from, to]) => [JSON.stringify([from, to]), (graph.edge(from, to) as { points?: Point[] } | undefined)?.points ?? []]));
  return framed(placed, links, ways);
}

interface Point {
  x: number;
  y: number;
}

/** Between a frame and the cards in it, with room for its title. */
const PAD = 12;
const TITLE = 18;

/** A subgraph, by the path of the node that stands for it. */
export interface Group {
  path: string;
  title: string;
  nodes: string[];
}

/** The room between a frame and its cards; above them stand the titles of all frames that are inside of each other there. */
export function paddingOf(group: Group, groups: Group[]): { x: number; y: number } {
  const depth = (one: Group): number => one.path.split(':').length;
  const inside = groups.filter((other) => other.path.startsWith(`${group.path}:`)).map((other) => depth(other) - depth(group));
  const frames = 1 + Math.max(0, ...inside);
  return { x: PAD * frames, y: (PAD + TITLE) * frames };
}

/** The size of all, the lines between, and the frames around what belongs together: the outer ones first. */
export function framed(nodes: Placed[], links: [string, string][], ways: Map<string, Point[]>, groups: Group[] = []): Layout {
  const at = new Map(nodes.map((node) => [node.id, node]));
  const frames = groups.flatMap((group) => {
    const inside = group.nodes.flatMap((id) => at.get(id) ?? []);
    if (inside.length === 0) return [];
    const pad = paddingOf(group, groups);
    const x = Math.min(...inside.map((node) => node.x)) - pad.x;
    const y = Math.min(...inside.map((node) => node.y)) - pad.y;
    const right = Math.max(...inside.map((node) => node.x)) + CARD.width + pad.x;
    const bottom = Math.max(...inside.map((node) => node.y)) + CARD.height + pad.x;
    return [{ path: group.path, title: group.title, x, y, width: right - x, height: bottom - y }];
  }).sort((one, other) => one.path.split(':').length - other.path.split(':').length);
  const left = MARGIN - Math.min(MARGIN, ...nodes.map((node) => node.x), ...frames.map((frame) => frame.x));
  const top = MARGIN - Math.min(MARGIN, ...nodes.map((node) => node.y), ...frames.map((frame) => frame.y));
  for (const one of [...nodes, ...frames]) {
    one.x += left;
    one.y += top;
  }
  const edges = links.flatMap(([from, to]) => {
    const a = at.get(from);
    const b = at.get(to);
    return a && b ? [{ from, to, path: curve(a, b, (ways.get(JSON.stringify([from, to])) ?? []).map((point) => ({ x: point.x + left, y: point.y + top }))) }] : [];
  });
  const width = Math.max(CARD.width, ...nodes.map((node) => node.x + CARD.width), ...frames.map((frame) => frame.x + frame.width)) + MARGIN;
  const height = Math.max(CARD.height, ...nodes.map((node) => node.y + CARD.height), ...frames.map((frame) => frame.y + frame.height)) + MARGIN;
  return { nodes, edges, frames, width, height };
}

/** A line from the right side of one card to the left side of another, by the way that leads around the cards between. */
function curve(a: Placed, b: Placed, way: Point[]): string {
  const first = { x: a.x + CARD.width, y: a.y + CARD.height / 2 };
  const last = { x: b.x, y: b.y + CARD.height / 2 };
  // The outer points are on the borders of the cards; those between are where the line passes the layers between.
  const points = [first, ...way.slice(1, -1).filter((point) => point.x > first.x && point.x < last.x), last];
  let path = `M${first.x},${first.y}`;
  for (const [index, to] of points.slice(1).entries()) {
    const from = points[index] ?? first;
    const bend = Math.max(8, Math.abs(to.x - from.x) / 2);
    path += `C${Math.round(from.x + bend)},${Math.round(from.y)} ${Math.round(to.x - bend)},${Math.round(to.y)} ${Math.round(to.x)},${Math.round(to.y)}`;
  }
  return path;
}
