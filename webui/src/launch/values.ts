/** The values of a form as they are typed, and what is sent of them. Numbers stay texts, so that a seed beyond 2^53 is sent as it was typed. */
import type { Field, GraphNode } from '../api/types';

/** What is typed, by the id of the field. */
export type Values = Record<string, string | boolean>;

const INTEGERS: Field['kind'][] = ['seed', 'steps', 'size', 'integer'];
const NUMBERS: Field['kind'][] = [...INTEGERS, 'cfg', 'number'];

/** Whether a field takes a whole number. */
export function isInteger(field: Field): boolean {
  return INTEGERS.includes(field.kind);
}

/** Whether a field takes a number. */
export function isNumber(field: Field): boolean {
  return NUMBERS.includes(field.kind);
}

/** Whether a field takes a file. */
export function isFile(field: Field): boolean {
  return field.kind === 'image' || field.kind === 'video' || field.kind === 'audio';
}

/** What the workflow has, as it would be typed. */
export function typed(value: unknown): string | boolean {
  return typeof value === 'boolean' ? value : value === null || value === undefined ? '' : typeof value === 'string' ? value : String(value);
}

/** What the fields have at first: what was sent last instead of the same value of the workflow, else what the workflow has. */
export function startOf(form: readonly Field[], { values, instead }: { values: Values; instead: Values }): Values {
  return Object.fromEntries(form.map((field) => {
    const before = values[field.id];
    const own = typed(field.default);
    return [field.id, before !== undefined && instead[field.id] === own && typeof before === typeof own && !isFile(field) ? before : own];
  }));
}

/** The values after the workflow was read anew, such as for another instance: what nobody changed follows it. */
export function followed(values: Values, before: readonly Field[], form: readonly Field[]): Values {
  const old = new Map(before.map((field) => [field.id, typed(field.default)]));
  return Object.fromEntries(form.map((field) => {
    const value = values[field.id];
    return [field.id, value === undefined || value === old.get(field.id) ? typed(field.default) : value];
  }));
}

/** What is wrong with a value, in words; nothing if it can be sent. */
export function wrongWith(field: Field, value: string | boolean | undefined): string | undefined {
  if (!isNumber(field) || typeof value !== 'string') return undefined;
  const text = value.trim();
  if (text === '') return 'Give a number.';
  if (isInteger(field) ? !/^-?\d+$/.test(text) : !Number.isFinite(Number(text))) return isInteger(field) ? 'Give a whole number.' : 'Give a number.';
  const under = field.min != null && isLess(text, String(field.min));
  const over = field.max != null && isLess(String(field.max), text);
  if (under) return `At least ${String(field.min)}.`;
  return over ? `At most ${String(field.max)}.` : undefined;
}

function isLess(a: string, b: string): boolean {
  return /^-?\d+$/.test(a) && /^-?\d+$/.test(b) ? BigInt(a) < BigInt(b) : Number(a) < Number(b);
}

/** A value as JSON text. */
function json(field: Field, value: string | boolean): string {
  if (isNumber(field) && typeof value === 'string') return isInteger(field) ? String(BigInt(value.trim())) : JSON.stringify(Number(value));
  const option = field.options?.find((one) => String(one) === value);
  return JSON.stringify(option ?? value);
}

/** The values that differ from the workflow's own, as the JSON text of `inputs`; fields with a file are left out. */
export function inputsText(form: Field[], values: Values, files: Record<string, File>): string {
  const changed = form.filter((field) => values[field.id] !== undefined && values[field.id] !== typed(field.default) && !files[field.node_id + '.' + field.input]);
  return `{${changed.map((field) => `${JSON.stringify(field.id)}:${json(field, values[field.id] as string | boolean)}`).join(',')}}`;
}

/** The graph with the values in it, for a look at it beforehand. A number that this page cannot hold exactly is left as the nearest that it can. */
export function filled(graph: Record<string, GraphNode>, form: Field[], values: Values): Record<string, GraphNode> {
  const copy = structuredClone(graph);
  for (const field of form) {
    const node = copy[field.node_id];
    const value = values[field.id];
    if (!node || value === undefined || wrongWith(field, value) !== undefined) continue;
    const exact = JSON.parse(json(field, value)) as unknown;
    node.inputs[field.input] = typeof exact === 'number' && Math.abs(exact) > Number.MAX_SAFE_INTEGER ? Math.sign(exact) * Number.MAX_SAFE_INTEGER : exact;
  }
  return copy;
}

/** A seed by chance, within what every JSON reader holds exactly. */
export function diced(): string {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return String((high % 2 ** 20) * 2 ** 32 + low);
}
