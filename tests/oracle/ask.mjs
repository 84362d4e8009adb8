// Asks ComfyUI's own page what it would send for a canvas file.
//
//   node ask.mjs --frontend DIR --object-info FILE --modules DIR --out DIR FILE...
//
// --frontend: the folder `static` of the PyPI package comfyui-frontend-package. --modules: a folder with node_modules/playwright-core.
// Writes OUT/NAME.json per file: {"output": the graph for the API, "log": what the page complained of} or {"error": "..."}.
// The page is served from here beside a stub of ComfyUI that knows nothing but the classes of --object-info.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, extname, join, normalize, resolve } from 'node:path';

const PATIENCE_MS = 60_000;
const MAX_COMPLAINTS = 20;

function readArguments(words) {
  const options = { files: [] };
  for (let at = 0; at < words.length; at += 1) {
    if (words[at].startsWith('--')) options[words[at].slice(2)] = words[(at += 1)];
    else options.files.push(words[at]);
  }
  for (const name of ['frontend', 'object-info', 'modules', 'out']) {
    if (!options[name]) throw new Error(`--${name} is missing`);
  }
  return options;
}

const TYPES = {
  '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.png': 'image/png', '.ico': 'image/x-icon', '.wasm': 'application/wasm',
};

// What ComfyUI answers when it has just been installed.
function stub(classes, extensions) {
  const empty = { jobs: [], pagination: { offset: 0, limit: 200, total: 0, has_more: false } };
  const system = {
    os: 'posix', ram_total: 1, ram_free: 1, comfyui_version: '0.3.75', required_frontend_version: '0', python_version: '3.11',
    pytorch_version: '2.11', embedded_python: false, argv: ['main.py'],
  };
  return {
    '/object_info': classes,
    '/system_stats': JSON.stringify({ system, devices: [] }),
    '/users': JSON.stringify({ storage: 'server', migrated: true }),
    '/settings': JSON.stringify({ 'Comfy.TutorialCompleted': true, 'Comfy.Workflow.ShowMissingModelsWarning': false, 'Comfy.Workflow.ShowMissingNodesWarning': false, 'Comfy.InstalledVersion': '1.0.0' }),
    '/extensions': JSON.stringify(extensions),
    '/queue': JSON.stringify({ queue_running: [], queue_pending: [] }),
    '/prompt': JSON.stringify({ exec_info: { queue_remaining: 0 } }),
    '/history': '{"History": []}', '/jobs': JSON.stringify(empty), '/embeddings': '[]', '/models': '[]', '/experiment/models': '[]',
    '/v2/userdata': '[]', '/features': '{}', '/i18n': '{}', '/workflow_templates': '{}', '/global_subgraphs': '{}', '/system_info': '{}',
    '/customnode/getmappings': '{}', '/internal/logs/raw': '{"entries": [], "size": {"cols": 80, "rows": 24}}',
    '/node_replacements': '{}', '/assets': '{"assets": [], "total": 0, "has_more": false}',
  };
}

function frame(text) {
  const body = Buffer.from(text);
  const head = body.length < 126 ? Buffer.from([0x81, body.length]) : Buffer.from([0x81, 126, body.length >> 8, body.length & 255]);
  return Buffer.concat([head, body]);
}

function serve(options) {
  const root = resolve(options.frontend);
  const core = join(root, 'extensions');
  const list = existsSync(core) ? readdirSync(core, { recursive: true }).filter((name) => name.endsWith('.js')) : [];
  const answers = stub(readFileSync(options['object-info'], 'utf8'), list.map((name) => `/extensions/${name}`));
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const api = pathname.startsWith('/api/') ? pathname.slice(4) : null;
    if (api !== null) {
      const answer = answers[api] ?? (api.startsWith('/userdata') && request.method === 'GET' ? (api === '/userdata' ? '[]' : null) : '{}');
      response.writeHead(answer === null ? 404 : 200, { 'Content-Type': 'application/json' });
      response.end(answer ?? '');
      return;
    }
    const file = join(root, normalize(pathname === '/' ? '/index.html' : decodeURIComponent(pathname)));
    if (!file.startsWith(root) || !existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream', 'Cache-Control': 'no-store' });
    response.end(readFileSync(file));
  });
  server.on('upgrade', (request, socket) => {
    const key = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`);
    socket.write(frame(JSON.stringify({ type: 'status', data: { status: { exec_info: { queue_remaining: 0 } }, sid: 'oracle' } })));
    socket.on('error', () => {});
  });
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server)));
}

async function openPage(options, port, profile) {
  const require = createRequire(join(resolve(options.modules), 'package.json'));
  const { chromium } = require('playwright-core');
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints = [];
  page.on('console', (message) => {
    if (['warning', 'error'].includes(message.type())) complaints.push(message.text().slice(0, 400));
  });
  page.on('pageerror', (error) => complaints.push(`exception: ${error}`.slice(0, 400)));
  page.on('dialog', (dialog) => dialog.dismiss());
  // Nothing outside is asked, and chance gives the same each time.
  await context.route('**/*', (route) => (new URL(route.request().url()).hostname === '127.0.0.1' ? route.continue() : route.abort()));
  await page.addInitScript(() => { Math.random = () => 0; });
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.waitForFunction(() => (window.app ?? window.comfyAPI?.app?.app)?.graph && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 20, null, { timeout: PATIENCE_MS });
  // The canvas is made after the list of classes.
  await page.waitForFunction(() => (window.app ?? window.comfyAPI.app.app).canvas?.canvas, null, { timeout: PATIENCE_MS });
  return { context, page, complaints };
}

async function ask(page, text) {
  return page.evaluate(async (json) => {
    const app = window.app ?? window.comfyAPI.app.app;
    try {
      await app.loadGraphData(JSON.parse(json));
      await new Promise((done) => setTimeout(done, 30)); // The page settles widgets in its next frames.
      const { output } = await app.graphToPrompt();
      return { output };
    } catch (error) {
      return { error: String(error?.stack ?? error).slice(0, 1000) };
    }
  }, text);
}

const options = readArguments(process.argv.slice(2));
const profile = mkdtempSync(join(tmpdir(), 'comfyd-oracle-'));
const server = await serve(options);
const browser = await openPage(options, server.address().port, profile);
mkdirSync(options.out, { recursive: true });
let status = 0;
try {
  // Some widgets cannot be made before the page has drawn a graph once.
  if (options.files.length > 0) await ask(browser.page, readFileSync(options.files[0], 'utf8'));
  await browser.page.waitForTimeout(500);
  for (const file of options.files) {
    browser.complaints.length = 0;
    const answer = await ask(browser.page, readFileSync(file, 'utf8'));
    answer.log = browser.complaints.slice(0, MAX_COMPLAINTS);
    writeFileSync(join(options.out, `${basename(file, '.json')}.json`), `${JSON.stringify(answer, null, 1)}\n`);
    if (answer.error) status = 1;
  }
} finally {
  await browser.context.close();
  server.closeAllConnections();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
process.exitCode = status;
