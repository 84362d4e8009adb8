/** As somebody who has never seen it and reads nothing: from `comfyd demo` to a file on the disk, by what the page shows alone. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { stage } from './stage.mjs';

const on = stage({ demo: { speed: 10 } });

test('the sample that is there is looked at, then one of one’s own is made and downloaded', async () => {
  const page = await on.browser.page(on.server.page);
  // The sample of the demo goes on, or is done: either way it can be seen without a click.
  await page.getByRole('link', { name: /txt2img sample/ }).waitFor();
  await page.getByRole('link', { name: '+ New run' }).click();
  await page.getByRole('link', { name: /Text to image/ }).click();
  await page.getByRole('button', { name: 'Run Workflow' }).click();
  await page.getByRole('heading', { name: 'Text to image' }).waitFor();
  await page.getByText('Completed', { exact: true }).first().waitFor({ timeout: 60_000 });
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: /^Download .*\.png$/ }).first().click();
  const file = await download;
  assert.match(file.suggestedFilename(), /\.png$/);
  assert.equal(readFileSync(await file.path()).subarray(1, 4).toString(), 'PNG');
  assert.deepEqual(on.browser.complaints, []);
  await page.close();
});
