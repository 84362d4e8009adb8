/** The tapes of the runs that are looked at: what is needed at once is read at once, the rest behind it. */
import { type Signal, signal } from '@preact/signals';
import { get, problemOf, runPath } from '../../api/client';
import { listEpoch, reconnected } from '../../live/store';
import { type Entry, Tape } from './tape';
import { newStory, type Story, tell } from './story';

/** How many events stand between two whole states of an answer. */
const BLOCK = 1000;
/** The most events of an answer. */
const PIECE = 5000;
/** After a failure the background waits this long. */
const REST_MS = 5000;
/** So long it works at once while nothing else is to be done. */
const SLICE_MS = 4;
const idle = (work: () => void): void => void ('requestIdleCallback' in globalThis ? requestIdleCallback(work, { timeout: 200 }) : setTimeout(work, 20));
/** How many runs are remembered. */
const KEPT = 3;

interface Answer {
  last: number;
  entries: Entry[];
}

/** The tape of one run, and how it is read. */
export class Reel {
  tape = new Tape();
  story: Story = newStory();
  /** Counts up when events came. */
  readonly version: Signal<number> = signal(0);
  /** Why the event that is wanted cannot be read. */
  readonly problem: Signal<string | undefined> = signal(undefined);
  /** The newest event that is known of. */
  newest = 0;
  readonly #id: string;
  #wanted: AbortController | undefined;
  #filling = false;
  #warming = false;
  /** After a failure it is tried again from this time on. */
  #rest = -Infinity;

  constructor(id: string) {
    this.#id = id;
  }

  /** Notes how far the run is. A run that is shorter than it was has lost what was never on disk, and others may have taken those numbers. */
  reach(seq: number): void {
    if (seq < this.newest) this.forget();
    this.newest = seq;
  }

  /** Throws everything away. */
  forget(): void {
    this.#wanted?.abort();
    this.#wanted = undefined;
    this.tape = new Tape();
    this.story = newStory();
    this.newest = 0;
    this.#rest = -Infinity;
    this.problem.value = undefined;
    this.version.value += 1;
  }

  /** The link is there again: what failed need not wait. */
  awake(): void {
    this.#rest = -Infinity;
  }

  /** Reads an event and those around it, now. */
  async want(seq: number): Promise<void> {
    this.#wanted?.abort();
    const abort = (this.#wanted = new AbortController());
    this.problem.value = undefined;
    try {
      const block = Math.floor((seq - 1) / BLOCK) * BLOCK;
      await this.#read(block + 1, block + BLOCK, abort.signal);
      if (!abort.signal.aborted && !this.tape.has(seq)) this.problem.value = `There is no event ${seq}.`;
    } catch (thrown) {
      if (!abort.signal.aborted) this.problem.value = problemOf(thrown).message;
    }
  }

  /** Reads all that is missing, one answer after the other. */
  async fill(): Promise<void> {
    if (this.#filling || performance.now() < this.#rest) return;
    this.#filling = true;
    try {
      while (this.tape.filled < this.newest) {
        const { tape } = this;
        const before = tape.filled;
        await this.#read(before + 1, Math.min(before + PIECE, this.newest));
        if (this.tape === tape && tape.filled === before) break;
      }
    } catch {
      // The slider works without marks; what is looked at is asked for by itself and says what is wrong.
      this.#rest = performance.now() + REST_MS;
    } finally {
      this.#filling = false;
    }
    this.#warm();
  }

  /** Makes ready what jumps begin at, while nothing else is to be done. */
  #warm(): void {
    if (this.#warming) return;
    this.#warming = true;
    const { tape } = this;
    const work = (): void => {
      const begun = performance.now();
      let more = this.tape === tape;
      while (more && performance.now() - begun < SLICE_MS) more = tape.warm();
      if (more) idle(work);
      else this.#warming = false;
    };
    idle(work);
  }

  /** The next event before or after one at which a node begins or ends. */
  async boundary(from: number, step: 1 | -1): Promise<number | undefined> {
    for (let seq = from + step; seq >= 1 && seq <= this.newest; seq += step) {
      if (!this.tape.has(seq)) await this.want(seq);
      const kind = this.tape.kinds[seq];
      if (kind === undefined) return undefined;
      if (BOUNDARIES.has(kind)) return seq;
    }
    return undefined;
  }

  async #read(from: number, to: number, abort?: AbortSignal): Promise<void> {
    const { tape } = this;
    const answer = await get<Answer>(runPath(this.#id, `/patches?from=${from}&to=${to}`), abort);
    // What was asked for before everything was thrown away is of another life.
    if (this.tape !== tape) return;
    tape.take(answer.entries);
    tell(this.story, tape);
    this.version.value += 1;
  }
}

/** Events at which the picture of the graph changes. */
const BOUNDARIES: ReadonlySet<string> = new Set([
  'execution_started', 'nodes_cached', 'node_started', 'node_finished', 'node_blocked', 'execution_succeeded', 'completed', 'failed', 'cancelled',
]);

const reels = new Map<string, Reel>();

/** The tape of a run. */
export function reelOf(id: string): Reel {
  let reel = reels.get(id);
  if (!reel) {
    reel = new Reel(id);
    if (reels.size >= KEPT) {
      const oldest = reels.keys().next().value;
      if (oldest !== undefined) reels.delete(oldest);
    }
    reels.set(id, reel);
  }
  return reel;
}

// After a lost connection the server may be another one, with another memory of what was not on disk yet. What ended is settled.
listEpoch.subscribe((epoch) => {
  if (epoch < 2) return;
  for (const reel of reels.values()) if (!/^(completed|failed|cancelled)$/.test(reel.tape.kinds.at(-1) ?? '')) reel.forget();
});

reconnected.subscribe(() => {
  for (const reel of reels.values()) reel.awake();
});
