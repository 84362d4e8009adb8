/** The first page, the time that everything still takes, and a page that was loaded over plain HTTP from another machine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './browser.mjs';
import { startServer, until } from './server.mjs';
import { stage } from './stage.mjs';

let sample;
const on = stage({ demo: { speed: 10 }, set: async ({ server, ended }) => {
  sample = await until('the sample', async () => (await server.call('GET', '/api/v1/runs')).runs[0]?.run_id);
  await ended(sample);
} });

test('the card of the first page runs the sample, and leads to its output', async () => {
  const page = await on.open();
  const card = page.locator('.tile', { hasText: 'Try it' });
  await card.getByText(/A small picture from the built-in sample, on 127\.0\.0\.1-\d+/).waitFor();
  await card.getByRole('button', { name: 'Run the sample' }).click();
  await page.waitForSelector('.run-head[data-status=completed]', { timeout: 60_000 });
  assert.equal((await page.textContent('.run-head h2')).trim(), 'Text to image');
  await page.waitForSelector('.output img');
  const { runs } = await on.server.call('GET', '/api/v1/runs');
  assert.deepEqual(runs.map((run) => run.run_id), [new URL(page.url()).searchParams.get('run'), sample]);
  await page.close();
});

test('without an instance the card tells how to get one', async () => {
  const bare = await startServer();
  const browser = await openBrowser();
  try {
    const page = await browser.page(bare.page);
    const card = page.locator('.tile', { hasText: 'Try it' });
    await card.getByText('comfyd demo').waitFor();
    assert.equal(await card.getByRole('button').count(), 0);
    assert.deepEqual(browser.complaints, []);
  } finally {
    await browser.close();
    await bare.end();
  }
});

test('the time that everything still takes: of known workflows, less as it goes, gone at the end', async () => {
  const seconds = async (page) => {
    const [, minutes, rest] = /ETA all ~(\d+):(\d\d)/.exec(await page.textContent('.topbar .tally')) ?? [];
    return minutes === undefined ? undefined : 60 * Number(minutes) + Number(rest);
  };
  // Open before anything runs, so that what is looked for is not over by then.
  const page = await on.open();
  const first = await on.slow({ name: 'usual' });
  await page.waitForFunction(() => document.querySelector('.topbar .tally b')?.textContent === '1');
  assert.doesNotMatch(await page.textContent('.topbar .tally'), /ETA/, 'of a workflow that never ran nothing is promised');
  await on.ended(first);
  const { workflows } = await on.server.call('GET', '/api/v1/stats');
  const usual = workflows.find((one) => one.workflow_name === 'usual').median_seconds;
  const ids = [await on.slow({ name: 'usual' }), await on.slow({ name: 'usual' })];
  const both = await until('the time of both', async () => ((await seconds(page)) > 1.2 * usual ? seconds(page) : undefined));
  assert.ok(both <= 2 * usual + 2, `${both} s for two of ${usual} s`);
  const strange = await on.slow({ steps: 20, name: 'never run before' });
  await until('no promise', async () => (await seconds(page)) === undefined && !/any moment/.test(await page.textContent('.topbar .tally')));
  await on.server.call('POST', `/api/v1/runs/${strange}/cancel`, {});
  await until('the time again', () => seconds(page));
  await until('less', async () => ((await seconds(page)) ?? both) < both - 1);
  await on.server.call('POST', `/api/v1/runs/${ids[1]}/cancel`, {});
  await on.ended(ids[0]);
  await until('nothing to wait for', async () => !/ETA|any moment/.test(await page.textContent('.topbar .tally')));
  await page.close();
});

test('over plain HTTP from another machine: runs start, texts can be copied by hand, sounds are heard', async () => {
  const browser = await openBrowser();
  const page = await browser.page();
  // What browsers leave away where the address is neither HTTPS nor this machine.
  await page.addInitScript(() => {
    for (const [of, name] of [[Navigator.prototype, 'clipboard'], [Navigator.prototype, 'locks'], [Crypto.prototype, 'randomUUID'], [Crypto.prototype, 'subtle']]) delete of[name];
    window.heard = 0;
    window.AudioContext = class {
      currentTime = 0;
      createOscillator() { window.heard += 1; return { frequency: {}, connect: (to) => to, start() {}, stop() {} }; }
      createGain() { return { gain: { setValueAtTime() {}, exponentialRampToValueAtTime() {} }, connect: (to) => to }; }
    };
  });
  await page.goto(on.server.page);
  await page.waitForSelector('[data-link=live]');
  assert.deepEqual(await page.evaluate(() => [navigator.clipboard, navigator.locks, crypto.randomUUID].map((one) => one === undefined)), [true, true, true]);
  await page.click('[aria-label=Notifications]');
  await page.click('.alerts label:has-text("sound") input');
  await page.fill('.alerts input[type=number]', '0');
  await page.click('.alerts button:has-text("Close")');
  await page.goto(`${on.server.origin}/?view=new&name=txt2img_basic`);
  await page.fill('[data-field="3.steps"] input', '2');
  await page.click('button:has-text("Run Workflow")');
  await page.waitForSelector('.run-head[data-status=completed]', { timeout: 60_000 });
  await until('two notes', async () => (await page.evaluate(() => window.heard)) >= 2);
  const id = new URL(page.url()).searchParams.get('run');
  await page.click('#tab-json');
  await page.getByRole('button', { name: 'Copy as curl' }).click();
  const field = page.getByLabel('The text');
  await field.waitFor();
  assert.match(await field.inputValue(), new RegExp(`^curl .*/api/v1/runs/${id}$`));
  assert.equal(await field.evaluate((area) => area.selectionEnd - area.selectionStart), (await field.inputValue()).length, 'it is selected');
  await page.keyboard.press('Escape');
  await field.waitFor({ state: 'detached' });
  await page.keyboard.press('ArrowLeft');
  await page.waitForSelector('.past-banner');
  await page.click('[aria-label="Copy a link to this event"]');
  await field.waitFor();
  assert.match(await field.inputValue(), new RegExp(`run=${id}&seq=\\d+`));
  assert.deepEqual(browser.complaints, []);
  await browser.close();
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
