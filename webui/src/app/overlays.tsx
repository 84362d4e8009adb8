/** What lies over the page: the palette, the help and questions. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { get } from '../api/client';
import type { Summary } from '../api/types';
import { newestRuns } from '../live/store';
import { Act } from '../parts/action';
import { byHand } from '../parts/copy';
import { Dialog } from '../parts/dialog';
import { STATUS } from '../parts/tile';
import { PAGES } from '../views';
import { AlertSettings } from './alert-settings';
import { KEYS, overlay, question } from './keys';
import { go, openRun, type View } from './route';

/** All of them; at most one is open. */
export function Overlays(): JSX.Element | null {
  if (question.value) return <Question />;
  if (byHand.value !== undefined) return <ByHand text={byHand.value} />;
  if (overlay.value === 'palette') return <Palette />;
  if (overlay.value === 'help') return <Help />;
  if (overlay.value === 'alerts') return <AlertSettings onClose={() => (overlay.value = undefined)} />;
  return null;
}

function Question(): JSX.Element | null {
  const asked = question.value;
  const close = (): void => void (question.value = undefined);
  if (!asked) return null;
  return (
    <Dialog label={asked.text} onClose={close}>
      <div class="body">
        <h2>{asked.text}</h2>
        <div class="actions">
          <button type="button" onClick={close}>No</button>
          <Act class="primary" do={() => asked.do().then(close)}>{asked.sure}</Act>
        </div>
      </div>
    </Dialog>
  );
}

/** A text that the browser does not let the page copy. */
function ByHand({ text }: { text: string }): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const close = (): void => void (byHand.value = undefined);
  useEffect(() => field.current?.select(), []);
  return (
    <Dialog label="Copy this text" onClose={close}>
      <div class="body">
        <h2>📋 Copy this text</h2>
        <p class="muted">The browser gives this page no clipboard, as it was not loaded over HTTPS or from this machine.</p>
        <textarea ref={field} class="mono" readOnly rows={Math.min(14, text.split('\n').length + 1)} aria-label="The text" value={text} />
        <div class="actions"><button type="button" class="primary" onClick={close}>Close</button></div>
      </div>
    </Dialog>
  );
}

interface Entry {
  key: string;
  text: string;
  what: string;
  act: () => void;
}

const MOST = 12;

/** A search over runs, pages and actions. */
function Palette(): JSX.Element {
  const word = useSignal('');
  const at = useSignal(0);
  const found = useSignal<Summary[]>([]);
  const close = (): void => void (overlay.value = undefined);
  const search = word.value.trim().toLowerCase();
  useEffect(() => {
    if (search.length < 2) {
      found.value = [];
      return undefined;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      get<{ runs: Summary[] }>(`/api/v1/runs?limit=${MOST}&text=${encodeURIComponent(search)}`, abort.signal).then((page) => (found.value = page.runs), () => undefined);
    }, 150);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [search]);
  const runs = search.length < 2 ? newestRuns().sort((a, b) => (a.run_id < b.run_id ? 1 : -1)) : found.value;
  const entries: Entry[] = [
    ...Object.entries(PAGES).map(([view, page]) => ({ key: `page ${view}`, text: `${page.sign} ${page.word}`, what: 'page', act: () => go({ view: view as View, name: undefined, pane: 'main' }) })),
    ...KEYS.filter((key) => key.does !== 'New run').map((key) => ({ key: `key ${key.shown}`, text: key.does, what: key.shown, act: key.act })),
  ].filter((entry) => !search || entry.text.toLowerCase().includes(search));
  const all: Entry[] = [
    ...(search ? entries : entries.slice(0, 3)),
    ...runs.slice(0, MOST).map((run) => ({ key: run.run_id, text: `${STATUS[run.status].mark || '▶'} ${run.workflow_name} #${run.run_id.slice(-6)}`, what: `${STATUS[run.status].word} · ${run.instance}`, act: () => openRun(run.run_id) })),
  ];
  const chosen = Math.min(at.value, all.length - 1);
  const take = (entry: Entry | undefined): void => {
    close();
    entry?.act();
  };
  return (
    <Dialog label="Search runs and actions" class="palette" onClose={close}>
      <input type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={all[chosen] ? `palette-${chosen}` : undefined} aria-label="Search runs and actions" placeholder="Search runs, pages and actions" autofocus value={word.value}
        onInput={(event) => {
          word.value = event.currentTarget.value;
          at.value = 0;
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') at.value = Math.min(all.length - 1, chosen + 1);
          else if (event.key === 'ArrowUp') at.value = Math.max(0, chosen - 1);
          else if (event.key === 'Enter') take(all[chosen]);
          else return;
          event.preventDefault();
        }} />
      <ul id="palette-list" role="listbox" aria-label="Found">
        {all.map((entry, index) => (
          <li key={entry.key} id={`palette-${index}`} role="option" aria-selected={index === chosen} onClick={() => take(entry)}>
            <span class="cut">{entry.text}</span><span class="what cut">{entry.what}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

function Help(): JSX.Element {
  const close = (): void => void (overlay.value = undefined);
  return (
    <Dialog label="Keys" class="help" onClose={close}>
      <div class="body">
        <h2>⌨️ Keys</h2>
        <dl>
          <dt><kbd>Ctrl</kbd> <kbd>K</kbd></dt><dd>Search runs, pages and actions</dd>
          {KEYS.flatMap((key) => [<dt key={`${key.shown} key`}><kbd>{key.shown}</kbd></dt>, <dd key={key.shown}>{key.does}</dd>])}
          <dt><kbd>Esc</kbd></dt><dd>Close what lies over the page</dd>
        </dl>
        <div class="actions"><button type="button" class="primary" onClick={close}>Close</button></div>
      </div>
    </Dialog>
  );
}
