/** The column at the side: the newest picture, and what is known of one node or of the whole run. */
import type { JSX } from 'preact';
import { type Node, nodeState, type NodeState, type Run, type RunWorkflow } from '../../api/types';
import { go, hrefOf, onLink } from '../../app/route';
import type { Picture } from '../../live/protocol';
import { type Task, TaskList } from '../../machines/tasks';
import { Elapsed, fullTime, ms, span, timeOfDay } from '../../parts/time';
import { Bar, nodeName, NodeBadge, Tile } from '../../parts/tile';
import { NodeInputs } from '../inputs/inputs';
import { Outputs } from '../outputs/outputs';
import { InstanceTile } from './instance';
import { Preview } from './preview';

/** Props of the inspector: the run as it is shown, and the node that is selected. */
export interface InspectorProps {
  run: Run;
  workflow: RunWorkflow | undefined;
  picture: Picture | undefined;
  live: boolean;
  node: string | undefined;
}

/** The column. */
export function Inspector({ run, workflow, picture, live, node: id }: InspectorProps): JSX.Element {
  const node = run.nodes.find((one) => one.node_id === id);
  return (
    <div class="stack">
      <Tile title="👁️ Preview" bare><Preview run={run} picture={picture} live={live} /></Tile>
      {node ? <NodeTile run={run} node={node} workflow={workflow} live={live} /> : <Checklist run={run} />}
      {!node && <InstanceTile run={run} />}
      {!node && <Facts run={run} />}
    </div>
  );
}

function NodeTile({ run, node, workflow, live }: { run: Run; node: Node; workflow: RunWorkflow | undefined; live: boolean }): JSX.Element {
  const graph = workflow?.workflow[node.node_id];
  const expected = workflow?.expected_ms[node.node_id];
  return (
    <Tile title={`🔎 ${nodeName(node)}`} aside={<button type="button" class="plain right" aria-label="Close the node" onClick={() => go({ node: undefined })}>✕</button>}>
      <div class="stack">
        <p class="row"><NodeBadge node={node} /> <span class="muted cut">{node.node_type} <span class="num">{node.node_id}</span></span></p>
        {node.steps != null && node.steps > 0 && (
          <div>
            <p class="row"><span class="muted">Step</span><span class="num right">{node.step ?? 0}/{node.steps}</span></p>
            <Bar value={node.progress} thin label="Steps of the node" tone={node.state === 'failed' ? 'bad' : node.state === 'done' ? 'ok' : 'run'} />
          </div>
        )}
        <dl class="facts-table">
          {node.start_time != null && <><dt>began</dt><dd class="num" title={fullTime(node.start_time)}>{timeOfDay(node.start_time, true)}</dd></>}
          {node.start_time != null && <><dt>took</dt><dd><Elapsed from={node.start_time} to={node.end_time ?? (!live ? run.timing.last_update : node.state === 'running' ? undefined : run.timing.end_time)} precise /></dd></>}
          {expected !== undefined && <><dt>usually</dt><dd class="num">{span(expected)}</dd></>}
          {node.parent_node_id != null && <><dt>made by</dt><dd><a href="" onClick={(event) => { event.preventDefault(); go({ node: node.parent_node_id as string }); }}>{node.parent_node_id}</a></dd></>}
          {!node.counts && <><dt>note</dt><dd>reaches no output</dd></>}
        </dl>
        {node.message != null && <p class="muted">{node.message}</p>}
        {run.error?.node_id === node.node_id && <p class="text-bad">{run.error.message}</p>}
        {graph && workflow && <NodeInputs node={graph} workflow={workflow} />}
        {run.outputs.some((output) => output.node_id === node.node_id) && <Outputs run={run} node={node.node_id} />}
      </div>
    </Tile>
  );
}

const TASKS: Partial<Record<NodeState, string>> = { waiting: 'pending', done: 'success' };

/** A node as a task of a list. */
function taskOf(node: Node): Task {
  const state = nodeState(node);
  const steps = state === 'running' && node.steps != null ? `${Math.round(node.progress)}% [${node.step ?? 0}/${node.steps}]` : undefined;
  const to = { node: node.node_id };
  return {
    id: node.node_id, name: `${node.node_type || nodeName(node)} (${node.node_id})`, status: TASKS[state] ?? state, note: steps ?? (state === 'failed' ? node.message : undefined) ?? null,
    link: { href: hrefOf(to), onClick: onLink(to) },
  };
}

/** What a run that is over has come to, in a line. */
function noteOf(run: Run): string | undefined {
  const { start_time: began, end_time: ended } = run.timing;
  const took = began != null && ended != null ? ` after ${span((ms(ended) ?? 0) - (ms(began) ?? 0))}` : '';
  if (run.status === 'completed') return `Completed${took}, ${run.outputs.length} ${run.outputs.length === 1 ? 'output' : 'outputs'}`;
  return run.status === 'cancelled' ? `Stopped${took}` : undefined;
}

/** The nodes of a run as the plan's checklist, as the tasks of a step are. */
export function Checklist({ run }: { run: Run }): JSX.Element {
  const counted = run.nodes.filter((node) => node.counts);
  const order = [...counted].sort((a, b) => (ms(a.start_time) ?? Infinity) - (ms(b.start_time) ?? Infinity) || 0);
  return (
    <Tile title="🧩 Nodes" aside={<span class="num muted right">{run.progress.completed_nodes}/{run.progress.total_nodes} nodes</span>}>
      <TaskList tasks={(order.length > 0 ? order : run.nodes).map(taskOf)} note={noteOf(run)} />
    </Tile>
  );
}

function Facts({ run }: { run: Run }): JSX.Element {
  const { timing } = run;
  return (
    <Tile title="📋 Run">
      <dl class="facts-table">
        <dt>id</dt><dd class="mono">{run.run_id}</dd>
        <dt>workflow id</dt><dd class="mono">{run.workflow_id}</dd>
        {run.workflow_file != null && <><dt>file</dt><dd class="mono">{run.workflow_file}</dd></>}
        {run.output_dir != null && <><dt>copies to</dt><dd class="mono">{run.output_dir}</dd></>}
        <dt>queued</dt><dd class="num">{fullTime(timing.queue_time)}</dd>
        {timing.end_time != null && <><dt>ended</dt><dd class="num">{fullTime(timing.end_time)}</dd></>}
        {timing.start_time != null && timing.end_time != null && <><dt>ran</dt><dd class="num">{span((ms(timing.end_time) ?? 0) - (ms(timing.start_time) ?? 0))}</dd></>}
      </dl>
    </Tile>
  );
}
