/** The live page against the real program: reloads, three readers, a killed server, a lost ComfyUI. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './browser.mjs';
import { RANK, stateOf } from './dom.mjs';
import { startComfy, until } from './server.mjs';
import { FULL, stage } from './stage.mjs';
import { workflow } from './workflows.mjs';

const on = stage();

test('the link with the token leads in, and leaves the token nowhere', async () => {
  const page = await on.browser.page(on.server.page);
  await page.waitForSelector('[data-link=live]');
  assert.equal(new URL(page.url()).hash, '');
  assert.ok(!(await page.content()).includes(on.server.token));
  const state = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, history.state]));
  assert.ok(!state.includes(on.server.token));
  await page.close();
});

test('a reload each second during a run: nothing goes back, and the picture is there at once', async () => {
  const page = await on.open();
  const id = await on.slow({ steps: FULL ? 600 : 60 });
  let last = { seq: 0, percent: 0, nodes: {} };
  let reloads = 0;
  for (;;) {
    await page.goto(`${on.server.origin}/?run=${id}`);
    await page.waitForSelector('.run-head');
    await page.waitForSelector('.graph .node');
    const now = await stateOf(page);
    assert.ok(now.seq >= last.seq, `seq ${last.seq} -> ${now.seq}`);
    assert.ok(now.percent >= last.percent, `percent ${last.percent} -> ${now.percent}`);
    for (const [node, state] of Object.entries(now.nodes)) assert.ok(RANK[state] >= RANK[last.nodes[node] ?? 'waiting'], `node ${node}: ${last.nodes[node]} -> ${state}`);
    if (now.status === 'executing' && reloads === 2) {
      await page.waitForSelector('.side-column .preview img');
      assert.match(await page.textContent('.restored'), /^⏮️ Restored ComfyUI workflow: slow one\. Progress: \d+(\.\d)?%$/);
    }
    last = now;
    reloads += 1;
    if (now.status === 'completed') break;
    assert.notEqual(now.status, 'failed');
    await page.waitForTimeout(1000);
  }
  assert.ok(reloads > 3, `${reloads} reloads`);
  assert.equal(last.percent, 100);
  const real = await on.server.run(id);
  assert.deepEqual(last.nodes, Object.fromEntries(real.nodes.map((node) => [node.node_id, node.state])));
  await page.close();
});

test('three readers at one seq see the same, and what the server says', async () => {
  const others = await Promise.all([openBrowser(), openBrowser()]);
  const id = await on.slow({ steps: 60, name: 'seen by three' });
  const pages = await Promise.all([on.browser, ...others].map((one) => on.open(`?run=${id}&tab=outputs`, '.graph .node', one)));
  const seen = new Map();
  let compared = 0;
  await until('its end', async () => {
    const states = await Promise.all(pages.map(stateOf));
    for (const state of states) {
      const before = seen.get(state.seq);
      if (before === undefined) seen.set(state.seq, state);
      else {
        assert.deepEqual(state, before, `the page at seq ${state.seq}`);
        compared += 1;
      }
    }
    return states.every((state) => state.status === 'completed');
  });
  assert.ok(compared > 2, `${compared} states were compared`);
  const at = await on.server.call('GET', `/api/v1/runs/${id}`);
  for (const page of pages) assert.equal((await stateOf(page)).seq, at.seq);
  await Promise.all(pages.map((page) => page.close()));
  await Promise.all(others.map((one) => one.close()));
});

test('a server that is killed and comes back: the page heals by itself', async () => {
  const page = await on.open();
  const id = await on.slow({ steps: 30, name: 'through a crash' });
  await page.click(`[data-run="${id}"]`);
  await page.waitForSelector('.graph .node.running');
  await page.evaluate(() => (window.sameDocument = true));
  await on.server.stop('SIGKILL');
  await page.waitForSelector('.note');
  assert.match(await page.textContent('.note'), /🔌 Connection lost\. Workflow continues on server\. Progress will resume when connection is restored\./);
  assert.equal(await page.getAttribute('.run-head', 'data-status'), 'executing', 'what was known stays');
  await on.server.start();
  await page.waitForSelector('[data-link=live]');
  await page.waitForSelector('.run-head[data-status=completed]');
  assert.equal(await page.locator('.note').count(), 0);
  assert.ok(await page.evaluate(() => window.sameDocument), 'it was not loaded again');
  const real = await on.server.run(id);
  assert.equal((await stateOf(page)).seq, real.seq);
  await page.close();
});

test('what could not be read while the server was away is read when it is back', async () => {
  const ids = [await on.finished(workflow('01_simple_save'), 'read late'), await on.finished(workflow('06_text'), 'read later')];
  const page = await on.open(`?run=${ids[0]}`, '.graph .node');
  await page.waitForSelector('.graph .edge', { state: 'attached' });
  await page.evaluate(() => (window.sameDocument = true));
  await page.waitForSelector(`[data-run="${ids[1]}"]`);
  await on.server.stop('SIGKILL');
  await page.waitForSelector('[data-link=lost]');
  await page.click(`[data-run="${ids[1]}"]`);
  await on.server.start();
  await page.waitForSelector('[data-link=live]');
  await page.waitForFunction((id) => new URL(location.href).searchParams.get('run') === id, ids[1]);
  await page.waitForSelector('.run-head[data-status=completed]');
  await page.waitForSelector('.graph .edge', { state: 'attached' });
  await page.click('#tab-inputs');
  await page.waitForSelector('.inputs .value');
  // The same for an event of the past, another run beside it, and the templates.
  await page.goto(`${on.server.origin}/?run=${ids[0]}`);
  await page.waitForSelector('.graph .edge', { state: 'attached' });
  await page.evaluate(() => (window.sameDocument = true));
  await on.server.stop('SIGKILL');
  await page.waitForSelector('[data-link=lost]');
  await page.evaluate((query) => {
    history.pushState(null, '', query);
    dispatchEvent(new PopStateEvent('popstate'));
  }, `/?run=${ids[0]}&seq=4&with=${ids[1]}`);
  await page.waitForSelector('.past-banner');
  await on.server.start();
  await page.waitForSelector('.run-head[data-seq="4"]');
  await page.waitForSelector('.timeline.two');
  // A part of the page that was never loaded, and one that was.
  await page.click('.topbar a.button.primary');
  await page.waitForSelector('[data-template]');
  await page.click('.topbar nav a:has-text("Runs")');
  await on.server.stop('SIGKILL');
  await page.waitForSelector('[data-link=lost]');
  await page.click('.topbar a.button.primary');
  await page.waitForSelector('.launch .box.bad[role=alert]');
  await on.server.start();
  await page.waitForSelector('[data-template]');
  assert.equal(await page.locator('.launch .box.bad').count(), 0);
  await on.server.stop('SIGKILL');
  await page.waitForSelector('[data-link=lost]');
  await page.click('.topbar nav a:has-text("Gallery")');
  await page.locator('.empty', { hasText: 'This part of the page cannot be loaded' }).waitFor();
  await on.server.start();
  await page.waitForSelector('.gallery-count');
  await page.click('.topbar a.button.primary');
  await page.click('[data-template=txt2img_basic]');
  await page.waitForSelector('.fields');
  assert.ok(await page.evaluate(() => window.sameDocument), 'it was not loaded again');
  await page.close();
});

test('a ComfyUI that is lost is amber and not red, and comes back', async () => {
  const page = await on.open();
  const id = await on.slow({ steps: 40, name: 'through a lost link' });
  await page.click(`[data-run="${id}"]`);
  await page.waitForSelector('.graph .node.running');
  const { port } = on.comfy;
  await on.comfy.end();
  await page.waitForSelector('.box.warn.attention.unreachable', { timeout: 40_000 });
  assert.match(await page.textContent('.box.attention'), /🔌 Connection lost\. Workflow continues on server\./);
  assert.equal(await page.locator('.run-head .bar.warn').count(), 1);
  assert.equal(await page.locator('.graph .frozen').count(), 1, 'the node that ran last is frozen');
  on.comfy = await startComfy({ port });
  // This simulator has forgotten everything: the run fails in plain words, with a way on.
  await page.waitForSelector('.box.bad.failure', { timeout: 40_000 });
  assert.match(await page.textContent('.failure'), /instance was restarted/);
  await page.close();
});

test('cancel asks once, retry makes a new run, a failure is understood at a glance', async () => {
  const page = await on.open();
  const id = await on.slow({ steps: 200, name: 'to be stopped' });
  await page.click(`[data-run="${id}"]`);
  await page.waitForSelector('.graph .node.running');
  await page.getByRole('button', { name: 'Stop Workflow' }).click();
  assert.equal((await on.server.run(id)).stopping, false, 'one click does nothing');
  await page.getByRole('button', { name: 'Yes, stop it' }).click();
  await page.waitForSelector('.run-head[data-status=cancelled]');
  assert.ok((await page.locator('.graph .node.interrupted').count()) === 1);

  const failing = workflow('21_custom_fails_midway');
  const bad = await on.start(failing, 'one that fails');
  await page.click(`[data-run="${bad}"]`);
  await page.waitForSelector('.run-head[data-status=failed]');
  const said = await page.textContent('.failure');
  assert.match(said, /❌ Workflow failed at node "SlowSteps": .*asked to fail/);
  assert.match(said, /RuntimeError/);
  await page.waitForSelector('.failure .log-lines pre');
  const { error } = await on.server.run(bad);
  assert.ok(error.log_lines.length > 0 && error.log_lines.length <= 20);
  assert.equal(await page.textContent('.failure .log-lines pre'), error.log_lines.join('\n'));
  await page.keyboard.press('f');
  await page.waitForFunction(() => new URLSearchParams(location.search).get('node') === '3');
  assert.match(await page.textContent('.side-column'), /asked to fail/);
  await page.locator('.failure').getByRole('button', { name: 'Retry Workflow' }).click();
  await page.waitForFunction((id) => new URLSearchParams(location.search).get('run') !== id, bad);
  await page.waitForSelector('.run-head[data-status=failed]');
  assert.match(await page.textContent('.run-head .facts'), new RegExp(`retry of #${bad.slice(-6)}`));
  await page.close();
});

test('a run is painted at most twice a second, however many tabs one stream feeds', async () => {
  const watchers = async () => (await on.server.call('GET', '/api/v1/stats')).followers;
  await until('nobody who watches', async () => (await watchers()) === 0);
  const id = await on.slow({ steps: 200, name: 'in four tabs' });
  const pages = [];
  for (let count = 0; count < 4; count += 1) {
    pages.push(await on.open(`?run=${id}`, '.graph .node.running'));
  }
  assert.equal(await watchers(), 2, 'the list and the run are told once, not once a tab');
  await pages[1].reload();
  await pages[1].waitForSelector('.graph .node.running');
  await pages[2].goto(`${on.server.origin}/?view=run&q=nothing`);
  await pages[2].goto(`${on.server.origin}/?run=${id}`);
  await pages[2].waitForSelector('.graph .node.running');
  const paints = await pages[0].evaluate(() => new Promise((resolve) => {
    const times = [];
    const head = document.querySelector('.run-head');
    const observer = new MutationObserver((records) => records.some((record) => record.attributeName === 'data-seq') && times.push(performance.now()));
    observer.observe(head, { attributes: true });
    setTimeout(() => resolve(times), 4000);
  }));
  assert.ok(paints.length > 2, `it is painted: ${paints.length}`);
  // Counted and not timed one by one: a busy machine shows one late and the next in time.
  const allowed = 2 * 4 + 1;
  assert.ok(paints.length <= allowed, `${paints.length} paints in 4 s`);
  await on.server.call('POST', `/api/v1/runs/${id}/cancel`, {});
  await Promise.all(pages.map((page) => page.waitForSelector('.run-head[data-status=cancelled]')));
  await Promise.all(pages.map((page) => page.close()));
  await until('nobody who watches', async () => (await watchers()) === 0);
});

test('nothing moves when nothing changed', async () => {
  const id = await on.slow({ steps: 10, name: 'quiet' });
  await on.ended(id);
  const page = await on.open(`?run=${id}`, '.graph .node');
  const changes = await page.evaluate(() => new Promise((resolve) => {
    let seen = [];
    let begun = performance.now();
    let times = 0;
    const look = setInterval(() => {
      // What is read after the first paint may come; once a second was quiet, nothing more does.
      if (seen.length > 0 && performance.now() - begun < 1000 && times++ < 20) [seen, begun] = [[], performance.now()];
      if (performance.now() - begun < 4000) return;
      clearInterval(look);
      resolve(seen);
    }, 50);
    const observer = new MutationObserver((records) => {
      for (const record of records) {
        const element = record.target instanceof Element ? record.target : record.target.parentElement;
        if (!element?.closest('[data-clock], .more')) seen.push(`${record.type} ${element?.outerHTML.slice(0, 160)}`);
      }
    });
    observer.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  }));
  assert.deepEqual(changes, []);
  await page.close();
});

test('no page complained of anything', () => assert.deepEqual(on.browser.complaints, []));
