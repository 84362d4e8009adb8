/** Workflows as people draw them: dropped, converted, checked and run with three clicks, and shown where they were drawn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drop, png } from './files.mjs';
import { stage } from './stage.mjs';

const on = stage({ scale: 20 });

/** A picture made in a subgraph, turned by a node beside it, and saved below. */
function canvas({ color = 255 } = {}) {
  const image = (link) => [{ name: 'image', type: 'IMAGE', link }];
  const gives = (links) => [{ name: 'IMAGE', type: 'IMAGE', links }];
  return {
    last_node_id: 9, last_link_id: 9, version: 0.4,
    nodes: [
      { id: 5, type: 'maker', pos: [40, 60], size: [210, 80], outputs: gives([2]) },
      { id: 3, type: 'ImageInvert', pos: [330, 40], size: [210, 30], inputs: image(2), outputs: gives([3]) },
      { id: 4, type: 'SaveImage', title: 'Kept', pos: [30, 400], size: [315, 270], inputs: [{ name: 'images', type: 'IMAGE', link: 3 }], widgets_values: ['drawn'] },
      { id: 9, type: 'Note', pos: [900, 900], widgets_values: ['<b>for people</b>'] },
    ],
    links: [[2, 5, 0, 3, 0, 'IMAGE'], [3, 3, 0, 4, 0, 'IMAGE']],
    definitions: { subgraphs: [{
      id: 'maker', name: 'Make <i>it</i>', inputs: [], outputs: [{ name: 'IMAGE', type: 'IMAGE', linkIds: [2] }],
      nodes: [
        { id: 1, type: 'EmptyImage', pos: [-300, 0], size: [210, 130], widgets_values: [64, 48, 1, color], outputs: gives([1]) },
        { id: 2, type: 'ImageInvert', pos: [60, 0], size: [210, 30], inputs: image(1), outputs: gives([2]) },
      ],
      links: [{ id: 1, origin_id: 1, origin_slot: 0, target_id: 2, target_slot: 0 }, { id: 2, origin_id: 2, origin_slot: 0, target_id: -20, target_slot: 0 }],
    }] },
  };
}

/** Where the cards of a graph are, and the frames. */
async function drawnOn(page) {
  await page.waitForSelector('.graph .frame');
  return page.evaluate(() => {
    const box = (element) => {
      const { x, y, width, height } = element.getBBox();
      const move = element.transform.baseVal.consolidate()?.matrix;
      return { left: x + (move?.e ?? 0), top: y + (move?.f ?? 0), right: x + (move?.e ?? 0) + width, bottom: y + (move?.f ?? 0) + height };
    };
    return {
      cards: Object.fromEntries([...document.querySelectorAll('.graph .node')].map((node) => [node.dataset.node, box(node)])),
      frames: Object.fromEntries([...document.querySelectorAll('.graph .frame')].map((frame) => [frame.dataset.path, { ...box(frame.querySelector('rect')), title: frame.querySelector('text').textContent }])),
    };
  });
}

const apart = (one, other) => one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top;

test('the graph of a run stands where it was drawn, what is in a subgraph in its frame', async () => {
  const id = await on.start(canvas(), 'drawn');
  await on.ended(id);
  const page = await on.open(`?run=${id}`, '.graph .frame');
  const { cards, frames } = await drawnOn(page);
  assert.deepEqual(Object.keys(cards).sort(), ['3', '4', '5:1', '5:2']);
  assert.deepEqual(Object.keys(frames), ['5']);
  assert.equal(frames['5'].title, 'Make <i>it</i>', 'text is text');
  for (const inner of ['5:1', '5:2']) {
    const card = cards[inner];
    const frame = frames['5'];
    assert.ok(frame.left < card.left && card.right < frame.right && frame.top < card.top && card.bottom < frame.bottom, `${inner} is in its frame`);
  }
  assert.ok(cards['5:1'].right <= cards['5:2'].left, 'as inside of the subgraph');
  assert.ok(frames['5'].right <= cards['3'].left, 'beside it, as on the canvas');
  assert.ok(frames['5'].bottom <= cards['4'].top && cards['4'].left < cards['3'].left, 'below it, as on the canvas');
  const all = Object.values(cards);
  all.forEach((one, index) => all.slice(index + 1).forEach((other) => assert.ok(apart(one, other), 'no card is over another')));
  assert.ok(apart(cards['3'], frames['5']) && apart(cards['4'], frames['5']));

  // In layers on request: the saving node is then right of all it needs.
  await page.click('[aria-label="In the order of work instead of as on the canvas"]');
  await page.waitForSelector('.graph .frame', { state: 'detached' });
  await page.click('[aria-label="In the order of work instead of as on the canvas"]');
  assert.deepEqual((await drawnOn(page)).cards, cards);
  await page.reload();
  assert.deepEqual((await drawnOn(page)).cards, cards, 'a reload shows the same');
  assert.deepEqual(on.browser.complaints, []);
  await page.close();
});

