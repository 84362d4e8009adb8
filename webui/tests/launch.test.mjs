/** A new run against the real program: three clicks, forms, dropped files, what is checked beforehand. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { drop, png, webp } from './files.mjs';
import { until } from './server.mjs';
import { stage } from './stage.mjs';
import { workflow } from './workflows.mjs';

const on = stage({ demo: { speed: 20 } });

async function runOf(page) {
  await page.waitForSelector('.run-head');
  return new URL(page.url()).searchParams.get('run');
}

/** Presses Run; the run is made, and the answer is lost on its way. */
async function runWithoutAnswer(page) {
  await page.route('**/api/v1/runs', async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await page.click('button:has-text("Run Workflow")');
  await page.waitForSelector('.box.bad[role=alert]');
}

test('three clicks from the page of the demo to a running workflow, and then its output', async () => {
  const page = await on.open();
  await page.click('.topbar a.button.primary');
  await page.click('[data-template=txt2img_basic]');
  await page.click('button:has-text("Run Workflow")');
  const id = await runOf(page);
  const run = await on.ended(id);
  assert.equal(run.workflow_name, 'Text to image');
  await page.waitForSelector('.output img');
  assert.deepEqual(on.browser.complaints, []);
  await page.close();
});

test('the form has a field of each kind, sends what was changed, and begins with it the next time', async () => {
  const page = await on.open('?view=new&name=txt2img_basic');
  await page.waitForSelector('[data-field="6.text"] textarea');
  await page.fill('[data-field="6.text"] textarea', 'a <b>red</b> boat');
  await page.fill('[data-field="5.width"] input', '256');
  await page.fill('[data-field="3.seed"] input', '18446744073709551610');
  await page.fill('[data-field="3.cfg"] input', '4.5');
  await page.selectOption('[data-field="3.sampler_name"] select', 'heun');
  assert.equal(await page.locator('[data-field="3.denoise"]').count(), 0, 'what most leave alone is hidden');
  await page.click('text=All inputs');
  await page.fill('[data-field="3.denoise"] input', '0.9');
  await page.fill('[data-field="3.steps"] input', '3');
  await page.fill('.launch-run input[type=text]', 'boats');
  await page.click('button:has-text("Run Workflow")');
  const id = await runOf(page);
  assert.equal((await on.ended(id)).workflow_name, 'boats');
  const text = await (await fetch(`${on.server.origin}/api/v1/runs/${id}/workflow`, { headers: { Authorization: `Bearer ${on.server.token}` } })).text();
  assert.ok(text.includes('18446744073709551610'), 'a seed beyond 2^53 is sent as it was typed');
  const graph = JSON.parse(text).workflow;
  assert.deepEqual([graph[6].inputs.text, graph[5].inputs.width, graph[3].inputs.cfg, graph[3].inputs.sampler_name, graph[3].inputs.denoise, graph[3].inputs.steps], ['a <b>red</b> boat', 256, 4.5, 'heun', 0.9, 3]);
  await page.goto(`${on.server.origin}/?view=new&name=txt2img_basic`);
  await page.waitForSelector('[data-field="6.text"] textarea');
  assert.equal(await page.inputValue('[data-field="6.text"] textarea'), 'a <b>red</b> boat');
  assert.equal(await page.inputValue('[data-field="3.seed"] input'), '18446744073709551610');
  await page.close();
});

test('a value out of its bounds is told at its field, and nothing is sent', async () => {
  const page = await on.open('?view=new&name=txt2img_basic');
  await page.waitForSelector('[data-field="3.steps"] input');
  await page.fill('[data-field="3.steps"] input', '0');
  assert.match(await page.textContent('[data-field="3.steps"] [role=alert]'), /At least 1/);
  assert.ok(await page.isDisabled('button:has-text("Run Workflow")'));
  await page.fill('[data-field="3.seed"] input', '12x');
  assert.match(await page.textContent('[data-field="3.seed"] [role=alert]'), /whole number/);
  await page.fill('[data-field="3.steps"] input', '2');
  await page.fill('[data-field="3.seed"] input', '12');
  assert.ok(await page.isEnabled('button:has-text("Run Workflow")'));
  await page.click('[aria-label="Another seed"]');
  assert.match(await page.inputValue('[data-field="3.seed"] input'), /^\d+$/);
  assert.notEqual(await page.inputValue('[data-field="3.seed"] input'), '12');
  await page.close();
});

test('several runs at once have a seed each', async () => {
  const page = await on.open('?view=new&name=txt2img_basic');
  await page.waitForSelector('[data-field="3.steps"] input');
  await page.fill('[data-field="3.steps"] input', '2');
  await page.fill('.launch-run input[type=number]', '3');
  await page.fill('.launch-run input[type=text]', 'thrice');
  await page.click('button:has-text("Run 3 times")');
  await runOf(page);
  const { runs } = await on.server.call('GET', '/api/v1/runs?name=thrice');
  assert.equal(runs.length, 3);
  const seeds = await Promise.all(runs.map(async (run) => (await on.server.call('GET', `/api/v1/runs/${run.run_id}/workflow`)).workflow[3].inputs.seed));
  assert.equal(new Set(seeds).size, 3);
  await page.close();
});

test('a workflow dropped anywhere becomes a form, over a reload too, and runs as it is', async () => {
  const page = await on.open();
  const graph = workflow('01_simple_save');
  await drop(page, 'my <i>flow</i>.json', 'application/json', JSON.stringify(graph));
  await page.waitForSelector('.fields');
  assert.match(await page.textContent('.tile h2'), /my <i>flow<\/i>/);
  await page.reload();
  await page.waitForSelector('.fields');
  await page.click('button:has-text("Run Workflow")');
  const run = await on.ended(await runOf(page));
  assert.equal(run.workflow_name, 'my <i>flow</i>');
  assert.ok(run.outputs.length > 0);
  await page.close();
});

test('a picture carries its workflow: PNG and WebP', async () => {
  const graph = JSON.stringify(workflow('01_simple_save'));
  for (const [name, type, data] of [['made.png', 'image/png', png({ prompt: graph })], ['made.webp', 'image/webp', webp([`prompt:${graph}`])]]) {
    const page = await on.open();
    await drop(page, name, type, data);
    await page.waitForSelector('.fields');
    assert.match(await page.textContent('.tile h2'), /made/);
    await page.click('button:has-text("Run Workflow")');
    await on.ended(await runOf(page));
    await page.close();
  }
});

test('what cannot be run is told: no JSON, no workflow, a picture without one', async () => {
  const page = await on.open();
  await drop(page, 'broken.json', 'application/json', '{"1":');
  await page.waitForSelector('text=is no JSON');
  await drop(page, 'list.json', 'application/json', '{"a": 1}');
  await page.waitForSelector('text=is no workflow of ComfyUI');
  await drop(page, 'empty.png', 'image/png', png());
  await page.waitForSelector('text=carries no workflow');
  await page.close();
});

test('a canvas is converted by the server, and runs', async () => {
  const page = await on.open();
  const canvas = { nodes: [{ id: 1, type: 'EmptyImage', inputs: [], outputs: [{ name: 'IMAGE', type: 'IMAGE', links: [1] }], widgets_values: [64, 64, 1, 255], mode: 0 }, { id: 2, type: 'SaveImage', inputs: [{ name: 'images', type: 'IMAGE', link: 1 }], outputs: [], widgets_values: ['canvas'], mode: 0 }], links: [[1, 1, 0, 2, 0, 'IMAGE']], version: 0.4 };
  await drop(page, 'canvas.json', 'application/json', JSON.stringify(canvas));
  await page.waitForSelector('[data-field="2.filename_prefix"], .fields');
  await page.click('button:has-text("Run Workflow")');
  const id = await runOf(page);
  await on.ended(id);
  assert.deepEqual((await on.server.call('GET', `/api/v1/runs/${id}/workflow`)).workflow['2'].inputs.filename_prefix, 'canvas');
  await page.close();
});

test('a dropped file is run as it is written: seeds beyond 2^53, and texts that look like numbers', async () => {
  const page = await on.open();
  const graph = workflow('20_custom_slow_previews');
  graph['1'].inputs.steps = 2;
  graph['4'] = { class_type: 'TextOut', inputs: { text: 'to, Infinity, and beyond' } };
  const text = JSON.stringify({ prompt: graph }).replace(/"seed":\d+/, '"seed":18446744073709551615');
  await drop(page, 'exact.json', 'application/json', text);
  await page.waitForSelector('.fields');
  await page.click('button:has-text("Run Workflow")');
  const id = await runOf(page);
  const sent = await (await fetch(`${on.server.origin}/api/v1/runs/${id}/workflow`, { headers: { Authorization: `Bearer ${on.server.token}` } })).text();
  assert.ok(sent.includes('18446744073709551615'), sent.slice(0, 600));
  assert.ok(sent.includes('to, Infinity, and beyond'), sent.slice(0, 600));
  await page.close();
});

test('an answer that is lost: pressing again makes no second run', async () => {
  const page = await on.open('?view=new&name=txt2img_basic', '[data-field="3.steps"] input');
  await page.fill('[data-field="3.steps"] input', '2');
  await page.fill('.launch-run input[type=text]', 'lost answer');
  await runWithoutAnswer(page);
  await page.click('button:has-text("Run Workflow")');
  await runOf(page);
  assert.equal((await on.server.call('GET', '/api/v1/runs?name=lost%20answer')).runs.length, 1);
  await page.close();
});

test('a picture dropped on its field is sent with the run', async () => {
  const page = await on.open('?view=new&name=image_enhancement');
  await page.waitForSelector('.drop-field');
  await drop(page, 'photo.png', 'image/png', png(), '.drop-field');
  await page.waitForSelector('.drop-field img');
  assert.match(await page.textContent('.drop-field'), /photo\.png/);
  await page.click('button:has-text("Run Workflow")');
  const id = await runOf(page);
  await on.ended(id);
  const { uploads } = await on.server.call('GET', `/api/v1/runs/${id}/workflow`);
  assert.deepEqual(uploads.map((upload) => [upload.node_id, upload.file_name]), [['1', 'photo.png']]);
  await page.close();
});

test('the look beforehand says where it goes; what is sure to be refused blocks the button', async () => {
  const page = await on.open('?view=new&name=txt2img_basic');
  await page.waitForSelector('.preflight');
  await page.waitForSelector('.preflight:not([data-look=looking])');
  assert.match(await page.textContent('.preflight'), /It goes to 127\.0\.0\.1-\d+/);
  await page.route('**/api/v1/workflows/validate', (route) => route.fulfill({ json: { success: true, valid: false, findings: [{ node_id: '4', class: 'CheckpointLoaderSimple', input: 'ckpt_name', certain: true, message: 'value_not_in_list', hint: 'Choose another.' }], warnings: [] } }));
  await page.fill('[data-field="3.steps"] input', '5');
  await page.waitForSelector('.preflight .bad');
  assert.match(await page.textContent('.preflight .bad'), /CheckpointLoaderSimple \(4\): value_not_in_list/);
  assert.ok(await page.isDisabled('button:has-text("Run Workflow")'));
  await page.close();
});

/** The graph of a run as it was sent. */
const graphOf = async (id) => (await on.server.call('GET', `/api/v1/runs/${id}/workflow`)).workflow;

test('a batch of prompts with commas: one a row, and each draws its seed where that is wanted', async () => {
  const page = await on.open('?view=new&name=txt2img_basic', '[data-field="3.steps"] input');
  await page.fill('[data-field="3.steps"] input', '2');
  await page.fill('.launch-run input[type=text]', 'prompts');
  const seed = page.locator('[data-field="3.seed"] button[aria-pressed]');
  if ((await seed.getAttribute('aria-pressed')) === 'false') await seed.click();
  await page.getByRole('button', { name: 'Run Workflow' }).click({ modifiers: ['Alt'] });
  await page.waitForSelector('.batch-table tbody tr');
  await page.locator('.batch-table td input').first().evaluate((cell) => {
    const data = new DataTransfer();
    data.setData('text/plain', 'Prompt\na cat, red\na dog, "blue", large\n');
    cell.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
  });
  await page.getByRole('button', { name: 'Run 2 runs' }).click();
  await runOf(page);
  const { runs } = await on.server.call('GET', '/api/v1/runs?name=prompts');
  const graphs = await Promise.all(runs.map((run) => graphOf(run.run_id)));
  assert.deepEqual(graphs.map((graph) => graph[6].inputs.text).sort(), ['a cat, red', 'a dog, "blue", large']);
  assert.notEqual(graphs[0][3].inputs.seed, graphs[1][3].inputs.seed);
  await page.close();
});

test('another file of the same name is another form: what was changed stays, what was not follows the file', async () => {
  const page = await on.open();
  const file = (width, height) => {
    const graph = workflow('01_simple_save');
    Object.assign(graph['1'].inputs, { width, height });
    return JSON.stringify(graph);
  };
  const fields = async () => [await page.inputValue('[data-field="1.width"] input'), await page.inputValue('[data-field="1.height"] input')];
  await drop(page, 'same.json', 'application/json', file(64, 64));
  await page.waitForSelector('[data-field="1.width"] input');
  await page.fill('[data-field="1.width"] input', '96');
  // The answer is lost, the file is mended and dropped again: what is sent is the new one, as another run.
  await runWithoutAnswer(page);
  await drop(page, 'same.json', 'application/json', file(64, 80));
  await until('the new file', async () => (await fields())[1] === '80');
  assert.deepEqual(await fields(), ['96', '80']);
  await page.click('button:has-text("Run Workflow")');
  const { width, height } = (await graphOf(await runOf(page)))['1'].inputs;
  assert.deepEqual([width, height], [96, 80]);
  await drop(page, 'same.json', 'application/json', file(48, 72));
  await until('the newest file', async () => (await fields())[1] === '72');
  assert.deepEqual(await fields(), ['48', '72'], 'what was changed was changed of another value');
  assert.equal((await on.server.call('GET', '/api/v1/runs?name=same')).runs.length, 2);
  await page.close();
});

test('what a canvas draws anew is said at its field, and is not kept', async () => {
  const page = await on.open();
  const canvas = { nodes: [{ id: 1, type: 'EmptyImage', inputs: [], outputs: [{ name: 'IMAGE', type: 'IMAGE', links: [1] }], widgets_values: [64, 64, 1, 255], mode: 0 }, { id: 2, type: 'SaveImage', inputs: [{ name: 'images', type: 'IMAGE', link: 1 }], outputs: [], widgets_values: ['%date:yyyy-MM-dd%/img'], mode: 0 }], links: [[1, 1, 0, 2, 0, 'IMAGE']], version: 0.4 };
  await drop(page, 'drawn.json', 'application/json', JSON.stringify(canvas));
  const field = page.locator('[data-field="2.filename_prefix"]');
  await page.waitForSelector('.fields');
  if (!(await field.count())) await page.click('text=All inputs');
  await field.getByText('Drawn anew for each run').waitFor();
  assert.match(await field.locator('input').inputValue(), /^\d{4}-\d\d-\d\d\/img$/);
  await page.click('button:has-text("Run Workflow")');
  await runOf(page);
  assert.deepEqual(await page.evaluate(() => JSON.parse(localStorage.getItem('comfyd.last.file drawn.json')).values), {});
  await page.close();
});

test('texts in a picture are read as they were written', async () => {
  const page = await on.open();
  const graph = { ...workflow('01_simple_save'), 9: { class_type: 'TextOut', inputs: { text: 'Größe 日本' } } };
  const utf8 = Buffer.from(JSON.stringify(graph)).toString('latin1');
  await drop(page, 'utf8.png', 'image/png', png({ prompt: utf8 }));
  await page.waitForSelector('.fields');
  await page.click('button:has-text("Run Workflow")');
  assert.equal((await graphOf(await runOf(page)))['9'].inputs.text, 'Größe 日本');
  await page.close();
});

test('a template that is put into its folder appears on the page that is open', async () => {
  const page = await on.open('?view=new', '[data-template]');
  mkdirSync(join(on.server.folder, 'workflows'), { recursive: true });
  writeFileSync(join(on.server.folder, 'workflows/mine.json'), JSON.stringify(workflow('01_simple_save')));
  await page.waitForSelector('[data-template=mine]');
  rmSync(join(on.server.folder, 'workflows/mine.json'));
  await page.waitForSelector('[data-template=mine]', { state: 'detached' });
  await page.close();
});

test('what is sure to be refused can be run all the same; with one good output nothing is held up', async () => {
  const graph = workflow('01_simple_save');
  graph['1'].inputs.width = 'wide';
  const page = await on.open();
  await drop(page, 'refused.json', 'application/json', JSON.stringify(graph));
  await page.waitForSelector('.preflight[data-look=done] .bad');
  assert.ok(await page.isDisabled('button:has-text("Run Workflow")'));
  await page.getByLabel('Run anyway, without this check').check();
  await page.click('button:has-text("Run Workflow")');
  const run = await on.ended(await runOf(page), 'failed');
  assert.equal(run.error.node_id ?? run.error.problems[0].node, '1', 'ComfyUI itself says it');

  const half = { ...workflow('01_simple_save'), 8: { class_type: 'EmptyImage', inputs: { width: 'wide', height: 64, batch_size: 1, color: 3 } }, 9: { class_type: 'SaveImage', inputs: { images: ['8', 0], filename_prefix: 'bad' } } };
  await drop(page, 'half.json', 'application/json', JSON.stringify(half));
  await page.waitForSelector('.preflight[data-look=done] .warn');
  assert.match(await page.textContent('.preflight'), /Some of its outputs are left out, the others run/);
  assert.equal(await page.locator('.launch-anyway').count(), 0);
  await page.click('button:has-text("Run Workflow")');
  assert.ok((await on.ended(await runOf(page))).outputs.length > 0);
  await page.close();
});

test('a picture that was taken along is forgotten when one goes elsewhere, and is said without an alarm', async () => {
  const page = await on.open('?view=new', '[data-template]');
  await drop(page, 'photo.png', 'image/png', png());
  await page.locator('.launch [role=status]', { hasText: 'carries no workflow' }).waitFor();
  assert.equal(await page.locator('.launch [role=alert]').count(), 0);
  await page.click('.topbar nav a:has-text("Gallery")');
  await page.click('.topbar a.button.primary');
  await page.waitForSelector('[data-template]');
  assert.equal(await page.locator('.launch [role=status]').count(), 0);
  await page.click('[data-template=image_enhancement]');
  await page.waitForSelector('.drop-field');
  assert.equal(await page.locator('.drop-field img').count(), 0);
  await page.close();
});

test('what was sent last is kept for the newest fifty workflows', async () => {
  const page = await on.open('?view=new&name=txt2img_basic', '[data-field="3.steps"] input');
  await page.evaluate(() => {
    for (let index = 0; index < 80; index += 1) localStorage.setItem(`comfyd.last.run ${index}`, '{"values":{},"fresh":[]}');
  });
  await page.fill('[data-field="3.steps"] input', '2');
  for (const name of ['one.json', 'two.json']) {
    await page.click('button:has-text("Run Workflow")');
    await runOf(page);
    await drop(page, name, 'application/json', JSON.stringify(workflow('01_simple_save')));
    await page.waitForFunction((title) => document.querySelector('.tile h2')?.textContent.includes(title), name.slice(0, 3));
  }
  await page.click('button:has-text("Run Workflow")');
  await runOf(page);
  const kept = await page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith('comfyd.last.')).sort());
  assert.ok(kept.length <= 50, `${kept.length}`);
  for (const key of ['comfyd.last.txt2img_basic', 'comfyd.last.file one.json', 'comfyd.last.file two.json']) assert.ok(kept.includes(key), `${key} of ${kept}`);
  await page.close();
});

