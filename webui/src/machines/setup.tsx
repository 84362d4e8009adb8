/** Lists of steps: a plan is chosen, its steps are switched on and off, and done one after the other. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { get, Problem, problemOf, send } from '../api/client';
import type { Action, Instance, Setup } from '../api/types';
import { go, openRun, route } from '../app/route';
import { hints } from '../live/store';
import { callAction } from '../run/actions';
import { Act } from '../parts/action';
import { Elapsed } from '../parts/time';
import { Box, Tile } from '../parts/tile';
import { type Plan, planOf, PLANS } from './plans';
import { type Step, StepList } from './steps';
import type { Task } from './tasks';

interface Waits {
  kind: string;
  message: string;
  hint?: string | null;
  actions: Action[];
}

/** The page: the list of the address, else the one that goes on, else a plan. */
export function SetupPage(): JSX.Element {
  const { name } = route.value;
  const state = useSignal<Setup | undefined>(undefined);
  const problem = useSignal<Problem | undefined>(undefined);
  const isRead = useSignal(false);
  const again = useSignal(0);
  useEffect(() => {
    const abort = new AbortController();
    let busy = false;
    let owed = false;
    const read = async (): Promise<void> => {
      try {
        const query = name === undefined ? 'type=generic_workflow' : `workflow_id=${encodeURIComponent(name)}`;
        const answer = await get<{ state: Setup | null }>(`/workflow/state?${query}`, abort.signal);
        const found = answer.state?.type === 'generic_workflow' ? answer.state : undefined;
        // What is over is shown where it was asked for; the page alone offers a new one.
        const next = name === undefined && found && found.status !== 'executing' ? undefined : found;
        if (next?.seq !== state.peek()?.seq || next?.workflow_id !== state.peek()?.workflow_id) state.value = next;
        problem.value = undefined;
      } catch (thrown) {
        if (abort.signal.aborted) return;
        problem.value = problemOf(thrown);
        if (problem.value.status === 404) state.value = undefined;
      }
      isRead.value = true;
    };
    // One look at a time; what changed meanwhile is looked at after it.
    const look = async (): Promise<void> => {
      owed = true;
      if (busy) return;
      busy = true;
      while (owed && !abort.signal.aborted) {
        owed = false;
        await read();
      }
      busy = false;
    };
    const stop = hints.setups.subscribe(() => void look());
    return () => {
      stop();
      abort.abort();
    };
  }, [name, again.value]);
  const lookAgain = (): void => void (again.value += 1);
  return (
    <div class="setup-page stack">
      {problem.value && !problem.value.isUnreachable && <Box tone="bad" role="alert"><p>{problem.value.message}</p><p class="muted">{problem.value.hint}</p></Box>}
      {state.value ? <Going key={state.value.workflow_id} state={state.value} onChange={lookAgain} /> : isRead.value && <Planning />}
    </div>
  );
}

async function start(steps: Plan['steps'], body: Record<string, unknown>): Promise<void> {
  const { workflow_id: id } = await send<{ workflow_id: string }>('POST', '/workflow/start', { ...body, steps });
  go({ name: id });
}

