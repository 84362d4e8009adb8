/** Where a new run comes from: a template of the server, or a file that somebody dropped. */
import { signal } from '@preact/signals';
import { get, Problem, sendReady } from '../api/client';
import type { Field, GraphNode, TemplateDetail } from '../api/types';
import { go, route } from '../app/route';
import { carriedBy } from './embedded';
import { type ClassInfo, formOf } from './form';

/** What is to be run. */
export interface Source {
  /** What its last values are kept under. */
  key: string;
  title: string;
  description: string | undefined;
  /** The name of the template; undefined for a file. */
  template: string | undefined;
  /** The text of the file, sent as it is. */
  text: string | undefined;
  /** The canvas that the graph was made from, as it is in the file: it is kept with the run. */
  canvas: string | undefined;
  graph: Record<string, GraphNode>;
  form: Field[];
  /** The fields whose value the canvas draws anew for each run: texts with choices and dates. */
  drawn: ReadonlySet<string>;
  /** What was put right when a canvas was converted. */
  warnings: string[];
}

/** The text of a file. */
export interface Dropped {
  name: string;
  text: string;
  /** The canvas that a picture has beside its graph. */
  canvas?: string;
  /** What its last values are kept under, if not its name: the values of a run are its own. */
  key?: string;
}

const KEPT = 'comfyd.dropped';
/** What the address has for a dropped file. */
export const FILE = ':file';

function kept(): Dropped | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? 'null') as Dropped | null ?? undefined;
  } catch {
    return undefined;
  }
}

/** The file that was dropped last. */
export const dropped = signal<Dropped | undefined>(kept());
/** What is wrong with the file that was dropped last. */
export const dropProblem = signal<string | undefined>(undefined);
/** A picture that the next form takes as its first input, and what is said of it until then. It is forgotten when somebody goes elsewhere. */
export const spare = signal<{ file: File; news: string } | undefined>(undefined);

/** Keeps a picture for the form of the template that is picked now. */
export function keepSpare(file: File, news: string): void {
  spare.value = { file, news };
  dropProblem.value = undefined;
  go({ view: 'new', name: undefined, pane: 'main' });
}

route.subscribe(({ view }) => {
  if (view === 'new') return;
  spare.value = undefined;
  dropProblem.value = undefined;
});

/** Opens the form of a workflow that is here as a text. */
export function openText(file: Dropped): void {
  dropProblem.value = undefined;
  dropped.value = file;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(file));
  } catch {
    // Too long to be kept over a reload; the page has it all the same.
    sessionStorage.removeItem(KEPT);
  }
  go({ view: 'new', name: FILE, pane: 'main' });
}

/** Takes a file from anywhere on the page. */
export async function takeFile(file: File): Promise<void> {
  dropProblem.value = undefined;
  try {
    const found = await textOf(file);
    if (found === undefined) {
      if (!file.type.startsWith('image/')) throw new Error(`“${file.name}” is neither a workflow (.json) nor a picture made by ComfyUI.`);
      keepSpare(file, `“${file.name}” carries no workflow. Pick a template that takes a picture: it is used there.`);
      return;
    }
    openText({ name: file.name, ...found });
  } catch (thrown) {
    dropProblem.value = thrown instanceof Error ? thrown.message : String(thrown);
    go({ view: 'new', name: undefined, pane: 'main' });
  }
}

async function textOf(file: File): Promise<Pick<Dropped, 'text' | 'canvas'> | undefined> {
  if (/\.json$/i.test(file.name) || file.type === 'application/json') {
    const text = await file.text();
    try {
      JSON.parse(lenient(text));
    } catch (error) {
      throw new Error(`“${file.name}” is no JSON: ${error instanceof Error ? error.message : ''}`);
    }
    return { text };
  }
  const { prompt, workflow } = await carriedBy(file);
  if (prompt !== undefined) return { text: prompt, ...(isCanvas(workflow) && { canvas: workflow }) };
  return workflow === undefined ? undefined : { text: workflow };
}

