/**
 * The one connection of a browser: it follows the list of runs and, in the same stream, the runs that pages look at, and tells all pages.
 *
 * It lives in a shared worker, or in the page itself where there is none. It folds nothing: it merges the patches that the server sends.
 */
import { isOver, type Summary } from '../api/types';
import { type LiveRun, merged } from './merge';
import type { Asked, LinkState, Picture, Told, Wire } from './protocol';
import { follow, Refused, type Sent } from './sse';

const FIRST_RETRY_MS = 300;
const LAST_RETRY_MS = 4000;
/** A page says each 20 s that it is there; browsers let hidden ones speak once a minute. */
const DEAD_AFTER_MS = 200_000;
/** How many runs the server tells in one stream. */
const MOST_RUNS = 32;
/** How many summaries of runs that are over are kept for pages that come later; ids begin with the time, so the oldest sort first. */
const KEPT_RUNS = 1000;

interface Watched {
  state: LiveRun | undefined;
  /** The id of its event that was seen last. */
  seen: string | undefined;
  picture: Picture | undefined;
  /** Nothing more comes of it, unless the list says otherwise. */
  over: boolean;
  missing: Told | undefined;
}

/** What the stream tells of a run. */
interface OfRun {
  run_id: string;
  id?: string | null;
  data: unknown;
}

interface Page {
  runs: Set<string>;
  heard: number;
}

export class Hub {
  private readonly pages = new Map<Wire, Page>();
  private readonly watched = new Map<string, Watched>();
  private readonly list = new Map<string, Summary>();
  private listed = false;
  /** So many are looked through for what can be forgotten. */
  private forgetAt = 2 * KEPT_RUNS;
  private place: string | undefined;
  private link: Extract<Told, { say: 'link' }> = { say: 'link', state: 'connecting', since: Date.now(), tries: 0 };
  private abort: AbortController | undefined;
  /** The runs that the open stream tells. */
  private told = new Set<string>();
  private retry: ReturnType<typeof setTimeout> | undefined;
  private reopening: ReturnType<typeof setTimeout> | undefined;

  /** A page comes. */
  join(wire: Wire): void {
    this.pages.set(wire, { runs: new Set(), heard: Date.now() });
    this.bury();
    wire.send(this.link);
    if (this.listed) wire.send({ say: 'list', runs: [...this.list.values()] });
    if (this.link.state === 'denied') this.again();
    else if (!this.retry) this.open();
  }

  /** A page speaks. */
  take(wire: Wire, asked: Asked): void {
    const page = this.pages.get(wire);
    if (!page) {
      if (asked.say === 'bye') return;
      this.join(wire);
      this.take(wire, asked);
      return;
    }
    page.heard = Date.now();
    if (asked.say === 'watch') this.watch(wire, page, asked.runs);
    else if (asked.say === 'retry') {
      // A session that is over ends no stream that is open, so the page may have asked for the token while this is live.
      if (asked.again) wire.send(this.link);
      this.again();
    }
    else if (asked.say === 'bye') this.leave(wire);
  }

  private leave(wire: Wire): void {
    this.pages.delete(wire);
    this.letGo();
    if (this.pages.size > 0) return;
    // Nobody looks: the server need not work for us. The next page asks for what it missed.
    clearTimeout(this.retry);
    this.retry = undefined;
    this.abort?.abort();
  }

  /** Pages that ended without a word. */
  private bury(): void {
    for (const [wire, page] of this.pages) if (Date.now() - page.heard > DEAD_AFTER_MS) this.leave(wire);
  }

  private watch(wire: Wire, page: Page, runs: string[]): void {
    const fresh = runs.filter((id) => !page.runs.has(id));
    page.runs = new Set(runs);
    this.letGo();
    for (const id of fresh) {
      const known = this.watched.get(id);
      if (known?.state) wire.send({ say: 'state', id, run: known.state });
      if (known?.picture) wire.send({ say: 'picture', id, picture: known.picture });
      if (known?.missing) wire.send(known.missing);
      if (!known) this.watched.set(id, { state: undefined, seen: undefined, picture: undefined, over: false, missing: undefined });
    }
    this.open();
  }

  /** Runs that nobody looks at any more. */
  private letGo(): void {
    const wanted = new Set([...this.pages.values()].flatMap((page) => [...page.runs]));
    for (const id of this.watched.keys()) {
      if (wanted.has(id)) continue;
      this.watched.delete(id);
      // The stream tells it still, but its state is forgotten here: who looks at it again needs the state anew.
      this.told.delete(id);
    }
  }

  /** Tries at once: the network came back, somebody looks, or somebody logged in. */
  private again(): void {
    if (!this.retry) return;
    clearTimeout(this.retry);
    this.retry = undefined;
    this.open();
  }

