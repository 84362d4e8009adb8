/** The page for everybody: by keyboard, by screen reader, on a phone, in light and dark. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AxeBuilder } from '@axe-core/playwright';
import { openBrowser } from './browser.mjs';
import { until } from './server.mjs';
import { stage } from './stage.mjs';
import { workflow } from './workflows.mjs';

const ids = {};
const on = stage({
  scale: 4,
  browser: false,
  set: async ({ start, ended, slow, endless, server }) => {
    ids.done = await start(workflow('01_simple_save'), 'pictures');
    ids.failed = await start(workflow('21_custom_fails_midway'), 'one that fails');
    ids.text = await start(workflow('06_text'), 'texts');
    await ended(ids.done);
    await ended(ids.failed, 'failed');
    await ended(ids.text);
    ids.running = await endless('a long one');
    ids.waiting = await slow({ name: 'one that waits' });
    await until('a running node', async () => (await server.run(ids.running)).nodes.some((node) => node.state === 'running'));
  },
});

/** Places to look at, with what tells that they are there. */
function places() {
  return [
    [`?run=${ids.running}`, '.graph .node.running'],
    [`?run=${ids.waiting}`, '.run-head'],
    [`?run=${ids.failed}&node=3&tab=inputs`, '.failure'],
    [`?run=${ids.done}&tab=outputs`, '.output'],
    [`?run=${ids.done}&tab=events&seq=4`, '.past-banner'],
    [`?run=${ids.text}&tab=json`, '.json'],
    ['?q=nothing+like+this&run=nobody', '.empty'],
  ];
}

/** No frames to look into, so no page beside is needed. */
const axe = (page) => new AxeBuilder({ page }).setLegacyMode(true);

