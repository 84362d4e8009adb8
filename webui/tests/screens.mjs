/** Makes the pictures of the documentation: `npm run screens`, then look at them. Each is what a browser shows of the real program. */
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { openBrowser } from './browser.mjs';
import { startDemo, until } from './server.mjs';
import { workflow } from './workflows.mjs';

const folder = process.argv[2] ?? resolve(import.meta.dirname, '../../docs/screens');
await mkdir(folder, { recursive: true });
const server = await startDemo();
const dark = await openBrowser();
const light = await openBrowser({ scheme: 'light' });
const phone = await openBrowser({ width: 390, height: 800, phone: true });

async function shot(browser, name, query, sign, settle = 600) {
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

try {
  const sample = await until('the sample', async () => (await server.call('GET', '/api/v1/runs')).runs[0]?.run_id);
  const failing = workflow('21_custom_fails_midway');
  await until('the sampler', async () => (await server.run(sample)).nodes.find((node) => node.node_id === '3')?.step > 6);
  await shot(dark, 'run', `?run=${sample}`, '.side-column .preview img');
  await shot(phone, 'phone', `?run=${sample}`, '.graph .node');
  await until('its end', async () => (await server.run(sample)).status === 'completed');
  await shot(light, 'light', `?run=${sample}&tab=outputs`, '.output img');
  await shot(dark, 'replay', `?run=${sample}&tab=events&seq=${Math.floor((await server.run(sample)).seq * 0.6)}`, '.past-banner');
  const { run_id: failed } = await server.call('POST', '/api/v1/runs', { workflow: failing, workflow_name: 'one that fails' });
  await until('its end', async () => (await server.run(failed)).status === 'failed');
  await shot(dark, 'failed', `?run=${failed}&node=3`, '.failure');
} finally {
  await Promise.all([dark, light, phone].map((browser) => browser.close()));
  await server.end();
}
