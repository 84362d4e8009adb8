/** Workflows inside pictures: ComfyUI writes them into PNG as texts, and into WebP as Exif. Read here, so that a picture need not be sent. */

/** What a file carries. */
export interface Carried {
  /** The graph in API format, as text. */
  prompt?: string;
  /** The canvas, as text. */
  workflow?: string;
}

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** A workflow is some hundred kilobytes; more than this is no workflow. */
const MOST_BYTES = 32 * 1024 * 1024;

/** What a PNG or WebP carries; nothing for other files and for pictures without a workflow. */
export async function carriedBy(file: Blob): Promise<Carried> {
  const data = new Uint8Array(await file.arrayBuffer());
  if (PNG.every((byte, index) => data[index] === byte)) return ofPng(data);
  if (word(data, 0) === 'RIFF' && word(data, 8) === 'WEBP') return ofWebp(data);
  return {};
}

function word(data: Uint8Array, at: number): string {
  return String.fromCharCode(...data.subarray(at, at + 4));
}

async function ofPng(data: Uint8Array): Promise<Carried> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const found: Carried = {};
  for (let at = 8; at + 12 <= data.length; ) {
    const length = view.getUint32(at);
    const kind = word(data, at + 4);
    const body = data.subarray(at + 8, at + 8 + length);
    if (kind === 'IEND' || body.length < length) break;
    const text = kind === 'tEXt' ? plainText(body) : kind === 'zTXt' ? await packedText(body) : kind === 'iTXt' ? await worldText(body) : undefined;
    if (text) take(found, text.key, text.value);
    at += 12 + length;
  }
  return found;
}

function take(found: Carried, key: string, value: string): void {
  if (key === 'prompt') found.prompt ??= value;
  else if (key === 'workflow') found.workflow ??= value;
}

interface Text {
  key: string;
  value: string;
}

function split(body: Uint8Array): { key: string; rest: Uint8Array } | undefined {
  const end = body.indexOf(0);
  return end < 0 ? undefined : { key: new TextDecoder('latin1').decode(body.subarray(0, end)), rest: body.subarray(end + 1) };
}

/** What writes pictures often writes UTF-8 where Latin-1 is said to be: a text that is UTF-8 is taken for that. */
function decoded(data: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return Array.from(data, (byte) => String.fromCharCode(byte)).join('');
  }
}

function plainText(body: Uint8Array): Text | undefined {
  const parts = split(body);
  return parts && { key: parts.key, value: decoded(parts.rest) };
}

async function packedText(body: Uint8Array): Promise<Text | undefined> {
  const parts = split(body);
  if (!parts) return undefined;
  return { key: parts.key, value: decoded(await inflated(parts.rest.subarray(1))) };
}

/** A text in any script: the word, two flags, language, translated word, text. */
async function worldText(body: Uint8Array): Promise<Text | undefined> {
  const parts = split(body);
  if (!parts) return undefined;
  const isPacked = parts.rest[0] === 1;
  const language = split(parts.rest.subarray(2));
  const translated = language && split(language.rest);
  if (!translated) return undefined;
  return { key: parts.key, value: new TextDecoder().decode(isPacked ? await inflated(translated.rest) : translated.rest) };
}

async function inflated(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data.slice()]).stream().pipeThrough(new DecompressionStream('deflate'));
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream as unknown as AsyncIterable<Uint8Array>) {
    size += part.length;
    if (size > MOST_BYTES) throw new Error('The text inside the picture is too long to be a workflow.');
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

/** Exif holds texts that begin with `prompt:` or `workflow:`. */
function ofWebp(data: Uint8Array): Carried {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const found: Carried = {};
  for (let at = 12; at + 8 <= data.length; ) {
    const length = view.getUint32(at + 4, true);
    if (word(data, at) === 'EXIF') {
      for (const text of textsOfExif(data.subarray(at + 8, at + 8 + length))) {
        const end = text.indexOf(':');
        if (end > 0) take(found, text.slice(0, end).toLowerCase(), text.slice(end + 1));
      }
    }
    at += 8 + length + (length % 2);
  }
  return found;
}

const TEXT_KIND = 2;

/** The texts of the first directory of an Exif block. */
function textsOfExif(block: Uint8Array): string[] {
  const from = word(block, 0) === 'Exif' ? 6 : 0;
  const data = block.subarray(from);
  if (data.length < 8) return [];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const little = view.getUint16(0) === 0x4949;
  const start = view.getUint32(4, little);
  if (start + 2 > data.length) return [];
  const count = view.getUint16(start, little);
  const texts: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const entry = start + 2 + index * 12;
    if (entry + 12 > data.length) break;
    const length = view.getUint32(entry + 4, little);
    if (view.getUint16(entry + 2, little) !== TEXT_KIND) continue;
    const at = length <= 4 ? entry + 8 : view.getUint32(entry + 8, little);
    texts.push(new TextDecoder().decode(data.subarray(at, at + length)).replace(/\0+$/, ''));
  }
  return texts;
}