for (const scheme of ['dark', 'light']) {
  test(`axe finds nothing serious, ${scheme}`, async () => {
    const browser = await openBrowser({ scheme, reducedMotion: 'reduce' });
    // The two differ in nothing but colours.
    const look = (page) => (scheme === 'dark' ? axe(page) : axe(page).withRules(['color-contrast']));
    const page = await browser.page(on.server.page);
    await page.waitForSelector('[data-link=live]');
    const check = async (what) => {
      const { violations } = await look(page).analyze();
      const serious = violations.filter((one) => ['serious', 'critical'].includes(one.impact));
      assert.deepEqual(serious.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).slice(0, 4).join(' | ')}`), [], what);
    };
    for (const [query, sign] of places()) {
      await page.goto(`${on.server.origin}/${query}`);
      await page.waitForSelector(sign);
      await check(query);
    }
    await page.keyboard.press('Control+k');
    await page.waitForSelector('.palette li');
    await check('the palette');
    await page.keyboard.press('Escape');
    // As long as it is there the key is a letter in its field.
    await page.waitForSelector('.palette', { state: 'detached' });
    await page.keyboard.press('?');
    await page.waitForSelector('.help');
    await check('the help');
    await browser.close();
    const stranger = await openBrowser({ scheme });
    const login = await stranger.page(on.server.origin);
    await login.waitForSelector('.login form');
    const { violations } = await look(login).analyze();
    assert.deepEqual(violations.filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => one.id), []);
    await stranger.close();
  });
}

test('a token that is typed in', async () => {
  const browser = await openBrowser();
  const page = await browser.page(on.server.origin);
  await page.getByLabel('Token').fill('wrong');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.login [role=alert]');
  await page.getByLabel('Token').fill(on.server.token);
  await page.keyboard.press('Enter');
  await page.waitForSelector('[data-link=live]');
  await browser.close();
});

test('who logs in again is back at once', async () => {
  const browser = await openBrowser();
  const page = await browser.page(on.server.page);
  await page.waitForSelector('[data-link=live]');
  // The session is over, and the stream that it began is not: a page that reads something is told.
  await browser.context.clearCookies();
  const other = await browser.page(`${on.server.origin}/?view=instances`);
  await other.waitForSelector('.login form');
  await other.getByLabel('Token').fill(on.server.token);
  await other.keyboard.press('Enter');
  await other.waitForSelector('[data-link=live]');
  await browser.close();
});

test('everything by keyboard', async () => {
  const browser = await openBrowser();
  const page = await browser.page(on.server.page);
  await page.waitForSelector('[data-run]');
  const run = () => new URL(page.url()).searchParams.get('run');
  await until('the active run', () => run());
  // The newest first: the one that waits stands below the running one.
  await page.keyboard.press('/');
  await page.keyboard.type('long');
  await page.waitForFunction(() => document.querySelectorAll('[data-run]').length === 1);
  await page.keyboard.press('Tab');
  await page.locator('#search').fill('');
  await page.locator('#search').blur();
  await page.waitForFunction(() => document.querySelectorAll('[data-run]').length === 5);
  const order = await page.locator('[data-run]').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-run')));
  await page.goto(`${on.server.origin}/?run=${order[0]}`);
  await page.waitForSelector('.run-head');
  for (const next of order.slice(1)) {
    await page.keyboard.press('j');
    await until(`the run ${next}`, () => run() === next);
  }
  await page.keyboard.press('k');
  await until('the run before', () => run() === order.at(-2));
  // What is typed at once is for the palette: `n` and `o` are keys of the page.
  await page.keyboard.press('Control+k');
  await page.keyboard.type('one that fails');
  assert.equal(await page.inputValue('.palette input'), 'one that fails');
  await page.waitForFunction(() => /one that fails/.test(document.querySelector('.palette li')?.textContent ?? ''));
  await page.keyboard.press('Enter');
  await page.waitForSelector('.run-head[data-status=failed]');
  await page.keyboard.press('e');
  await page.waitForSelector('.log-row');
  await page.keyboard.press('o');
  await page.waitForSelector('#tab-outputs[aria-selected=true]');
  await page.keyboard.press('ArrowRight');
  await page.waitForSelector('#tab-inputs[aria-selected=true]');
  await page.waitForSelector('.graph .node');
  await page.locator('body').evaluate(() => document.activeElement.blur());
  await page.keyboard.press('g');
  await page.waitForFunction(() => document.activeElement?.classList.contains('node'));
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => new URLSearchParams(location.search).has('node'));
  await page.goto(`${on.server.origin}/?run=${ids.waiting}`);
  await page.waitForSelector('.run-head[data-status=queued]');
  assert.match(await page.textContent('.run-head'), /Workflow queued at position 1/);
  await page.keyboard.press('c');
  await page.getByRole('button', { name: 'Yes, cancel it' }).waitFor();
  assert.equal((await on.server.run(ids.waiting)).status, 'queued', 'it asks once');
  await page.getByRole('button', { name: 'Yes, cancel it' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('.run-head[data-status=cancelled]');
  await browser.close();
});

test('360 pixels are wide enough for all of it', async () => {
  const browser = await openBrowser({ width: 360, height: 740, phone: true });
  const page = await browser.page(on.server.page);
  await page.waitForSelector('[data-link=live]');
  for (const [query, sign] of places()) {
    await page.goto(`${on.server.origin}/${query}`);
    await page.waitForSelector(sign, { state: 'attached' });
    for (const pane of ['main', 'list']) {
      await page.goto(`${on.server.origin}/${query}&pane=${pane}`);
      await page.waitForSelector('.topbar');
      const wide = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll('.main-column, .runs-column')].map((column) => column.scrollWidth)));
      assert.ok(wide <= 360, `${query} ${pane} is ${wide} wide`);
    }
  }
  await page.goto(`${on.server.origin}/?run=${ids.done}`);
  await page.waitForSelector('.run-head');
  await page.locator('.phone-tabs a', { hasText: 'Runs' }).tap();
  await page.waitForSelector('.runs-column [data-run]');
  await page.locator(`[data-run="${ids.failed}"]`).tap();
  await page.waitForSelector('.failure');
  await browser.close();
});

test('the back button goes back', async () => {
  const browser = await openBrowser();
  const page = await browser.page(on.server.page);
  await page.waitForSelector(`[data-run="${ids.done}"]`);
  await page.click(`[data-run="${ids.done}"]`);
  await page.waitForSelector('.run-head[data-status=completed]');
  await page.click(`[data-run="${ids.failed}"]`);
  await page.waitForSelector('.run-head[data-status=failed]');
  await page.goBack();
  await page.waitForSelector('.run-head[data-status=completed]');
  await page.goForward();
  await page.waitForSelector('.run-head[data-status=failed]');
  await browser.close();
});
