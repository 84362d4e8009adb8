/** What was sent last for a workflow: its form begins with it. Kept on this device, for the newest few workflows. */
import type { Values } from './values';

/** Values, and the seeds that are drawn anew each time. */
export interface Last {
  values: Values;
  fresh: string[];
}

const BEFORE = 'comfyd.last.';
/** The keys in the order of their use, the newest first. */
const ORDER = 'comfyd.lasts';
const KEPT = 50;

/** What was sent last, if it is known. */
export function lastOf(key: string): Last {
  try {
    return (JSON.parse(localStorage.getItem(BEFORE + key) ?? 'null') as Last | null) ?? { values: {}, fresh: [] };
  } catch {
    return { values: {}, fresh: [] };
  }
}

function order(): string[] {
  try {
    const read = JSON.parse(localStorage.getItem(ORDER) ?? '[]') as unknown;
    return Array.isArray(read) ? read.filter((key) => typeof key === 'string') : [];
  } catch {
    return [];
  }
}

/** Keeps it; what was not used for long goes. */
export function keepLast(key: string, last: Last): void {
  try {
    const all = Object.keys(localStorage).filter((name) => name.startsWith(BEFORE)).map((name) => name.slice(BEFORE.length));
    const kept = [...new Set([key, ...order(), ...all])].slice(0, KEPT);
    for (const old of all) if (!kept.includes(old)) localStorage.removeItem(BEFORE + old);
    localStorage.setItem(ORDER, JSON.stringify(kept));
    localStorage.setItem(BEFORE + key, JSON.stringify(last));
  } catch {
    // The store is full or forbidden: the form begins with the workflow's own values next time.
  }
}
