/** The list of runs: those of the live stream and the older ones that were paged in, filtered, grouped and placed. */
import { computed, signal } from '@preact/signals';
import { get, problemOf } from '../api/client';
import { isOver, type Status, type Summary } from '../api/types';
import { isListed, listEpoch, newestRuns, noteRuns, onRuns, reconnected } from '../live/store';
import { route, type Shown } from '../app/route';
import { dayOf } from '../parts/time';

const PAGE = 200;
const STATUSES: Record<Shown, Status[] | undefined> = { all: undefined, active: ['queued', 'executing'], completed: ['completed'], failed: ['failed'], cancelled: ['cancelled'] };

/** Runs by id, newest first by the order of their ids, which begin with the time. */
const loaded = new Map<string, Summary>();
/** Counts up when the set of runs or a group of one changes. */
const version = signal(0);
/** Whether more can be asked for, and whether that is under way. */
export const paging = signal<{ next: string | undefined; busy: boolean; total: number | undefined; problem: string | undefined }>({ next: undefined, busy: false, total: undefined, problem: undefined });

interface Wanted {
  show: Shown;
  q: string;
  on: string | undefined;
}

const wanted = computed<Wanted>(() => ({ show: route.value.show, q: route.value.q.trim(), on: route.value.on }));

function matches(run: Summary, { show, q, on }: Wanted): boolean {
  const statuses = STATUSES[show];
  if (statuses && !statuses.includes(run.status)) return false;
  if (on && run.instance !== on) return false;
  if (!q) return true;
  const word = q.toLowerCase();
  return [run.workflow_name, run.run_id, run.workflow_id, run.instance, run.error ?? ''].some((text) => text.toLowerCase().includes(word));
}

function isFiltered({ show, q, on }: Wanted): boolean {
  return show !== 'all' || q !== '' || on !== undefined;
}

interface PageOfRuns {
  runs: Summary[];
  next_cursor?: string | null;
  total?: number | null;
}

let asked: AbortController | undefined;

/** Asks for a page: the first of a filter, or the one after what is there. */
async function load(cursor: string | undefined): Promise<void> {
  asked?.abort();
  const abort = (asked = new AbortController());
  const filter = wanted.peek();
  paging.value = { ...paging.peek(), busy: true, problem: undefined };
  const query = new URLSearchParams({ limit: String(PAGE) });
  const statuses = STATUSES[filter.show];
  if (statuses) query.set('status', statuses.join(','));
  if (filter.q) query.set('text', filter.q);
  if (filter.on) query.set('instance', filter.on);
  if (cursor) query.set('cursor', cursor);
  try {
    const page = await get<PageOfRuns>(`/api/v1/runs?${query}`, abort.signal);
    if (!cursor) loaded.clear();
    for (const run of page.runs) loaded.set(run.run_id, run);
    noteRuns(page.runs);
    if (!cursor) for (const run of newestRuns()) if (matches(run, filter)) loaded.set(run.run_id, run);
    paging.value = { next: page.next_cursor ?? undefined, busy: false, total: page.total ?? paging.peek().total, problem: undefined };
    version.value += 1;
  } catch (thrown) {
    if (abort.signal.aborted) return;
    paging.value = { ...paging.peek(), busy: false, problem: problemOf(thrown).message };
  }
}

/** Asks for the next page, unless that is under way or there is none. */
export function loadMore(): void {
  const { next, busy } = paging.peek();
  if (next && !busy) void load(next);
}

/** Asks again for the page that could not be read. */
export function loadAgain(): void {
  const { next, busy, problem } = paging.peek();
  if (problem !== undefined && !busy) void load(next);
}

