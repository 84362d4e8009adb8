/**
 * What the page knows of the server, as signals: the link, the newest runs, and the runs that are looked at.
 *
 * A run's signal changes at most twice a second, whatever comes; nothing changes when nothing changed.
 */
import { type ReadonlySignal, type Signal, signal } from '@preact/signals';
import { useLayoutEffect } from 'preact/hooks';
import { onDenied } from '../api/client';
import type { Run, Summary } from '../api/types';
import { openLine } from './line';
import { listed, type LiveRun, merged } from './merge';
import { paced } from './pace';
import type { Asked, Hint, LinkState, Picture, Told } from './protocol';

/** A run that is looked at. */
export interface Watched {
  /** The run; undefined until the server has told it. */
  readonly run: ReadonlySignal<Run | undefined>;
  /** The newest picture of its sampler. */
  readonly picture: ReadonlySignal<Picture | undefined>;
  /** Why there is nothing to see. */
  readonly missing: ReadonlySignal<{ code: string; message: string; hint: string } | undefined>;
}

interface Kept {
  live: LiveRun | undefined;
  run: Signal<Run | undefined>;
  picture: Signal<Picture | undefined>;
  missing: Signal<{ code: string; message: string; hint: string } | undefined>;
  paint: ReturnType<typeof paced>;
  users: number;
}

/** Where the connection is, since when, and how often it was tried. */
export const link = signal<{ state: LinkState; since: number; tries: number }>({ state: 'connecting', since: Date.now(), tries: 0 });
/** Whether the list has come at least once. */
export const isListed = signal(false);
/** Counts up when the list of the newest runs was read anew: pages of older runs are asked for again. */
export const listEpoch = signal(0);
/** Counts up when a lost link is there again: what could not be read meanwhile is asked for again. */
export const reconnected = signal(0);
/** Each counts up when that may have changed: by word of the server, and when the link is there again. */
export const hints: Record<Hint, Signal<number>> = { setups: signal(0), instances: signal(0), workflows: signal(0) };

const newest = new Map<string, Summary>();
const changed = new Set<string>();
/** Summaries of runs, those of the stream and those that pages of the list brought. */
const rows = new Map<string, Signal<Summary>>();
const kept = new Map<string, Kept>();
const listeners = new Set<(runs: Summary[], deleted: string[]) => void>();
const deleted = new Set<string>();
let say: (asked: Asked) => void = () => undefined;

/** The newest runs of the stream, as it is now. */
export function newestRuns(): Summary[] {
  return [...newest.values()];
}

