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

/** A page of a run whose workflow is there: rows that begin at one moment stand in its order. */
async function open(query) {
  const page = await on.open(`?${query}`, '.timeline');
  await page.waitForSelector('.graph .edge', { state: 'attached' });
  return page;
}

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
  // A bar is as long as its node took, and begins when it began, by the marks of the axis; of a wait that was long the beginning is left out.
  const drawn = await page.evaluate(() => {
    const marks = [...document.querySelectorAll('.timeline-axis span')].map((mark) => [mark.textContent, Number(mark.style.getPropertyValue('--at'))]);
    const bars = [...document.querySelectorAll('.timeline [data-row]')].map((row) => {
      const [bar, track] = [row.querySelector('i.done'), row.querySelector('.track')].map((part) => part.getBoundingClientRect());
      return [row.dataset.row, { begins: (bar.left - track.left) / track.width, long: bar.width / track.width }];
    });
    return { marks, bars: Object.fromEntries(bars) };
  });
  const [[none, zero], [text, mark]] = [drawn.marks[0], drawn.marks.at(-1)];
  assert.equal(none, '0');
  const [, value, unit] = /^([\d.]+) (ms|s)$/.exec(text);
  const share = (mark - zero) / (Number(value) * (unit === 's' ? 1000 : 1));
  for (const id of ['1', '2']) {
    const node = run.nodes.find((one) => one.node_id === id);
    const [from, to] = [Date.parse(node.start_time), Date.parse(node.end_time)];
    const expected = { begins: zero + (from - Date.parse(run.timing.start_time)) * share, long: (to - from) * share };
    for (const what of ['begins', 'long']) assert.ok(Math.abs(drawn.bars[id][what] - expected[what]) < 0.005, `${id} ${what}: ${drawn.bars[id][what]} instead of ${expected[what]}`);
  }
  await page.click('.timeline [data-row="1"]');
  await page.waitForFunction(() => new URL(location.href).searchParams.get('node') === '1');
  assert.equal(await page.getAttribute('.graph [data-node="1"]', 'aria-pressed'), 'true', 'the graph shows the same node');
  await page.close();
});

test('what is usual is marked, and what waits is drawn where it is expected', async () => {
  await finished(5);
  const id = await on.endless('timed');
  const page = await open(`run=${id}`);
  await page.waitForSelector('.timeline [data-row="1"] i.running');
  await page.waitForSelector('.timeline [data-row="1"] i.usual');
  await page.waitForSelector('.timeline [data-row="2"] i.expected');
  assert.match(await page.textContent('.timeline [data-row="2"] .took'), /^~/);
  await page.waitForSelector('.timeline-lines .cursor.now', { state: 'attached' });
  await page.waitForSelector('.timeline [data-row="1"].slow i.over');
  await on.stop(id);
  await page.waitForSelector('.run-head[data-status=cancelled]');
  await page.waitForSelector('.timeline [data-row="1"].slow i.over');
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
  const slow = await finished(40, 'compared');
  const [mine, theirs] = await Promise.all([slow, quick].map((id) => on.server.run(id)));
  const took = (run, id) => run.nodes.filter((node) => node.node_id === id).map((node) => Date.parse(node.end_time) - Date.parse(node.start_time))[0];
  const longer = Math.floor((took(mine, '1') - took(theirs, '1')) / 100) / 10;
  // The steps of the second take as long in both; a busy machine may let one of them take longer.
  const second = [took(mine, '2'), took(theirs, '2')];
  const isSlower = second[0] - second[1] >= 250 && second[0] > 1.15 * second[1];
  const page = await open(`run=${slow}`);
  await page.click('text=⇄ Compare');
  await page.waitForSelector('.compare-list button');
  assert.equal(await page.$$eval('.compare-list button', (all) => all.length), 1, 'the other run of the same workflow');
  await page.click('.compare-list button');
  await page.waitForSelector('.timeline.two');
  assert.equal(new URL(page.url()).searchParams.get('with'), quick);
  await page.waitForSelector('.timeline [data-row="1"].slower');
  assert.equal(await page.textContent('.timeline [data-row="1"] .took'), `+${longer.toFixed(1)} s`);
  assert.equal((await page.$('.timeline [data-row="2"].slower')) !== null, isSlower, `${second}`);
  assert.ok((await page.textContent('.compare-line')).includes(`SlowSteps +${longer.toFixed(1)} s`));
  await page.reload();
  await page.waitForSelector('.timeline [data-row="1"] i.other');
  await page.click('[title="Show this run alone"]');
  await page.waitForFunction(() => !document.querySelector('.timeline.two'));
  await page.close();
});

test('a lost link is a hatch over all rows', async () => {
  const id = await on.endless('cut off');
  const page = await open(`run=${id}`);
  await page.waitForSelector('.graph .node.running');
  const { port } = on.comfy;
  await on.comfy.end();
  await page.waitForSelector('.attention.unreachable');
  on.comfy = await startComfy({ port });
  await until('its end', async () => /failed|completed/.test((await on.server.run(id)).status), 120_000);
  await page.waitForSelector('.timeline-lines .lost', { state: 'attached' });
  const long = await page.$eval('.timeline-lines .lost', (hatch) => Number(hatch.style.getPropertyValue('--long')));
  assert.ok(long > 0 && long < 1, `${long}`);
  await page.close();
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
