/**
 * What each event of a run changed, as far as it was read, and the run at any of them.
 *
 * The server folds, the page only merges. Whole states stand among the patches each thousand events, and here each hundred that were passed, so that a
 * jump to anywhere costs a hundred merges at most.
 */
import { type LiveRun, listed, mergedAll } from '../../live/merge';
import type { Run } from '../../api/types';

/** One event, as `GET /api/v1/runs/{id}/patches` has it. */
export interface Entry {
  seq: number;
  at: string;
  kind: string;
  state?: LiveRun;
  patch?: unknown;
}

const KEEP_EACH = 100;
/** Enough for 200,000 events; states share what did not change between them. */
const KEPT = 2000;

/** The events of one run by number. Numbers begin with 1, so the first place of each list is empty. */
export class Tape {
  /** When each was recorded, in milliseconds. */
  readonly at: number[] = [0];
  /** What happened. */
  readonly kinds: (string | undefined)[] = [undefined];
  readonly #patches: unknown[] = [undefined];
  readonly #states = new Map<number, LiveRun>();
  readonly #kept = new Map<number, LiveRun>();
  #last: { seq: number; state: LiveRun } | undefined;
  #shown: { seq: number; run: Run } | undefined;
  /** Up to here the kept states were made beforehand. */
  #warmed = 0;
  /** All events up to this one are here. */
  filled = 0;

  /** Whether an event is here. */
  has(seq: number): boolean {
    return this.kinds[seq] !== undefined;
  }

  /** What an event changed: a patch, or the whole run where that is what was sent. */
  change(seq: number): unknown {
    return this.#states.get(seq) ?? this.#patches[seq];
  }

  /** Puts an answer in. Its first entry has a whole state, so that it stands on its own. */
  take(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.kinds[entry.seq] = entry.kind;
      this.at[entry.seq] = Date.parse(entry.at);
      if (entry.state) this.#states.set(entry.seq, entry.state);
      else this.#patches[entry.seq] = entry.patch ?? {};
    }
    while (this.has(this.filled + 1)) this.filled += 1;
  }

  /** The run after an event, if what it needs is here. */
  runAt(seq: number): Run | undefined {
    if (this.#shown?.seq === seq) return this.#shown.run;
    const state = this.#stateAt(seq);
    if (!state) return undefined;
    const run = listed(state);
    this.#shown = { seq, run };
    return run;
  }

  /** Makes the next of the states that jumps begin at, before one is needed; whether there may be another one. */
  warm(): boolean {
    const to = this.#warmed + KEEP_EACH;
    if (to > this.filled || this.#kept.size >= KEPT) return false;
    // Whoever steps from event to event goes on from there.
    const last = this.#last;
    if (!this.#kept.has(to)) this.#keep(to, this.#stateAt(to) as LiveRun);
    this.#last = last;
    this.#warmed = to;
    return true;
  }

  #stateAt(seq: number): LiveRun | undefined {
    if (!this.has(seq)) return undefined;
    let begin = seq;
    let state = this.#known(begin);
    while (!state) {
      begin -= 1;
      if (!this.has(begin)) return undefined;
      state = this.#known(begin);
    }
    for (let from = begin; from < seq; ) {
      const to = Math.min(seq, (Math.floor(from / KEEP_EACH) + 1) * KEEP_EACH);
      state = mergedAll(state, this.#patches.slice(from + 1, to + 1));
      if (to % KEEP_EACH === 0) this.#keep(to, state);
      from = to;
    }
    this.#last = { seq, state };
    return state;
  }

  #known(seq: number): LiveRun | undefined {
    if (this.#last?.seq === seq) return this.#last.state;
    return this.#states.get(seq) ?? this.#kept.get(seq);
  }

  #keep(seq: number, state: LiveRun): void {
    this.#kept.set(seq, state);
    if (this.#kept.size <= KEPT) return;
    const oldest = this.#kept.keys().next().value;
    if (oldest !== undefined) this.#kept.delete(oldest);
  }
}
