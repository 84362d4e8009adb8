/** The log of a run: its end first, more as one comes to it, searched by the server, and never all of it in the page. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { scroll } from './dom.mjs';
import { lengthen } from './log.mjs';
import { until } from './server.mjs';
import { FULL, stage } from './stage.mjs';
import { workflow } from './workflows.mjs';

const LONG = FULL ? 100_000 : 10_000;
/** So many lines the page keeps. */
const KEPT = 4000;
let long;

const on = stage({
  scale: 10,
  set: async ({ slow, ended, server }) => {
    long = await slow({ steps: 3, name: 'a long log' });
    await ended(long);
    const run = await server.run(long);
    const log = await server.call('GET', `/api/v1/runs/${long}/log`);
    const first = log.trim().split('\n').map((line) => JSON.parse(line)).find((line) => line.event.kind === 'node_started' && line.event.data.node === '1');
    await server.stop();
    // Opened once more, so that the journal does not speak of the run any more.
    await server.start();
    await server.stop();
    lengthen(server.folder, long, { after: first.seq, node: '1', steps: LONG - run.seq, at: Date.parse(first.at) });
    await server.start();
  },
});

const open = (query) => on.open(`?${query}&tab=events`, '.log-row');
const seqs = (page) => page.$$eval('.log-row', (rows) => rows.map((row) => Number(row.querySelector('.num').textContent)));
const chip = (page, name) => page.locator('.log-tools').getByRole('button', { name, exact: true });

/** The reads of the log that a page makes. */
function readsOf(page) {
  const reads = [];
  page.on('response', async (response) => {
    const url = new URL(response.url());
    if (url.pathname.endsWith('/log')) reads.push({ query: url.searchParams, size: (await response.body().catch(() => Buffer.alloc(0))).length });
  });
  return reads;
}

test('the kinds of events that the chips hide and show are those of the server', async () => {
  const answer = await fetch(`${on.server.origin}/api/v1/runs/${long}/log?kinds=nonsense`, { headers: { Authorization: `Bearer ${on.server.token}` } });
  const { hint } = await answer.json();
  const known = hint.replace(/^.*between: |\.$/g, '').split(', ');
  assert.ok(known.includes('nodes_progressed'), hint);
  const words = readFileSync(resolve(import.meta.dirname, '../src/run/events/words.ts'), 'utf8');
  const placed = [...words.matchAll(/\b(\w+): '(?:state|node|progress|output|network|operator)'/g)].map((match) => match[1]);
  assert.ok(placed.length > 30);
  // A kind that is new there is shown as one of the state; one that is not there would be refused.
  assert.deepEqual(placed.filter((kind) => !known.includes(kind)), []);
});

test(`a log of ${LONG} events begins with its end, and goes on where one scrolls to`, async () => {
  const page = await on.open();
  const reads = readsOf(page);
  await page.goto(`${on.server.origin}/?run=${long}&tab=events`);
  await page.waitForSelector('.log-row');
  // Without progress the run has few events: they are all there by one small answer.
  assert.ok((await seqs(page)).includes(LONG), 'the end is in sight');
  assert.equal(reads.length, 1);
  assert.ok(reads[0].size < 100_000, `${reads[0].size} bytes`);
  await chip(page, 'progress').click();
  await page.waitForFunction((last) => [...document.querySelectorAll('.log-row .num')].some((cell) => cell.textContent === String(last)), LONG - 7);
  await until('older ones beside it', async () => (await page.textContent('.log')).includes('Older events'));
  const asked = reads.length;
  /** The line at the upper edge, once it is there. */
  const text = async () => (await page.waitForFunction(() => {
    const edge = document.querySelector('.log').getBoundingClientRect().top;
    return [...document.querySelectorAll('.log-row')].find((row) => row.getBoundingClientRect().top > edge - 13 && row.getBoundingClientRect().top <= edge + 13)?.textContent;
  })).jsonValue();
  await page.route('**/log?newest=1*', async (route) => {
    // It comes when the place is known.
    await held;
    await route.continue();
  });
  let release;
  const held = new Promise((done) => (release = done));
  await scroll(page, '.log', 300);
  const before = await text();
  release();
  const oldest = Math.min(...(await seqs(page)));
  await until('another piece', async () => reads.length > asked);
  await page.waitForFunction((high) => document.querySelector('.log').scrollTop > high, 500 * 26);
  assert.equal(await text(), before, 'what is in sight stays');
  await until('all the way back', async () => {
    await page.$eval('.log', (log) => (log.scrollTop = 0));
    return (await seqs(page)).includes(FULL ? oldest - 2000 : 1);
  }, 60_000);
  const rows = await page.$eval('.log .space', (space) => Number.parseFloat(space.style.height) / 26);
  assert.ok(rows <= KEPT + 2, `${rows} lines are kept`);
  assert.ok(reads.every(({ query }) => Number(query.get('limit')) <= 500), 'in pieces');
  await until('the end again', async () => {
    await page.$eval('.log', (log) => (log.scrollTop = log.scrollHeight));
    return (await seqs(page)).includes(LONG);
  }, 60_000);
  await page.close();
});

