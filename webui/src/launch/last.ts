/** What was sent last for a workflow: its form begins with it. Kept on this device, for the newest few workflows. */
import type { Field } from '../api/types';
import { isFile, typed, type Values } from './values';

/** Values that were changed, what the workflow had instead of each then, and the seeds that are drawn anew each time. */
export interface Last {
  values: Values;
  instead: Values;
  fresh: string[];
}

/** What of a form is to be kept: what was left as it is comes from the workflow, which may be another one the next time. */
export function changedOf(form: readonly Field[], values: Values, fresh: string[]): Last {
  const changed = form.filter((field) => !isFile(field) && values[field.id] !== undefined && values[field.id] !== typed(field.default));
  const of = (value: (field: Field) => string | boolean): Values => Object.fromEntries(changed.map((field) => [field.id, value(field)]));
  return { values: of((field) => values[field.id] as string | boolean), instead: of((field) => typed(field.default)), fresh };
}

const BEFORE = 'comfyd.last.';
/** The keys in the order of their use, the newest first. */
const ORDER = 'comfyd.lasts';
const KEPT = 50;

/** What was sent last, if it is known. */
export function lastOf(key: string): Last {
  try {
    const kept = JSON.parse(localStorage.getItem(BEFORE + key) ?? 'null') as Partial<Last> | null;
    return { values: kept?.values ?? {}, instead: kept?.instead ?? {}, fresh: kept?.fresh ?? [] };
  } catch {
    return { values: {}, instead: {}, fresh: [] };
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
