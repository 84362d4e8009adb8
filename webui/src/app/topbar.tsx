/** The bar at the top: what runs, the link, and the ways to everything else. */
import type { JSX } from 'preact';
import { counts, link } from '../live/store';
import { clock, now } from '../parts/time';
import { PAGES } from '../views';
import { allDoneAt } from './eta';
import { overlay } from './keys';
import { hrefOf, onLink, route, type View } from './route';

const HOME = { view: 'run', run: undefined, seq: undefined, node: undefined, tab: undefined, with: undefined, name: undefined } as const;

/** The bar. */
export function TopBar(): JSX.Element {
  const { running, waiting, attention } = counts.value;
  const pages = Object.entries(PAGES).filter(([view]) => view !== 'new');
  return (
    <header class="topbar">
      <h1><a href={hrefOf(HOME)} onClick={onLink(HOME)} aria-label="comfyd, home"><img src="/favicon.svg" alt="" width="22" height="22" /> comfyd</a></h1>
      {pages.length > 0 && (
        <nav aria-label="Pages">
          <a href={hrefOf({ view: 'run' })} aria-current={route.value.view === 'run' ? 'page' : undefined} onClick={onLink({ view: 'run' })}>Runs</a>
          {pages.map(([view, page]) => {
            const to = { view: view as View, seq: undefined, node: undefined, name: undefined, pane: 'main' as const };
            return <a key={view} href={hrefOf(to)} aria-current={route.value.view === view ? 'page' : undefined} onClick={onLink(to)}>{page.word}</a>;
          })}
        </nav>
      )}
      <span class="tally right"><b>{running}</b> running · <b>{waiting}</b> waiting{attention > 0 && <> · <b class="text-warn">{attention}</b> <span class="text-warn">need you</span></>}<AllDone /></span>
      <LinkState />
      <button type="button" class="wide-only" onClick={() => (overlay.value = 'palette')} title="Search runs and actions">⌘ <kbd>Ctrl K</kbd></button>
      <button type="button" class="plain" aria-label="Notifications" title="Notifications" onClick={() => (overlay.value = 'alerts')}>🔔</button>
      <button type="button" class="plain wide-only" aria-label="Keys and help" title="Keys ( ? )" onClick={() => (overlay.value = 'help')}>?</button>
      {PAGES.new && <a class="button primary" href={hrefOf({ view: 'new', name: undefined })} onClick={onLink({ view: 'new', name: undefined, pane: 'main' })}>+ New run</a>}
    </header>
  );
}

/** How long everything that is open still takes. */
function AllDone(): JSX.Element | null {
  const at = allDoneAt.value;
  if (at === undefined) return null;
  const left = at - now.value;
  return <> · <time data-clock="" class="num" title="When everything that is open is done, by what such runs usually take">{left >= 1000 ? `ETA all ~${clock(left)}` : 'any moment'}</time></>;
}

const LINKS = { connecting: ['connecting', 'warn'], live: ['live', 'ok'], lost: ['offline', 'warn'], denied: ['logged out', 'bad'] } as const;

function LinkState(): JSX.Element {
  const [word, tone] = LINKS[link.value.state];
  return <span class="link" role="status" data-link={link.value.state}><span class={`dot ${tone} ${word === 'live' ? '' : 'pulse'}`} aria-hidden="true" />{word}</span>;
}
