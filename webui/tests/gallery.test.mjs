/** The gallery over all runs: many outputs, filters, the large view, comparing, and what comes while one looks. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AxeBuilder } from '@axe-core/playwright';
import { openBrowser } from './browser.mjs';
import { scroll } from './dom.mjs';
import { until } from './server.mjs';
import { FULL, stage } from './stage.mjs';
import { workflow } from './workflows.mjs';

/** The simulator makes no more pictures at once. */
const EACH = 64;
const RUNS = FULL ? 16 : 6;
const LAST = RUNS - 1;
const SIZES = [[96, 64], [64, 64], [64, 112], [120, 80]];
const made = [];

function pictures(index, count, [width, height] = SIZES[index % SIZES.length]) {
  return { 1: { class_type: 'EmptyImage', inputs: { width, height, batch_size: count, color: 1000 + index } }, 2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: `gallery/run${index}` } } };
}

const on = stage({
  scale: 20,
  set: async ({ start, ended }) => {
    for (let index = 0; index < RUNS; index += 1) made.push(await start(pictures(index, EACH), `album ${index}`));
    for (const id of made) await ended(id, 'completed', 120_000);
  },
});
const { finished } = on;
const open = (query = '', one = on.browser) => on.open(`?view=gallery${query}`, '.gallery-tile', one);

const tiles = (page) => page.$$eval('.gallery-tile', (all) => all.map((tile) => tile.dataset.shot));

test(`${RUNS * EACH} outputs: what is out of sight is not there, and what was placed never moves`, async () => {
  const page = await open();
  const first = (await tiles(page))[0];
  assert.equal(first, `${made[LAST]}/1`, 'the newest run comes first');
  const places = new Map();
  let most = 0;
  let last;
  await until('all of them', async () => {
    const seen = await page.evaluate(() => {
      const box = document.querySelector('.gallery');
      const all = [...document.querySelectorAll('.gallery-tile')].map((tile) => [tile.dataset.shot, tile.style.transform]);
      box.scrollTop += 0.8 * box.clientHeight;
      return { all, top: box.scrollTop, count: document.querySelector('.gallery-count').textContent };
    });
    for (const [shot, place] of seen.all) {
      assert.equal(places.get(shot) ?? place, place, `${shot} moved`);
      places.set(shot, place);
    }
    most = Math.max(most, seen.all.length);
    const still = seen.top === last;
    last = seen.top;
    return still && places.size === RUNS * EACH && seen.count.startsWith(`${RUNS * EACH} outputs of ${RUNS} runs`);
  }, 120_000);
  assert.ok(most < 200, `${most} tiles at once`);
  await page.evaluate(() => document.querySelector('.gallery').scrollTo({ top: 0 }));
  await page.waitForSelector(`[data-shot="${first}"]`);
  await page.close();
});

test('what is there stays in sight while new outputs are measured', async () => {
  const page = await open();
  const before = await tiles(page);
  let release;
  const held = new Promise((done) => (release = done));
  let asked = 0;
  await page.route('**/thumbnail*', async (route) => {
    asked += 1;
    await held;
    await route.continue();
  });
  const id = await on.start(pictures(77, 1), 'comes on top');
  await on.ended(id);
  await until('its small picture', () => asked > 0);
  // What is drawn is drawn within two frames.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)))));
  assert.equal((await tiles(page))[0], before[0]);
  release();
  await page.waitForSelector(`[data-shot="${id}/1"]`);
  await on.server.call('DELETE', `/api/v1/runs/${id}`);
  await page.waitForSelector(`[data-shot="${id}/1"]`, { state: 'detached' });
  await page.close();
});

test('a picture large: its values, the keys, and the way to its run', async () => {
  const page = await open();
  await page.click(`[data-shot="${made[LAST]}/1"] .picture`);
  await page.waitForSelector('.lightbox.told .about-values');
  assert.match(await page.textContent('.about'), new RegExp(`album ${LAST} #`));
  assert.match(await page.textContent('.about-values'), new RegExp(`color${1000 + LAST}`));
  await page.waitForFunction((wide) => document.querySelector('.lightbox img').naturalWidth === wide, SIZES[LAST % SIZES.length][0]);
  assert.ok(await page.evaluate(() => document.querySelector('.lightbox img').getBoundingClientRect().bottom <= innerHeight), 'all of it is in sight');
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction((run) => document.querySelector('.lightbox img').src.includes(`${run}/outputs/2/content`), made[LAST]);
  await page.click('.about a');
  await page.waitForFunction((run) => new URL(location.href).searchParams.get('run') === run, made[LAST]);
  await page.waitForSelector('.run-head');
  await page.close();
});