/** A plan before it runs. */
function Planning(): JSX.Element {
  const own = useSignal<Plan | undefined>(undefined);
  const chosen = useSignal(PLANS[0]?.id ?? '');
  const off = useSignal<ReadonlySet<number>>(new Set());
  const place = useSignal('');
  const instances = useSignal<Instance[]>([]);
  const wrong = useSignal<string | undefined>(undefined);
  const file = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const abort = new AbortController();
    // Without the list a connection can still be typed.
    get<{ instances: Instance[] }>('/api/v1/instances', abort.signal).then((answer) => (instances.value = answer.instances), () => undefined);
    return () => abort.abort();
  }, []);
  const plan = (chosen.value === 'own' ? own.value : PLANS.find((one) => one.id === chosen.value)) ?? (PLANS[0] as Plan);
  const steps: Step[] = plan.steps.map((one, index) => ({ action: one.action, label: one.label, status: 'pending', enabled: one.enabled !== off.value.has(index), tasks: [] }));
  const choose = (id: string): void => {
    chosen.value = id;
    off.value = new Set();
  };
  const toggle = (index: number): void => {
    const next = new Set(off.value);
    if (!next.delete(index)) next.add(index);
    off.value = next;
  };
  const run = (): Promise<void> => {
    const where = place.value.trim();
    const target = where === '' ? {} : instances.value.some((one) => one.name === where) ? { instance: where } : /^https?:/.test(where) ? { url: where } : { ssh_connection: where };
    return start(plan.steps.map((one, index) => ({ ...one, enabled: steps[index]?.enabled === true })), target);
  };
  return (
    <>
      <Tile title="🔧 Setup">
        <label>Setup Template:
          <select value={chosen.value} onChange={(event) => choose(event.currentTarget.value)}>
            {[...PLANS, ...(own.value ? [own.value] : [])].map((one) => <option key={one.id} value={one.id}>{one.title}</option>)}
          </select>
        </label>
        <div class="plan-about"><strong>Template: {plan.title}</strong><p class="muted">{plan.about}</p></div>
        <label>Machine: the name of an instance, an address, or an SSH command
          <input type="text" list="setup-machines" spellcheck={false} placeholder="the default instance" value={place.value} onInput={(event) => (place.value = event.currentTarget.value)} />
        </label>
        <datalist id="setup-machines">{instances.value.map((one) => <option key={one.name} value={one.name}>{one.label ?? one.url}</option>)}</datalist>
        <p class="row plan-file">
          <button type="button" onClick={() => file.current?.click()}>📂 A plan from a file (.json)</button>
          {wrong.value !== undefined && <span class="text-bad" role="alert">{wrong.value}</span>}
          <input ref={file} type="file" hidden aria-label="A plan" accept=".json,application/json" onChange={(event) => {
            const [given] = event.currentTarget.files ?? [];
            given?.text().then((text) => {
              own.value = planOf(text);
              wrong.value = undefined;
              choose('own');
            }).catch((thrown: unknown) => (wrong.value = thrown instanceof Error ? thrown.message : String(thrown)));
          }} />
        </p>
      </Tile>
      <Tile title="▶️ Execute Workflow">
        <p class="setup-button"><Act class="primary big" do={run}>▶️ Run Workflow</Act></p>
        <StepList steps={steps} onToggle={toggle} />
      </Tile>
    </>
  );
}

/** A list of steps that was started. */
function Going({ state, onChange }: { state: Setup; onChange: () => void }): JSX.Element {
  const isOver = state.status !== 'executing';
  const waits = state.attention as Waits | null | undefined;
  const runs = state.steps.map((step) => step.run_id);
  const steps: Step[] = state.steps.map((step) => ({
    action: step.action, label: step.label, status: step.status, enabled: step.status !== 'skipped', tasks: step.tasks as Task[], note: step.completion_note,
    failed: step.error != null && step.status === 'failed' ? `${step.error.message} ${step.error.hint}` : undefined,
  }));
  const machine = state.instance ?? state.url ?? state.ssh_connection;
  const failedAt = state.steps.findIndex((step) => step.status === 'failed');
  const failedRun = failedAt >= 0 ? runs[failedAt] : undefined;
  const resume = (): Promise<void> => send('POST', '/workflow/resume', { workflow_id: state.workflow_id }).then(onChange);
  return (
    <Tile title="▶️ Execute Workflow" aside={<span class="muted right cut">{machine != null && <>{machine} · </>}<Elapsed from={state.start_time} to={state.end_time ?? (isOver ? state.last_update : undefined)} precise /></span>}>
      <p class="setup-button">
        {isOver
          ? <button type="button" class="primary big" onClick={() => go({ name: undefined })}>▶️ New Workflow</button>
          : <Act class="stop big" do={() => send('POST', '/workflow/stop', { workflow_id: state.workflow_id }).then(onChange)}>{state.stopping ? 'Stopping …' : '■ Stop Workflow'}</Act>}
      </p>
      {waits != null && !isOver && (
        <Box tone="warn" role="alert">
          <p class="strong">{waits.message}</p>
          {waits.hint != null && <p class="muted">{waits.hint}</p>}
          <div class="actions">{waits.actions.map((action) => <Act key={action.id} class={action.id === 'stop' ? '' : 'primary'} do={() => callAction(action).then(onChange)}>{action.label}</Act>)}</div>
        </Box>
      )}
      <StepList steps={steps} isOver={isOver} onOpen={runs.some((run) => run != null) ? (index) => runs[index] != null && openRun(runs[index]) : undefined} />
      {isOver && (
        <Box tone={state.status === 'completed' ? 'ok' : state.status === 'failed' ? 'bad' : 'grey'} role="status" class="setup-end">
          <p class="strong">{state.status === 'completed' ? '✅ All steps are done' : state.status === 'failed' ? '❌ A step failed' : '■ It was stopped'} · <Elapsed from={state.start_time} to={state.end_time ?? state.last_update} precise /></p>
          {state.status !== 'completed' && (
            <div class="actions">
              <Act class="primary" do={resume}>{state.status === 'failed' ? 'Retry from this step' : '▶️ Go on'}</Act>
              {failedRun != null && <button type="button" onClick={() => openRun(failedRun)}>View Logs</button>}
            </div>
          )}
        </Box>
      )}
    </Tile>
  );
}
