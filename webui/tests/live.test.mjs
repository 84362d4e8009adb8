/** The live page against the real program: reloads, three readers, a killed server, a lost ComfyUI. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser } from './browser.mjs';
import { RANK, stateOf } from './dom.mjs';
import { startComfy, startServer, until } from './server.mjs';
import { workflow } from './workflows.mjs';

let comfy;
let server;
let browser;

before(async () => {
  comfy = await startComfy();
  server = await startServer({ comfy: comfy.url });
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.end();
  await comfy?.end();
});

/** Fresh work each time, so that nothing is cached. */
let seed = 100;
async function start(steps = 30, name = 'slow one') {
  const graph = workflow('20_custom_slow_previews');
  graph['1'].inputs.seed = seed++;
  graph['2'].inputs.seed = seed++;
  graph['1'].inputs.steps = steps;
  const made = await server.call('POST', '/api/v1/runs', { workflow: graph, workflow_name: name });
  return made.run_id;
}

test('the link with the token leads in, and leaves the token nowhere', async () => {
  const page = await browser.page(server.page);
  await page.waitForSelector('[data-link=live]');
  assert.equal(new URL(page.url()).hash, '');
  assert.ok(!(await page.content()).includes(server.token));
  const state = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, history.state]));
  assert.ok(!state.includes(server.token));
  await page.close();
});

