/**
 * The one connection of a browser: it follows the list of runs and the runs that pages look at, and tells all pages.
 *
 * It lives in a shared worker, or in the page itself where there is none. It folds nothing: it merges the patches that the server sends.
 */
import type { Summary } from '../api/types';
import { type LiveRun, merged } from './merge';
import type { Asked, LinkState, Picture, Told, Wire } from './protocol';
import { follow, Refused, type Sent } from './sse';

const FIRST_RETRY_MS = 300;
const LAST_RETRY_MS = 4000;
/** A page says each 20 s that it is there; browsers let hidden ones speak once a minute. */
const DEAD_AFTER_MS = 200_000;

interface Watched {
  state: LiveRun | undefined;
  picture: Picture | undefined;
  over: boolean;
  missing: Told | undefined;
  abort: AbortController | undefined;
  retry: ReturnType<typeof setTimeout> | undefined;
  tries: number;
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
  private place: string | undefined;
  private link: Extract<Told, { say: 'link' }> = { say: 'link', state: 'connecting', since: Date.now(), tries: 0 };
  private abort: AbortController | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;

  /** A page comes. */
  join(wire: Wire): void {
    this.pages.set(wire, { runs: new Set(), heard: Date.now() });
    this.bury();
    wire.send(this.link);
    if (this.listed) wire.send({ say: 'list', runs: [...this.list.values()] });
    if (!this.abort && !this.retry) void this.followList();
    else if (this.link.state === 'denied') this.again();
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
    else if (asked.say === 'retry') this.again();
    else if (asked.say === 'bye') this.leave(wire);
  }

  private leave(wire: Wire): void {
    this.pages.delete(wire);
    this.letGo();
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
      if (!known) {
        this.watched.set(id, { state: undefined, picture: undefined, over: false, missing: undefined, abort: undefined, retry: undefined, tries: 0 });
        void this.followRun(id);
      }
    }
  }

  /** Runs that nobody looks at any more. */
  private letGo(): void {
    const wanted = new Set([...this.pages.values()].flatMap((page) => [...page.runs]));
    for (const [id, watched] of this.watched) {
      if (wanted.has(id)) continue;
      watched.abort?.abort();
      clearTimeout(watched.retry);
      this.watched.delete(id);
    }
  }

  /** Tries at once: the network came back, somebody looks, or somebody logged in. */
  private again(): void {
    if (this.link.state !== 'live' && this.retry) {
      clearTimeout(this.retry);
      this.retry = undefined;
      void this.followList();
    }
    for (const [id, watched] of this.watched) {
      if (!watched.retry) continue;
      clearTimeout(watched.retry);
      watched.retry = undefined;
      void this.followRun(id);
    }
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

  private async followList(): Promise<void> {
    const abort = (this.abort = new AbortController());
    let tries = this.link.tries;
    let denied = false;
    try {
      await follow('/api/v1/events', this.place, abort, () => {
        tries = 0;
        this.linked('live', 0);
      }, (sent) => this.takeOfList(sent));
    } catch (error) {
      denied = error instanceof Refused && (error.status === 401 || error.status === 403);
    }
    this.abort = undefined;
    tries += 1;
    this.linked(denied ? 'denied' : 'lost', tries);
    this.bury();
    if (this.pages.size === 0) return;
    this.retry = setTimeout(() => {
      this.retry = undefined;
      void this.followList();
    }, pause(tries));
  }

  private takeOfList(sent: Sent): void {
    if (sent.id !== undefined) this.place = sent.id || undefined;
    const data = JSON.parse(sent.data) as unknown;
    if (sent.name === 'list') {
      const { runs } = data as { runs: Summary[] };
      this.list.clear();
      for (const run of runs) this.list.set(run.run_id, run);
      this.listed = true;
      this.tell({ say: 'list', runs });
      for (const run of runs) this.lookAgain(run);
    } else if (sent.name === 'run') {
      const run = data as Summary;
      this.list.set(run.run_id, run);
      this.tell({ say: 'run', run });
      this.lookAgain(run);
    } else if (sent.name === 'deleted') {
      const { run_id: id } = data as { run_id: string };
      this.list.delete(id);
      this.tell({ say: 'deleted', id });
    }
  }

  /** A run that was over has got new facts, such as an output that came late. */
  private lookAgain(run: Summary): void {
    const watched = this.watched.get(run.run_id);
    if (watched?.over && watched.state && run.seq > watched.state.seq && !watched.abort) {
      watched.over = false;
      void this.followRun(run.run_id);
    }
  }

  private async followRun(id: string): Promise<void> {
    const watched = this.watched.get(id);
    if (!watched) return;
    const abort = (watched.abort = new AbortController());
    const from = watched.state ? String(watched.state.seq) : undefined;
    try {
      await follow(`/api/v1/runs/${encodeURIComponent(id)}/events`, from, abort, () => (watched.tries = 0), (sent) => this.takeOfRun(id, watched, sent));
    } catch (error) {
      if (error instanceof Refused && error.status === 404) {
        watched.missing = { say: 'missing', id, problem: spoken(error.body) };
        watched.over = true;
        this.tellOf(id, watched.missing);
      }
    }
    watched.abort = undefined;
    if (watched.over || this.watched.get(id) !== watched) return;
    watched.tries += 1;
    watched.retry = setTimeout(() => {
      watched.retry = undefined;
      void this.followRun(id);
    }, pause(watched.tries));
  }

  private takeOfRun(id: string, watched: Watched, sent: Sent): void {
    const data = JSON.parse(sent.data) as unknown;
    if (sent.name === 'state') {
      watched.state = data as LiveRun;
      this.tellOf(id, { say: 'state', id, run: watched.state });
    } else if (sent.name === 'patch' && watched.state) {
      watched.state = merged(watched.state, data);
      this.tellOf(id, { say: 'patch', id, patch: data });
    } else if (sent.name === 'preview') {
      watched.picture = data as Picture;
      this.tellOf(id, { say: 'picture', id, picture: watched.picture });
    } else if (sent.name === 'end') {
      watched.over = true;
    }
  }
}

function pause(tries: number): number {
  return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries - 1, 10));
}

function spoken(body: string): { code: string; message: string; hint: string } {
  try {
    const { code, message, hint } = JSON.parse(body) as { code: string; message: string; hint: string };
    return { code, message, hint };
  } catch {
    return { code: 'unknown_run', message: 'There is no such run.', hint: 'It may have been removed.' };
  }
}
