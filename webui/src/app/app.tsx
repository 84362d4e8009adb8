/** The page as a whole: a bar, three columns, or one of them at a time on a phone. */
import { useSignal } from '@preact/signals';
import type { FunctionComponent, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { DropHint } from '../launch/drop';
import { isListed, link, reconnected } from '../live/store';
import { Elapsed } from '../parts/time';
import { Empty } from '../parts/tile';
import { Inspector } from '../run/inspector/inspector';
import { RunMissing, RunPage, useShown } from '../run/page';
import { activeRuns } from '../runs/model';
import { RunsColumn } from '../runs/list';
import { PAGES } from '../views';
import { Home } from './home';
import { Login } from './login';
import { Overlays } from './overlays';
import { go, hrefOf, onLink, route, type View } from './route';
import { TopBar } from './topbar';

/** Everything. */
export function App(): JSX.Element {
  if (link.value.state === 'denied') return <Login />;
  const { view, run, pane } = route.value;
  const wide = view !== 'run' ? (PAGES[view]?.wide ?? true) : run === undefined;
  return (
    <>
      <div class={`shell ${wide ? 'wide' : ''}`} data-pane={pane}>
        <TopBar />
        <Notice />
        <RunsColumn />
        {view !== 'run' ? <main class="main-column"><Other view={view} /></main> : run !== undefined ? <RunColumns key={run} id={run} /> : <Start />}
        <PhoneTabs />
      </div>
      <Overlays />
      <DropHint />
    </>
  );
}

const LOST_AFTER_MS = 1500;

/** The word that the link is lost: not for a moment's break. */
function Notice(): JSX.Element | null {
  const { state, since, tries } = link.value;
  const late = useSignal(false);
  useEffect(() => {
    late.value = false;
    if (state !== 'lost') return undefined;
    const timer = setTimeout(() => (late.value = true), Math.max(0, since + LOST_AFTER_MS - Date.now()));
    return () => clearTimeout(timer);
  }, [state, since]);
  if (state !== 'lost' || !late.value) return null;
  return (
    <div class="note" role="status">
      <span class="grow">🔌 Connection lost. Workflow continues on server. Progress will resume when connection is restored.</span>
      <span class="num">{tries} tries · <Elapsed from={new Date(since).toISOString()} /></span>
    </div>
  );
}

/** Without a run in the address: what goes on is shown, else the first page. */
function Start(): JSX.Element {
  useEffect(() => {
    if (!isListed.value || route.peek().run !== undefined) return;
    const active = activeRuns()[0];
    if (active) go({ run: active.run_id, pane: route.peek().pane }, true);
  }, [isListed.value]);
  return <main class="main-column">{isListed.value ? <Home /> : <Empty title="">Reading the runs …</Empty>}</main>;
}

function RunColumns({ id }: { id: string }): JSX.Element {
  const shown = useShown(id);
  if ('missing' in shown) return <main class="main-column"><RunMissing why={shown.missing} /></main>;
  return (
    <>
      <main class="main-column"><RunPage shown={shown} /></main>
      <aside class="side-column" aria-label="Inspector"><Inspector run={shown.run} workflow={shown.workflow} picture={shown.picture} live={shown.live} node={shown.node} /></aside>
    </>
  );
}

/** Pages that were loaded. */
const loaded = new Map<View, FunctionComponent>();

function Other({ view }: { view: View }): JSX.Element {
  const page = useSignal<{ view: View; show: FunctionComponent } | undefined>(undefined);
  const problem = useSignal(false);
  useEffect(() => {
    problem.value = false;
    let gone = false;
    PAGES[view]?.load().then(
      (show) => {
        loaded.set(view, show);
        if (!gone) page.value = { view, show };
      },
      () => {
        if (!gone) problem.value = true;
      },
    );
    return () => {
      gone = true;
    };
    // What could not be loaded while the link was lost is tried again.
  }, [view, reconnected.value]);
  const Show = loaded.get(view) ?? (page.value?.view === view ? page.value.show : undefined);
  if (!PAGES[view]) return <Empty title="There is no such page" />;
  if (problem.value) return <Empty title="This part of the page cannot be loaded"><button type="button" onClick={() => location.reload()}>Load the page again</button></Empty>;
  return Show ? <Show /> : <Empty title="">Loading …</Empty>;
}

/** The bar of a phone. */
function PhoneTabs(): JSX.Element {
  const { view, pane } = route.value;
  const current = (is: boolean): 'page' | undefined => (is ? 'page' : undefined);
  return (
    <nav class="phone-tabs" aria-label="Parts">
      <a href={hrefOf({ pane: 'list' })} aria-current={current(pane === 'list')} onClick={onLink({ pane: 'list' })}><span aria-hidden="true">🗂️</span>Runs</a>
      <a href={hrefOf({ view: 'run', pane: 'main' })} aria-current={current(pane === 'main' && view === 'run')} onClick={onLink({ view: 'run', pane: 'main' })}><span aria-hidden="true">▶️</span>Run</a>
      {Object.entries(PAGES).filter(([name]) => name !== 'new').map(([name, page]) => {
        const to = { view: name as View, pane: 'main' as const, name: undefined };
        return <a key={name} href={hrefOf(to)} aria-current={current(pane === 'main' && view === name)} onClick={onLink(to)}><span aria-hidden="true">{page.sign}</span>{page.word}</a>;
      })}
    </nav>
  );
}