test('from a picture to a new run: its workflow as a form, or the picture as an input', async () => {
  const page = await open();
  await page.click(`[data-shot="${made[LAST]}/1"] .picture`);
  await page.click('text=Change and run');
  await page.waitForFunction(() => new URL(location.href).searchParams.get('view') === 'new');
  await page.waitForFunction((wide) => [...document.querySelectorAll('.launch input')].some((input) => input.value === wide), String(SIZES[LAST % SIZES.length][0]));
  await page.goBack();
  await page.waitForSelector('.gallery-tile');
  await page.click(`[data-shot="${made[LAST]}/1"] .picture`);
  await page.click('text=Use as input');
  await page.click('[data-template=image_enhancement]');
  await page.waitForFunction((name) => document.querySelector('.launch')?.textContent.includes(name), `run${LAST}_00001_.png`);
  await page.close();
});

test('two to four are compared: over each other by keys, side by side, and what differs', async () => {
  const page = await open('&group=run');
  const choose = (shot) => page.check(`[data-shot="${shot}"] input[type=checkbox]`);
  await choose(`${made[LAST]}/1`);
  assert.ok(await page.isDisabled('.choice .primary'), 'one alone cannot be compared');
  await page.evaluate((run) => {
    const box = document.querySelector('.gallery');
    return new Promise((resolve) => {
      const look = () => (document.querySelector(`[data-shot^="${run}/"]`) ? resolve() : (box.scrollTop += 600, setTimeout(look, 50)));
      look();
    });
  }, made[LAST - 1]);
  const other = await page.getAttribute(`[data-shot^="${made[LAST - 1]}/"]`, 'data-shot');
  await choose(other);
  await page.click('.choice .primary');
  await page.waitForSelector('.compare-stack img');
  const seen = () => page.$eval('.compare-stack img:nth-of-type(2)', (image) => image.style.clipPath);
  assert.equal(await seen(), 'inset(0px 50% 0px 0px)');
  await page.focus('.compare-over input');
  await page.keyboard.press('ArrowRight');
  assert.equal(await seen(), 'inset(0px 49% 0px 0px)');
  await page.keyboard.press('Home');
  assert.equal(await seen(), 'inset(0px 100% 0px 0px)');
  await page.waitForSelector('.compare-table');
  const rows = await page.$$eval('.compare-table tbody tr', (all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
  assert.deepEqual(rows.find(([name]) => name === 'EmptyImage · color'), ['EmptyImage · color', String(1000 + LAST), String(999 + LAST)]);
  assert.ok(!rows.some(([name]) => name.includes('batch_size')), 'what is the same is not said');
  await page.click('text=Side by side');
  assert.equal(await page.$$eval('.compare-grid figure', (all) => all.length), 2);
  await page.keyboard.press('Escape');
  await page.waitForSelector('.compare', { state: 'detached' });
  await page.click('.choice .plain');
  await page.waitForSelector('.choice', { state: 'detached' });
  await page.close();
});

test('filters stand in the address: kinds, inputs, words', async () => {
  await finished(workflow('06_text'), 'words only');
  await finished(workflow('05_audio'), 'sounds only');
  const page = await open();
  await page.click('.gallery-filters .chip:text("Texts")');
  await page.waitForFunction(() => [...document.querySelectorAll('.gallery-tile')].length > 0 && [...document.querySelectorAll('.gallery-tile')].every((tile) => tile.querySelector('pre')));
  assert.equal(new URL(page.url()).searchParams.get('kind'), 'text');
  await page.reload();
  await page.waitForSelector('.gallery-tile pre');
  await page.click('.gallery-filters .chip:text("Sound")');
  await page.waitForSelector('.gallery-tile audio');
  await page.click('.gallery-filters .chip:text("All")');
  await page.fill('[aria-label^="Search the inputs"]', 'color=1001');
  await page.waitForFunction((run) => {
    const all = [...document.querySelectorAll('.gallery-tile')];
    return all.length > 0 && all.every((tile) => tile.dataset.shot.startsWith(run));
  }, made[1]);
  await page.fill('[aria-label^="Search the inputs"]', 'color=7');
  await page.waitForSelector('.gallery .empty');
  assert.match(await page.textContent('.gallery .empty'), /No output matches.*with color=7/s);
  await page.click('text=Clear the filters');
  await page.waitForSelector('.gallery-tile');
  assert.equal(new URL(page.url()).search, '?view=gallery');
  await page.close();
});

test('new outputs appear at the top; further down they are only said to be there', async () => {
  const page = await open();
  const fresh = await finished(pictures(8, 2), 'just made');
  await page.waitForSelector(`[data-shot="${fresh}/1"]`);
  await scroll(page, '.gallery', 800);
  const later = await finished(pictures(9, 3), 'later');
  await page.click('.gallery-count .chip');
  await page.waitForSelector(`[data-shot="${later}/3"]`);
  await page.close();
});

test('after a lost connection nothing is news that was read before, whatever is filtered', async () => {
  const page = await open('&kind=image&has=color%3D1001');
  await page.waitForFunction((run) => [...document.querySelectorAll('.gallery-tile')].every((tile) => tile.dataset.shot.startsWith(run)), made[1]);
  await page.waitForFunction(() => !document.querySelector('.gallery-count .spinner') && !document.querySelector('.gallery-count').textContent.includes('+'));
  const count = await page.textContent('.gallery-count');
  const asked = [];
  page.on('request', (request) => /\/runs\/[^/]+\/(outputs|workflow)$/.test(request.url()) && asked.push(request.url()));
  await scroll(page, '.gallery', 300);
  await on.server.stop('SIGKILL');
  await page.waitForSelector('[data-link=lost]');
  await on.server.start();
  await page.waitForSelector('[data-link=live]');
  // A run that fits is news and nothing else: the list that the new connection brought has been looked at before it.
  const fresh = await finished({ ...pictures(1, 1), 3: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'gallery/again' } } }, 'after it');
  await page.waitForSelector('.gallery-count .chip');
  assert.match(await page.textContent('.gallery-count .chip'), /New outputs of 1 run$/);
  assert.equal((await page.textContent('.gallery-count')).replace(/\s*↑.*/, ''), count.trim());
  assert.deepEqual(asked, []);
  await page.click('.gallery-count .chip');
  await page.waitForSelector(`[data-shot="${fresh}/1"]`);
  assert.equal(new Set(asked).size, 2, 'its workflow and its outputs');
  await page.close();
});