/** Tells what changed in the list, twice a second at most. Gives the function that ends it. */
export function onRuns(listener: (runs: Summary[], deleted: string[]) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The summary of a run as a signal, so that one row is painted and not the list. */
export function rowOf(run: Summary): Signal<Summary> {
  let row = rows.get(run.run_id);
  if (!row) {
    row = signal(run);
    rows.set(run.run_id, row);
  }
  return row;
}

/** The summary of a run, if it is known. */
export function summaryOf(id: string | undefined): Summary | undefined {
  return id === undefined ? undefined : rows.get(id)?.peek();
}

/** Notes summaries that came by another way than the stream; older news never replaces newer. */
export function noteRuns(runs: Summary[]): void {
  for (const run of runs) {
    const row = rowOf(run);
    if (run.seq > row.peek().seq) row.value = run;
  }
}

const flush = paced(() => {
  const runs: Summary[] = [];
  for (const id of changed) {
    const run = newest.get(id);
    if (!run) continue;
    runs.push(run);
    rowOf(run).value = run;
  }
  const gone = [...deleted];
  changed.clear();
  deleted.clear();
  for (const listener of listeners) listener(runs, gone);
});

function keep(id: string): Kept {
  let entry = kept.get(id);
  if (!entry) {
    const run = signal<Run | undefined>(undefined);
    const made: Kept = {
      live: undefined,
      run,
      picture: signal(undefined),
      missing: signal(undefined),
      paint: paced(() => {
        if (made.live) run.value = listed(made.live);
      }),
      users: 0,
    };
    entry = made;
    kept.set(id, entry);
  }
  return entry;
}

function take(told: Told): void {
  switch (told.say) {
    case 'link':
      if (told.state === 'live' && link.peek().state !== 'live') for (const hint of Object.values(hints)) hint.value += 1;
      if (told.state === 'live' && (link.peek().state === 'lost' || link.peek().state === 'denied')) reconnected.value += 1;
      link.value = { state: told.state, since: told.since, tries: told.tries };
      break;
    case 'list':
      newest.clear();
      for (const run of told.runs) {
        newest.set(run.run_id, run);
        changed.add(run.run_id);
      }
      isListed.value = true;
      listEpoch.value += 1;
      flush.now();
      break;
    case 'run':
      newest.set(told.run.run_id, told.run);
      changed.add(told.run.run_id);
      flush.ask();
      break;
    case 'hint':
      hints[told.of].value += 1;
      break;
    case 'deleted':
      newest.delete(told.id);
      rows.delete(told.id);
      deleted.add(told.id);
      flush.ask();
      break;
    case 'state':
      takeRun(told.id, () => told.run);
      break;
    case 'patch':
      takeRun(told.id, (live) => live && merged(live, told.patch));
      break;
    case 'picture': {
      const entry = kept.get(told.id);
      if (entry) entry.picture.value = told.picture;
      break;
    }
    case 'missing': {
      const entry = kept.get(told.id);
      if (entry) entry.missing.value = told.problem;
      break;
    }
  }
}

function takeRun(id: string, next: (live: LiveRun | undefined) => LiveRun | undefined): void {
  const entry = kept.get(id);
  if (!entry) return;
  const before = entry.live;
  entry.live = next(before);
  entry.missing.value = undefined;
  // The first sight and the end are worth no delay.
  if (!before || entry.live?.status !== before.status) entry.paint.now();
  else entry.paint.ask();
}

function watch(): void {
  say({ say: 'watch', runs: [...kept].filter(([, entry]) => entry.users > 0).map(([id]) => id) });
}

/** Opens the connection. */
export function connect(): void {
  say = openLine(take);
  addEventListener('pageshow', (event) => {
    if (event.persisted) watch();
  });
  onDenied(() => (link.value = { ...link.peek(), state: 'denied' }));
}

/** Somebody has logged in: tries again now. */
export function reconnect(): void {
  say({ say: 'retry', again: true });
}

/** Looks at a run for as long as the component is there. */
export function useRun(id: string | undefined): Watched | undefined {
  const entry = id === undefined ? undefined : keep(id);
  // With the commit: a run that is left and opened again must not be let go in between.
  useLayoutEffect(() => {
    if (id === undefined || !entry) return undefined;
    entry.users += 1;
    if (entry.users === 1) watch();
    return () => {
      entry.users -= 1;
      if (entry.users > 0) return;
      // Another component may take it over in the same turn.
      setTimeout(() => {
        if (entry.users > 0 || kept.get(id) !== entry) return;
        entry.paint.stop();
        kept.delete(id);
        watch();
      });
    };
  }, [id]);
  return entry;
}

/** Runs that have not ended, by phase, for the top bar. */
export const counts = signal({ running: 0, waiting: 0, attention: 0 });
onRuns(() => {
  const next = { running: 0, waiting: 0, attention: 0 };
  for (const run of newest.values()) {
    if (run.status === 'executing') next.running += 1;
    else if (run.status === 'queued') next.waiting += 1;
    if (run.attention != null && (run.status === 'executing' || run.status === 'queued')) next.attention += 1;
  }
  const now = counts.peek();
  if (now.running !== next.running || now.waiting !== next.waiting || now.attention !== next.attention) counts.value = next;
});

