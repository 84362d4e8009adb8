/** Instances, lists of steps, the question about host keys, and notifications, against the real program. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './server.mjs';
import { stage } from './stage.mjs';
import { workflow } from './workflows.mjs';

const on = stage({ scale: 5 });

const PRINT = 'SHA256:aTEeu1vVnDU+3ntqfxzbXsPMAAj5owBdISajX//5lyo';
const OLD = 'SHA256:bTEeu1vVnDU+3ntqfxzbXsPMAAj5owBdISajX//5lyo';

test('an instance is tested, added, asked to be the default, and removed', async () => {
  const page = await on.open('?view=instances', '.add-instance');
  await page.waitForSelector('text=No instance yet');
  await page.fill('.place input', 'http://127.0.0.1:1');
  await page.click('.add-instance button:has-text("Test")');
  await page.waitForSelector('.report[data-ok=no]');
  await page.fill('.place input', on.comfy.url.replace('127.0.0.1', 'localhost'));
  await page.fill('.add-instance label:has-text("Name") input', 'gpu-b');
  await page.click('.add-instance button:has-text("Test")');
  await page.waitForSelector('.report[data-ok=yes]');
  await page.click('.add-instance button[type=submit]');
  const card = page.locator('[data-instance=gpu-b]');
  await card.waitFor();
  await card.locator('button:has-text("Test")').click();
  await card.locator('.report[data-ok=yes]').waitFor();
  await card.locator('button:has-text("Make it the default")').click();
  // This server was started with an address for runs that name none: that stays, and is said.
  await card.locator('[role=alert]:has-text("the server was started with")').waitFor();
  // Another label and another address for the same server; one that is no address is refused in words.
  await card.getByRole('button', { name: 'Change gpu-b' }).click();
  await card.getByLabel('Address or SSH command').fill('http://no port:x');
  await card.getByRole('button', { name: 'Save' }).click();
  await card.locator('.edit-instance [role=alert]').waitFor();
  await card.getByLabel('Label').fill('The <b>big</b> one');
  await card.getByLabel('Address or SSH command').fill(on.comfy.url.replace('127.0.0.1', 'localhost') + '/');
  await card.getByRole('button', { name: 'Save' }).click();
  await card.getByRole('heading', { name: 'The <b>big</b> one' }).waitFor();
  await card.locator('.edit-instance').waitFor({ state: 'detached' });
  assert.equal((await on.server.call('GET', '/api/v1/instances/gpu-b')).label, 'The <b>big</b> one');
  await card.locator('[aria-label="Remove gpu-b"]').click();
  await card.locator('button:has-text("Remove it")').click();
  await card.waitFor({ state: 'detached' });
  await page.close();
});

test('steps are switched off, done one after the other, and shown with their tasks', async () => {
  const page = await on.open('?view=setup', '.workflow-step');
  const plan = { name: 'Morning', steps: [{ action: 'wait', label: 'Left out', seconds: 60 }, { action: 'test_comfyui' }, { action: 'execute_comfyui_workflow', label: 'Pictures', workflow: workflow('01_simple_save') }, { action: 'wait', label: 'Rest', seconds: 0 }] };
  await page.setInputFiles('input[type=file]', { name: 'plan.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(plan)) });
  await page.waitForSelector('.workflow-step[data-action=wait]');
  assert.equal(await page.locator('.workflow-step').count(), 4);
  await page.click('[aria-label="Run “Left out”"]');
  assert.equal(await page.getAttribute('[aria-label="Run “Left out”"]', 'aria-checked'), 'false');
  await page.fill('[list=setup-machines]', on.comfy.url);
  await page.click('button:has-text("Run Workflow")');
  await page.waitForSelector('.setup-end');
  const states = await page.$$eval('.workflow-step', (steps) => steps.map((step) => step.dataset.status));
  assert.deepEqual(states, ['skipped', 'completed', 'completed', 'completed']);
  const arrows = await page.$$eval('.step-arrow', (all) => all.map((arrow) => arrow.dataset.arrow));
  assert.deepEqual(arrows, ['done', 'done', 'done']);
  assert.ok((await page.locator('.task-rows [data-task=success]').count()) > 0);
  const before = await page.textContent('.setup-page');
  await page.reload();
  await page.waitForSelector('.setup-end');
  await until('the same page after a reload', async () => (await page.textContent('.setup-page')) === before);
  await page.close();
});

test('a list of steps is stopped, and one that needs a shell waits for its user', async () => {
  const page = await on.open('?view=setup', '.workflow-step');
  await page.setInputFiles('input[type=file]', { name: 'plan.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify({ steps: [{ action: 'setup_civitdl', label: 'Setup CivitDL' }, { action: 'wait', label: 'Long', seconds: 3600 }] })) });
  await page.waitForSelector('.workflow-step[data-action=setup_civitdl]');
  await page.fill('[list=setup-machines]', on.comfy.url);
  await page.click('button:has-text("Run Workflow")');
  await page.waitForSelector('.workflow-step[data-action=setup_civitdl][data-status=blocked]');
  await page.click('button:has-text("Leave out this step")');
  await page.waitForSelector('.workflow-step[data-action=setup_civitdl].skipped');
  await page.waitForSelector('.workflow-step[data-action=wait][data-status=in_progress]');
  await page.click('button:has-text("Stop Workflow")');
  await page.waitForSelector('.setup-end');
  assert.match(await page.textContent('.setup-end'), /It was stopped/);
  await page.close();
});

test('long lists of tasks are folded around what runs', async () => {
  const page = await on.open('?view=setup&name=long');
  const task = (name, status, more = {}) => ({ name, status, ...more });
  const tasks = [task('Clone Auto-installer', 'success'), task('Configure venv path', 'success'), ...Array.from({ length: 8 }, (_, index) => task(`done ${index}`, 'success')), task('ComfyUI-KJNodes', 'success'),
    task('ComfyUI-VideoHelperSuite', 'running', { note: '45% @ 2.1 MiB/s [12s] ETA: 15s', subtasks: [task('Install dependencies', 'running')] }), ...Array.from({ length: 22 }, (_, index) => task(`later ${index}`, 'pending'))];
  const state = { type: 'generic_workflow', version: 1, workflow_id: 'long', status: 'executing', legacy_status: 'running', current_step: 1, total_steps: 3, progress_percent: 30, seq: 9, step_delay: 5, stopping: false, start_time: new Date().toISOString(), last_update: new Date().toISOString(),
    steps: [{ action: 'test_ssh', label: 'Test SSH Connection', status: 'completed', tasks: [] }, { action: 'install_custom_nodes', label: 'Install Custom Nodes', status: 'in_progress', tasks }, { action: 'reboot_instance', label: 'Reboot Instance', status: 'pending', tasks: [task('Waiting', 'running', { note: '17s' })] }] };
  await page.route('**/workflow/state?*', (route) => route.fulfill({ json: { success: true, state } }));
  await page.reload();
  await page.waitForSelector('.task-rows');
  const rows = await page.locator('.step-tasks').first().locator('.task-rows li').allTextContents();
  assert.deepEqual(rows.slice(0, 7), ['Clone Auto-installerSuccess', 'Configure venv pathSuccess', '8 othersSuccess (8/8)', 'ComfyUI-KJNodesSuccess', 'ComfyUI-VideoHelperSuiteRunning', '↳Install dependenciesRunning', '22 othersPending']);
  assert.equal(await page.textContent('.live-line'), 'ComfyUI-VideoHelperSuite 45% @ 2.1 MiB/s [12s] ETA: 15s');
  assert.equal(await page.textContent('.task-rows .badge.accent'), '17s');
  assert.deepEqual(await page.$$eval('.step-arrow', (all) => all.map((arrow) => arrow.dataset.arrow)), ['filling', 'idle']);
  await page.close();
});

