/** Times and sizes for people, and texts that follow the clock. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';

/** The time of now, once a second; only what reads it is painted. */
export const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 1000);

/** Milliseconds of an RFC 3339 text. */
export function ms(text: string | null | undefined): number | undefined {
  if (text == null) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}

/** A duration as `0:07`, `2:13` or `1:02:03`. */
export function clock(length: number): string {
  const seconds = Math.max(0, Math.floor(length / 1000));
  const parts = [Math.floor(seconds / 60) % 60, seconds % 60];
  const hours = Math.floor(seconds / 3600);
  if (hours > 0) return `${hours}:${parts.map((part) => String(part).padStart(2, '0')).join(':')}`;
  return `${parts[0]}:${String(parts[1]).padStart(2, '0')}`;
}

/** A short duration with the precision that it deserves: `320 ms`, `4.2 s`, `2:13`. */
export function span(length: number): string {
  if (length < 0) return '0 ms';
  if (length < 1000) return `${Math.round(length)} ms`;
  if (length < 60_000) return `${(Math.floor(length / 100) / 10).toFixed(1)} s`;
  return clock(length);
}

const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const SHORT = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const LONG = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** The time of day. */
export function timeOfDay(text: string | number, seconds = false): string {
  return (seconds ? LONG : SHORT).format(typeof text === 'number' ? text : Date.parse(text));
}

/** Date and time in full. */
export function fullTime(text: string): string {
  return FULL.format(Date.parse(text));
}

/** The day in words: today, yesterday, or its date. */
export function dayOf(text: string, today = Date.now()): string {
  const start = (at: number): number => new Date(at).setHours(0, 0, 0, 0);
  const days = Math.round((start(today) - start(Date.parse(text))) / 86_400_000);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return DAY.format(Date.parse(text));
}

/** A number of bytes. */
export function bytes(size: number | null | undefined): string {
  if (size == null) return '';
  if (size < 1000) return `${size} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = size;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.5 && unit < units.length - 1);
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** How long something takes already; stands still once it has ended. Marked, as it changes without an event. */
export function Elapsed({ from, to, precise = false }: { from: string; to?: string | null | undefined; precise?: boolean }): JSX.Element {
  const end = ms(to);
  const length = (end ?? now.value) - (ms(from) ?? 0);
  const text = end !== undefined && precise ? span(length) : clock(length);
  return <time class="clock" {...(end === undefined && { 'data-clock': '' })}>{text}</time>;
}

/** How long ago something was. */
export function ago(text: string, at: number): string {
  const seconds = Math.max(0, Math.floor((at - Date.parse(text)) / 1000));
  if (seconds < 5) return 'now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
