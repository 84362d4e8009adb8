/** A part of a run's log: the last events first, older and newer ones as one comes to them. The server searches; never more than a few thousand lines are here. */
import { type Signal, signal } from '@preact/signals';
import { getLines, problemOf, runPath } from '../../api/client';
import type { LogLine } from '../../api/types';

/** So many lines come at once. */
const PIECE = 500;
/** So many are kept; what is far from what was read last goes. */
const KEPT = 4000;
const REST_MS = 500;

/** What is asked for: which kinds of events, as a part of the query, and those that contain a text. */
export interface Search {
  kinds: string;
  text: string;
}

/** The part that is here. It has every event that fits from `from` to `to`. */
export interface Here {
  lines: LogLine[];
  from: number;
  to: number;
}

/** A part of the log of a run. */
export class Part {
  /** What is here; undefined before the first answer. */
  readonly here: Signal<Here | undefined> = signal(undefined);
  /** Why something is not here. */
  readonly problem: Signal<string | undefined> = signal(undefined);
  readonly #id: string;
  readonly #search: Search;
  readonly #abort = new AbortController();
  #busy = false;
  /** What is to be shown, if it could not be seen to yet. */
  #wish: (() => Promise<void>) | undefined;

  constructor(id: string, search: Search) {
    this.#id = id;
    this.#search = search;
  }

  /** Ends it. */
  close(): void {
    this.#abort.abort();
  }

  /** Sees to it that an event is within the part; without one that the part ends with the newest. */
  async show(seq: number | undefined, newest: number): Promise<void> {
    this.#wish = async () => {
      const here = this.here.peek();
      const goal = Math.min(seq ?? newest, newest);
      // A run that is shorter than it was has lost what was never on disk.
      const isWhole = here !== undefined && here.to <= newest;
      if (isWhole && here.from <= goal && goal <= here.to) return;
      if (isWhole && goal > here.to && goal - here.to <= PIECE) return this.#append(goal);
      const { lines, last } = await this.#ask(`newest=1&to=${goal}`);
      this.here.value = { lines, from: lines.length < PIECE ? 1 : (lines[0]?.seq ?? 1), to: Math.min(goal, last) };
      if (goal < newest) await this.#append(newest);
    };
    if (this.#busy) return;
    const wish = this.#wish;
    this.#wish = undefined;
    await this.#read(wish);
  }

  /** Reads the ones before. */
  older(): Promise<void> {
    return this.#read(async () => {
      const here = this.here.peek();
      if (!here || here.from <= 1) return;
      const { lines } = await this.#ask(`newest=1&to=${here.from - 1}`);
      const all = [...lines, ...here.lines];
      const from = lines.length < PIECE ? 1 : (lines[0]?.seq ?? 1);
      const kept = all.slice(0, KEPT);
      this.here.value = { lines: kept, from, to: kept.length < all.length ? (kept.at(-1)?.seq ?? here.to) : here.to };
    });
  }

  /** Reads the ones behind, up to an event. */
  newer(newest: number): Promise<void> {
    return this.#read(() => this.#append(newest));
  }

  async #append(newest: number): Promise<void> {
    const here = this.here.peek();
    if (!here || here.to >= newest) return;
    const { lines, last } = await this.#ask(`after=${here.to}&to=${newest}`);
    // The disk may be a moment behind what is told live.
    if (last <= here.to) await new Promise((resolve) => setTimeout(resolve, REST_MS));
    const all = [...here.lines, ...lines];
    const kept = all.slice(-KEPT);
    this.here.value = { lines: lines.length > 0 ? kept : here.lines, from: kept.length < all.length ? (kept[0]?.seq ?? here.from) : here.from, to: Math.max(here.to, last) };
  }

  #ask(bounds: string): Promise<{ lines: LogLine[]; last: number }> {
    const { kinds, text } = this.#search;
    const query = [bounds, `limit=${PIECE}`, kinds, text && `text=${encodeURIComponent(text)}`].filter(Boolean).join('&');
    return getLines<LogLine>(runPath(this.#id, `/log?${query}`), this.#abort.signal);
  }

  /** One answer after the other: each begins where the one before has ended. */
  async #read(work: () => Promise<void>): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await work();
      this.problem.value = undefined;
    } catch (thrown) {
      if (!this.#abort.signal.aborted) this.problem.value = problemOf(thrown).message;
    } finally {
      this.#busy = false;
    }
    const wish = this.#wish;
    this.#wish = undefined;
    if (wish && !this.#abort.signal.aborted) await this.#read(wish);
  }
}
