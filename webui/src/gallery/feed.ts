/** The outputs of all runs, the newest first: runs are paged, and the outputs of those that have some are read. */
import { type Signal, signal } from '@preact/signals';
import { get, problemOf, runPath } from '../api/client';
import { isOver, type Output, type Summary } from '../api/types';
import { newestRuns, noteRuns, onRuns, reconnected } from '../live/store';
import { shownAs } from '../run/outputs/shown';
import { hasValues, workflowOf } from '../run/outputs/provenance';
import type { Shot } from '../run/outputs/shot';

/** The kinds that one filters by. */
export const KINDS = ['image', 'video', 'audio', 'text', 'file'] as const;
export type Kind = (typeof KINDS)[number];

/** Which outputs are wanted. */
export interface Wanted {
  /** Searched for in names, ids, instances and errors, by the server. */
  q: string;
  on: string | undefined;
  kind: Kind | undefined;
  /** Searched for in the values of the workflows. */
  has: string;
  /** Not older than this many days. */
  days: number | undefined;
}

/** A run with its outputs. */
export interface Made {
  summary: Summary;
  shots: Shot[];
}

const PAGE = 60;
const AT_ONCE = 6;
const AGAIN_MS = 1500;

interface PageOfRuns {
  runs: Summary[];
  next_cursor?: string | null;
}

/** What a run has, as far as its summary tells. */
function markOf(run: Summary): string {
  return `${run.outputs} ${isOver(run.status)}`;
}

/** The outputs that fit a filter. */
export class Feed {
  /** Runs with outputs that fit, the newest first. */
  readonly made: Signal<Made[]> = signal([]);
  readonly state: Signal<{ busy: boolean; more: boolean; problem: string | undefined }> = signal({ busy: false, more: true, problem: undefined });
  /** How many runs were looked through. */
  readonly searched: Signal<number> = signal(0);
  /** Runs whose outputs are newer than what is shown. */
  readonly news: Signal<ReadonlySet<string>> = signal(new Set());
  readonly #wanted: Wanted;
  readonly #abort = new AbortController();
  readonly #after: string | undefined;
  #cursor: string | undefined;
  #end: () => void;

