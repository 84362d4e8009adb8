/** Where the nodes of a graph stand: from left to right in the order of work. */
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

/** A graph with places. */
export interface Layout {
  nodes: Placed[];
  edges: Edge[];
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
  return framed(placed, links);
}

/** The size of all, and the lines between. */
function framed(nodes: Placed[], links: [string, string][]): Layout {
  const at = new Map(nodes.map((node) => [node.id, node]));
  const edges = links.flatMap(([from, to]) => {
    const a = at.get(from);
    const b = at.get(to);
    return a && b ? [{ from, to, path: curve(a, b) }] : [];
  });
  const width = nodes.reduce((most, node) => Math.max(most, node.x + CARD.width), CARD.width) + MARGIN;
  const height = nodes.reduce((most, node) => Math.max(most, node.y + CARD.height), CARD.height) + MARGIN;
  return { nodes, edges, width, height };
}

function curve(a: Placed, b: Placed): string {
  const x1 = a.x + CARD.width;
  const y1 = a.y + CARD.height / 2;
  const x2 = b.x;
  const y2 = b.y + CARD.height / 2;
  const bend = Math.max(24, Math.min(120, Math.abs(x2 - x1) / 2));
  return `M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
}
