/** The timeline: rows, phases, what is usual, two runs on one axis, and a lost link. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startComfy, until } from './server.mjs';
import { stage } from './stage.mjs';

const on = stage();

async function finished(steps, name = 'timed') {
  const id = await on.slow({ steps, name });
  await on.ended(id);
  return id;
}

const open = (query) => on.open(`?${query}`, '.timeline');

const rows = (page) => page.$$eval('.timeline [data-row]', (all) => all.map((row) => row.dataset.row));

test('rows stand in the order of work, and the first is the run in its phases', async () => {
  const id = await finished(5);
  const run = await on.server.run(id);
  const page = await open(`run=${id}`);
  await page.waitForFunction(() => document.querySelectorAll('.timeline [data-row]').length === 4);
  const begun = run.nodes.filter((node) => node.start_time).sort((a, b) => Date.parse(a.start_time) - Date.parse(b.start_time));
  assert.deepEqual((await rows(page)).sort(), begun.map((node) => node.node_id).sort());
  const starts = (await rows(page)).map((node) => Date.parse(run.nodes.find((one) => one.node_id === node).start_time));
  assert.deepEqual(starts, [...starts].sort((a, b) => a - b));
  await page.waitForSelector('.timeline .whole .track i.collecting');
  const phases = await page.$$eval('.timeline .whole .track i', (all) => all.map((part) => part.title.replace(/ [\d.]+ m?s$/, '')));
  assert.equal(phases[0], 'waits');
  assert.deepEqual(phases.slice(-2), ['runs', 'fetches outputs']);
  // A bar is as long as its node took.
  const length = Date.parse(run.timing.end_time) - Date.parse(run.timing.queue_time);
  const shares = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.timeline [data-row]')].map((row) => [row.dataset.row, row.querySelector('i.done').getBoundingClientRect().width / row.querySelector('.track').getBoundingClientRect().width])));
  const one = run.nodes.find((node) => node.node_id === '1');
  const expected = (Date.parse(one.end_time) - Date.parse(one.start_time)) / length;
  assert.ok(Math.abs(shares[1] - expected) < 0.03, `${shares[1]} instead of ${expected}`);
  await page.click('.timeline [data-row="1"]');
  await page.waitForFunction(() => new URL(location.href).searchParams.get('node') === '1');
  assert.equal(await page.getAttribute('.graph [data-node="1"]', 'aria-pressed'), 'true', 'the graph shows the same node');
  await page.close();
});

test('what is usual is marked, and what waits is drawn where it is expected', async () => {
  await finished(5);
  const id = await on.slow({ steps: 60, name: 'timed' });
  const page = await open(`run=${id}`);
  await page.waitForSelector('.timeline [data-row="1"] i.running');
  await page.waitForSelector('.timeline [data-row="1"] i.usual');
  await page.waitForSelector('.timeline [data-row="2"] i.expected');
  assert.match(await page.textContent('.timeline [data-row="2"] .took'), /^~/);
  await page.waitForSelector('.timeline-lines .cursor.now', { state: 'attached' });
  await page.waitForSelector('.run-head[data-status=completed]', { timeout: 60_000 });
  await page.waitForSelector('.timeline [data-row="1"].slow i.over', { timeout: 5000 });
  await page.close();
});

test('an earlier moment: rows and axis stay, the line moves', async () => {
  const id = await finished(10);
  const page = await open(`run=${id}`);
  await page.waitForFunction(() => document.querySelectorAll('.timeline [data-row]').length === 4);
  const axis = await page.textContent('.timeline-axis');
  const order = await rows(page);
  await page.keyboard.press('Shift+ArrowLeft');
  await page.waitForSelector('.timeline-lines .cursor', { state: 'attached' });
  const at = () => page.$eval('.timeline-lines .cursor', (line) => Number(line.style.getPropertyValue('--at')));
  const before = await at();
  for (let times = 0; times < 6; times += 1) await page.keyboard.press('Shift+ArrowLeft');
  await until('the line to move', async () => (await at()) < before);
  assert.equal(await page.textContent('.timeline-axis'), axis);
  assert.deepEqual(await rows(page), order);
  assert.ok((await page.$$('.timeline i.later')).length > 0, 'what came later is hinted at');
  await page.close();
});

test('two runs on one axis: the slower node is named', async () => {
  const quick = await finished(5, 'compared');
  const slow = await finished(25, 'compared');
  const page = await open(`run=${slow}`);
  await page.click('text=⇄ Compare');
  await page.waitForSelector('.compare-list button');
  assert.equal(await page.$$eval('.compare-list button', (all) => all.length), 1, 'the other run of the same workflow');
  await page.click('.compare-list button');
  await page.waitForSelector('.timeline.two');
  assert.equal(new URL(page.url()).searchParams.get('with'), quick);
  await page.waitForSelector('.timeline [data-row="1"].slower');
  assert.match(await page.textContent('.timeline [data-row="1"] .took'), /^\+[12]\.\d s$/);
  assert.equal(await page.$('.timeline [data-row="2"].slower'), null);
  assert.match(await page.textContent('.compare-line'), /SlowSteps \+[12]\.\d s/);
  await page.reload();
  await page.waitForSelector('.timeline [data-row="1"] i.other');
  await page.click('[title="Show this run alone"]');
  await page.waitForFunction(() => !document.querySelector('.timeline.two'));
  await page.close();
});

test('a lost link is a hatch over all rows', async () => {
  const id = await on.slow({ steps: 200, name: 'cut off' });
  const page = await open(`run=${id}`);
  await page.waitForSelector('.graph .node.running');
  const { port } = on.comfy;
  await on.comfy.end();
  await page.waitForSelector('.attention.unreachable', { timeout: 60_000 });
  on.comfy = await startComfy({ port });
  await until('its end', async () => /failed|completed/.test((await on.server.run(id)).status), 120_000);
  await page.waitForSelector('.timeline-lines .lost', { state: 'attached' });
  const long = await page.$eval('.timeline-lines .lost', (hatch) => Number(hatch.style.getPropertyValue('--long')));
  assert.ok(long > 0 && long < 1, `${long}`);
  await page.close();
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
