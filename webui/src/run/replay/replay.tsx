/** Looking at a run at an earlier event: the server folds it, the page shows it. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { get, problemOf, runPath } from '../../api/client';
import type { Run } from '../../api/types';
import { timeOfDay } from '../../parts/time';

/** The run at an event; undefined while it is read. */
export function useRunAt(id: string, seq: number | undefined): { run: Run | undefined; problem: string | undefined } {
  const found = useSignal<{ seq: number; run: Run } | undefined>(undefined);
  const problem = useSignal<string | undefined>(undefined);
  useEffect(() => {
    if (seq === undefined) return undefined;
    const abort = new AbortController();
    problem.value = undefined;
    get<Run>(runPath(id, `/at/${seq}`), abort.signal).then(
      (run) => (found.value = { seq, run }),
      (thrown: unknown) => {
        if (!abort.signal.aborted) problem.value = problemOf(thrown).message;
      },
    );
    return () => abort.abort();
  }, [id, seq]);
  if (seq === undefined) return { run: undefined, problem: undefined };
  return { run: found.value?.seq === seq && found.value.run.run_id === id ? found.value.run : undefined, problem: problem.value };
}

/** Props of the slider: the newest event, the one that is looked at, and how to look at another; undefined is live. */
export interface ReplayProps {
  run: Run;
  seq: number | undefined;
  onSeek: (seq: number | undefined) => void;
  /** The time of the event that is looked at. */
  at: string | undefined;
}

/** The slider over the events. */
export function Replay({ run, seq, onSeek, at }: ReplayProps): JSX.Element {
  const place = seq ?? run.seq;
  return (
    <div class={`replay ${seq === undefined ? '' : 'past'}`}>
      <button type="button" aria-label="One event back" disabled={place <= 1} onClick={() => onSeek(place - 1)}>◀</button>
      <input type="range" min={1} max={run.seq} value={place} aria-label="Event" onInput={(event) => onSeek(Number(event.currentTarget.value))} />
      <button type="button" aria-label="One event forward" disabled={place >= run.seq} onClick={() => onSeek(place + 1)}>▶</button>
      <span class="num">seq {place}/{run.seq}{at !== undefined && seq !== undefined ? ` · ${timeOfDay(at, true)}` : ''}</span>
      <button type="button" aria-pressed={seq === undefined} onClick={() => onSeek(undefined)}>LIVE</button>
    </div>
  );
}