  constructor(wanted: Wanted) {
    this.#wanted = wanted;
    this.#after = wanted.days === undefined ? undefined : new Date(Date.now() - wanted.days * 86_400_000).toISOString();
    const ends = [
      onRuns((runs, deleted) => this.#hear(runs, deleted)),
      // Whoever shows it asks for more when nothing is wrong.
      reconnected.subscribe(() => this.#forgive()),
    ];
    this.#end = () => ends.forEach((end) => end());
  }

  #forgive(): void {
    const state = this.state.peek();
    if (state.problem !== undefined) this.state.value = { ...state, problem: undefined };
  }

  /** Ends it. */
  close(): void {
    this.#abort.abort();
    this.#end();
  }

  /** Reads the next runs that have something, unless that is under way or there are none. */
  async more(): Promise<void> {
    const { busy, more } = this.state.peek();
    if (busy || !more) return;
    this.state.value = { busy: true, more, problem: undefined };
    try {
      const query = new URLSearchParams({ limit: String(PAGE) });
      if (this.#wanted.q) query.set('text', this.#wanted.q);
      if (this.#wanted.on) query.set('instance', this.#wanted.on);
      if (this.#after) query.set('after', this.#after);
      if (this.#cursor) query.set('cursor', this.#cursor);
      const page = await get<PageOfRuns>(`/api/v1/runs?${query}`, this.#abort.signal);
      noteRuns(page.runs);
      const runs = page.runs.filter((run) => run.outputs > 0);
      for (let at = 0; at < runs.length; at += AT_ONCE) {
        const found = await Promise.all(runs.slice(at, at + AT_ONCE).map((run) => this.#readOrDrop(run)));
        const shown = new Set(this.made.peek().map((one) => one.summary.run_id));
        this.made.value = [...this.made.peek(), ...found.filter((one) => one.shots.length > 0 && !shown.has(one.summary.run_id))];
      }
      this.searched.value += page.runs.length;
      this.#cursor = page.next_cursor ?? undefined;
      this.#lowest = this.#cursor === undefined ? '' : (page.runs.at(-1)?.run_id ?? this.#lowest);
      this.state.value = { busy: false, more: this.#cursor !== undefined, problem: undefined };
      // What came while the page was read.
      this.#hear(newestRuns(), []);
    } catch (thrown) {
      if (!this.#abort.signal.aborted) this.state.value = { busy: false, more: true, problem: problemOf(thrown).message };
    }
  }

  /** Brings in what came since; what comes meanwhile too. */
  async refresh(): Promise<void> {
    if (this.#refreshing) return;
    this.#refreshing = true;
    while (this.news.peek().size > 0 && !this.#abort.signal.aborted) {
      const ids = [...this.news.peek()];
      this.news.value = new Set();
      try {
        while (ids.length > 0) {
          const summary = this.#fresh.get(ids[0] ?? '');
          if (summary && !this.#isRead(summary)) this.#put(await this.#readOrDrop(summary));
          if (summary && this.#fresh.get(summary.run_id) === summary) this.#fresh.delete(summary.run_id);
          ids.shift();
        }
        this.#forgive();
      } catch (thrown) {
        if (this.#abort.signal.aborted) break;
        this.state.value = { ...this.state.peek(), problem: problemOf(thrown).message };
        // The server may be busy; what was not read is still news.
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        this.news.value = new Set([...ids.filter((id) => this.#fresh.has(id)), ...this.news.peek()]);
      }
    }
    this.#refreshing = false;
  }

  /** Puts a run to its place, instead of what was shown of it. */
  #put(made: Made): void {
    const others = this.made.peek().filter((one) => one.summary.run_id !== made.summary.run_id);
    this.made.value = made.shots.length > 0 ? [...others, made].sort((a, b) => (a.summary.run_id < b.summary.run_id ? 1 : -1)) : others;
  }

  #refreshing = false;
  readonly #fresh = new Map<string, Summary>();
  /** The runs that were read, also those of which nothing fits: at which event, what there was, and whether all of it was here. */
  readonly #seen = new Map<string, { seq: number; mark: string; isWhole: boolean }>();
  /** The oldest run that was paged to; older ones come by paging. Undefined before the first page. */
  #lowest: string | undefined;

  #isRead(run: Summary): boolean {
    const seen = this.#seen.get(run.run_id);
    // Mere progress brings no outputs.
    return seen !== undefined && (seen.seq >= run.seq || (seen.isWhole && seen.mark === markOf(run)));
  }

  #hear(runs: Summary[], deleted: string[]): void {
    const gone = new Set(deleted);
    if (gone.size > 0 && this.made.peek().some((one) => gone.has(one.summary.run_id))) this.made.value = this.made.peek().filter((one) => !gone.has(one.summary.run_id));
    const { q, on } = this.#wanted;
    const news = new Set([...this.news.peek()].filter((id) => !gone.has(id)));
    for (const id of gone) {
      this.#seen.delete(id);
      this.#fresh.delete(id);
    }
    const lowest = this.#lowest;
    if (lowest === undefined) return;
    for (const run of runs) {
      if (on && run.instance !== on) continue;
      if (q && ![run.workflow_name, run.run_id, run.instance].some((text) => text.toLowerCase().includes(q.toLowerCase()))) continue;
      if (this.#after !== undefined && Date.parse(run.created) < Date.parse(this.#after)) continue;
      if (run.outputs === 0 || run.run_id < lowest || this.#isRead(run)) continue;
      this.#fresh.set(run.run_id, run);
      news.add(run.run_id);
    }
    if (news.size !== this.news.peek().size) this.news.value = news;
  }

  /** Reads a run. One that is gone or damaged has nothing to show, and holds up no other. */
  async #readOrDrop(summary: Summary): Promise<Made> {
    try {
      return await this.#read(summary);
    } catch (thrown) {
      const { status } = problemOf(thrown);
      if (status < 400 || status > 499 || status === 401 || status === 429) throw thrown;
      this.#seen.set(summary.run_id, { seq: summary.seq, mark: markOf(summary), isWhole: true });
      return { summary, shots: [] };
    }
  }

  async #read(summary: Summary): Promise<Made> {
    const { kind, has } = this.#wanted;
    const id = summary.run_id;
    const fits = !has || hasValues(await workflowOf(id), has);
    const outputs = fits ? (await get<{ outputs: Output[] }>(runPath(id, '/outputs'), this.#abort.signal)).outputs : [];
    const isWhole = outputs.length >= summary.outputs && outputs.every((output) => output.downloaded || output.problem != null);
    this.#seen.set(id, { seq: summary.seq, mark: markOf(summary), isWhole: !fits || isWhole });
    return { summary, shots: outputs.filter((output) => kind === undefined || shownAs(output) === kind).map((output) => ({ run: id, output })) };
  }
}