test('a reload each second during a run: nothing goes back, and the picture is there at once', async () => {
  const page = await browser.page(server.page);
  await page.waitForSelector('[data-link=live]');
  const id = await start(60);
  let last = { seq: 0, percent: 0, nodes: {} };
  let reloads = 0;
  for (;;) {
    await page.goto(`${server.origin}/?run=${id}`);
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
  const real = await server.run(id);
  assert.deepEqual(last.nodes, Object.fromEntries(real.nodes.map((node) => [node.node_id, node.state])));
  await page.close();
});

test('three readers at one seq see the same, and what the server says', async () => {
  const others = await Promise.all([openBrowser(), openBrowser()]);
  const id = await start(60, "seen by three");
  const pages = await Promise.all([browser, ...others].map(async (one) => {
    const page = await one.page(server.page);
    await page.waitForSelector('[data-link=live]');
    await page.goto(`${server.origin}/?run=${id}&tab=outputs`);
    await page.waitForSelector('.graph .node');
    return page;
  }));
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
  const at = await server.call('GET', `/api/v1/runs/${id}`);
  for (const page of pages) assert.equal((await stateOf(page)).seq, at.seq);
  await Promise.all(pages.map((page) => page.close()));
  await Promise.all(others.map((one) => one.close()));
});

test('a server that is killed and comes back: the page heals by itself', async () => {
  const page = await browser.page(server.page);
  await page.waitForSelector('[data-link=live]');
  const id = await start(30, 'through a crash');
  await page.click(`[data-run="${id}"]`);
  await page.waitForSelector('.graph .node.running');
  await page.evaluate(() => (window.sameDocument = true));
  const { folder, port } = server;
  await server.kill();
  await page.waitForSelector('.note');
  assert.match(await page.textContent('.note'), /🔌 Connection lost\. Workflow continues on server\. Progress will resume when connection is restored\./);
  assert.equal(await page.getAttribute('.run-head', 'data-status'), 'executing', 'what was known stays');
  server = await startServer({ comfy: comfy.url, data: folder, port });
  await page.waitForSelector('[data-link=live]');
  await page.waitForSelector('.run-head[data-status=completed]', { timeout: 30_000 });
  assert.equal(await page.locator('.note').count(), 0);
  assert.ok(await page.evaluate(() => window.sameDocument), 'it was not loaded again');
  const real = await server.run(id);
  assert.equal((await stateOf(page)).seq, real.seq);
  await page.close();
});

test('a ComfyUI that is lost is amber and not red, and comes back', async () => {
  const page = await browser.page(server.page);
  await page.waitForSelector('[data-link=live]');
  const id = await start(40, 'through a lost link');
  await page.click(`[data-run="${id}"]`);
  await page.waitForSelector('.graph .node.running');
  const { port } = comfy;
  await comfy.end();
  await page.waitForSelector('.box.warn.attention.unreachable', { timeout: 40_000 });
  assert.match(await page.textContent('.box.attention'), /🔌 Connection lost\. Workflow continues on server\./);
  assert.equal(await page.locator('.run-head .bar.warn').count(), 1);
  assert.equal(await page.locator('.graph .frozen').count(), 1, 'the node that ran last is frozen');
  comfy = await startComfy({ port });
  // This simulator has forgotten everything: the run fails in plain words, with a way on.
  await page.waitForSelector('.box.bad.failure', { timeout: 40_000 });
  assert.match(await page.textContent('.failure'), /instance was restarted/);
  await page.close();
});

test('cancel asks once, retry makes a new run, a failure is understood at a glance', async () => {
  const page = await browser.page(server.page);
  await page.waitForSelector('[data-link=live]');
  const id = await start(200, 'to be stopped');
  await page.click(`[data-run="${id}"]`);
  await page.waitForSelector('.graph .node.running');
  await page.getByRole('button', { name: 'Stop Workflow' }).click();
  assert.equal((await server.run(id)).stopping, false, 'one click does nothing');
  await page.getByRole('button', { name: 'Yes, stop it' }).click();
  await page.waitForSelector('.run-head[data-status=cancelled]');
  assert.ok((await page.locator('.graph .node.interrupted').count()) === 1);

  const failing = workflow('21_custom_fails_midway');
  failing['3'].inputs.seed = seed++;
  const { run_id: bad } = await server.call('POST', '/api/v1/runs', { workflow: failing, workflow_name: 'one that fails' });
  await page.click(`[data-run="${bad}"]`);
  await page.waitForSelector('.run-head[data-status=failed]');
  const said = await page.textContent('.failure');
  assert.match(said, /❌ Workflow failed at node "SlowSteps": .*asked to fail/);
  assert.match(said, /RuntimeError/);
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
  const watchers = async () => (await server.call('GET', '/api/v1/stats')).followers;
  await until('nobody who watches', async () => (await watchers()) === 0);
  const id = await start(200, 'in four tabs');
  const pages = [];
  for (let count = 0; count < 4; count += 1) {
    const page = await browser.page(server.page);
    await page.goto(`${server.origin}/?run=${id}`);
    await page.waitForSelector('.graph .node.running');
    pages.push(page);
  }
  assert.equal(await watchers(), 2, 'the list and the run are told once, not once a tab');
  await pages[1].reload();
  await pages[1].waitForSelector('.graph .node.running');
  await pages[2].goto(`${server.origin}/?view=run&q=nothing`);
  await pages[2].goto(`${server.origin}/?run=${id}`);
  await pages[2].waitForSelector('.graph .node.running');
  const paints = await pages[0].evaluate(() => new Promise((resolve) => {
    const times = [];
    const head = document.querySelector('.run-head');
    const observer = new MutationObserver((records) => records.some((record) => record.attributeName === 'data-seq') && times.push(performance.now()));
    observer.observe(head, { attributes: true });
    setTimeout(() => resolve(times), 4000);
  }));
  assert.ok(paints.length > 2, `it is painted: ${paints.length}`);
  const gaps = paints.slice(1).map((time, index) => time - paints[index]);
  // Timers of browsers may be some milliseconds early.
  assert.ok(Math.min(...gaps) > 450, `${gaps.map(Math.round)} ms between paints`);
  await server.call('POST', `/api/v1/runs/${id}/cancel`, {});
  await Promise.all(pages.map((page) => page.waitForSelector('.run-head[data-status=cancelled]')));
  await Promise.all(pages.map((page) => page.close()));
  await until('nobody who watches', async () => (await watchers()) === 0);
});

test('nothing moves when nothing changed', async () => {
  const id = await start(10, 'quiet');
  await until('its end', async () => (await server.run(id)).status === 'completed');
  const page = await browser.page(server.page);
  await page.waitForSelector('[data-link=live]');
  await page.goto(`${server.origin}/?run=${id}`);
  await page.waitForSelector('.graph .node');
  await page.waitForLoadState('networkidle').catch(() => undefined);
  const changes = await page.evaluate(() => new Promise((resolve) => {
    const seen = [];
    const observer = new MutationObserver((records) => {
      for (const record of records) {
        const element = record.target instanceof Element ? record.target : record.target.parentElement;
        if (!element?.closest('[data-clock], .more')) seen.push(`${record.type} ${element?.outerHTML.slice(0, 160)}`);
      }
    });
    observer.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
    setTimeout(() => resolve(seen), 3500);
  }));
  assert.deepEqual(changes, []);
  await page.close();
});

test('no page complained of anything', () => assert.deepEqual(browser.complaints, []));
