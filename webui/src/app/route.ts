/** The address is the state: what is shown follows from it alone, so that a reload, a link and the back button show the same. */
import { computed, signal } from '@preact/signals';

/** The pages of the middle column. */
export const VIEWS = ['run', 'gallery', 'new', 'instances', 'setup'] as const;
export type View = (typeof VIEWS)[number];
/** The tabs below a run. */
export const TABS = ['events', 'outputs', 'inputs', 'json'] as const;
export type Tab = (typeof TABS)[number];
/** The lists of runs. */
export const SHOWN = ['all', 'active', 'completed', 'failed', 'cancelled'] as const;
export type Shown = (typeof SHOWN)[number];

/** What the gallery can be ordered by. */
export const GROUPS = ['run', 'batch'] as const;

/** What the address says. */
export interface Route {
  view: View;
  /** The run that is looked at. */
  run: string | undefined;
  /** The event at which it is looked at; undefined is live. */
  seq: number | undefined;
  /** The tab below it; undefined lets the run choose. */
  tab: Tab | undefined;
  /** The node in the inspector. */
  node: string | undefined;
  /** The run that it is compared with. */
  with: string | undefined;
  /** Which runs are listed. */
  show: Shown;
  /** What they are searched for. */
  q: string;
  /** Only runs of this instance. */
  on: string | undefined;
  /** The template of a new run, or the list of steps that is shown. */
  name: string | undefined;
  /** The column that a phone shows. */
  pane: 'list' | 'main';
  /** Of the gallery: the kind of outputs, what their inputs are searched for, their age in days, how they are grouped. */
  kind: string | undefined;
  has: string;
  days: number | undefined;
  group: (typeof GROUPS)[number] | undefined;
}

function among<T extends string>(words: readonly T[], word: string | null): T | undefined {
  return words.find((known) => known === word);
}

function read(search: string): Route {
  const query = new URLSearchParams(search);
  const text = (name: string): string | undefined => query.get(name) || undefined;
  const seq = Number(query.get('seq'));
  const view = among(VIEWS, query.get('view')) ?? 'run';
  return {
    view,
    run: text('run'),
    seq: query.has('seq') && Number.isSafeInteger(seq) && seq > 0 ? seq : undefined,
    tab: among(TABS, query.get('tab')),
    node: text('node'),
    with: text('with'),
    show: among(SHOWN, query.get('show')) ?? 'all',
    q: query.get('q') ?? '',
    on: text('on'),
    name: text('name'),
    pane: query.get('pane') === 'list' || (view === 'run' && !query.get('run')) ? 'list' : 'main',
    kind: text('kind'),
    has: query.get('has') ?? '',
    days: Number(query.get('days')) || undefined,
    group: among(GROUPS, query.get('group')),
  };
}

function written(route: Route): string {
  const query = new URLSearchParams();
  if (route.view !== 'run') query.set('view', route.view);
  if (route.run) query.set('run', route.run);
  if (route.seq !== undefined) query.set('seq', String(route.seq));
  if (route.tab) query.set('tab', route.tab);
  if (route.node !== undefined) query.set('node', route.node);
  if (route.with) query.set('with', route.with);
  if (route.show !== 'all') query.set('show', route.show);
  if (route.q) query.set('q', route.q);
  if (route.on) query.set('on', route.on);
  if (route.name) query.set('name', route.name);
  if (route.pane === 'list' && (route.run || route.view !== 'run')) query.set('pane', 'list');
  if (route.view === 'gallery') {
    if (route.kind) query.set('kind', route.kind);
    if (route.has) query.set('has', route.has);
    if (route.days !== undefined) query.set('days', String(route.days));
    if (route.group) query.set('group', route.group);
  }
  const text = query.toString();
  return text ? `/?${text}` : '/';
}

/** What the address says now. */
export const route = signal<Route>(read(location.search));

addEventListener('popstate', () => {
  clearTimeout(soon);
  route.value = read(location.search);
});

/** The address that a change of the present one leads to. */
export function hrefOf(change: Partial<Route>): string {
  return written({ ...route.value, ...change });
}

/** Goes there. `replace` leaves no step for the back button: for what changes while one looks, such as a search. */
export function go(change: Partial<Route>, replace = false): void {
  const next = { ...route.peek(), ...change };
  const address = written(next);
  clearTimeout(soon);
  if (address === location.pathname + location.search) {
    if (written(route.peek()) !== address) route.value = next;
    return;
  }
  history[replace ? 'replaceState' : 'pushState'](null, '', address);
  route.value = read(location.search);
}

const SOON_MS = 250;
let soon: ReturnType<typeof setTimeout> | undefined;

/** Goes there at once and writes the address when it rests: for what changes many times a second, as browsers refuse so many addresses. */
export function goSoon(change: Partial<Route>): void {
  route.value = { ...route.peek(), ...change };
  clearTimeout(soon);
  soon = setTimeout(() => {
    const address = written(route.peek());
    if (address !== location.pathname + location.search) history.replaceState(null, '', address);
  }, SOON_MS);
}

/** Opens a run, live. */
export function openRun(id: string, change: Partial<Route> = {}): void {
  go({ view: 'run', run: id, seq: undefined, node: undefined, tab: undefined, with: undefined, name: undefined, pane: 'main', ...change });
}

/** Follows a link in the page without loading it; keeps what browsers do with modifiers. */
export function onLink(change: Partial<Route>): (event: MouseEvent) => void {
  return (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(change);
  };
}

/** The id of the run that is looked at. */
export const openedRun = computed(() => route.value.run);
/** The view of the middle column. */
export const view = computed(() => route.value.view);
/** The event at which the run is looked at. */
export const openedSeq = computed(() => route.value.seq);
/** The node in the inspector. */
export const openedNode = computed(() => route.value.node);