test('a batch: a table is pasted, a wrong value is told, and each row is a run', async () => {
  const page = await on.open('?view=new&name=txt2img_basic', '[data-field="3.steps"] input');
  await page.fill('[data-field="3.steps"] input', '2');
  await page.fill('.launch-run input[type=text]', 'a batch');
  await page.getByRole('button', { name: 'Run Workflow' }).click({ modifiers: ['Alt'] });
  await page.waitForSelector('.batch-table tbody tr');
  const paste = (text) => page.locator('.batch-table td input').first().evaluate((cell, text) => {
    const data = new DataTransfer();
    data.setData('text/plain', text);
    cell.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
  }, text);
  await paste('Seed\tColour\n1\tred');
  await page.getByRole('alert').filter({ hasText: 'No input is called “Colour”' }).waitFor();
  await paste('Seed\tSteps\tPrompt\n18446744073709551610\t3\t"a <b>red</b> boat, ""fast"""\n2\t0\ta blue boat\n3\t\ta green boat');
  await page.getByRole('alert').filter({ hasText: '1 value is not usable' }).waitFor();
  assert.ok(await page.getByRole('button', { name: 'Run 3 runs' }).isDisabled());
  await page.getByLabel('Steps of run 2').fill('4');
  await page.getByRole('button', { name: 'Run 3 runs' }).click();
  await runOf(page);
  const { runs } = await on.server.call('GET', '/api/v1/runs?name=a%20batch');
  assert.equal(runs.length, 3);
  assert.equal(new Set(runs.map((run) => run.batch)).size, 1);
  const texts = await Promise.all(runs.map(async (run) => (await fetch(`${on.server.origin}/api/v1/runs/${run.run_id}/workflow`, { headers: { Authorization: `Bearer ${on.server.token}` } })).text()));
  assert.ok(texts.some((text) => text.includes('18446744073709551610')), 'a seed beyond 2^53 is sent as it was given');
  const steps = texts.map((text) => JSON.parse(text).workflow).map((graph) => [graph[3].inputs.steps, graph[6].inputs.text]);
  assert.deepEqual(steps.sort(), [[2, 'a green boat'], [3, 'a <b>red</b> boat, "fast"'], [4, 'a blue boat']]);
  await page.waitForSelector('text=batch');
  await page.close();
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
