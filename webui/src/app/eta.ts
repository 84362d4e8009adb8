/** When everything that is open will be done, by what runs of the same name took. */
import { signal } from '@preact/signals';
import { get } from '../api/client';
import { isOver, type Summary } from '../api/types';
import { newestRuns, onRuns } from '../live/store';

/** The moment, in milliseconds; undefined while it is not known of each open run what it takes, or nothing is open. */
export const allDoneAt = signal<number | undefined>(undefined);

const ASK_EACH_MS = 30_000;
/** A smaller change is not worth a flicker. */
const MATTERS = 0.03;

let medians = new Map<string, number>();
let known = '';
let askedAt = -Infinity;

interface Stats {
  workflows: { workflow_name: string; median_seconds?: number | null }[];
}

/** How long it takes until the last of these runs is done: each instance does its own one after the other. Undefined if one of them is new. */
export function restOf(open: readonly Summary[], median: ReadonlyMap<string, number>): number | undefined {
  const rests = new Map<string, number>();
  for (const run of open) {
    const usual = median.get(run.workflow_name);
    if (usual === undefined) return undefined;
    rests.set(run.instance, (rests.get(run.instance) ?? 0) + usual * (1 - run.progress_permille / 1000));
  }
  return rests.size > 0 ? Math.max(...rests.values()) : undefined;
}

function look(): void {
  const open = newestRuns().filter((run) => !isOver(run.status));
  const names = [...new Set(open.map((run) => run.workflow_name))].sort().join('\n');
  if (names !== '' && (names !== known || performance.now() - askedAt > ASK_EACH_MS)) {
    known = names;
    askedAt = performance.now();
    // Without figures nothing is promised.
    void get<Stats>('/api/v1/stats').then(({ workflows }) => {
      medians = new Map(workflows.flatMap((one) => (one.median_seconds != null ? [[one.workflow_name, one.median_seconds * 1000]] : [])));
      look();
    }, () => undefined);
  }
  const rest = restOf(open, medians);
  const before = allDoneAt.peek();
  if (rest === undefined) allDoneAt.value = undefined;
  else if (before === undefined || Math.abs(before - Date.now() - rest) > Math.max(1000, MATTERS * rest)) allDoneAt.value = Date.now() + rest;
}

/** Keeps the moment right. */
export function keepEta(): void {
  onRuns((runs) => {
    // The first run of a workflow is over: now it is known what one takes.
    if (runs.some((run) => run.status === 'completed' && !medians.has(run.workflow_name))) known = '';
    look();
  });
}
