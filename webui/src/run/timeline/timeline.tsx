/** The timeline of a run: one bar per node, what was measured solid, what is expected dashed. */
import type { JSX } from 'preact';
import { isOver, type Node, nodeState, type Run, type RunWorkflow } from '../../api/types';
import { ms, now, span } from '../../parts/time';
import { Empty, nodeName } from '../../parts/tile';

/** A run as it is to be shown, at the time `at` if that is not now. */
export interface TimelineProps {
  run: Run;
  workflow: RunWorkflow | undefined;
  selected: string | undefined;
  onSelect: (node: string | undefined) => void;
  /** The moment that is looked at, in milliseconds; undefined is now. */
  at: number | undefined;
}

/** The bars. Rows stand in the order in which nodes began; those that wait come after. */
export function Timeline({ run, workflow, selected, onSelect, at }: TimelineProps): JSX.Element {
  const begin = ms(run.timing.queue_time) ?? 0;
  const over = isOver(run.status);
  const moment = at ?? (over ? (ms(run.timing.end_time) ?? begin) : now.value);
  const rows = run.nodes.filter((node) => node.start_time != null).sort((a, b) => (ms(a.start_time) ?? 0) - (ms(b.start_time) ?? 0));
  const waiting = over ? [] : run.nodes.filter((node) => node.counts && node.state === 'waiting');
  const end = Math.max(moment, ms(run.timing.estimated_completion) ?? 0, begin + 1000);
  const scale = (time: number): number => (100 * (time - begin)) / (end - begin);
  if (rows.length === 0 && over) return <Empty title="No node ran" />;
  return (
    <div class="timeline" role="group" aria-label="Timeline">
      <Whole run={run} begin={begin} moment={moment} scale={scale} />
      {rows.map((node) => <Row key={node.node_id} node={node} expected={workflow?.expected_ms[node.node_id]} moment={moment} scale={scale} selected={selected === node.node_id} onSelect={onSelect} />)}
      {waiting.length > 0 && <p class="muted timeline-rest">{waiting.length} {waiting.length === 1 ? 'node waits' : 'nodes wait'}</p>}
    </div>
  );
}

function Part({ from, to, kind, title }: { from: number; to: number; kind: string; title: string }): JSX.Element {
  return <i class={kind} style={{ left: `${from}%`, width: `${Math.max(0.3, to - from)}%` }} title={title} />;
}

/** The run as a whole, split in its phases. */
function Whole({ run, begin, moment, scale }: { run: Run; begin: number; moment: number; scale: (time: number) => number }): JSX.Element {
  const started = ms(run.timing.start_time);
  const ended = ms(run.timing.end_time) ?? moment;
  return (
    <div class="timeline-row whole">
      <span class="cut">Run</span>
      <span class="track">
        <Part from={0} to={scale(started ?? ended)} kind="queued" title={`queued ${span((started ?? ended) - begin)}`} />
        {started !== undefined && <Part from={scale(started)} to={scale(ended)} kind="running" title={`run ${span(ended - started)}`} />}
      </span>
      <span class="num">{span(ended - begin)}</span>
    </div>
  );
}

function Row(props: { node: Node; expected: number | undefined; moment: number; scale: (time: number) => number; selected: boolean; onSelect: (node: string | undefined) => void }): JSX.Element {
  const { node, expected, moment, scale } = props;
  const begin = ms(node.start_time) ?? 0;
  const end = ms(node.end_time) ?? moment;
  const slow = expected !== undefined && end - begin > 1.5 * expected && end - begin > expected + 1000;
  return (
    <button type="button" class={`timeline-row ${slow ? 'slow' : ''}`} aria-current={props.selected ? 'true' : undefined} onClick={() => props.onSelect(props.selected ? undefined : node.node_id)}>
      <span class="cut">{nodeName(node)} <span class="num muted">{node.node_id}</span></span>
      <span class="track">
        <Part from={scale(begin)} to={scale(end)} kind={nodeState(node)} title={`${nodeName(node)}: ${span(end - begin)}`} />
        {node.end_time == null && expected !== undefined && begin + expected > end && <Part from={scale(end)} to={Math.min(100, scale(begin + expected))} kind="expected" title={`expected ${span(expected)}`} />}
      </span>
      <span class="num">{span(end - begin)}</span>
    </button>
  );
}
