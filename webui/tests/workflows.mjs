/** Workflows for tests; the simulator runs them as a ComfyUI would. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const folder = resolve(import.meta.dirname, '../../fixtures/workflows');

/** A workflow of the fixtures, each time as a new object. */
export function workflow(name) {
  return JSON.parse(readFileSync(resolve(folder, `${name}.json`), 'utf8'));
}
