/** The keyboard: one map, which the help shows as it is. */
import { signal } from '@preact/signals';
import { isOver, type Summary } from '../api/types';
import { summaryOf } from '../live/store';
import { cancelRun, retryRun } from '../run/actions';
import { neighbour } from '../runs/model';
import { PAGES } from '../views';
import { go, openRun, route } from './route';

/** What lies over the page. */
export const overlay = signal<'palette' | 'help' | 'alerts' | undefined>(undefined);
/** A question that a key asks before it acts. */
export const question = signal<{ text: string; sure: string; do: () => Promise<unknown> } | undefined>(undefined);

/** A key and what it does. */
export interface Key {
  keys: string[];
  shown: string;
  does: string;
  /** Whether Shift is held; undefined where it does not matter. */
  shift?: boolean;
  /** Whether the key means something now; else the browser has it. */
  when?: () => boolean;
  act: () => void;
}

function summary(): Summary | undefined {
  return summaryOf(route.peek().run);
}

function focus(selector: string): void {
  const element = document.querySelector<HTMLElement | SVGElement>(selector);
  element?.scrollIntoView({ block: 'nearest' });
  element?.focus();
}

function step(by: 1 | -1): void {
  const next = neighbour(route.peek().run, by);
  if (!next) return;
  openRun(next);
  document.querySelector(`[data-run="${CSS.escape(next)}"]`)?.scrollIntoView({ block: 'nearest' });
}

function tab(name: 'events' | 'outputs'): void {
  go({ tab: name }, true);
  focus(`#tab-${name}`);
}

/** Keys that act when nothing is typed into. Others may be added by the parts of the page that they belong to. */
export const KEYS: Key[] = [
  { keys: ['n'], shown: 'n', does: 'New run', act: () => PAGES.new && go({ view: 'new', name: undefined, pane: 'main' }) },
  { keys: ['j'], shown: 'j', does: 'Next run', act: () => step(1) },
  { keys: ['k'], shown: 'k', does: 'Previous run', act: () => step(-1) },
  { keys: ['/'], shown: '/', does: 'Search runs', act: () => { go({ pane: 'list' }, true); focus('#search'); } },
  { keys: ['r'], shown: 'r', does: 'Run again', act: () => { const run = summary(); if (run && isOver(run.status)) question.value = { text: `Run “${run.workflow_name}” again?`, sure: 'Run again', do: () => retryRun(run.run_id) }; } },
  { keys: ['c'], shown: 'c', does: 'Cancel the run', act: () => { const run = summary(); if (run && !isOver(run.status)) question.value = { text: `Cancel “${run.workflow_name}”?`, sure: 'Yes, cancel it', do: () => cancelRun(run.run_id) }; } },
  { keys: ['g'], shown: 'g', does: 'Graph', act: () => focus('.graph .node') },
  { keys: ['t'], shown: 't', does: 'Timeline', act: () => focus('.timeline button') },
  { keys: ['o'], shown: 'o', does: 'Outputs', act: () => tab('outputs') },
  { keys: ['e'], shown: 'e', does: 'Events', act: () => tab('events') },
  { keys: ['f'], shown: 'f', does: 'The node that failed', act: () => { const node = document.querySelector<SVGElement>('.graph .node.failed'); if (node) { go({ node: node.dataset.node }, true); node.focus(); } } },
  { keys: ['?'], shown: '?', does: 'This help', act: () => (overlay.value = 'help') },
];

function types(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT|VIDEO|AUDIO)$/.test(target.tagName));
}

/** Listens. */
export function listenToKeys(): void {
  addEventListener('keydown', (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      overlay.value = overlay.peek() === 'palette' ? undefined : 'palette';
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || types(event.target) || overlay.peek() !== undefined || question.peek() !== undefined || document.querySelector('dialog[open]')) return;
    // A button that has the focus is pressed by Space.
    if (event.key === ' ' && event.target instanceof Element && event.target.closest('button, a, summary, [role=button]')) return;
    const key = KEYS.find((one) => one.keys.includes(event.key) && (one.shift ?? event.shiftKey) === event.shiftKey && (one.when?.() ?? true));
    if (!key) return;
    event.preventDefault();
    key.act();
  });
}
