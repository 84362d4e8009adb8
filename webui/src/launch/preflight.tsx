/** What can be said of a run before it is queued: whether the instance would take it, how long it may take, and where it goes. */
import { type Signal, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { get, problemOf, send } from '../api/client';
import type { GraphNode, Instance, InstanceNow } from '../api/types';
import { bytes, clock } from '../parts/time';

/** What an instance would refuse. */
export interface Finding {
  node_id?: string | null;
  class?: string | null;
  input?: string | null;
  /** Whether it is sure to be refused; else it is for the node to decide. */
  certain: boolean;
  message: string;
  hint: string;
}

/** What the look has brought. */
export interface Look {
  state: 'looking' | 'done' | 'unknown';
  findings: Finding[] | undefined;
  /** Whether the instance would take it: with some outputs that are wrong it runs the others. */
  valid: boolean | undefined;
  why: string | undefined;
}

const CALM_MS = 400;
const NOT_HERE = [404, 405, 501];

/** Asks the server what the instance would refuse, each time that the graph has been left alone for a moment. */
export function useFindings(graph: Record<string, GraphNode>, instance: string | undefined): Look {
  const look = useSignal<Look>({ state: 'looking', findings: undefined, valid: undefined, why: undefined });
  const text = JSON.stringify(graph);
  useEffect(() => {
    let isOld = false;
    // What was found before is still shown, but it is of another graph.
    if (look.peek().state !== 'looking') look.value = { ...look.peek(), state: 'looking' };
    const timer = setTimeout(() => {
      send<{ valid: boolean; findings: Finding[] }>('POST', '/api/v1/workflows/validate', { workflow: graph, ...(instance !== undefined && { instance }) }).then(
        ({ valid, findings }) => {
          if (!isOld) look.value = { state: 'done', findings, valid, why: undefined };
        },
        (thrown: unknown) => {
          const problem = problemOf(thrown);
          if (!isOld) look.value = { state: 'unknown', findings: undefined, valid: undefined, why: NOT_HERE.includes(problem.status) ? 'This server does not check workflows beforehand.' : `It could not be checked beforehand: ${problem.message}` };
        },
      );
    }, CALM_MS);
    return () => {
      isOld = true;
      clearTimeout(timer);
    };
  }, [text, instance]);
  return look.value;
}

interface Stats {
  workflows: { workflow_name: string; median_seconds?: number | null }[];
  store: { free_bytes?: number | null };
}

/** What is known of times and disk. */
function useStats(): Signal<Stats | undefined> {
  const stats = useSignal<Stats | undefined>(undefined);
  useEffect(() => {
    const abort = new AbortController();
    get<Stats>('/api/v1/stats', abort.signal).then((answer) => (stats.value = answer), () => undefined);
    return () => abort.abort();
  }, []);
  return stats;
}

/** What the instance has free now. */
function useMemory(instance: string | undefined): Signal<InstanceNow | undefined> {
  const now = useSignal<InstanceNow | undefined>(undefined);
  useEffect(() => {
    now.value = undefined;
    if (instance === undefined) return undefined;
    const abort = new AbortController();
    // An instance that does not answer is told by its state.
    get<InstanceNow>(`/api/v1/instances/${encodeURIComponent(instance)}/stats`, abort.signal).then((answer) => (now.value = answer), () => undefined);
    return () => abort.abort();
  }, [instance]);
  return now;
}

type Row = { tone: 'ok' | 'warn' | 'bad' | 'muted'; mark: string; text: string; hint?: string };

/** The strip under the button. */
export function Preflight(props: { instance: Instance | undefined; look: Look; findings: Finding[] | undefined; title: string; times: number; wrong: number }): JSX.Element {
  const { instance, look, findings, times } = props;
  const stats = useStats();
  const memory = useMemory(instance?.name);
  const rows: Row[] = [];
  if (!instance) rows.push({ tone: 'muted', mark: '·', text: 'No instance is known by name: it goes to the address that the server was started with.', hint: 'Add one on the page of instances.' });
  else if (instance.state === 'unreachable') rows.push({ tone: 'warn', mark: '!', text: `${instance.label ?? instance.name} does not answer now. The run waits until it does.` });
  else rows.push({ tone: 'ok', mark: '✓', text: where(instance) });
  if (props.wrong > 0) rows.push({ tone: 'bad', mark: '×', text: `${props.wrong} ${props.wrong === 1 ? 'value is' : 'values are'} not usable.` });
  if (findings) {
    const bad = findings.filter((finding) => finding.certain);
    const isTaken = look.valid !== false;
    if (isTaken && bad.length > 0) rows.push({ tone: 'warn', mark: '!', text: 'Some of its outputs are left out, the others run.' });
    if (findings.length === 0) rows.push({ tone: 'ok', mark: '✓', text: 'Nodes, inputs and models are all there.' });
    for (const finding of [...bad, ...findings.filter((one) => !one.certain)].slice(0, 12)) {
      rows.push({ tone: finding.certain && !isTaken ? 'bad' : 'warn', mark: finding.certain ? '×' : '!', text: `${finding.class ?? ''}${finding.node_id != null ? ` (${finding.node_id})` : ''}: ${finding.message}`.replace(/^: /, ''), hint: finding.hint });
    }
  } else if (look.state === 'unknown') rows.push({ tone: 'muted', mark: '·', text: look.why ?? '' });
  const median = stats.value?.workflows.find((one) => one.workflow_name === props.title)?.median_seconds;
  if (median != null) rows.push({ tone: 'muted', mark: '⏱', text: `Usually ${clock(median * 1000)}${times > 1 ? `, ~${clock(median * 1000 * times)} for all of them one after the other` : ''}.` });
  const device = memory.value?.devices?.[0];
  if (device?.vram_free != null && device.vram_total != null) rows.push({ tone: 'muted', mark: '▦', text: `${device.name}: ${bytes(device.vram_free)} of ${bytes(device.vram_total)} free.` });
  const free = stats.value?.store.free_bytes;
  if (free != null) rows.push({ tone: free < 2e9 ? 'warn' : 'muted', mark: '▤', text: `${bytes(free)} free on this server for outputs.` });
  return (
    <ul class="preflight" aria-label="Before it runs" data-look={look.state}>
      {rows.map((row, index) => (
        <li key={index} class={row.tone}>
          <span class="mark" aria-hidden="true">{row.mark}</span>
          <span>{row.text}{row.hint && <span class="muted"> {row.hint}</span>}</span>
        </li>
      ))}
    </ul>
  );
}

function where(instance: Instance): string {
  const waiting = instance.open_runs + instance.waiting_runs;
  const name = instance.label ?? instance.name;
  return waiting > 0 ? `It goes to ${name}, behind ${waiting} other ${waiting === 1 ? 'run' : 'runs'}.` : `It goes to ${name}, which is free.`;
}