test('a run of a graph in API format is shown in layers', async () => {
  const graph = { 1: { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 1, color: 7 } }, 2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'api' } } };
  const id = await on.finished(graph, 'layers');
  const page = await on.open(`?run=${id}`, '.graph .node');
  assert.equal(await page.locator('.graph .node').count(), 2);
  assert.equal(await page.locator('.graph .frame').count(), 0);
  assert.equal(await page.locator('[aria-label="In the order of work instead of as on the canvas"]').count(), 0);
  await page.close();
});

for (const [name, type, data] of [
  ['drawn.json', 'application/json', JSON.stringify(canvas({ color: 1 }))],
  ['drawn.png', 'image/png', png({ workflow: JSON.stringify(canvas({ color: 2 })) })],
]) {
  test(`New run, ${name} dropped, Run: converted, checked, run, and shown as drawn`, async () => {
    const page = await on.open();
    const asked = [];
    page.on('request', (request) => request.method() === 'POST' && asked.push(new URL(request.url()).pathname));
    await page.click('.topbar a.button.primary');
    await drop(page, name, type, data);
    await page.waitForSelector('.preflight[data-look=done]');
    assert.match(await page.textContent('.preflight'), /Nodes, inputs and models are all there/);
    await page.click('button:has-text("Run Workflow")');
    await page.waitForSelector('.run-head');
    const id = new URL(page.url()).searchParams.get('run');
    const run = await on.ended(id);
    assert.equal(run.outputs.length, 1);
    assert.deepEqual(run.nodes.map((node) => node.node_id).sort(), ['3', '4', '5:1', '5:2']);
    for (const path of ['/api/v1/workflows/convert', '/api/v1/workflows/validate', '/api/v1/runs']) assert.ok(asked.includes(path), `${path} was asked`);
    assert.deepEqual(Object.keys((await drawnOn(page)).frames), ['5']);
    const kept = await on.server.call('GET', `/api/v1/runs/${id}/canvas`);
    assert.deepEqual(kept.canvas.nodes.at(-1).widgets_values, ['<b>for people</b>'], 'the canvas is kept as it was drawn');
    assert.deepEqual(on.browser.complaints, []);
    await page.close();
  });
}

test('a canvas that would be refused says why, and is not run', async () => {
  const page = await on.open();
  const cut = canvas();
  cut.nodes[2].inputs[0].link = null;
  cut.links.pop();
  await drop(page, 'cut.json', 'application/json', JSON.stringify(cut));
  await page.waitForSelector('.preflight .bad');
  assert.match(await page.textContent('.preflight .bad'), /SaveImage \(4\): `images` is neither set nor linked/);
  assert.ok(await page.isDisabled('button:has-text("Run Workflow")'));
  const unknown = canvas();
  unknown.definitions.subgraphs[0].nodes[0].type = 'EmptyImages';
  await drop(page, 'unknown.json', 'application/json', JSON.stringify(unknown));
  await page.waitForSelector('text=This cannot be run');
  assert.match(await page.textContent('[role=alert]'), /5:1.*`EmptyImages`[^]*`EmptyImage`/);
  await page.close();
});
