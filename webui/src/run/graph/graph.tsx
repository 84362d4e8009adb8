/** The graph of a run with the states of its nodes. It moves only when its user moves it. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { type Node, nodeState, type Run, type RunWorkflow } from '../../api/types';
import { reconnected } from '../../live/store';
import { ms, span } from '../../parts/time';
import { Badge, NODE, nodeName } from '../../parts/tile';
import { CARD, layered, type Layout, linksOf } from './layout';
import { fitted, type Sight, useMoves, zoomed } from './moves';
import { drawn, useCanvas } from './places';

/** More nodes than this are shown by class first. */
const MANY = 400;

/** A run as it is to be shown, live or of an earlier moment. */
export interface GraphProps {
  run: Run;
  workflow: RunWorkflow | undefined;
  selected: string | undefined;
  onSelect: (node: string | undefined) => void;
  /** The link is lost: the last known node is frozen. */
  frozen: boolean;
}

/** The graph, or a summary by class of a huge one. */
export function Graph(props: GraphProps): JSX.Element {
  const all = useSignal(false);
  if (props.run.nodes.length > MANY && !all.value) return <Folded run={props.run} onAll={() => (all.value = true)} />;
  return <Drawn {...props} />;
}

function Folded({ run, onAll }: { run: Run; onAll: () => void }): JSX.Element {
  const classes = new Map<string, Node[]>();
  for (const node of run.nodes) {
    const name = node.node_type || 'made at run time';
    const list = classes.get(name);
    if (list) list.push(node);
    else classes.set(name, [node]);
  }
  return (
    <div class="body">
      <p class="row wrap"><span class="muted">{run.nodes.length} nodes, by class.</span><button type="button" onClick={onAll}>Draw all of them</button></p>
      <ul class="graph-folded">
        {[...classes].map(([name, nodes]) => {
          const done = nodes.filter((node) => node.state === 'done' || node.state === 'cached').length;
          return (
            <li key={name}>
              <p class="cut" title={name}>{name}</p>
              <p class="row"><span class="num muted">{done}/{nodes.length}</span>{nodes.some((node) => node.state === 'failed') && <Badge tone="bad">Failed</Badge>}{nodes.some((node) => node.state === 'running') && <Badge tone="run">Running</Badge>}</p>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function Drawn({ run, workflow, selected, onSelect, frozen }: GraphProps): JSX.Element {
  const layout = useSignal<Layout | undefined>(undefined);
  const sight = useSignal<Sight | undefined>(undefined);
  const svg = useRef<SVGSVGElement>(null);
  const shape = run.nodes.map((node) => node.node_id).join('\n');
  const links = useMemo(() => linksOf(run.nodes, workflow), [shape, workflow]);
  const canvas = useCanvas(workflow);
  const inLayers = useSignal(false);
  const own = useMemo(() => canvas && drawn(run.nodes, links, canvas), [links, canvas]);
  useEffect(() => {
    // What its user drew is waited for, so that nothing jumps.
    if (workflow && canvas === undefined) return undefined;
    if (own && !inLayers.value) {
      layout.value = own;
      return undefined;
    }
    let gone = false;
    // What could not be loaded while the link was lost is tried again.
    layered(run.nodes, links).then((made) => {
      if (!gone) layout.value = made;
    }, () => undefined);
    return () => {
      gone = true;
    };
  }, [links, own, canvas === undefined, inLayers.value, reconnected.value]);
  useMoves(svg, layout, sight);
  const seen = sight.value ?? fitted(layout.value, svg.current);
  const states = new Map(run.nodes.map((node) => [node.node_id, node]));
  const outputs = new Map<string, number>();
  for (const output of run.outputs) outputs.set(output.node_id, (outputs.get(output.node_id) ?? 0) + 1);
  return (
    <div class={`graph ${run.nodes.length <= 8 ? 'small' : run.nodes.length > 24 ? 'large' : ''}`}>
      <svg ref={svg} viewBox={`${seen.x} ${seen.y} ${seen.width} ${seen.height}`} role="group" aria-label="Graph of the workflow">
        <defs>
          <pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch" width="3" height="8" /></pattern>
        </defs>
        {layout.value?.frames.map((frame) => (
          <g key={frame.path} class="frame" data-path={frame.path}>
            <rect x={frame.x} y={frame.y} width={frame.width} height={frame.height} rx="10" />
            <text x={frame.x + 10} y={frame.y + 17}>{cut(frame.title, Math.floor(frame.width / 8))}</text>
          </g>
        ))}
        {layout.value?.edges.map((edge) => <path key={`${edge.from} ${edge.to}`} class={`edge ${flowOf(states.get(edge.from), states.get(edge.to))}`} d={edge.path} />)}
        {layout.value?.nodes.map((place) => {
          const node = states.get(place.id);
          return node && <Card key={place.id} node={node} x={place.x} y={place.y} selected={selected === place.id} outputs={outputs.get(place.id) ?? 0} frozen={frozen} onSelect={onSelect} />;
        })}
      </svg>
      <div class="tools">
        {own && <button type="button" aria-pressed={inLayers.value} aria-label="In the order of work instead of as on the canvas" title="In the order of work instead of as on the canvas" onClick={() => { inLayers.value = !inLayers.value; sight.value = undefined; }}>⇶</button>}
        <button type="button" aria-label="Zoom in" onClick={() => (sight.value = zoomed(seen, 1 / 1.3))}>+</button>
        <button type="button" aria-label="Zoom out" onClick={() => (sight.value = zoomed(seen, 1.3))}>−</button>
        <button type="button" aria-label="Show the whole graph" onClick={() => (sight.value = undefined)}>⤢</button>
      </div>
    </div>
  );
}

/** Lines move only towards the node that runs. */
function flowOf(from: Node | undefined, to: Node | undefined): string {
  if (!from || !to) return '';
  if (to.state === 'running') return 'flow';
  if (to.state === 'failed') return 'bad';
  const ended = from.state === 'done' || from.state === 'cached';
  return ended && (to.state === 'done' || to.state === 'cached') ? 'done' : '';
}

function Card(props: { node: Node; x: number; y: number; selected: boolean; outputs: number; frozen: boolean; onSelect: (node: string | undefined) => void }): JSX.Element {
  const { node, x, y, selected, outputs } = props;
  const state = nodeState(node);
  const { mark, word } = NODE[state];
  const took = node.start_time != null && node.end_time != null ? span((ms(node.end_time) ?? 0) - (ms(node.start_time) ?? 0)) : '';
  const stepped = state === 'running' && node.steps != null && node.steps > 0;
  const aside = stepped ? `${node.step ?? 0}/${node.steps}` : took;
  const select = (event: Event): void => {
    if ((event.currentTarget as Element).closest('svg')?.classList.contains('dragged')) return;
    props.onSelect(selected ? undefined : node.node_id);
  };
  return (
    <g class={`node ${state}`} transform={`translate(${x},${y})`} tabindex={0} role="button" aria-pressed={selected} data-node={node.node_id} data-state={state}
      aria-label={`${nodeName(node)}, ${node.node_type} ${node.node_id}: ${word}${aside ? `, ${aside}` : ''}`}
      onClick={select}
      onKeyDown={(event) => {
        if (event.key === 'Enter' || event.key === ' ') {
          event.preventDefault();
          select(event);
        }
      }}>
      <rect class="card" width={CARD.width} height={CARD.height} rx="8" />
      <circle class={`mark-bg ${state}`} cx="18" cy="20" r="9" />
      <text class="mark" x="18" y="24.3">{mark}</text>
      <text x="34" y="24">{cut(nodeName(node), 20)}</text>
      <text class="sub" x="34" y="41">{cut(`${node.node_type} ${node.node_id}`, aside ? 14 : 24)}</text>
      <text class="time" x={CARD.width - 9} y="41">{aside}</text>
      {stepped && <rect class="step-track" x="8" y={CARD.height - 6} width={CARD.width - 16} height="3" rx="1.5" />}
      {stepped && <rect class="step-fill" x="8" y={CARD.height - 6} width={CARD.width - 16} height="3" rx="1.5" style={{ transform: `scaleX(${node.progress / 100})` }} />}
      {outputs > 0 && <circle class="count" cx={CARD.width - 2} cy="2" r="9" />}
      {outputs > 0 && <text class="count-text" x={CARD.width - 2} y="6">{outputs}</text>}
      {props.frozen && state === 'running' && <rect class="frozen" width={CARD.width} height={CARD.height} rx="8" />}
    </g>
  );
}

/** Text of an SVG has no ellipsis of its own. */
function cut(text: string, most: number): string {
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most - 1).join('')}…` : text;
}