test('a run that is gone before it is read holds up no other', async () => {
  const page = await open();
  await scroll(page, '.gallery', 800);
  const gone = await finished(pictures(10, 1), 'soon gone');
  await page.waitForSelector('.gallery-count .chip');
  // The page does not hear of its end: it asks for what is not there.
  await page.route(`**/runs/${gone}/outputs`, (route) => route.fulfill({ status: 404, json: { success: false, code: 'unknown_run', message: 'There is no such run.', hint: '' } }));
  const later = await finished(pictures(11, 1), 'still here');
  await page.waitForFunction(() => /2 runs/.test(document.querySelector('.gallery-count .chip')?.textContent));
  await page.click('.gallery-count .chip');
  await page.waitForSelector(`[data-shot="${later}/1"]`);
  assert.equal(await page.locator('.gallery-count [role=alert], .gallery-count .chip').count(), 0);
  assert.equal(await page.locator(`[data-shot^="${gone}/"]`).count(), 0);
  await page.close();
});

test('a changed copy of a run keeps the canvas that it was drawn on', async () => {
  const canvas = { nodes: [{ id: 1, type: 'EmptyImage', pos: [10, 10], inputs: [], outputs: [{ name: 'IMAGE', type: 'IMAGE', links: [1] }], widgets_values: [64, 64, 1, 255], mode: 0 }, { id: 2, type: 'SaveImage', pos: [20, 400], inputs: [{ name: 'images', type: 'IMAGE', link: 1 }], outputs: [], widgets_values: ['canvas'], mode: 0 }], links: [[1, 1, 0, 2, 0, 'IMAGE']], version: 0.4 };
  const first = await finished(canvas, 'drawn');
  const page = await open();
  await page.click(`[data-shot="${first}/1"] .picture`);
  await page.click('text=Change and run');
  await page.waitForSelector('.fields');
  await page.click('button:has-text("Run Workflow")');
  await page.waitForFunction((old) => (new URL(location.href).searchParams.get('run') ?? old) !== old, first);
  const id = new URL(page.url()).searchParams.get('run');
  await on.ended(id);
  const [one, other] = await Promise.all([first, id].map((run) => on.server.call('GET', `/api/v1/runs/${run}/canvas`)));
  assert.deepEqual(other.positions, one.positions);
  await page.close();
});

