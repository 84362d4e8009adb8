/** The head of a run: its name, where it is, how far and how long still, and what can be done. */
import type { JSX } from 'preact';
import { isOver, type Run } from '../api/types';
import { hrefOf, onLink } from '../app/route';
import { Act } from '../parts/action';
import { Confirm } from '../parts/confirm';
import { clock, Elapsed, fullTime, ms, now, span, timeOfDay } from '../parts/time';
import { Badge, Bar, STATUS, type Tone } from '../parts/tile';
import { cancelRun, deleteRun, retryRun } from './actions';

const PHASES: Record<string, string> = {
  waiting: 'Waiting for its turn', staging: 'Sending files to ComfyUI', submitting: 'Submitting', in_doubt: 'Looking for the prompt on ComfyUI',
  pending: "Waiting in ComfyUI's queue", running: 'Running', collecting: 'Fetching outputs',
};

/** The head. `live` is false while another moment than now is looked at: then nothing can be done. */
export function RunHeader({ run, live }: { run: Run; live: boolean }): JSX.Element {
  const over = isOver(run.status);
  const { word, tone } = stateOf(run);
  return (
    <section class="tile run-head" aria-label="Run" data-seq={run.seq} data-status={run.status}>
      <div class="title">
        <h2 class="cut" title={run.workflow_name}>{run.workflow_name}</h2>
        <Badge tone={tone} pulse={run.status === 'executing'}>{word}</Badge>
        <div class="actions right">{live && <Actions run={run} over={over} />}</div>
      </div>
      <p class="facts">
        <span class="num" title={run.run_id}>#{run.run_id.slice(-6)}</span>
        <span class="cut">on <a href={hrefOf({ on: run.instance })} onClick={onLink({ on: run.instance })}>{run.instance}</a></span>
        <span title={fullTime(run.timing.queue_time)}>{timeOfDay(run.timing.queue_time, true)}</span>
        {run.retry_of != null && <span>retry of <a class="num" href={hrefOf({ run: run.retry_of, seq: undefined })} onClick={onLink({ run: run.retry_of, seq: undefined, node: undefined })}>#{run.retry_of.slice(-6)}</a></span>}
        {run.batch != null && <span>batch <span class="num">{run.batch.slice(-6)}</span></span>}
        {run.ssh_connection != null && <span class="cut mono" title={run.ssh_connection}>{run.ssh_connection}</span>}
      </p>
      <Progress run={run} live={live} />
      <Phases run={run} live={live} />
    </section>
  );
}

function stateOf(run: Run): { word: string; tone: Tone } {
  if (run.stopping) return { word: 'Cancelling', tone: 'warn' };
  if (!isOver(run.status) && run.attention?.kind === 'submit_unknown') return { word: 'Unknown', tone: 'warn' };
  return STATUS[run.status];
}

function Actions({ run, over }: { run: Run; over: boolean }): JSX.Element {
  if (!over) {
    return run.stopping
      ? <button type="button" class="stop" disabled title="It was asked to stop; it ends as soon as ComfyUI says so"><span class="spinner" aria-hidden="true" /> Stopping …</button>
      : <Confirm class="stop" label="Stop Workflow" sure="Yes, stop it" do={() => cancelRun(run.run_id)}>■ Stop Workflow</Confirm>;
  }
  return (
    <>
      <Act class="primary" do={() => retryRun(run.run_id)} title="Run the same workflow again">↻ {run.status === 'completed' ? 'Run again' : 'Retry'}</Act>
      <Confirm sure="Delete it for good" do={() => deleteRun(run.run_id)} title="Remove the run with its log and stored outputs" label="Delete this run">🗑</Confirm>
    </>
  );
}

function Progress({ run, live }: { run: Run; live: boolean }): JSX.Element {
  const { progress } = run;
  const percent = progress.progress_percent;
  const tone = { queued: 'grey', executing: run.attention ? 'warn' : 'run', completed: 'ok', failed: 'bad', cancelled: 'grey' }[run.status];
  return (
    <div class="progress">
      <Bar value={percent} tone={tone} label={`${percent.toFixed(1)} percent`} />
      <span class="what cut" role="status">{sentence(run)}</span>
      <span class="num">
        {run.status !== 'queued' && <span>{progress.completed_nodes}/{progress.total_nodes} nodes · {percent.toFixed(percent === 100 ? 0 : 1)}%</span>}
        {live && <Remaining run={run} />}
      </span>
    </div>
  );
}

/** What happens now, in one sentence. */
function sentence(run: Run): JSX.Element | string {
  const { progress } = run;
  if (run.stopping) return run.phase === 'running' ? 'Interrupt sent, waiting for ComfyUI to confirm it' : 'Asked to stop';
  switch (run.status) {
    case 'queued':
      if (progress.queue_position != null) return <><strong class="strong">Workflow queued at position {progress.queue_position}</strong> <span class="muted">{run.phase === 'waiting' || run.phase === 'pending' ? 'Waiting for execution...' : PHASES[run.phase]}</span></>;
      return <><strong class="strong">{PHASES[run.phase] ?? run.phase}</strong> <span class="muted">Waiting for execution...</span></>;
    case 'executing': {
      if (run.phase === 'collecting') return <strong class="strong">Fetching outputs</strong>;
      const node = run.nodes.find((one) => one.node_id === progress.current_node_id);
      if (!node) return <strong class="strong">{PHASES[run.phase] ?? run.phase}</strong>;
      const step = node.step != null && node.steps != null ? <span class="num muted"> {node.step}/{node.steps}</span> : '';
      return <><strong class="strong">{progress.current_node_title ?? progress.current_node}</strong><span class="muted"> ({node.node_id})</span>{step}</>;
    }
    case 'completed':
      return `${run.outputs.length} ${run.outputs.length === 1 ? 'output' : 'outputs'}`;
    case 'failed':
      return run.error?.message ?? 'It failed.';
    case 'cancelled':
      return 'It was stopped.';
  }
}

/** How long still; after the estimate has passed, how much longer than usual. The shown value changes only when it matters. */
function Remaining({ run }: { run: Run }): JSX.Element | null {
  const end = ms(run.timing.estimated_completion);
  if (run.status !== 'executing' || end === undefined || run.phase !== 'running') return null;
  const left = end - now.value;
  const text = left >= 1000 ? `~${clock(calm(left))} left` : left > -3000 ? 'any moment' : `+${clock(-left)} over usual`;
  return <time data-clock="" class="clock muted"> · {text}</time>;
}

/** Rounded so that small changes do not flicker. */
function calm(left: number): number {
  const grain = left > 600_000 ? 30_000 : left > 120_000 ? 5000 : 1000;
  return Math.round(left / grain) * grain;
}

/** The stretches of a run's life, each with its length. */
function Phases({ run, live }: { run: Run; live: boolean }): JSX.Element {
  const { queue_time: queued, start_time: started } = run.timing;
  // At an earlier moment the clock stands still.
  const ended = run.timing.end_time ?? (live ? undefined : run.timing.last_update);
  const over = isOver(run.status);
  return (
    <ul class="phases" aria-label="Phases">
      <li class={started == null && !over ? 'now' : 'done'}>queued {started != null ? <span class="num">{span((ms(started) ?? 0) - (ms(queued) ?? 0))}</span> : <Elapsed from={queued} to={ended} precise />}</li>
      {started != null && <li class={run.phase === 'running' ? 'now' : 'done'}>run {over || run.phase === 'running' ? <Elapsed from={started} to={ended} precise /> : null}</li>}
      {run.phase === 'collecting' && <li class="now">fetching outputs</li>}
      {over && <li class="done">in all <Elapsed from={queued} to={ended} precise /></li>}
    </ul>
  );
}
