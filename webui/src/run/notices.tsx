/** What a user must know or do about a run: attention, failure, warnings, and a run that ended with nothing to show. */
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { type Attention, isOver, type Run } from '../api/types';
import { go, hrefOf, onLink } from '../app/route';
import { HostKeyQuestion, isHostKey } from '../machines/hostkey';
import { Act } from '../parts/action';
import { copy } from '../parts/copy';
import { Elapsed } from '../parts/time';
import { Box, nodeName } from '../parts/tile';
import { callAction, retryRun } from './actions';
import { useInstance } from './inspector/instance';

/** All notices of a run, the gravest first. */
export function Notices({ run, live }: { run: Run; live: boolean }): JSX.Element | null {
  const open = !isOver(run.status) || run.attention?.kind === 'output_delayed';
  return (
    <>
      {run.status === 'queued' && run.attention == null && live && <WaitsFor run={run} />}
      {open && run.attention != null && <AttentionBox attention={run.attention} instance={run.instance} live={live} at={live ? undefined : run.timing.last_update} />}
      {run.status === 'failed' && <Failure run={run} live={live} />}
      {run.status === 'completed' && run.outputs.length === 0 && <NoOutputs run={run} />}
      {run.warnings.length > 0 && (
        <Box tone="warn">
          <ul>{run.warnings.map((warning, index) => <li key={index}>{warning.node_id != null && <NodeLink id={warning.node_id} run={run} />} {warning.message}</li>)}</ul>
        </Box>
      )}
    </>
  );
}

/** Why a run waits: what its instance is busy with. The place is there as long as it waits. */
function WaitsFor({ run }: { run: Run }): JSX.Element {
  const instance = useInstance(run.instance, true).value;
  const reason = (): string => {
    if (!instance) return `Waiting for ${run.instance}.`;
    const foreign = Math.max(0, (instance.queue ?? 0) - instance.open_runs);
    if (instance.open_runs === 0 && foreign === 0) return `${run.instance} is free; this run is next.`;
    const busy = [instance.open_runs > 0 && `${instance.open_runs} of your runs`, foreign > 0 && `${foreign} ${foreign === 1 ? 'job' : 'jobs'} of others`].filter(Boolean).join(' and ');
    return `${run.instance} is busy with ${busy}; ${instance.waiting_runs} ${instance.waiting_runs === 1 ? 'waits' : 'wait'} for it here.`;
  };
  return <Box tone="grey" class="waits"><p data-clock="">⏳ {reason()}</p></Box>;
}

const TITLES: Record<string, string> = {
  unreachable: '🔌 Link lost', submit_unknown: '❓ Nobody knows whether ComfyUI has it', remote_restarted: '🔄 ComfyUI was restarted, the prompt is gone', host_key_unknown: '🔑 The host key is not known yet',
  host_key_changed: '⛔ The host key has changed', auth_failed: '🔒 The machine refused the login', disk_full: '💾 The disk is full', queue_timeout: '⏱️ It waits very long', output_delayed: '📥 Outputs cannot be fetched at the moment',
  staging_delayed: '📤 Files cannot be sent at the moment', submit_delayed: '📤 ComfyUI does not take it at the moment', cancel_refused: '✋ It is not stopped', missing_nodes: '🧩 Nodes are missing',
};

/** What a run waits for, with its answers. */
export function AttentionBox({ attention, instance, live, at }: { attention: Attention; instance: string; live: boolean; at?: string | undefined }): JSX.Element {
  return (
    <Box tone="warn" role="alert" class={`attention ${attention.kind}`}>
      <h3>{TITLES[attention.kind] ?? '⚠️ It needs attention'} <span class="muted"><Elapsed from={attention.since} to={at} /></span></h3>
      <p>{attention.kind === 'unreachable' ? '🔌 ' : ''}{attention.message}</p>
      {live && (attention.actions.length > 0 || isHostKey(attention)) && (
        <div class="actions">{isHostKey(attention) && <HostKeyQuestion attention={attention} instance={instance} />}{attention.actions.filter((action) => action.id !== 'trust').map((action) => <Act key={action.id} class={action.id === 'cancel' ? '' : 'primary'} do={() => callAction(action)}>{action.label}</Act>)}</div>
      )}
    </Box>
  );
}

function NodeLink({ id, run }: { id: string; run: Run }): JSX.Element {
  const node = run.nodes.find((one) => one.node_id === id);
  return <a href={hrefOf({ node: id })} onClick={onLink({ node: id })}>{node ? nodeName(node) : `Node ${id}`} <span class="num">({id})</span></a>;
}

