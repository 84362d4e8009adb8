/** What comes from outside stays text, and pages of other origins can do nothing. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { openBrowser } from './browser.mjs';
import { until } from './server.mjs';
import { stage } from './stage.mjs';

const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"><svg onload=window.hacked=1> javascript:window.hacked=1 \u202Egnp.exe ${7*7} {{7*7}}';

const on = stage({ scale: 10 });

/** A picture that is not there has failed to load by now, and with it every one that was begun before. */
const sawErrors = (page) => page.evaluate(() => new Promise((done) => Object.assign(new Image(), { onerror: done }).src = '/x'));

test('hostile names, titles, inputs, error texts and outputs do not run', async () => {
  const graph = {
    1: { class_type: 'TextOut', inputs: { text: HOSTILE }, _meta: { title: HOSTILE } },
    2: { class_type: 'EmptyImage', inputs: { width: 32, height: 32, batch_size: 1, color: 7 }, _meta: { title: '__proto__' } },
    __proto__x: { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'a<b>&"c\'' }, _meta: { title: HOSTILE } },
  };
  const good = (await on.server.call('POST', '/api/v1/runs', { workflow: graph, workflow_name: HOSTILE })).run_id;
  const fails = { 1: { class_type: 'Fail', inputs: { message: HOSTILE, trigger: 1 }, _meta: { title: HOSTILE } }, 2: graph[2], 3: { ...graph.__proto__x } };
  fails[1].inputs.anything = ['2', 0];
  const bad = (await on.server.call('POST', '/api/v1/runs', { workflow: fails, workflow_name: `fails ${HOSTILE}` })).run_id;
  await until('their end', async () => (await Promise.all([good, bad].map((id) => on.server.run(id)))).every((run) => ['completed', 'failed'].includes(run.status)));
  const page = await on.open();
  for (const id of [good, bad]) {
    for (const tab of ['events', 'outputs', 'inputs', 'json']) {
      await page.goto(`${on.server.origin}/?run=${id}&tab=${tab}&node=1&q=${encodeURIComponent(HOSTILE)}`);
      await page.waitForSelector('.graph .node');
      await sawErrors(page);
      assert.equal(await page.evaluate(() => window.hacked), undefined, `${id} ${tab}`);
    }
  }
  await page.goto(`${on.server.origin}/?run=${good}`);
  await page.waitForSelector('.run-head h2');
  assert.equal((await page.textContent('.run-head h2')).trim(), HOSTILE, 'it is shown as it is');
  await page.keyboard.press('Control+k');
  await page.waitForSelector('.palette li');
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('img[src="x"], svg[onload], [onerror]').count(), 0);
  await page.close();
});