test('the key of a machine: shown with its fingerprint, accepted exactly, and a changed one is another dialog', async () => {
  const page = await on.open('?view=instances', '.add-instance');
  const trusted = [];
  const machine = (obstacle, keys) => ({ name: 'gpu-s', url: 'ssh://root@203.0.113.5:40738', ssh_connection: 'ssh -p 40738 root@203.0.113.5', source: 'api', default: false, adhoc: false, state: 'unreachable', open_runs: 0, waiting_runs: 0, features: {}, obstacle, trusted: keys });
  let now = machine({ kind: 'host_key_unknown', machine: '[203.0.113.5]:40738', fingerprint: PRINT }, []);
  await page.route('**/api/v1/instances', (route) => route.fulfill({ json: { success: true, instances: [now] } }));
  await page.route('**/api/v1/instances/gpu-s/trust', (route) => {
    trusted.push(route.request().postDataJSON());
    now = machine(null, [{ machine: '[203.0.113.5]:40738', algorithm: 'ssh-ed25519', fingerprint: PRINT }]);
    return route.fulfill({ json: { success: true, ...now } });
  });
  await page.reload();
  await page.click('button:has-text("Look at the key")');
  await page.waitForSelector('dialog.host-key');
  assert.match(await page.textContent('dialog'), /SSH Host Key Verification/);
  assert.match(await page.textContent('dialog'), /Host: \[203\.0\.113\.5\]:40738/);
  await page.click('dialog button:has-text("No, Cancel")');
  await page.waitForSelector('dialog', { state: 'detached' });
  assert.deepEqual(trusted, []);
  // Another key that comes while one reads is not what is accepted.
  const first = now;
  await page.click('button:has-text("Look at the key")');
  now = machine({ kind: 'host_key_unknown', machine: '[203.0.113.5]:40738', fingerprint: OLD }, []);
  await page.locator('dialog [role=alert]').filter({ hasText: 'another key now' }).waitFor();
  assert.ok((await page.textContent('dialog')).includes(PRINT));
  assert.ok(await page.isDisabled('dialog button:has-text("Yes, Continue")'));
  await page.click('dialog button:has-text("No, Cancel")');
  now = first;
  await page.reload();
  await page.click('button:has-text("Look at the key")');
  await page.click('dialog button:has-text("Yes, Continue")');
  await page.waitForSelector('dialog', { state: 'detached' });
  assert.deepEqual(trusted, [{ fingerprint: PRINT }]);
  now = machine({ kind: 'host_key_changed', machine: '[203.0.113.5]:40738', fingerprint: PRINT }, [{ machine: '[203.0.113.5]:40738', algorithm: 'ssh-ed25519', fingerprint: OLD }]);
  await page.reload();
  await page.click('button:has-text("Look at the key")');
  await page.waitForSelector('dialog.host-key.changed');
  const said = await page.textContent('dialog');
  assert.ok(said.includes(PRINT) && said.includes(OLD), 'both keys are shown');
  await page.click('dialog button:has-text("Replace the key")');
  await page.waitForSelector('dialog', { state: 'detached' });
  assert.deepEqual(trusted[1], { fingerprint: PRINT, replace: true });
  await page.close();
});

