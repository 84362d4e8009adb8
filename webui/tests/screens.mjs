/** Makes the pictures of the documentation: `./test.sh screens`, then look at them. Each is what a browser shows of the real program. */
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { openBrowser } from './browser.mjs';
import { startDemo, until } from './server.mjs';
import { workflow } from './workflows.mjs';

/** Those of the documentation; with a folder as argument all are made, to be looked at. */
const SHOWN = ['run', 'phone', 'light', 'replay', 'failed', 'gallery', 'setup'];
const folder = process.argv[2] ?? resolve(import.meta.dirname, '../../docs/screens');
await mkdir(folder, { recursive: true });
const server = await startDemo();
const dark = await openBrowser();
const light = await openBrowser({ scheme: 'light' });
const phone = await openBrowser({ width: 390, height: 800, phone: true });

async function shot(browser, name, query, sign, settle = 600) {
  if (!process.argv[2] && !SHOWN.includes(name)) return;
  const page = await browser.page(server.page);
  await page.waitForSelector('[data-link]');
  await page.goto(`${server.origin}/${query}`);
  await page.waitForSelector(sign);
  await page.evaluate(() => document.activeElement?.blur());
  // Pictures and the graph come a moment after the page.
  await page.waitForTimeout(settle);
  await page.screenshot({ path: `${folder}/${name}.png` });
  await page.close();
}

const start = async (graph, name) => (await server.call('POST', '/api/v1/runs', { workflow: graph, workflow_name: name })).run_id;
const over = (id) => until(`the end of ${id}`, async () => ['completed', 'failed'].includes((await server.run(id)).status), 60_000);
const begin = async (steps) => (await server.call('POST', '/workflow/start', { steps, step_delay: 0 })).workflow_id;
const step = (action, label, more = {}) => ({ action, label, ...more });
const failing = () => step('execute_comfyui_workflow', 'Run Workflow', { workflow: workflow('21_custom_fails_midway'), workflow_name: 'one that fails' });
const picture = (number) => ({ 1: { class_type: 'EmptyImage', inputs: { width: [96, 64, 128][number % 3], height: [64, 96, 112][number % 3], batch_size: 3, color: (number * 2654435761) % 16777216 } }, 2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: `studies/${number}` } } });

try {
  const sample = await until('the sample', async () => (await server.call('GET', '/api/v1/runs')).runs[0]?.run_id);
  await until('the sampler', async () => (await server.run(sample)).nodes.find((node) => node.node_id === '3')?.step > 4);
  await shot(dark, 'run', `?run=${sample}`, '.side-column .preview img');
  await shot(phone, 'phone', `?run=${sample}`, '.graph .node');
  await over(sample);
  await shot(light, 'light', `?run=${sample}&tab=outputs`, '.output img');
  await shot(dark, 'replay', `?run=${sample}&tab=events&seq=${Math.floor((await server.run(sample)).seq * 0.6)}`, '.past-banner');
  const failed = await start(workflow('21_custom_fails_midway'), 'one that fails');
  await over(failed);
  await shot(dark, 'failed', `?run=${failed}&node=3`, '.failure');
  await shot(phone, 'phone-failed', `?run=${failed}`, '.failure');
  for (let number = 0; number < 5; number += 1) await over(await start(picture(number), `study ${number + 1}`));
  await shot(dark, 'gallery', '?view=gallery', '.gallery-tile img', 1500);
  await shot(light, 'new', '?view=new&name=txt2img_basic', '.fields', 1200);
  await shot(dark, 'instances', '?view=instances', '.instance-card');
  await shot(dark, 'home', '?view=run', '.home');

  const slow = workflow('20_custom_slow_previews');
  slow['1'].inputs.steps = 120;
  const going = await begin([step('test_comfyui', 'Test ComfyUI'), step('wait', 'Wait for the Model', { enabled: false, seconds: 5 }), step('execute_comfyui_workflow', 'Make a Picture', { workflow: slow, workflow_name: 'First picture' }), step('test_comfyui', 'Test ComfyUI Again')]);
  await until('its tasks', async () => (await server.call('GET', `/workflow/state?workflow_id=${going}`)).state.steps[2].tasks.some((task) => task.status === 'running'));
  await shot(dark, 'setup', `?view=setup&name=${going}`, '.task-rows', 1500);
  await shot(phone, 'phone-setup', `?view=setup&name=${going}`, '.task-rows');
  await server.call('POST', '/workflow/stop', { workflow_id: going });
  await until('its end', async () => (await server.call('GET', `/workflow/state?workflow_id=${going}`)).state.status === 'cancelled');
  await shot(dark, 'setup-stopped', `?view=setup&name=${going}`, '.setup-end');
  const bad = await begin([step('test_comfyui', 'Test ComfyUI'), failing(), step('test_comfyui', 'Test ComfyUI Again')]);
  await until('its end', async () => (await server.call('GET', `/workflow/state?workflow_id=${bad}`)).state.status === 'failed');
  await shot(light, 'setup-failed', `?view=setup&name=${bad}`, '.setup-end');
} finally {
  await Promise.all([dark, light, phone].map((browser) => browser.close()));
  await server.end();
}