/** Whether a text is what the server takes for a canvas: anything else beside a graph is left away. */
function isCanvas(text: string | undefined): text is string {
  try {
    const read = JSON.parse(lenient(text ?? '')) as { nodes?: unknown; links?: unknown } | null;
    return Array.isArray(read?.nodes) && read.nodes.length > 0 && Array.isArray(read.links);
  } catch {
    return false;
  }
}

/** Python writes NaN and Infinity, which JSON has not; they only matter to whom it is sent. */
function lenient(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|NaN|-?Infinity/g, (found) => (found.startsWith('"') ? found : 'null'));
}

/** Reads a template, with the lists of an instance. */
export async function ofTemplate(name: string, instance: string | undefined, abort: AbortSignal): Promise<Source> {
  const query = instance === undefined ? '' : `?instance=${encodeURIComponent(instance)}`;
  const detail = await get<TemplateDetail>(`/api/v1/workflows/${encodeURIComponent(name)}${query}`, abort);
  return { key: name, title: detail.title, description: detail.description ?? undefined, template: name, text: undefined, canvas: undefined, graph: detail.workflow as unknown as Source['graph'], form: detail.form, drawn: new Set(), warnings: [] };
}

interface Converted {
  workflow: Record<string, GraphNode>;
  warnings: { message: string }[];
}

/** Reads a dropped file. A canvas is converted by the server, with the classes of the instance. */
export async function ofDropped(file: Dropped, instance: string | undefined): Promise<Source> {
  const read = JSON.parse(lenient(file.text)) as Record<string, unknown>;
  const title = file.name.replace(/\.[^.]+$/, '');
  let graph = (typeof read.prompt === 'object' && read.prompt !== null && !Array.isArray(read.prompt) ? read.prompt : read) as Record<string, GraphNode>;
  let warnings: string[] = [];
  if (Array.isArray(read.nodes)) {
    // The text goes as it is: this page cannot hold every number in it.
    const made = await sendReady<Converted>('/api/v1/workflows/convert', `{"workflow":${file.text}${instance === undefined ? '' : `,"instance":${JSON.stringify(instance)}`}}`);
    graph = made.workflow;
    warnings = made.warnings.map((warning) => warning.message);
  }
  const nodes = Object.values(graph);
  if (nodes.length === 0 || !nodes.every((node) => typeof node?.class_type === 'string')) {
    throw new Problem(400, { code: 'no_workflow', message: `“${file.name}” is no workflow of ComfyUI.`, hint: 'A workflow in API format has ids with class_type, a canvas has nodes and links.' });
  }
  const isDrawn = Array.isArray(read.nodes);
  const form = formOf(graph, await classesOf(nodes, instance));
  return { key: file.key ?? `file ${file.name}`, title, description: undefined, template: undefined, text: file.text, canvas: isDrawn ? undefined : file.canvas, graph, form, drawn: isDrawn ? drawnIn(read, form) : new Set(), warnings };
}

/** The fields with a text that is not in the canvas as it is, if the canvas has texts that are drawn. */
function drawnIn(canvas: Record<string, unknown>, form: readonly Field[]): ReadonlySet<string> {
  const texts = new Set<string>();
  const gather = (value: unknown): void => {
    if (typeof value === 'string') texts.add(value);
    else if (value !== null && typeof value === 'object') Object.values(value).forEach(gather);
  };
  gather(canvas);
  if (![...texts].some((text) => /\{[^{}]*\|[^{}]*\}|%[^%\n]+%/.test(text))) return new Set();
  return new Set(form.filter(({ default: own }) => typeof own === 'string' && own !== '' && !texts.has(own)).map((field) => field.id));
}

/** What the instance says of the classes of a graph; nothing where it cannot be asked, then the form has no lists to choose from. */
async function classesOf(nodes: GraphNode[], instance: string | undefined): Promise<Record<string, ClassInfo>> {
  if (instance === undefined) return {};
  const names = [...new Set(nodes.map((node) => node.class_type))];
  const asked = names.map(async (name) => {
    const { classes } = await get<{ classes: Record<string, ClassInfo> }>(`/api/v1/instances/${encodeURIComponent(instance)}/object_info?class=${encodeURIComponent(name)}`);
    return classes;
  });
  const answers = await Promise.allSettled(asked);
  return Object.assign({}, ...answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : {}))) as Record<string, ClassInfo>;
}
