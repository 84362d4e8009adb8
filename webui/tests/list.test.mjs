/** The list over a long past: runs are listed, scrolled, searched and filtered, and only the rows in sight exist. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { until } from './server.mjs';
import { FULL, stage } from './stage.mjs';
import { workflow } from './workflows.mjs';

const RUNS = FULL ? 100_000 : 5000;
const past = process.env.PAST_BIN ?? resolve(import.meta.dirname, '../../target/debug/examples/past');
const folder = mkdtempSync(join(tmpdir(), 'comfyd-past-'));
execFileSync(past, [String(RUNS), join(folder, 'data')]);
let page;

const on = stage({ server: { data: join(folder, 'data'), patience: 180_000 }, set: async ({ open }) => (page = await open('', '[data-run]')) });

after(() => rmSync(folder, { recursive: true, force: true }));

test('it scrolls through page after page with few rows at a time', async () => {
  const list = page.locator('.runs-scroll');
  const seen = new Set();
  const most = FULL ? 3000 : 1000;
  await until(`${most} runs`, async () => {
    const rows = await page.locator('[data-run]').evaluateAll((all) => all.map((row) => row.getAttribute('data-run')));
    assert.ok(rows.length < 80, `${rows.length} rows exist at once`);
    rows.forEach((row) => seen.add(row));
    // Less than a screen at a time, so that no row is jumped over.
    await list.evaluate((element) => element.scrollBy(0, element.clientHeight * 0.8));
    return seen.size >= most;
  }, 120_000);
  const ids = [...seen];
  assert.deepEqual(ids, [...ids].sort().reverse(), 'the newest first, none twice, none left out of its order');
});

/** The rows in sight with their places on the screen. */
const places = () => page.$$eval('.runs-scroll [data-run]', (rows) => {
  const box = document.querySelector('.runs-scroll').getBoundingClientRect();
  const seen = rows.map((row) => [row.dataset.run, row.getBoundingClientRect()]).filter(([, { top, bottom }]) => top >= box.top && bottom <= box.bottom);
  return Object.fromEntries(seen.map(([id, { top }]) => [id, Math.round(top)]));
});

test('a new run appears at the top; while one reads further below nothing moves under the pointer', async () => {
  const list = page.locator('.runs-scroll');
  const height = () => list.locator('.space').evaluate((space) => Number.parseFloat(space.style.height));
  await list.evaluate((element) => (element.scrollTop = 0));
  const first = await on.start(workflow('20_custom_slow_previews'), 'the newest of all');
  await page.waitForSelector(`[data-run="${first}"]`);
  assert.equal(await page.locator('[data-run]').first().getAttribute('data-run'), first);
  await on.ended(first);
  await page.waitForSelector(`[data-run="${first}"] .status-icon.completed`);

  await list.evaluate((element) => (element.scrollTop = 3000));
  await until('rows further below', async () => !(first in (await places())) && Object.keys(await places()).length > 5);
  const before = await places();
  const tall = await height();
  const more = [await on.start(workflow('20_custom_slow_previews'), 'while one reads'), await on.start(workflow('20_custom_slow_previews'), 'while one reads')];
  await until('both in the list', async () => (await height()) >= tall + 2 * 54);
  assert.deepEqual(await places(), before, 'two rows and a heading came above');
  for (const id of more) await on.ended(id);
  // They go from those that run to those of today: a heading goes.
  await until('the heading to go', async () => (await height()) === tall + 2 * 54);
  assert.deepEqual(await places(), before, 'a heading went above');
  await list.evaluate((element) => (element.scrollTop = 0));
  await page.waitForSelector(`[data-run="${more[1]}"]`);
});

test('scrolling is smooth while a run goes on', async () => {
  const list = page.locator('.runs-scroll');
  const id = await on.endless('goes on');
  await page.waitForSelector(`[data-run="${id}"]`);
  const frames = await list.evaluate((element) => new Promise((done) => {
    const times = [];
    let last = performance.now();
    const step = (now) => {
      times.push(now - last);
      last = now;
      element.scrollBy(0, 40);
      if (times.length < 120) requestAnimationFrame(step);
      else done(times.sort((a, b) => a - b));
    };
    requestAnimationFrame(step);
  }));
  await on.server.call('POST', `/api/v1/runs/${id}/cancel`, {});
  await on.ended(id, 'cancelled');
  await list.evaluate((element) => (element.scrollTop = 0));
  console.log(`# scrolling through a list of ${RUNS} runs during a run: frames of ${frames[60].toFixed(1)} ms (median), ${frames[113].toFixed(1)} ms (95 %)`);
});

