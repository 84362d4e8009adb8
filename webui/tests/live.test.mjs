/** The live page against the real program: reloads, three readers, a killed server, a lost ComfyUI. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './browser.mjs';
import { RANK, stateOf } from './dom.mjs';
import { startComfy, until } from './server.mjs';
import { FULL, MOST_STEPS, stage } from './stage.mjs';
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
  // The second node goes on until it is stopped: however long a load takes, the run does not end meanwhile.
  const id = await on.slow({ steps: FULL ? 600 : 60, then: MOST_STEPS });
  await until('its first node', async () => (await on.server.run(id)).nodes.some((node) => node.state === 'running'));
  let last = { seq: 0, percent: 0, nodes: {} };
  const load = async () => {
    await page.goto(`${on.server.origin}/?run=${id}`);
    await page.waitForSelector('.run-head');
    await page.waitForSelector('.graph .node');
    const now = await stateOf(page);
    assert.ok(now.seq >= last.seq, `seq ${last.seq} -> ${now.seq}`);
    assert.ok(now.percent >= last.percent, `percent ${last.percent} -> ${now.percent}`);
    for (const [node, state] of Object.entries(now.nodes)) assert.ok(RANK[state] >= RANK[last.nodes[node] ?? 'waiting'], `node ${node}: ${last.nodes[node]} -> ${state}`);
    last = now;
  };
  for (let loads = 1; loads <= 6 || last.nodes['1'] !== 'done'; loads += 1) {
    await load();
    assert.equal(last.status, 'executing');
    if (loads === 3) {
      await page.waitForSelector('.side-column .preview img');
      assert.match(await page.textContent('.restored'), /^⏮️ Restored ComfyUI workflow: slow one\. Progress: \d+(\.\d)?%$/);
    }
    await page.waitForTimeout(1000);
  }
  assert.ok(last.percent > 0, 'a node is done');
  await on.stop(id);
  await load();
  assert.equal(last.status, 'cancelled');
  const real = await on.server.run(id);
  assert.deepEqual(last.nodes, Object.fromEntries(real.nodes.map((node) => [node.node_id, node.state])));
  await page.close();
});

test('three readers at one seq see the same, and what the server says', async () => {
  const others = await Promise.all([openBrowser(), openBrowser()]);
  // One event a second, so that each is shown by all of them for a moment.
  const id = await on.endless('seen by three', 1000);
  const pages = await Promise.all([on.browser, ...others].map((one) => on.open(`?run=${id}&tab=outputs`, '.graph .node', one)));
  const seen = new Map();
  const compared = new Set();
  const compare = async () => {
    const states = await Promise.all(pages.map(stateOf));
    states.forEach((state, reader) => {
      const before = seen.get(state.seq);
      if (before === undefined) return void seen.set(state.seq, { state, reader });
      assert.deepEqual(state, before.state, `the page at seq ${state.seq}`);
      if (before.reader !== reader) compared.add(state.seq);
    });
    return states;
  };
  await until('moments that two of them saw', async () => {
    await compare();
    return compared.size > 4;
  });
  await on.stop(id);
  const { seq } = await on.server.run(id);
  await until('its end on each page', async () => (await compare()).every((state) => state.status === 'cancelled' && state.seq === seq));
  await Promise.all(pages.map((page) => page.close()));
  await Promise.all(others.map((one) => one.close()));
});

test('a server that is killed and comes back: the page heals by itself', async () => {
  const page = await on.open();
  const id = await on.endless('through a crash');
  await page.click(`[data-run="${id}"]`);
  await page.waitForSelector('.graph .node.running');
  await page.evaluate(() => (window.sameDocument = true));
  await on.server.stop('SIGKILL');
  await page.waitForSelector('.note');
  assert.match(await page.textContent('.note'), /🔌 Connection lost\. Workflow continues on server\. Progress will resume when connection is restored\./);
  assert.equal(await page.getAttribute('.run-head', 'data-status'), 'executing', 'what was known stays');
  await on.server.start();
  await page.waitForSelector('[data-link=live]');
  // The server looks at ComfyUI anew, and goes on to tell of it.
  const back = await on.server.run(id);
  await page.waitForFunction((seq) => Number(document.querySelector('.run-head').dataset.seq) > seq + 10, back.seq);
  assert.equal(await page.getAttribute('.run-head', 'data-status'), 'executing');
  await page.waitForSelector('.note', { state: 'detached' });
  await on.stop(id);
  await page.waitForSelector('.run-head[data-status=cancelled]');
  assert.ok(await page.evaluate(() => window.sameDocument), 'it was not loaded again');
  const real = await on.server.run(id);
  await until('the last event', async () => (await stateOf(page)).seq === real.seq);
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
  const id = await on.endless('through a lost link');
  await page.click(`[data-run="${id}"]`);
  await page.waitForSelector('.graph .node.running');
  const { port } = on.comfy;
  await on.comfy.end();
  await page.waitForSelector('.box.warn.attention.unreachable');
  assert.match(await page.textContent('.box.attention'), /🔌 Connection lost\. Workflow continues on server\./);
  assert.equal(await page.locator('.run-head .bar.warn').count(), 1);
  assert.equal(await page.locator('.graph .frozen').count(), 1, 'the node that ran last is frozen');
  on.comfy = await startComfy({ port });
  // This simulator has forgotten everything: the run fails in plain words, with a way on.
  await page.waitForSelector('.box.bad.failure');
  assert.match(await page.textContent('.failure'), /instance was restarted/);
  await page.close();
});

test('cancel asks once, retry makes a new run, a failure is understood at a glance', async () => {
  const page = await on.open();
  const id = await on.endless('to be stopped');
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
  // The graph is drawn a moment after the page.
  await page.waitForSelector('.graph .node.failed');
  await page.keyboard.press('f');
  await page.waitForFunction(() => new URLSearchParams(location.search).get('node') === '3');
  await page.waitForSelector('.side-column [aria-label="Close the node"]');
  assert.match(await page.textContent('.side-column'), /asked to fail/);
  await page.locator('.failure').getByRole('button', { name: 'Retry Workflow' }).click();
  await page.waitForFunction((id) => new URLSearchParams(location.search).get('run') !== id, bad);
  await page.locator('.run-head[data-status=failed] .facts', { hasText: `retry of #${bad.slice(-6)}` }).waitFor();
  await page.close();
});

test('a run is painted at most twice a second, however many tabs one stream feeds', async () => {
  const watchers = async () => (await on.server.call('GET', '/api/v1/stats')).followers;
  await until('nobody who watches', async () => (await watchers()) === 0);
  const id = await on.endless('in four tabs');
  const pages = [];
  for (let count = 0; count < 4; count += 1) {
    pages.push(await on.open(`?run=${id}`, '.graph .node.running'));
  }
  await until('two watchers: the list and the run are told once, not once a tab', async () => (await watchers()) === 2);
  await pages[1].reload();
  await pages[1].waitForSelector('.graph .node.running');
  await pages[2].goto(`${on.server.origin}/?view=run&q=nothing`);
  await pages[2].goto(`${on.server.origin}/?run=${id}`);
  await pages[2].waitForSelector('.graph .node.running');
  await pages[0].evaluate(() => {
    const begun = performance.now();
    window.painted = { paints: 0, seconds: 0 };
    new MutationObserver((records) => {
      if (window.painted.seconds > 4 || !records.some((record) => record.attributeName === 'data-seq')) return;
      window.painted.paints += 1;
      window.painted.seconds = (performance.now() - begun) / 1000;
    }).observe(document.querySelector('.run-head'), { attributes: true });
  });
  const { paints, seconds } = await (await pages[0].waitForFunction(() => window.painted.seconds > 4 && window.painted)).jsonValue();
  // Counted and not timed one by one: a busy machine shows one late and the next in time.
  assert.ok(paints <= 2 * seconds + 3, `${paints} paints in ${seconds} s`);
  await on.stop(id);
  await Promise.all(pages.map((page) => page.waitForSelector('.run-head[data-status=cancelled]')));
  await Promise.all(pages.map((page) => page.close()));
  await until('nobody who watches', async () => (await watchers()) === 0);
});

test('nothing moves when nothing changed', async () => {
  const id = await on.slow({ steps: 10, name: 'quiet' });
  await on.ended(id);
  const page = await on.open(`?run=${id}`, '.graph .node');
  assert.equal((await stateOf(page)).percent, 100);
  const changes = await page.evaluate(() => new Promise((resolve) => {
    let seen = [];
    let begun = performance.now();
    let times = 0;
    const look = setInterval(() => {
      // What is read after the first paint may come, however late; what comes again and again is none of that.
      if (seen.length > 0 && times++ < 20) [seen, begun] = [[], performance.now()];
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
