/** Where an output comes from: the values of the nodes that led to it. */
import { get, runPath } from '../../api/client';
import type { RunWorkflow } from '../../api/types';
import { isLink, valueText } from '../inputs/inputs';

const KEPT = 200;
const asked = new Map<string, Promise<RunWorkflow>>();

/** The workflow of a run; it never changes, so it is asked for once. */
export function workflowOf(run: string): Promise<RunWorkflow> {
  let answer = asked.get(run);
  if (!answer) {
    answer = get<RunWorkflow>(runPath(run, '/workflow'));
    // What failed may go well the next time.
    answer.catch(() => asked.delete(run));
    asked.set(run, answer);
    const oldest = asked.keys().next().value;
    if (asked.size > KEPT && oldest !== undefined) asked.delete(oldest);
  }
  return answer;
}

/** One value of one node. */
export interface Value {
  node: string;
  title: string;
  name: string;
  value: string;
}

/** All values of a workflow. With a node: only those of it and of the nodes that it takes from, the nearest first. */
export function valuesOf({ workflow }: RunWorkflow, of?: string): Value[] {
  const order: string[] = [];
  if (of === undefined || !workflow[of]) order.push(...Object.keys(workflow));
  else {
    const seen = new Set([of]);
    for (const id of seen) {
      order.push(id);
      for (const input of Object.values(workflow[id]?.inputs ?? {})) if (isLink(input)) seen.add(String(input[0]));
    }
  }
  return order.flatMap((node) => {
    const found = workflow[node];
    const title = found?._meta?.title ?? found?.class_type ?? node;
    return Object.entries(found?.inputs ?? {}).filter(([, value]) => !isLink(value)).map(([name, value]) => ({ node, title, name, value: valueText(value) }));
  });
}

const TELLING = [/^(text|prompt|positive|negative)/, /seed/, /ckpt|model|unet|lora|vae/, /^(width|height|steps|cfg|denoise|sampler|scheduler|batch)/];

/** The values that tell the most, first. */
export function telling(values: Value[], most: number): Value[] {
  const rank = ({ name }: Value): number => {
    const found = TELLING.findIndex((pattern) => pattern.test(name));
    return found < 0 ? TELLING.length : found;
  };
  return values.map((value, index) => ({ value, index })).sort((a, b) => rank(a.value) - rank(b.value) || a.index - b.index).slice(0, most).map(({ value }) => value);
}

/** Whether a workflow has what is searched for: words that values contain, or `name=value`. */
export function hasValues(workflow: RunWorkflow, search: string): boolean {
  const words = search.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const values = valuesOf(workflow).map(({ name, value }) => [name.toLowerCase(), value.toLowerCase()] as const);
  return words.every((word) => {
    const at = word.indexOf('=');
    if (at < 1) return values.some(([, value]) => value.includes(word));
    const name = word.slice(0, at);
    const wanted = word.slice(at + 1);
    // A number is meant as a whole: seed=1 is not seed=12.
    return values.some(([own, value]) => own.includes(name) && (/^-?[\d.]+$/.test(wanted) ? value === wanted : value.includes(wanted)));
  });
}

/** What differs between workflows: one row for each value that is not the same in all. */
export function differing(workflows: RunWorkflow[]): { title: string; name: string; values: (string | undefined)[] }[] {
  const rows = new Map<string, { title: string; name: string; values: (string | undefined)[] }>();
  workflows.forEach((workflow, index) => {
    for (const { node, title, name, value } of valuesOf(workflow)) {
      const key = JSON.stringify([node, name]);
      const row = rows.get(key) ?? { title, name, values: workflows.map(() => undefined) };
      row.values[index] = value;
      rows.set(key, row);
    }
  });
  return [...rows.values()].filter(({ values }) => values.some((value) => value !== values[0]));
}
