/** Files with workflows inside, and the hand that drops them. */
import { crc32, deflateSync } from 'node:zlib';

/** Drops a file onto an element as a hand would. */
export async function drop(page, name, type, data, onto = 'body') {
  const files = await page.evaluateHandle(([name, type, base]) => {
    const bytes = Uint8Array.from(atob(base), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    return transfer;
  }, [name, type, Buffer.from(data).toString('base64')]);
  await page.dispatchEvent(onto, 'dragover', { dataTransfer: files });
  await page.dispatchEvent(onto, 'drop', { dataTransfer: files });
}

function chunk(kind, body) {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const rest = Buffer.concat([Buffer.from(kind), body]);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(rest));
  return Buffer.concat([length, rest, sum]);
}

/** A picture of one point, with texts as ComfyUI writes them. */
export function png(texts = {}) {
  const head = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
  const parts = Object.entries(texts).map(([key, text]) => chunk('tEXt', Buffer.from(`${key}\0${text}`, 'latin1')));
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), chunk('IHDR', head), ...parts, chunk('IDAT', deflateSync(Buffer.from([0, 0]))), chunk('IEND', Buffer.alloc(0))]);
}

/** A WebP with Exif as ComfyUI writes it: texts in its first directory. */
export function webp(texts) {
  const values = texts.map((text) => Buffer.from(`${text}\0`));
  let at = 8 + 2 + values.length * 12 + 4;
  const head = Buffer.from('II*\0\x08\0\0\0', 'latin1');
  const count = Buffer.alloc(2);
  count.writeUInt16LE(values.length);
  const entries = values.map((value, index) => {
    const entry = Buffer.alloc(12);
    entry.writeUInt16LE(0x0110 - index, 0);
    entry.writeUInt16LE(2, 2);
    entry.writeUInt32LE(value.length, 4);
    entry.writeUInt32LE(at, 8);
    at += value.length;
    return entry;
  });
  const exif = Buffer.concat([head, count, ...entries, Buffer.alloc(4), ...values]);
  const body = Buffer.concat([exif, Buffer.alloc(exif.length % 2)]);
  const size = (length) => { const four = Buffer.alloc(4); four.writeUInt32LE(length); return four; };
  return Buffer.concat([Buffer.from('RIFF'), size(12 + body.length), Buffer.from('WEBP'), Buffer.from('EXIF'), size(exif.length), body]);
}
