/** The form of a workflow that is no template: its values, in the order in which people change them. The server makes those of templates. */
import type { Field, GraphNode } from '../api/types';
import { isLink } from '../run/inputs/inputs';

/** What a class of nodes says of its inputs, as `object_info` has it. */
export interface ClassInfo {
  input?: { required?: Record<string, unknown[]>; optional?: Record<string, unknown[]> };
}

const BY_NAME: Record<string, Field['kind']> = {
  seed: 'seed', noise_seed: 'seed', steps: 'steps', cfg: 'cfg', sampler_name: 'sampler', scheduler: 'scheduler', width: 'size', height: 'size', ckpt_name: 'model', unet_name: 'model', vae_name: 'model', lora_name: 'model',
  clip_name: 'model', clip_name1: 'model', clip_name2: 'model', control_net_name: 'model',
};
const GROUPS: Partial<Record<Field['kind'], string>> = {
  prompt: 'prompt', negative_prompt: 'prompt', image: 'media', video: 'media', audio: 'media', size: 'size', seed: 'sampling', steps: 'sampling', cfg: 'sampling', sampler: 'sampling', scheduler: 'sampling', model: 'model',
};
const ORDER = ['prompt', 'media', 'size', 'sampling', 'model'];
const LOADS: Record<string, Field['kind']> = { image: 'image', video: 'video', file: 'video', audio: 'audio' };

/** The fields of a graph. `classes` makes lists to choose from, and bounds. */
export function formOf(graph: Record<string, GraphNode>, classes: Record<string, ClassInfo>): Field[] {
  const fields = Object.entries(graph).flatMap(([id, node]) => Object.entries(node.inputs ?? {}).flatMap(([input, value]) => {
    if (isLink(value) || value === null || typeof value === 'object') return [];
    return [fieldOf(id, node, input, value, classes)];
  }));
  const rank = (field: Field): number => (field.advanced ? 100 : 0) + (ORDER.indexOf(field.group) + 1 || 50);
  return fields.sort((a, b) => rank(a) - rank(b));
}

function fieldOf(id: string, node: GraphNode, input: string, value: unknown, classes: Record<string, ClassInfo>): Field {
  const info = classes[node.class_type]?.input;
  const [type, extra] = (info?.required?.[input] ?? info?.optional?.[input] ?? []) as [unknown, Record<string, unknown> | undefined];
  const options = Array.isArray(type) ? type : Array.isArray(extra?.options) ? extra.options : undefined;
  const kind = kindOf(node, input, value, options !== undefined);
  const group = GROUPS[kind];
  const title = node._meta?.title ?? node.class_type;
  const bound = (name: string): Record<string, unknown> => (extra?.[name] === undefined ? {} : { [name]: extra[name] });
  return {
    id: `${id}.${input}`, node_id: id, node_title: title, node_type: node.class_type, input, kind, label: words(input, kind), default: value, required: true, advanced: group === undefined, group: group ?? `node:${id}`,
    ...(options && { options }), ...bound('min'), ...bound('max'), ...bound('step'), ...(typeof extra?.tooltip === 'string' && { tooltip: extra.tooltip }), ...(extra?.multiline === true && { multiline: true }),
  };
}

function kindOf(node: GraphNode, input: string, value: unknown, chosen: boolean): Field['kind'] {
  if (/^(VHS_)?Load(Image|Video|Audio)/.test(node.class_type)) {
    const loads = LOADS[input];
    if (loads && typeof value === 'string') return loads;
  }
  const named = BY_NAME[input];
  if (named && (typeof value === 'number' || chosen || named === 'model')) return named;
  if (typeof value === 'string' && !chosen) {
    if (/TextEncode/.test(node.class_type)) return /negativ/i.test(node._meta?.title ?? '') ? 'negative_prompt' : 'prompt';
    return 'text';
  }
  if (chosen) return 'choice';
  if (typeof value === 'boolean') return 'boolean';
  return Number.isInteger(value) ? 'integer' : 'number';
}

function words(input: string, kind: Field['kind']): string {
  if (kind === 'prompt') return 'Prompt';
  if (kind === 'negative_prompt') return 'Negative prompt';
  const text = input.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
