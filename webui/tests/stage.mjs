/** What the tests of a file stand on: a simulated ComfyUI, the server on it and a browser, from before the first test until after the last. */
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import { closeBrowsers, openBrowser } from './browser.mjs';
import { startComfy, startDemo, startServer, until } from './server.mjs';
import { workflow } from './workflows.mjs';

/** Sizes as people meet them, instead of those that are quick: `COMFYD_UI_FULL=1`. */
export const FULL = process.env.COMFYD_UI_FULL === '1';

/** The simulator's sampler refuses more. */
export const MOST_STEPS = 10_000;

/** Fresh work each time, so that nothing is cached. */
let seed = 100;

/** Sets the stage. `scale` above 1 is a faster ComfyUI; `server` and `browser` are what these are started with, `demo` the demo instead; `set` adds what the tests of the file need. */
export function stage({ scale = 1, server = {}, demo, browser = {}, set } = {}) {
  const going = new Set();
  const on = {
    comfy: undefined, server: undefined, browser: undefined,

    /** Starts a run; gives its id. */
    async start(graph, name) {
      return (await on.server.call('POST', '/api/v1/runs', { workflow: graph, workflow_name: name })).run_id;
    },

    /** Waits for the end of a run; gives the run. */
    async ended(id, status = 'completed', within = 60_000) {
      const run = await until(`the end of ${id}`, async () => {
        const now = await on.server.run(id);
        return ['completed', 'failed', 'cancelled'].includes(now.status) && now;
      }, within);
      assert.equal(run.status, status, JSON.stringify(run.error));
      return run;
    },

    /** A run whose sampler takes so many steps, and the one after it as many as `then` says, with a preview at each: 1 to `MOST_STEPS`. It lasts for (steps + then) x step ms / scale. */
    slow({ steps = 30, then = 10, step = 100, name = 'slow one' } = {}) {
      const graph = workflow('20_custom_slow_previews');
      Object.assign(graph['1'].inputs, { steps, step_ms: step, seed: seed++ });
      Object.assign(graph['2'].inputs, { steps: then, step_ms: step, seed: seed++ });
      return on.start(graph, name);
    },

    /** A run that goes on for a quarter of an hour or more, and so for longer than any machine looks at it; each step takes `step` ms, whatever the scale. One of a test is stopped after it at the latest. */
    async endless(name, step = 100) {
      const id = await on.slow({ steps: MOST_STEPS, step: step * scale, name });
      going.add(id);
      return id;
    },

    /** Stops a run, and waits until it has stopped. */
    async stop(id) {
      await on.server.call('POST', `/api/v1/runs/${id}/cancel`, {});
      await on.ended(id, 'cancelled');
    },

    /** A run of a graph of the fixtures, done. */
    async finished(graph, name) {
      const id = await on.start(graph, name);
      await on.ended(id);
      return id;
    },

    /** A page at an address of the server, logged in and live. */
    async open(query = '', sign = '[data-link=live]', one = on.browser) {
      const page = await one.page();
      if (!one.isIn) {
        await page.goto(on.server.page);
        await page.waitForSelector('[data-link=live]');
        one.isIn = true;
        if (query === '' && sign === '[data-link=live]') return page;
      }
      await page.goto(`${on.server.origin}/${query}`);
      await page.waitForSelector('[data-link=live]');
      await page.waitForSelector(sign);
      return page;
    },
  };
  before(async () => {
    if (demo) on.server = await startDemo(demo);
    else {
      on.comfy = await startComfy({ scale });
      on.server = await startServer({ comfy: on.comfy.url, ...server });
    }
    if (browser) on.browser = await openBrowser(browser);
    await set?.(on);
    // What goes on here is there for all tests of the file.
    going.clear();
  });
  afterEach(async () => {
    for (const id of going) {
      going.delete(id);
      // A test that failed leaves it behind, and the next one would wait for its end.
      if (!['completed', 'failed', 'cancelled'].includes((await on.server.run(id)).status)) await on.stop(id);
    }
  });
  after(async () => {
    await closeBrowsers();
    await on.server?.end();
    await on.comfy?.end();
  });
  return on;
}
