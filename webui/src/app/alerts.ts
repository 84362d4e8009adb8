/** Word of runs that ended or need somebody, for those who look elsewhere: a mark on the tab, a sound, a notification of the browser. */
import { signal } from '@preact/signals';
import { isOver, type Summary } from '../api/types';
import { isListed, newestRuns, onRuns } from '../live/store';
import { openRun } from './route';

/** What somebody wants to be told, and how. */
export interface Wishes {
  browser: boolean;
  sound: boolean;
  done: boolean;
  failed: boolean;
  attention: boolean;
  /** Runs that end well sooner than this are not told. */
  seconds: number;
}

const KEPT = 'comfyd.alerts';
const FIRST: Wishes = { browser: false, sound: false, done: true, failed: true, attention: true, seconds: 30 };

function read(): Wishes {
  try {
    return { ...FIRST, ...(JSON.parse(localStorage.getItem(KEPT) ?? '{}') as Partial<Wishes>) };
  } catch {
    return FIRST;
  }
}

/** The wishes of this device. */
export const wishes = signal<Wishes>(read());
/** How many are untold since the page was last looked at; it is shown on the tab. */
export const unseen = signal(0);

/** Changes a wish. */
export function wish(change: Partial<Wishes>): void {
  wishes.value = { ...wishes.peek(), ...change };
  try {
    localStorage.setItem(KEPT, JSON.stringify(wishes.peek()));
  } catch {
    // Then it holds until the page is loaded again.
  }
}

/** What a change of a run is worth telling, if anything. */
export function worth(before: Pick<Summary, 'status' | 'attention'>, run: Summary, wanted: Wishes): 'done' | 'failed' | 'attention' | undefined {
  if (isOver(run.status)) {
    if (isOver(before.status)) return undefined;
    if (run.status === 'failed') return wanted.failed ? 'failed' : undefined;
    const length = run.ended == null ? 0 : Date.parse(run.ended) - Date.parse(run.created);
    return run.status === 'completed' && wanted.done && length >= wanted.seconds * 1000 ? 'done' : undefined;
  }
  return run.attention != null && run.attention !== before.attention && wanted.attention ? 'attention' : undefined;
}

const WORDS = { done: '✓ Completed', failed: '× Failed', attention: '! Needs you' };

/** Follows the list. */
export function keepAlerts(): void {
  const known = new Map<string, Pick<Summary, 'status' | 'attention'>>();
  const note = (run: Summary): void => void known.set(run.run_id, { status: run.status, attention: run.attention ?? null });
  let isKnown = isListed.peek();
  if (isKnown) newestRuns().forEach(note);
  onRuns((runs, deleted) => {
    for (const run of runs) {
      const before = known.get(run.run_id);
      note(run);
      // What was there when the page came is no news; a run that came since began as queued.
      const what = isKnown ? worth(before ?? { status: 'queued', attention: null }, run, wishes.peek()) : undefined;
      if (what) tell(what, run);
    }
    isKnown = true;
    for (const id of deleted) known.delete(id);
  });
  const seen = (): void => {
    if (document.hidden) return;
    unseen.value = 0;
    badge();
  };
  document.addEventListener('visibilitychange', seen);
  addEventListener('focus', seen);
}

const LOCK_MS = 3000;

function tell(what: keyof typeof WORDS, run: Summary): void {
  if (document.hidden) {
    unseen.value += 1;
    badge();
  }
  const { browser, sound } = wishes.peek();
  // Who sees it happen needs no notification; a sound was asked for all the same.
  const shows = browser && document.hidden;
  if (!shows && !sound) return;
  const tellNow = (): void => {
    if (shows) notify(`${WORDS[what]}: ${run.workflow_name}`, run.error ?? `on ${run.instance}`, run.run_id);
    if (sound) chime(what === 'done');
  };
  const locks = navigator.locks as LockManager | undefined;
  // Over plain HTTP from another machine tabs cannot agree: better told twice than not at all.
  if (!locks) return tellNow();
  // One tab of the browser is enough.
  void locks.request(`comfyd ${run.run_id} ${what}`, { ifAvailable: true }, async (lock) => {
    if (!lock) return;
    tellNow();
    await new Promise((resolve) => setTimeout(resolve, LOCK_MS));
  });
}

function notify(title: string, body: string, id: string): void {
  if (!('Notification' in globalThis) || Notification.permission !== 'granted') return;
  const shown = new Notification(title, { body, tag: `comfyd ${id}`, icon: '/favicon.svg' });
  shown.onclick = () => {
    focus();
    openRun(id);
    shown.close();
  };
}

/** Asks the browser whether notifications are allowed. */
export async function allow(): Promise<boolean> {
  return 'Notification' in globalThis && (await Notification.requestPermission()) === 'granted';
}

/** Two notes: rising for what went well, falling for what did not. */
export function chime(well: boolean): void {
  const sounds = new AudioContext();
  const start = sounds.currentTime;
  for (const [index, pitch] of (well ? [523, 784] : [523, 349]).entries()) {
    const note = sounds.createOscillator();
    const loud = sounds.createGain();
    note.frequency.value = pitch;
    loud.gain.setValueAtTime(0.12, start + index * 0.16);
    loud.gain.exponentialRampToValueAtTime(0.001, start + index * 0.16 + 0.3);
    note.connect(loud).connect(sounds.destination);
    note.start(start + index * 0.16);
    note.stop(start + index * 0.16 + 0.32);
    if (index === 1) note.onended = () => void sounds.close();
  }
}

let address: string | undefined;

/** The mark on the tab's icon. */
function badge(): void {
  const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]');
  if (!icon) return;
  if (address !== undefined) URL.revokeObjectURL(address);
  address = undefined;
  if (unseen.peek() > 0) {
    const picture = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#7c3aed"/><path d="M12 9l11 7-11 7z" fill="#fff"/><circle cx="24" cy="8" r="8" fill="#ff5722"/></svg>';
    address = URL.createObjectURL(new Blob([picture], { type: 'image/svg+xml' }));
  }
  icon.href = address ?? '/favicon.svg';
}