test('a search and a filter ask the server, and their emptiness says what was asked', async () => {
  const { runs } = await on.server.call('GET', '/api/v1/runs?limit=1&status=failed');
  await page.getByRole('button', { name: 'Failed', exact: true }).click();
  await page.waitForSelector(`[data-run="${runs[0].run_id}"]`);
  await page.waitForFunction(() => document.querySelectorAll('[data-run]').length > 0 && document.querySelectorAll('.runs-column .status-icon:not(.failed)').length === 0);
  const oldest = (await on.server.call('GET', '/api/v1/runs?limit=1&before=2024-11-21T10:15:01Z')).runs[0];
  assert.ok(oldest, 'the first of all');
  await page.getByRole('button', { name: 'All', exact: true }).click();
  await page.locator('#search').fill(oldest.run_id);
  await page.waitForSelector(`[data-run="${oldest.run_id}"]`);
  await page.locator('#search').fill('nobody is called so');
  await page.waitForSelector('.empty');
  await until('the words', async () => /No runs match/.test(await page.textContent('.runs-column .empty')));
  assert.match(await page.textContent('.runs-column .empty'), /nobody is called so/);
  await page.getByRole('button', { name: 'Clear the filter' }).click();
  await page.waitForSelector('[data-run]');
  await page.reload();
  await page.waitForSelector('[data-run]');
});

test('a batch is one row: cancel all asks once, and says how many', async () => {
  const graph = workflow('20_custom_slow_previews');
  graph['1'].inputs.steps = 5000;
  const MANY = FULL ? 1000 : 40;
  for (let index = 0; index < MANY / 40; index += 1) {
    graph['1'].inputs.seed = 900_000 + 100 * index;
    await on.server.call('POST', '/api/v1/batches', { workflow: graph, workflow_name: 'many at once', variations: Array.from({ length: 40 }, (_, seed) => ({ inputs: { '2.seed': index * 100 + seed } })) });
  }
  // Of those of a batch that fit a filter two are here; what would be stopped is the server's count.
  const [{ batch }] = (await on.server.call('GET', '/api/v1/runs?limit=1&name=many%20at%20once')).runs;
  const { runs } = await on.server.call('GET', `/api/v1/batches/${batch}`);
  for (const { run_id: id } of runs.slice(-2)) {
    await on.server.call('POST', `/api/v1/runs/${id}/cancel`, {});
    await on.ended(id, 'cancelled');
  }
  await page.getByRole('button', { name: 'Cancelled', exact: true }).click();
  const row = page.locator(`[data-batch="${batch}"]`);
  await row.filter({ hasText: '2 here' }).getByRole('button', { name: 'cancel 38' }).waitFor();
  assert.match(await row.textContent(), /many at once × 40.*2\/40/);
  await row.getByRole('button', { name: 'cancel 38' }).click();
  await page.getByRole('heading', { name: 'Cancel the 38 runs of this batch' }).waitFor();
  await page.getByRole('button', { name: 'No', exact: true }).click();
  await page.getByRole('button', { name: 'All', exact: true }).click();
  const button = row.getByRole('button', { name: 'cancel 38' });
  await button.click();
  await page.getByRole('button', { name: 'Yes, cancel 38' }).waitFor();
  assert.equal((await on.server.call('GET', '/api/v1/runs?limit=100&status=cancelled&name=many%20at%20once')).runs.length, 2, 'it asks first');
  await page.getByRole('button', { name: 'Yes, cancel 38' }).click();
  await page.getByRole('status').filter({ hasText: '38 asked to stop' }).waitFor();
  await until('their end', async () => (await on.server.call('GET', '/api/v1/runs?limit=100&status=cancelled&name=many%20at%20once')).runs.length >= 40);
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
