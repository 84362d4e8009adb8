/** JSON merge patches (RFC 7396), and the lists of a live state. */
import type { Node, Output, Run } from '../api/types';

/** A run as the live stream has it: what patches must be able to name is keyed. */
export interface LiveRun extends Omit<Run, 'nodes' | 'outputs'> {
  nodes: Record<string, Node & { index: number }>;
  outputs: Record<string, Output>;
}

type Plain = Record<string, unknown>;

function isObject(value: unknown): value is Plain {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** A value after a merge patch. What the patch does not name is shared with the value before. Objects have no prototype, as names in them come from outside. */
export function merged<T>(value: T, patch: unknown): T {
  if (!isObject(patch)) return patch as T;
  const result: Plain = Object.create(null) as Plain;
  if (isObject(value)) Object.assign(result, value);
  for (const key of Object.keys(patch)) {
    const change = patch[key];
    if (change === null) delete result[key];
    else result[key] = merged(result[key], change);
  }
  return result as T;
}

/**
 * A value after many merge patches. What none of them names is shared with the value before; what they name is copied once and not for each of them,
 * so that a thousand small patches of a large value cost no more than what they say.
 */
export function mergedAll<T>(value: T, patches: readonly unknown[]): T {
  const own = new Set<unknown>();
  let result: unknown = value;
  for (const patch of patches) result = mergedInto(result, patch, own);
  return result as T;
}

function mergedInto(value: unknown, patch: unknown, own: Set<unknown>): unknown {
  if (!isObject(patch)) return patch;
  let result: Plain;
  if (isObject(value) && own.has(value)) result = value;
  else {
    result = Object.create(null) as Plain;
    if (isObject(value)) Object.assign(result, value);
    own.add(result);
  }
  for (const key of Object.keys(patch)) {
    const change = patch[key];
    if (change === null) delete result[key];
    else result[key] = isObject(change) ? mergedInto(result[key], change, own) : change;
  }
  return result;
}

/** The run of a live state, its nodes and outputs as lists. */
export function listed(live: LiveRun): Run {
  const nodes = Object.values(live.nodes ?? {}).sort((a, b) => a.index - b.index);
  const outputs = Object.values(live.outputs ?? {}).sort((a, b) => a.n - b.n);
  return { ...live, nodes, outputs };
}