test('several chosen pictures are one download', async () => {
  const page = await open('&group=run');
  const boxes = page.locator('.gallery-choose input');
  await boxes.nth(0).check();
  assert.match(await page.getAttribute('.choice a', 'href'), /\/outputs\/\d+\/content/);
  await boxes.nth(1).check();
  const download = page.waitForEvent('download');
  await page.click('.choice a:has-text("Download as zip")');
  const file = await download;
  assert.equal(file.suggestedFilename(), 'outputs.zip');
  const bytes = readFileSync(await file.path());
  assert.equal(bytes.subarray(0, 4).toString('latin1'), 'PK\x03\x04');
  assert.equal(bytes.readUInt16LE(bytes.length - 12), 2, 'two files are in it');
  await page.close();
});

test('the outputs of one run: many are shown as one comes to them', async () => {
  const page = await on.browser.page(on.server.page);
  await page.waitForSelector('[data-link=live]');
  await page.goto(`${on.server.origin}/?run=${made[0]}&tab=outputs`);
  await page.waitForSelector('.output');
  const count = () => page.$$eval('.output', (all) => all.length);
  assert.ok((await count()) < EACH, 'not all at once');
  await until('all of them', async () => {
    await page.evaluate(() => document.querySelector('.main-column').scrollBy(0, 1200));
    return (await count()) === EACH;
  });
  await page.close();
});

test('names from outside are text here too', async () => {
  const hostile = '<img src=x onerror="window.hacked=1">';
  const graph = pictures(9, 2);
  graph['2'].inputs.filename_prefix = 'gallery/hostile';
  graph['2']._meta = { title: hostile };
  const id = await finished(graph, hostile);
  const page = await open();
  await page.waitForSelector(`[data-shot="${id}/1"]`);
  assert.equal(await page.textContent(`[data-shot="${id}/1"] figcaption a`), hostile);
  await page.click(`[data-shot="${id}/1"] .picture`);
  await page.waitForSelector('.about-values');
  assert.ok((await page.textContent('.about')).includes(hostile));
  await page.keyboard.press('Escape');
  await page.check(`[data-shot="${id}/1"] input`);
  await page.check('.gallery-tile:not(.chosen) input');
  await page.click('.choice .primary');
  await page.waitForSelector('.compare-stack');
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await page.close();
});

test('a phone: nothing is wider than it', async () => {
  const phone = await openBrowser({ width: 360, height: 740, phone: true });
  const page = await open('&group=run', phone);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await page.tap('.gallery-tile .picture');
  await page.waitForSelector('.lightbox .about');
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  assert.deepEqual(phone.complaints, []);
  await phone.close();
});

test('no serious findings of axe: gallery, large view, comparison', async () => {
  const page = await open('&group=run');
  const findings = async () => (await new AxeBuilder({ page }).setLegacyMode(true).analyze()).violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')}`);
  assert.deepEqual(await findings(), []);
  await page.click('.gallery-tile .picture');
  await page.waitForSelector('.about-values');
  assert.deepEqual(await findings(), []);
  await page.keyboard.press('Escape');
  for (const box of (await page.$$('.gallery-choose input')).slice(0, 2)) await box.check();
  await page.click('.choice .primary');
  await page.waitForSelector('.compare-stack');
  assert.deepEqual(await findings(), []);
  await page.close();
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
