/** Travelling in time: the state at each event, keys, links, playing, a run that goes on, and a long log. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lengthen } from './log.mjs';
import { until } from './server.mjs';
import { FULL, stage } from './stage.mjs';

/** How many events the long log has: whole answers of 5,000. */
const LONG = FULL ? 100_000 : 10_000;

const on = stage({ scale: 4 });

async function finished(name = 'replayed', steps = 12) {
  const id = await on.slow({ steps, name });
  await on.ended(id);
  return id;
}

/** A page of a run, its graph drawn as its workflow says. */
async function open(query) {
  const page = await on.open(`?${query}`, '.graph .node');
  await page.waitForSelector('.graph .edge', { state: 'attached' });
  return page;
}

/** The recorded events of a run. */
async function logOf(id) {
  const text = await on.server.call('GET', `/api/v1/runs/${id}/log`);
  return text.trim().split('\n').map((line) => JSON.parse(line));
}

/** The event that is shown, once the page has settled on one. */
async function shows(page, seq) {
  await page.waitForFunction((wanted) => document.querySelector('.run-head')?.getAttribute('data-seq') === String(wanted), seq);
}

/** A run without what is null or differs by the way it was asked for. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  const skipped = ['success', 'index', 'estimated_completion'];
  return Object.fromEntries(Object.entries(value).filter(([key, member]) => member !== null && !skipped.includes(key)).map(([key, member]) => [key, plain(member)]));
}

test('at each event the page shows what the server folds', async () => {
  const id = await finished();
  const { seq: last } = await on.server.run(id);
  const page = await open(`run=${id}&tab=json&seq=1`);
  for (let seq = 1; seq < last; seq += 1) {
    await shows(page, seq);
    const shown = JSON.parse(await page.textContent('pre.json'));
    assert.deepEqual(plain(shown), plain(await on.server.call('GET', `/api/v1/runs/${id}/at/${seq}`)), `event ${seq}`);
    const states = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.graph .node')].map((node) => [node.dataset.node, node.dataset.state])));
    assert.deepEqual(states, Object.fromEntries(shown.nodes.map((node) => [node.node_id, node.state])), `the graph at event ${seq}`);
    await page.keyboard.press('ArrowRight');
  }
  await shows(page, last);
  assert.equal(await page.$('.past-banner'), null, 'the newest event is not the past');
  await page.close();
});

test('keys: by event, by node, to the end; and the address follows', async () => {
  const id = await finished();
  const log = await logOf(id);
  const of = (kind) => log.filter((line) => line.event.kind === kind).map((line) => line.seq);
  const last = log.at(-1).seq;
  const page = await open(`run=${id}`);
  await shows(page, last);
  assert.equal(await page.getAttribute('.replay-live', 'aria-pressed'), 'true');
  await page.keyboard.press('ArrowLeft');
  await shows(page, last - 1);
  assert.match(await page.textContent('.past-banner'), /Viewing \d\d:\d\d:\d\d/);
  await page.waitForFunction((seq) => new URL(location.href).searchParams.get('seq') === String(seq), last - 1);
  await page.keyboard.press('ArrowLeft');
  await shows(page, last - 2);
  await page.keyboard.press('ArrowRight');
  await shows(page, last - 1);
  const finishedLast = of('execution_succeeded')[0];
  await page.keyboard.press('Shift+ArrowLeft');
  await shows(page, finishedLast);
  await page.keyboard.press('Shift+ArrowLeft');
  await shows(page, of('node_finished').at(-1));
  await page.keyboard.press('Shift+ArrowLeft');
  await shows(page, of('node_started').at(-1));
  await page.keyboard.press('Shift+ArrowRight');
  await shows(page, of('node_finished').at(-1));
  await page.keyboard.press('l');
  await shows(page, last);
  await page.waitForFunction(() => !new URL(location.href).searchParams.has('seq'));
  // With the focus on the slider the same keys act.
  await page.focus('.replay-track input');
  await page.keyboard.press('Shift+ArrowLeft');
  await shows(page, of('execution_succeeded')[0]);
  await page.keyboard.press('ArrowLeft');
  await shows(page, finishedLast - 1);
  await page.keyboard.press('Home');
  await shows(page, 1);
  await page.click('.past-banner button');
  await shows(page, last);
  await page.close();
});

test('a copied link leads to the same moment, also after a reload', async () => {
  const id = await finished();
  const page = await open(`run=${id}&seq=9`);
  await shows(page, 9);
  await page.click('[aria-label="Copy a link to this event"]');
  const link = await until('the link', () => page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(link, `${on.server.origin}/?run=${id}&seq=9`);
  // Without what is of now and not of that moment.
  const said = () => page.evaluate(() => {
    const copy = document.querySelector('.run-page').cloneNode(true);
    for (const ticking of copy.querySelectorAll('[data-clock]')) ticking.remove();
    return copy.textContent;
  });
  const text = await said();
  await page.goto(link);
  await shows(page, 9);
  await page.reload();
  await shows(page, 9);
  await page.waitForSelector('.graph .edge', { state: 'attached' });
  await until('the same page', async () => (await said()) === text);
  await page.goto(`${on.server.origin}/?run=${id}&seq=99999`);
  await page.waitForSelector('.past-banner');
  assert.match(await page.textContent('.past-banner'), /There is no event 99999; the newest is \d+\./);
  await page.close();
});

test('playing goes through the events to the end', async () => {
  // Three seconds, so that a machine that ticks seldom shows more than its beginning and its end.
  const id = await finished('played', 120);
  const { seq: last } = await on.server.run(id);
  const page = await open(`run=${id}`);
  await shows(page, last);
  // The last phase is known: all events are here.
  await page.waitForSelector('.timeline .whole .track i.collecting', { state: 'attached' });
  await page.click('.replay-speed');
  await page.click('.replay-speed');
  assert.equal(await page.textContent('.replay-speed'), '×16');
  await page.click('.replay-speed');
  await page.click('.replay-speed');
  assert.equal(await page.textContent('.replay-speed'), '×1');
  await page.evaluate(() => {
    window.seen = [];
    new MutationObserver(() => {
      const seq = Number(document.querySelector('.run-head').getAttribute('data-seq'));
      if (window.seen.at(-1) !== seq) window.seen.push(seq);
    }).observe(document.querySelector('.run-head'), { attributes: true });
    window.pressed = [];
    const button = document.querySelector('.replay-play');
    new MutationObserver(() => window.pressed.push(button.getAttribute('aria-pressed'))).observe(button, { attributeFilter: ['aria-pressed'] });
    document.activeElement.blur();
  });
  await page.keyboard.press(' ');
  await page.waitForFunction(() => window.pressed.join() === 'true,false');
  await shows(page, last);
  const seen = await page.evaluate(() => window.seen);
  assert.equal(seen[0], 1);
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b), 'it only goes forward');
  assert.ok(seen.length > 4, `${seen}`);
  await page.close();
});

test('the past stays while the run goes on, and back to live follows it again', async () => {
  const id = await on.endless('goes on');
  const page = await open(`run=${id}&tab=events`);
  await page.waitForSelector('.graph .node.running');
  await page.waitForFunction(() => Number(document.querySelector('.run-head').dataset.seq) > 10);
  await page.keyboard.press('Shift+ArrowLeft');
  await page.waitForSelector('.past-banner');
  assert.match(await page.textContent('.past-banner'), /, the run is live/);
  const seq = Number(await page.getAttribute('.run-head', 'data-seq'));
  const newest = () => page.evaluate(() => Number(document.querySelector('.replay-track input').max));
  const begun = await newest();
  await until('more events', async () => (await newest()) > begun + 5);
  assert.equal(Number(await page.getAttribute('.run-head', 'data-seq')), seq, 'what is looked at stays');
  assert.match(await page.textContent('.side-column .preview'), /Previews are live only/);
  await page.click('.past-banner button');
  await page.waitForFunction((before) => Number(document.querySelector('.run-head').dataset.seq) > before, begun);
  await on.stop(id);
  await page.waitForSelector('.run-head[data-status=cancelled]');
  await page.close();
});

test(`a log of ${LONG} events: every jump shows the right event, and how long it takes`, async () => {
  const id = await finished('very long');
  const before = await on.server.run(id);
  const log = await logOf(id);
  const first = log.find((line) => line.event.kind === 'node_started' && line.event.data.node === '1');
  await on.server.stop();
  // Opened once more, so that the journal does not speak of the run any more.
  await on.server.start();
  await on.server.stop();
  const last = lengthen(on.server.folder, id, { after: first.seq, node: '1', steps: LONG - before.seq, at: Date.parse(first.at) });
  assert.equal(last, LONG);
  await on.server.start();
  assert.equal((await on.server.run(id)).seq, LONG);
  const page = await open(`run=${id}`);
  await shows(page, LONG);
  await page.hover('.replay-track');
  const loaded = Date.now();
  await page.keyboard.press('ArrowLeft');
  await shows(page, LONG - 1);
  const one = Date.now() - loaded;
  // All events are read once the slider is used.
  await page.waitForFunction((wanted) => performance.getEntriesByType('resource').some((entry) => entry.name.includes(`/patches?from=${wanted - 4999}&`)), LONG, { timeout: 300_000 });
  const told = await page.evaluate(async (length) => {
    const slider = document.querySelector('.replay-track input');
    const head = document.querySelector('.run-head');
    const setter = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
    const seek = async (seq) => {
      const begun = performance.now();
      setter.call(slider, String(seq));
      slider.dispatchEvent(new Event('input', { bubbles: true }));
      for (let turn = 0; head.dataset.seq !== String(seq); turn += 1) {
        if (turn > 1000) throw new Error(`event ${seq} is not shown, but ${head.dataset.seq}`);
        await (turn < 20 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve)));
      }
      // What the browser has to lay out belongs to it.
      document.querySelector('.run-page').getBoundingClientRect();
      const took = performance.now() - begun;
      return { took, percent: head.querySelector('[role=progressbar]').getAttribute('aria-label') };
    };
    let random = 12345;
    const next = () => (random = (random * 1103515245 + 12345) % 2147483648) / 2147483648;
    const places = Array.from({ length: 300 }, () => 1 + Math.floor(next() * (length - 2)));
    const drag = Array.from({ length: 300 }, (_, index) => 1 + Math.floor(((length - 2) * (300 - index)) / 300));
    for (const seq of places.slice(0, 50)) await seek(seq);
    const measure = async (list) => {
      const times = [];
      const shown = [];
      for (const seq of list) {
        const { took, percent } = await seek(seq);
        times.push(took);
        shown.push([seq, percent]);
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
      times.sort((a, b) => a - b);
      return { median: times[times.length >> 1], p95: times[Math.floor(times.length * 0.95)], most: times.at(-1), shown };
    };
    return { jumps: await measure(places), drag: await measure(drag) };
  }, LONG);
  for (const name of ['jumps', 'drag']) {
    const { median, p95, most, shown } = told[name];
    console.log(`replay of ${LONG} events, ${name}: median ${median.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, most ${most.toFixed(1)} ms a seek (the first one, cold, ${one} ms)`);
    for (const [seq, percent] of shown.filter((_, index) => index % 30 === 0)) {
      const folded = await on.server.call('GET', `/api/v1/runs/${id}/at/${seq}`);
      assert.equal(percent, `${folded.progress.progress_percent.toFixed(1)} percent`, `event ${seq}`);
    }
  }
  await page.close();
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