test('word of a run that ends while nobody looks: the tab has a mark, the browser tells, and looking takes the mark away', async () => {
  const page = await on.browser.page();
  await page.addInitScript(() => {
    window.told = [];
    window.Notification = class { static permission = 'granted'; static requestPermission = async () => 'granted'; constructor(title, more) { window.told.push([title, more.body]); } close() {} };
    window.isAway = false;
    Object.defineProperty(document, 'hidden', { get: () => window.isAway });
  });
  await page.goto(on.server.page);
  await page.waitForSelector('[data-link=live]');
  await page.click('[aria-label=Notifications]');
  await page.click('.alerts label:has-text("browser") input');
  await page.fill('.alerts input[type=number]', '0');
  await page.click('.alerts button:has-text("Close")');
  await page.evaluate(() => (window.isAway = true));
  await on.server.call('POST', '/api/v1/runs', { workflow: workflow('01_simple_save'), workflow_name: 'away' });
  await until('the notification', () => page.evaluate(() => window.told.length > 0));
  assert.deepEqual((await page.evaluate(() => window.told))[0][0], '✓ Completed: away');
  assert.match(await page.title(), /^● /);
  assert.match(await page.getAttribute('link[rel=icon]', 'href'), /^blob:/);
  await page.evaluate(() => { window.isAway = false; window.dispatchEvent(new Event('focus')); });
  await until('the mark to go', async () => !(await page.title()).startsWith('●'));
  assert.equal(await page.getAttribute('link[rel=icon]', 'href'), '/favicon.svg');
  assert.deepEqual(on.browser.complaints, []);
  await page.close();
});
