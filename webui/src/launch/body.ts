/** A form as the body of a request. */
import type { Source } from './source';
import { inputsText, isFile, type Values } from './values';

/** Above what others wait with. */
const TO_THE_FRONT = 100;

/** How it is to be run. */
export interface Manner {
  /** The instance; undefined for the default. */
  instance: string | undefined;
  name: string;
  /** Whether it goes before those that wait. */
  front: boolean;
  /** Whether it is queued also where the instance is known to refuse it. */
  unchecked: boolean;
}

/** What is sent of a form. */
export function bodyOf(source: Source, values: Values, files: Record<string, File>, { instance, name, front, unchecked }: Manner): FormData {
  const body = new FormData();
  if (source.template !== undefined) body.set('template', source.template);
  else body.set('workflow', source.text ?? JSON.stringify(source.graph));
  if (source.canvas !== undefined) body.set('canvas', source.canvas);
  const inputs = inputsText(source.form, values, files);
  if (inputs !== '{}') body.set('inputs', inputs);
  if (instance !== undefined) body.set('instance', instance);
  body.set('workflow_name', name || source.title);
  if (unchecked) body.set('validate', 'false');
  if (front) body.set('priority', String(TO_THE_FRONT));
  for (const field of source.form) {
    const file = files[field.id];
    if (file && isFile(field)) body.set(`input_images[${field.node_id}]`, file, file.name);
  }
  return body;
}

/** A batch of a form, as the text of JSON; `variations` is such a text. */
export function batchOf(source: Source, values: Values, { instance, name, unchecked }: Manner, variations: string): string {
  const members: [string, string][] = [
    source.template !== undefined ? ['template', JSON.stringify(source.template)] : ['workflow', source.text ?? JSON.stringify(source.graph)],
    ['inputs', inputsText(source.form, values, {})], ['workflow_name', JSON.stringify(name || source.title)], ['variations', variations],
  ];
  if (source.canvas !== undefined) members.push(['canvas', source.canvas]);
  if (unchecked) members.push(['validate', 'false']);
  if (instance !== undefined) members.push(['instance', JSON.stringify(instance)]);
  return `{${members.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`;
}