  /** Sees to it that the stream is there and tells the runs that are looked at. */
  private open(): void {
    if (this.retry || this.reopening !== undefined) return;
    // Several changes of one turn are one.
    this.reopening = setTimeout(() => {
      this.reopening = undefined;
      const wanted = this.wanted();
      if (this.abort && wanted.every((id) => this.told.has(id))) return;
      this.abort?.abort();
      void this.follow(wanted);
    });
  }

  private wanted(): string[] {
    return [...this.watched].filter(([, watched]) => !watched.over).map(([id]) => id).slice(0, MOST_RUNS);
  }

  private tell(message: Told): void {
    for (const wire of this.pages.keys()) wire.send(message);
  }

  private tellOf(id: string, message: Told): void {
    for (const [wire, page] of this.pages) if (page.runs.has(id)) wire.send(message);
  }

  private linked(state: LinkState, tries: number): void {
    const since = state === this.link.state ? this.link.since : Date.now();
    if (state === this.link.state && tries === this.link.tries) return;
    this.link = { say: 'link', state, since, tries };
    this.tell(this.link);
  }

  private async follow(runs: string[]): Promise<void> {
    const abort = new AbortController();
    this.abort = abort;
    this.told = new Set(runs);
    const named = runs.map((id) => {
      const seen = this.watched.get(id)?.seen;
      return encodeURIComponent(id) + (seen === undefined ? '' : `@${seen}`);
    });
    let tries = this.link.tries;
    let denied = false;
    try {
      await follow(`/api/v1/events${named.length > 0 ? `?runs=${named.join(',')}` : ''}`, this.place, abort, () => {
        tries = 0;
        this.linked('live', 0);
      }, (sent) => {
        if (this.abort === abort) this.hear(sent);
      });
    } catch (error) {
      denied = error instanceof Refused && (error.status === 401 || error.status === 403);
    }
    // Another stream may have taken its place.
    if (this.abort !== abort) return;
    this.abort = undefined;
    this.bury();
    if (this.pages.size === 0) return;
    tries += 1;
    this.linked(denied ? 'denied' : 'lost', tries);
    this.retry = setTimeout(() => {
      this.retry = undefined;
      this.open();
    }, Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries - 1, 10)));
  }

  private hear(sent: Sent): void {
    if (sent.id !== undefined) this.place = sent.id || undefined;
    const data = JSON.parse(sent.data) as unknown;
    switch (sent.name) {
      case 'list': {
        const { runs } = data as { runs: Summary[] };
        this.list.clear();
        for (const run of runs) this.list.set(run.run_id, run);
        this.listed = true;
        this.tell({ say: 'list', runs });
        for (const run of runs) this.lookAgain(run);
        break;
      }
      case 'run': {
        const run = data as Summary;
        this.list.set(run.run_id, run);
        this.forget();
        this.tell({ say: 'run', run });
        this.lookAgain(run);
        break;
      }
      case 'deleted': {
        const { run_id: id } = data as { run_id: string };
        this.list.delete(id);
        this.tell({ say: 'deleted', id });
        break;
      }
      case 'setups':
      case 'instances':
      case 'workflows':
        this.tell({ say: 'hint', of: sent.name });
        break;
      default:
        if (sent.name.startsWith('run_')) this.hearOfRun(sent.name, data as OfRun);
    }
  }

  /** The list is of the newest runs and the open ones: pages ask for older ones. */
  private forget(): void {
    if (this.list.size <= this.forgetAt) return;
    const over = [...this.list.values()].filter((run) => isOver(run.status)).map((run) => run.run_id).sort();
    const oldest = over.slice(0, Math.max(0, over.length - KEPT_RUNS));
    this.forgetAt = this.list.size - oldest.length + KEPT_RUNS;
    for (const id of oldest) this.list.delete(id);
  }

  /** A run that was over has got new facts, such as an output that came late. */
  private lookAgain(run: Summary): void {
    const watched = this.watched.get(run.run_id);
    if (!watched?.over || !watched.state || run.seq <= watched.state.seq) return;
    watched.over = false;
    this.told.delete(run.run_id);
    this.open();
  }

  private hearOfRun(name: string, { run_id: id, id: seen, data }: OfRun): void {
    const watched = this.watched.get(id);
    if (!watched) return;
    if (seen != null && (watched.state || name === 'run_state')) watched.seen = seen;
    if (name === 'run_state') {
      watched.state = data as LiveRun;
      this.tellOf(id, { say: 'state', id, run: watched.state });
    } else if (name === 'run_patch' && watched.state) {
      watched.state = merged(watched.state, data);
      this.tellOf(id, { say: 'patch', id, patch: data });
    } else if (name === 'run_preview') {
      watched.picture = data as Picture;
      this.tellOf(id, { say: 'picture', id, picture: watched.picture });
    } else if (name === 'run_end') {
      watched.over = true;
    } else if (name === 'run_missing') {
      watched.over = true;
      watched.missing = { say: 'missing', id, problem: data as { code: string; message: string; hint: string } };
      this.tellOf(id, watched.missing);
    }
  }
}