test('a page of another origin can read and change nothing', async () => {
  const page = await on.open();
  const before = (await on.server.call('GET', '/api/v1/runs?limit=1')).total;
  const other = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<title>other</title>'));
  await new Promise((done) => other.listen(0, '127.0.0.1', done));
  try {
    // The same host with another port is the hardest case: cookies do not know ports.
    for (const host of ['127.0.0.1', 'localhost']) {
      const stranger = await on.browser.page(`http://${host}:${other.address().port}/`);
      const got = await stranger.evaluate(async (origin) => {
        const graph = { 1: { class_type: 'TextOut', inputs: { text: 'x' } } };
        const body = JSON.stringify({ workflow: graph });
        const tries = {
          read: () => fetch(`${origin}/api/v1/runs`, { credentials: 'include' }),
          start: () => fetch(`${origin}/comfyui/workflow/execute`, { method: 'POST', credentials: 'include', headers: { 'Content-Type': 'application/json' }, body }),
          plain: () => fetch(`${origin}/comfyui/workflow/execute`, { method: 'POST', credentials: 'include', headers: { 'Content-Type': 'text/plain' }, body }),
          blind: () => fetch(`${origin}/comfyui/workflow/execute`, { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'Content-Type': 'text/plain' }, body }),
          own: () => fetch(`${origin}/api/v1/runs`, { method: 'POST', credentials: 'include', headers: { 'X-Comfyd': '1', 'Content-Type': 'application/json' }, body }),
        };
        const results = {};
        for (const [name, attempt] of Object.entries(tries)) results[name] = await attempt().then((answer) => (answer.type === 'opaque' ? 'opaque' : answer.status), () => 'refused');
        results.stream = await new Promise((done) => {
          const source = new EventSource(`${origin}/api/v1/events`, { withCredentials: true });
          source.onopen = () => done('opened');
          source.onerror = () => done('refused');
        });
        const form = document.createElement('form');
        Object.assign(form, { method: 'post', action: `${origin}/comfyui/workflow/execute`, enctype: 'text/plain' });
        const field = Object.assign(document.createElement('input'), { name: body.slice(0, -1) + ',"x":"', value: '"}' });
        form.append(field);
        const frame = Object.assign(document.createElement('iframe'), { name: 'frame' });
        document.body.append(form, frame);
        form.target = 'frame';
        form.submit();
        await new Promise((done) => (frame.onload = done));
        return results;
      }, on.server.origin);
      assert.deepEqual(got, { read: 'refused', start: 'refused', plain: 'refused', blind: 'opaque', own: 'refused', stream: 'refused' }, host);
      const framed = await stranger.evaluate((origin) => new Promise((done) => {
        const frame = Object.assign(document.createElement('iframe'), { src: origin });
        frame.onload = () => {
          try {
            done(frame.contentDocument?.title ?? 'closed');
          } catch {
            done('closed');
          }
        };
        document.body.append(frame);
      }), on.server.origin);
      assert.notEqual(framed, 'comfyd');
      await stranger.close();
    }
  } finally {
    other.close();
  }
  assert.equal((await on.server.call('GET', '/api/v1/runs?limit=1')).total, before, 'no run was made');
  await page.close();
});

test('the policy forbids code and style that is not a file of ours', async () => {
  const page = await on.browser.page(on.server.page);
  const answer = await page.request.get(on.server.origin);
  const policy = answer.headers()['content-security-policy'];
  assert.match(policy, /default-src 'self'/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  await page.waitForSelector('[data-link=live]');
  const blocked = await page.evaluate(async () => {
    const told = new Promise((done) => document.addEventListener('securitypolicyviolation', done, { once: true }));
    const script = document.createElement('script');
    script.textContent = 'window.hacked = 1';
    document.body.append(script);
    return (await told).violatedDirective.startsWith('script-src') && window.hacked === undefined;
  });
  assert.ok(blocked);
  await page.close();
});

test('the sources write text only as text', () => {
  const folder = resolve(import.meta.dirname, '../src');
  const files = readdirSync(folder, { recursive: true }).map(String).filter((name) => /\.(ts|tsx)$/.test(name));
  assert.ok(files.length > 30);
  for (const name of files) {
    const text = readFileSync(join(folder, name), 'utf8');
    assert.doesNotMatch(text, /dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|new Function|\beval\(|setAttribute\(['"]style/, name);
  }
});

test('the first load is below 100 kB, all of it compressed, and asks nobody else', async () => {
  const assets = resolve(import.meta.dirname, '../dist/assets');
  const entry = readFileSync(resolve(assets, '../index.html'), 'utf8');
  const named = [...entry.matchAll(/\/assets\/([^"]+)/g)].map((match) => match[1]);
  const worker = readdirSync(assets).filter((name) => /^worker-.*\.js$/.test(name));
  const size = ['../index.html', ...named, ...worker].reduce((sum, name) => sum + statSync(join(assets, `${name}.gz`)).size, 0);
  assert.ok(size < 100_000, `${size} bytes`);
  const fresh = await openBrowser();
  const page = await fresh.page();
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(on.server.page);
  await page.waitForSelector('[data-link=live]');
  assert.deepEqual(asked.filter((url) => !url.startsWith(on.server.origin)), []);
  await fresh.close();
});

test('no page complained of anything but of what was tried', () => assert.deepEqual(on.browser.complaints.filter((text) => !/Content Security Policy|CORS|frame|Refused|blocked/i.test(text)), []));