/** Follows the filter of the address and the live stream. Gives the function that ends it. */
export function followRuns(): () => void {
  const ends = [
    onRuns((runs, deleted) => {
      const filter = wanted.peek();
      let moved = deleted.some((id) => loaded.delete(id));
      for (const run of runs) {
        const before = loaded.get(run.run_id);
        // A filter by text looks into more than a summary has, so what was found stays.
        const fits = matches(run, filter) || (before !== undefined && filter.q !== '' && matches(run, { ...filter, q: '' }));
        if (fits) loaded.set(run.run_id, run);
        else if (before) loaded.delete(run.run_id);
        moved ||= fits ? !before || groupOf(before) !== groupOf(run) || before.batch !== run.batch : before !== undefined;
        if (run.batch != null) moved ||= before?.status !== run.status;
      }
      if (moved) version.value += 1;
    }),
    // After a reconnection, and for another filter, the pages are asked for anew.
    (() => {
      let last = '';
      let timer: ReturnType<typeof setTimeout> | undefined;
      const key = computed(() => JSON.stringify([wanted.value, listEpoch.value, isListed.value]));
      return key.subscribe((now) => {
        if (now === last || !isListed.peek()) return;
        const first = last === '';
        last = now;
        clearTimeout(timer);
        if (first && !isFiltered(wanted.peek())) {
          for (const run of newestRuns()) loaded.set(run.run_id, run);
          version.value += 1;
        }
        timer = setTimeout(() => void load(undefined), first ? 0 : 150);
      });
    })(),
    reconnected.subscribe(loadAgain),
  ];
  return () => ends.forEach((end) => end());
}

function groupOf(run: Summary): string {
  if (run.status === 'executing') return 'Running';
  if (run.status === 'queued') return 'Waiting';
  return dayOf(run.created);
}

/** Batches that are unfolded. */
export const unfolded = signal<ReadonlySet<string>>(new Set());

/** Folds or unfolds a batch. */
export function toggleBatch(id: string): void {
  const next = new Set(unfolded.peek());
  if (!next.delete(id)) next.add(id);
  unfolded.value = next;
}

/** A line of the list, with its place in pixels. */
export type Line =
  | { kind: 'day'; key: string; top: number; height: number; text: string; count: number }
  | { kind: 'run'; key: string; top: number; height: number; run: Summary; member: boolean }
  | { kind: 'batch'; key: string; top: number; height: number; id: string; runs: Summary[]; open: boolean };

const DAY_PX = 32;
const ROW_PX = 54;

/** All lines, and their height together. */
export const lines = computed<{ lines: Line[]; height: number; runs: string[] }>(() => {
  void version.value;
  const open = unfolded.value;
  const runs = [...loaded.values()].sort((a, b) => (a.run_id < b.run_id ? 1 : -1));
  const groups = new Map<string, Summary[]>([['Running', []], ['Waiting', []]]);
  const batches = new Map<string, Summary[]>();
  for (const run of runs) if (run.batch != null) push(batches, run.batch, run);
  const placed = new Set<string>();
  for (const run of runs) {
    const batch = run.batch == null ? undefined : batches.get(run.batch);
    if (batch && batch.length > 1) {
      if (placed.has(run.batch as string)) continue;
      placed.add(run.batch as string);
      const lead = batch.find((one) => one.status === 'executing') ?? batch.find((one) => !isOver(one.status)) ?? run;
      push(groups, groupOf(lead), run);
    } else push(groups, groupOf(run), run);
  }
  const result: Line[] = [];
  const order: string[] = [];
  let top = 0;
  const add = (line: Line): void => {
    result.push(line);
    top += line.height;
  };
  for (const [text, members] of groups) {
    if (members.length === 0) continue;
    add({ kind: 'day', key: `day ${text}`, top, height: DAY_PX, text, count: members.length });
    for (const run of members) {
      const batch = run.batch == null ? undefined : batches.get(run.batch);
      if (!batch || batch.length < 2) {
        add({ kind: 'run', key: run.run_id, top, height: ROW_PX, run, member: false });
        order.push(run.run_id);
        continue;
      }
      const id = run.batch as string;
      add({ kind: 'batch', key: `batch ${id}`, top, height: ROW_PX, id, runs: batch, open: open.has(id) });
      if (!open.has(id)) continue;
      for (const member of batch) {
        add({ kind: 'run', key: member.run_id, top, height: ROW_PX, run: member, member: true });
        order.push(member.run_id);
      }
    }
  }
  return { lines: result, height: top, runs: order };
});

function push(groups: Map<string, Summary[]>, name: string, run: Summary): void {
  const group = groups.get(name);
  if (group) group.push(run);
  else groups.set(name, [run]);
}

/** The run after or before one, in the order of the list. */
export function neighbour(id: string | undefined, step: 1 | -1): string | undefined {
  const { runs } = lines.peek();
  const at = id === undefined ? -1 : runs.indexOf(id);
  return at < 0 ? runs[0] : runs[at + step];
}

/** The runs that have not ended, newest first. */
export function activeRuns(): Summary[] {
  return newestRuns().filter((run) => !isOver(run.status)).sort((a, b) => (a.run_id < b.run_id ? 1 : -1));
}
