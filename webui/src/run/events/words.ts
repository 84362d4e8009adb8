/** Events in words. */
import type { LogLine } from '../../api/types';

/** The kinds that one filters by. */
export const KINDS = ['state', 'node', 'progress', 'output', 'network', 'operator'] as const;
export type Kind = (typeof KINDS)[number];

/** Where the kinds of events belong. One that is not named here, such as of a newer server, is one of the state. */
const OF: Record<string, Kind> = {
  run_created: 'state', blob_stored: 'state', staging_started: 'state', staged: 'state', staging_delayed: 'network', submit_intended: 'state', submitted: 'state', queue_moved: 'state', execution_started: 'state', execution_succeeded: 'state',
  limit_reached: 'state', completed: 'state', failed: 'state', instance_log_noted: 'state', cancelled: 'state', log_repaired: 'state',
  node_started: 'node', node_finished: 'node', nodes_cached: 'node', node_blocked: 'node', node_texted: 'node', nodes_progressed: 'progress',
  outputs_found: 'output', output_saved: 'output', output_delayed: 'output', output_lost: 'output', outputs_refused: 'output', output_retried: 'output',
  inputs_removal_intended: 'network', inputs_removal_delayed: 'network', inputs_removed: 'network',
  gap_noted: 'network', submit_not_sent: 'network', submit_in_doubt: 'network', absence_noted: 'network', attention_raised: 'network', attention_cleared: 'network',
  cancel_requested: 'operator', stop_sent: 'operator', stop_repeated: 'operator', cancel_refused: 'operator', resubmit_requested: 'operator',
};

const PLACED: readonly string[] = Object.keys(OF);

/** The kind of an event. */
export function kindOf(line: LogLine): Kind {
  return OF[line.event.kind] ?? 'state';
}

const WRONG = /fail|lost|attention_raised|delayed|refused|unknown|in_doubt|restarted|limit_reached|gap_noted|not_sent|absence_noted|blocked|repaired/;

/** Whether an event tells of something wrong. */
export function isProblem(line: LogLine): boolean {
  return WRONG.test(line.event.kind);
}

/** Which events to ask for: only what is wrong, or all but those of the hidden kinds, so that what nobody placed is seen. */
export function askedFor(hidden: ReadonlySet<Kind>, problems: boolean): string {
  const named = PLACED.filter((kind) => (problems ? WRONG.test(kind) : hidden.has(OF[kind] ?? 'state')));
  return named.length === 0 ? '' : `${problems ? 'kinds' : 'without'}=${named.join(',')}`;
}

const MOST = 240;

/** What an event says, in one line. Its data is the engine's own; only what is short is shown. */
export function detailOf(line: LogLine): string {
  const data = line.event.data;
  if (data === null || typeof data !== 'object') return data == null ? '' : String(data);
  const parts = Object.entries(data as Record<string, unknown>).flatMap(([key, value]) => {
    if (value === null || value === undefined) return [];
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
    return [`${key} ${text.length > 120 ? `${text.slice(0, 119)}…` : text}`];
  });
  const text = parts.join(' · ');
  return text.length > MOST ? `${text.slice(0, MOST - 1)}…` : text;
}
