/** Starts the real program for a test, on a free port and with a data directory of its own, and ends it by its id. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { once } from 'node:events';

const HERE = import.meta.dirname;
/** The program: that of this tree, unless another is named. */
export const COMFYD = process.env.COMFYD_BIN ?? resolve(HERE, '../../target/debug/comfyd');
export const FAKECOMFY = process.env.FAKECOMFY_BIN ?? resolve(HERE, '../../target/debug/fakecomfy');

/** Waits until `find` gives something, or says what was waited for. */
export async function until(what, find, within = 60_000) {
  const deadline = Date.now() + within;
  for (;;) {
    const found = await find();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

class Process {
  constructor(child) {
    this.child = child;
    this.text = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (this.text += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (this.text += text));
  }

  async says(pattern, within) {
    const found = await until(`${pattern} from ${this.child.spawnfile}; it said:\n${this.text}`, () => pattern.exec(this.text) ?? (this.child.exitCode !== null ? ['ended'] : undefined), within);
    if (found[0] === 'ended') throw new Error(`it ended: ${this.text}`);
    return found[1];
  }

  async end(signal = 'SIGTERM') {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const over = once(this.child, 'exit');
    this.child.kill(signal);
    await over;
  }
}

/** A simulated ComfyUI. `scale` above 1 is faster than life. */
export async function startComfy({ scale = 1, port = 0 } = {}) {
  const run = new Process(spawn(FAKECOMFY, ['--port', String(port), '--time-scale', String(scale)], { stdio: ['ignore', 'pipe', 'pipe'] }));
  const url = await run.says(/(http:\/\/127\.0\.0\.1:\d+)/);
  return { url, port: Number(new URL(url).port), end: (signal) => run.end(signal ?? 'SIGKILL') };
}

/** A server on a simulated ComfyUI. */
export async function startServer({ comfy, data, port = 0, config, patience, env = {} } = {}) {
  const own = data === undefined;
  const folder = data ?? (await mkdtemp(join(tmpdir(), 'comfyd-ui-')));
  const begin = async (port) => {
    const args = ['serve', '--data-dir', folder, '--listen', `127.0.0.1:${port}`, ...(comfy ? ['--url', comfy] : []), ...(config ? ['--config', config] : [])];
    const run = new Process(spawn(COMFYD, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, COMFYD_TOKEN: undefined, ...env } }));
    return { run, origin: await run.says(/Open (http:\/\/127\.0\.0\.1:\d+)/, patience) };
  };
  const { run, origin } = await begin(port);
  const token = (await readFile(join(folder, 'token'), 'utf8')).trim();
  return made(run, `${origin}/#token=${token}`, folder, own, async (port) => (await begin(port)).run);
}

/** The demo, as a new user starts it. */
export async function startDemo({ speed = 1 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'comfyd-ui-'));
  const run = new Process(spawn(COMFYD, ['demo', '--data-dir', folder, '--listen', '127.0.0.1:0', '--speed', String(speed)], { stdio: ['ignore', 'pipe', 'pipe'] }));
  const page = await run.says(/(http:\/\/127\.0\.0\.1:\d+\/#token=\S+)/);
  return made(run, page, folder, true);
}

function made(begun, page, folder, own, again) {
  let run = begun;
  const origin = new URL(page).origin;
  const token = page.split('#token=')[1];
  const call = async (method, path, body, headers = {}) => {
    const response = await fetch(origin + path, { method, headers: { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : text;
  };
  return {
    page, origin, token, folder, call,
    port: Number(new URL(origin).port),
    get pid() { return run.child.pid; },
    output: () => run.text,
    /** Ends it, and leaves its data where they are; `start` goes on with them, at the same address. */
    stop: (signal) => run.end(signal),
    start: async () => {
      run = await again(Number(new URL(origin).port));
    },
    end: async () => {
      await run.end();
      if (own) await rm(folder, { recursive: true, force: true });
    },
    run: async (id) => (await fetch(`${origin}/api/v1/runs/${id}`, { headers: { Authorization: `Bearer ${token}` } })).json(),
  };
}