/** Plain words for the causes that one meets. */
function cause(run: Run): { title: string; advice: string | undefined } {
  const error = run.error;
  const text = `${error?.message ?? ''} ${error?.details ?? ''}`;
  const where = error?.node_id != null ? run.nodes.find((node) => node.node_id === error.node_id) : undefined;
  const at = where ? nodeName(where) : error?.node_type;
  if (error?.code === 'queue_timeout') return { title: `⏱️ Workflow "${run.workflow_name}" timed out in queue. The instance may be overloaded.`, advice: error.hint };
  if (/out of memory|OutOfMemory|CUDA error: out/i.test(text)) return { title: `Not enough GPU memory${at ? ` in ${at}` : ''}`, advice: 'Lower the size or the number of pictures at once, free the memory of the instance, or run it on a bigger GPU.' };
  if (/value_not_in_list|not in (the )?list|does not exist|No such file/i.test(text)) return { title: `A model or file is missing${at ? ` for ${at}` : ''}`, advice: error?.hint };
  if (error && error.problems.length > 0) return { title: 'ComfyUI refused the workflow: an input is wrong', advice: error.hint };
  if (error?.code === 'time_limit') return { title: 'It took longer than it may', advice: error.hint };
  if (error?.code === 'remote_restarted') return { title: 'The instance was restarted, the prompt is gone', advice: error.hint };
  if (at) return { title: `❌ Workflow failed at node "${at}": ${error?.message ?? ''}`, advice: error?.hint };
  return { title: 'Workflow failed', advice: error?.hint };
}

/** A failure at a glance: the cause in plain words, the node, the input, what can be done. */
function Failure({ run, live }: { run: Run; live: boolean }): JSX.Element {
  const { error } = run;
  const { title, advice } = cause(run);
  const report = (): Promise<void> => copy(JSON.stringify({ run: run.run_id, workflow: run.workflow_name, instance: run.instance, error, nodes: run.nodes.filter((node) => node.state === 'failed') }, undefined, 2));
  return (
    <Box tone="bad" role="alert" class="failure">
      <h3>{title}</h3>
      {error && !title.includes(error.message) && <p>{error.message}</p>}
      {error && error.problems.length > 0 && (
        <ul>
          {error.problems.map((problem, index) => (
            <li key={index}><NodeLink id={problem.node} run={run} /> {problem.input != null && <code>{problem.input}</code>} {problem.message}{problem.value != null && <> It is <code>{problem.value}</code>.</>}{problem.allowed != null && <span class="muted"> Allowed: {problem.allowed}</span>}</li>
          ))}
        </ul>
      )}
      {error?.node_id != null && <p>Node <NodeLink id={error.node_id} run={run} /></p>}
      {advice && <p class="muted">{advice}</p>}
      {error?.log_lines != null && error.log_lines.length > 0 && <LogLines lines={error.log_lines} />}
      {error?.details != null && error.details !== '' && <details><summary>Traceback and details</summary><pre class="json">{error.details}</pre></details>}
      <div class="actions">
        {live && <Act class="primary" do={() => retryRun(run.run_id)}>Retry Workflow</Act>}
        <button type="button" onClick={() => go({ tab: 'events' })}>View Logs</button>
        <Act do={report}>Copy report</Act>
      </div>
    </Box>
  );
}

/** What ComfyUI wrote last when it failed; its end is what tells. */
function LogLines({ lines }: { lines: string[] }): JSX.Element {
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines.length]);
  return (
    <details class="log-lines" open>
      <summary>The end of ComfyUI's log ({lines.length} {lines.length === 1 ? 'line' : 'lines'})</summary>
      <pre ref={box} class="json" tabIndex={0} aria-label="The end of ComfyUI's log">{lines.join('\n')}</pre>
    </details>
  );
}

/** Why a run that went well has nothing to show. */
function NoOutputs({ run }: { run: Run }): JSX.Element {
  const counted = run.nodes.filter((node) => node.counts);
  const cached = counted.length > 0 && counted.every((node) => node.state === 'cached');
  return (
    <Box tone="accent" class="no-outputs">
      <h3>It is done, and made no new files</h3>
      {cached
        ? <p>All of its nodes were cached: ComfyUI has the same result already. <a href={hrefOf({ q: run.workflow_name, run: run.run_id })} onClick={onLink({ q: run.workflow_name, pane: 'list' })}>Earlier runs of this workflow</a> have the files; another seed makes new ones.</p>
        : <p>No node of this workflow reported a file or a text. A node such as SaveImage makes one.</p>}
    </Box>
  );
}
