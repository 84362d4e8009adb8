/** Long logs for tests, written as docs/format.md says: a run whose sampler told of many thousand steps. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

/** CRC-32C, masked. */
function masked(...parts) {
  let crc = 0xffffffff;
  for (const part of parts) for (const byte of part) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255];
  crc = (crc ^ 0xffffffff) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const HEADER = 20;
const FRAME = 28;

function payloadsOf(bytes) {
  const found = [];
  for (let at = HEADER; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    found.push(bytes.subarray(at + FRAME, at + FRAME + length));
    at += FRAME + length;
  }
  return found;
}

function log(header, payloads) {
  const pieces = [header];
  const salt = header.subarray(12, 16);
  let before = 0;
  payloads.forEach((payload, index) => {
    const frame = Buffer.alloc(FRAME);
    frame.writeUInt32LE(payload.length, 0);
    frame.writeBigUInt64LE(BigInt(index + 1), 8);
    frame.writeBigUInt64LE(BigInt(HEADER), 16);
    frame.writeUInt32LE(before, 24);
    before = masked(salt, frame.subarray(0, 4), frame.subarray(8, 16), frame.subarray(16, 24), frame.subarray(24, 28), payload);
    frame.writeUInt32LE(before, 4);
    pieces.push(frame, payload);
  });
  return Buffer.concat(pieces);
}

function text(value) {
  const bytes = Buffer.from(value);
  return bytes.length < 32 ? Buffer.concat([Buffer.from([0xa0 | bytes.length]), bytes]) : Buffer.concat([Buffer.from([0xd9, bytes.length]), bytes]);
}

function whole(value) {
  if (value < 128) return Buffer.from([value]);
  const bytes = Buffer.alloc(9);
  bytes[0] = 0xcf;
  bytes.writeBigUInt64BE(BigInt(value), 1);
  return bytes;
}

/** MessagePack of what such an event holds. */
function pack(value) {
  if (typeof value === 'string') return text(value);
  if (typeof value === 'number') return whole(value);
  if (typeof value === 'boolean') return Buffer.from([value ? 0xc3 : 0xc2]);
  if (Array.isArray(value)) return Buffer.concat([Buffer.from([0x90 | value.length]), ...value.map(pack)]);
  const members = Object.entries(value);
  return Buffer.concat([Buffer.from([0x80 | members.length]), ...members.flatMap(([key, member]) => [text(key), pack(member)])]);
}

/**
 * Makes the log of a finished run of a server that is not running longer: behind the event `after`, `steps` events of progress of a node.
 * Gives how many events it has.
 */
export function lengthen(data, run, { after, node, steps, at, each = 10 }) {
  const folder = join(data, 'runs', run);
  const path = join(folder, 'events.log');
  const bytes = readFileSync(path);
  const payloads = payloadsOf(bytes);
  const more = Array.from({ length: steps }, (_, index) => pack({ at: at + index * each, kind: 'nodes_progressed', version: 1, optional: false, data: { nodes: [{ node, done: index + 1, total: steps + 1 }] } }));
  const later = payloads.slice(after).map((payload) => {
    // The time is the first member of the map, as eight bytes.
    const moved = Buffer.from(payload);
    if (moved.toString('latin1', 1, 5) !== '\xa2at\xcf') throw new Error('the envelope has another form');
    moved.writeBigUInt64BE(moved.readBigUInt64BE(5) + BigInt(steps * each), 5);
    return moved;
  });
  const all = [...payloads.slice(0, after), ...more, ...later];
  writeFileSync(path, log(bytes.subarray(0, HEADER), all));
  // Both are copies of what the log says, and would name a log of another length. The run is in its own log, so the journal is not needed for it.
  rmSync(join(folder, 'state.json'), { force: true });
  rmSync(join(data, 'index.log'), { force: true });
  return all.length;
}
