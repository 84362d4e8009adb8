/** The question about host keys, against a real OpenSSH server. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { until } from './server.mjs';
import { startSshd } from './sshd.mjs';
import { stage } from './stage.mjs';
import { workflow } from './workflows.mjs';

const sshd = await startSshd();
after(() => sshd.end());
const on = stage({ scale: 10, server: { env: { HOME: sshd.home, SSH_AUTH_SOCK: undefined } } });
const machine = `[127.0.0.1]:${sshd.port}`;

const instance = () => on.server.call('GET', '/api/v1/instances/gpu-s');

test('a machine is added: nothing is trusted until exactly its key was accepted, and then a run goes over it', async () => {
  const page = await on.open('?view=instances', '.add-instance');
  await page.getByLabel('Address or SSH command').fill(sshd.command);
  await page.getByLabel('Name', { exact: true }).fill('gpu-s');
  await page.getByLabel("ComfyUI's port there").fill(String(on.comfy.port));
  await page.getByRole('button', { name: 'Add “gpu-s”' }).click();
  const dialog = page.getByRole('dialog', { name: 'SSH Host Key Verification' });
  await dialog.waitFor();
  const said = await dialog.textContent();
  assert.ok(said.includes(sshd.fingerprint()), `${said} has the fingerprint that ssh-keygen tells`);
  assert.ok(said.includes(`Host: ${machine}`), said);
  await dialog.getByRole('button', { name: 'No, Cancel' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual((await instance()).trusted ?? [], []);
  const card = page.locator('[data-instance=gpu-s]');
  await card.getByRole('button', { name: 'Test' }).click();
  await dialog.waitFor();
  await dialog.getByRole('button', { name: 'Yes, Continue' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual((await instance()).trusted.map((key) => [key.machine, key.fingerprint]), [[machine, sshd.fingerprint()]]);
  await card.getByRole('button', { name: 'Test' }).click();
  await card.locator('.report[data-ok=yes]').waitFor();
  const { run_id: id } = await on.server.call('POST', '/api/v1/runs', { workflow: workflow('01_simple_save'), instance: 'gpu-s' });
  await on.ended(id);
  await page.close();
});

test('a machine with another key is a red dialog with both keys, and is used again once the new one is accepted', async () => {
  const before = sshd.fingerprint();
  await sshd.renew();
  assert.notEqual(sshd.fingerprint(), before);
  const page = await on.open('?view=instances', '[data-instance=gpu-s]');
  const card = page.locator('[data-instance=gpu-s]');
  await card.getByRole('button', { name: 'Test' }).click();
  const dialog = page.getByRole('dialog', { name: 'The host key has changed' });
  await dialog.waitFor();
  const said = await dialog.textContent();
  assert.ok(said.includes(before) && said.includes(sshd.fingerprint()), said);
  assert.equal(await page.locator('dialog.host-key.changed').count(), 1);
  await dialog.getByRole('button', { name: 'No, Cancel' }).click();
  assert.deepEqual((await instance()).trusted.map((key) => key.fingerprint), [before]);
  await card.getByRole('button', { name: 'Look at the key' }).click();
  await dialog.getByRole('button', { name: 'Replace the key' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual((await instance()).trusted.map((key) => key.fingerprint), [sshd.fingerprint()]);
  await card.getByRole('button', { name: 'Test' }).click();
  await card.locator('.report[data-ok=yes]').waitFor();
  await page.close();
});

test('a run that waits for the decision asks on its own page, and goes on with it', async () => {
  // Another name of the machine is another machine.
  const { run_id: id } = await on.server.call('POST', '/comfyui/workflow/execute', { workflow: workflow('06_text'), workflow_name: 'waits for a key', ssh_connection: sshd.command.replace('127.0.0.1', 'localhost'), comfyui_port: on.comfy.port });
  await until('the question', async () => (await on.server.run(id)).attention?.kind === 'host_key_unknown');
  const page = await on.open(`?run=${id}`, '.run-head');
  const dialog = page.getByRole('dialog', { name: 'SSH Host Key Verification' });
  await dialog.waitFor();
  const said = await dialog.textContent();
  assert.ok(said.includes(sshd.fingerprint()), said);
  assert.match(said, /Host: \[localhost\]:\d+/);
  await dialog.getByRole('button', { name: 'Yes, Continue' }).click();
  await page.waitForSelector('.run-head[data-status=completed]');
  await page.close();
});

test('nothing was complained of', () => assert.deepEqual(on.browser.complaints, []));