test('older events that come while one scrolls back to the upper end within one frame are not the last ones', async () => {
  const page = await open(`run=${long}`);
  await chip(page, 'progress').click();
  await until('older ones beside it', async () => (await page.textContent('.log')).includes('Older events'));
  let release;
  const held = new Promise((done) => (release = done));
  const reads = readsOf(page);
  await page.route('**/log?newest=1*', async (route) => {
    await held;
    await route.continue();
  });
  // A frame that is long in coming tells of a scrolled box late, and once.
  await page.evaluate(() => addEventListener('scroll', (event) => window.late && event.stopImmediatePropagation(), true));
  const asked = page.waitForRequest('**/log?newest=1*');
  await scroll(page, '.log', 0);
  await asked;
  await page.evaluate(() => (window.late = true));
  release();
  await page.waitForFunction(() => document.querySelector('.log').scrollTop > 500 * 26 - 100);
  // What is done after a change is done within two frames.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)))));
  const first = reads.length;
  await page.evaluate(() => {
    window.late = false;
    document.querySelector('.log').scrollTop = 0;
  });
  await until('another piece', () => reads.length > first);
  await page.close();
});

test('older events that could not be read are asked for again when one says so', async () => {
  const page = await open(`run=${long}`);
  await chip(page, 'progress').click();
  await until('older ones beside it', async () => (await page.textContent('.log')).includes('Older events'));
  const reads = readsOf(page);
  await page.route('**/log?newest=1*', (route) => route.abort(), { times: 1 });
  await scroll(page, '.log', 0);
  await page.locator('.log-problem').getByRole('button', { name: 'Try again' }).click();
  await until('another piece', () => reads.length > 0);
  await page.waitForSelector('.log-problem', { state: 'detached' });
  await page.close();
});

test('what is searched for is found by the server, wherever in the log it is', async () => {
  const page = await open(`run=${long}`);
  await page.fill('[aria-label="Search events"]', 'RUN_created');
  await page.waitForFunction(() => document.querySelectorAll('.log-row').length === 1);
  assert.deepEqual(await seqs(page), [1]);
  await page.fill('[aria-label="Search events"]', 'no event has this');
  await page.waitForFunction(() => /No events match/.test(document.querySelector('.log').textContent));
  await page.fill('[aria-label="Search events"]', `"done":${LONG - 500}`);
  await chip(page, 'progress').click();
  await page.waitForFunction(() => document.querySelectorAll('.log-row').length === 1);
  await page.fill('[aria-label="Search events"]', '');
  await chip(page, 'only problems').click();
  await page.waitForFunction(() => /No events match/.test(document.querySelector('.log').textContent));
  const failed = await on.start(workflow('21_custom_fails_midway'), 'one that fails');
  await on.ended(failed, 'failed');
  await page.goto(`${on.server.origin}/?run=${failed}&tab=events`);
  await page.waitForSelector('.log-row');
  await chip(page, 'only problems').click();
  await page.waitForFunction(() => [...document.querySelectorAll('.log-row')].length > 0 && [...document.querySelectorAll('.log-row .kind')].every((kind) => kind.classList.contains('text-bad')));
  await page.close();
});

test('a moment far back is shown among the events around it, and a click goes there', async () => {
  const page = await open(`run=${long}&seq=${LONG / 2}`);
  await chip(page, 'progress').click();
  const current = (seq) => page.waitForFunction((wanted) => document.querySelector('.log-row[aria-current=true] .num')?.textContent === wanted, String(seq));
  await current(LONG / 2);
  await page.locator('.log-row', { hasText: String(LONG / 2 + 3) }).first().click();
  await current(LONG / 2 + 3);
  await page.waitForFunction((seq) => document.querySelector('.run-head').dataset.seq === String(seq), LONG / 2 + 3);
  await page.goto(`${on.server.origin}/?run=${long}&seq=20&tab=events`);
  await chip(page, 'progress').click();
  await current(20);
  await page.close();
});

test('a run that goes on: its newest event is in sight, and what one reads stays', async () => {
  const id = await on.endless('tells much', 50);
  const page = await open(`run=${id}`);
  await chip(page, 'progress').click();
  const newest = async () => Math.max(...(await seqs(page)));
  await until('more than a screen', async () => (await newest()) > 60, 60_000);
  const seen = await newest();
  await until('newer ones', async () => (await newest()) > seen);
  // Also where the browser tells of the scrolling later than the next events come.
  await page.evaluate(() => addEventListener('scroll', (event) => event.stopImmediatePropagation(), { capture: true, signal: (window.late = new AbortController()).signal }));
  await scroll(page, '.log', 100);
  const high = await page.$eval('.run-head', (head) => Number(head.dataset.seq));
  await page.waitForFunction((seq) => Number(document.querySelector('.run-head').dataset.seq) > seq + 20, high);
  assert.equal(await page.$eval('.log', (log) => log.scrollTop), 100);
  await page.evaluate(() => window.late.abort());
  await on.stop(id);
  const { seq } = await on.server.run(id);
  await until('the last one', async () => {
    await page.$eval('.log', (log) => (log.scrollTop = log.scrollHeight));
    return (await newest()) === seq;
  });
  await page.close();
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
