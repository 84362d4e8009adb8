// The page: a list of runs and one run, both live. The server sends a state and then merge patches; this shows them.
// Text from outside goes through textContent only. Elements are kept and changed in place, so that nothing moves when nothing changed.
'use strict';

const $ = (id) => document.getElementById(id);
const SHOWN = /^(image\/(png|jpeg|webp|gif)|video\/(mp4|webm)|audio\/(mpeg|wav|x-wav|flac|x-flac))$/;
const NODE_STATES = {
  waiting: ['·', 'PENDING'], running: ['▶', 'RUNNING'], done: ['✓', 'SUCCESS'], cached: ['⚡', 'CACHED'], failed: ['✗', 'FAILED'],
  blocked: ['⊘', 'BLOCKED'], interrupted: ['■', 'STOPPED'], not_reached: ['○', 'NOT REACHED'],
};
const PHASES = {
  waiting: 'Waiting for its turn', staging: 'Sending files to ComfyUI', submitting: 'Submitting', in_doubt: 'Looking for the prompt on ComfyUI',
  pending: 'Waiting in ComfyUI\'s queue', running: 'Running', collecting: 'Fetching outputs',
};
const RETRY_MS = 2000;

// ---- Small tools -------------------------------------------------------------------------------------------------------------

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Makes the children of `parent` those of `items`, keeping the element of each key. */
function keyed(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of old.values()) child.remove();
}

function clock(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const parts = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, '0'));
  return (seconds >= 3600 ? [Math.floor(seconds / 3600), ...parts] : parts).join(':');
}

/** A value after a JSON merge patch (RFC 7396). The objects have no prototype, because names in them come from outside. */
function merged(value, patch) {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const known = value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {};
  const result = Object.assign(Object.create(null), known);
  for (const [key, change] of Object.entries(patch)) {
    if (change === null) delete result[key];
    else result[key] = merged(result[key], change);
  }
  return result;
}

/** The run of a live state: nodes and outputs, which are keyed there so that patches can name them, as lists. */
function listed(live) {
  const nodes = Object.values(live.nodes).sort((a, b) => a.index - b.index);
  return { ...live, nodes, outputs: Object.values(live.outputs).sort((a, b) => a.n - b.n) };
}

function bytes(size) {
  if (size === undefined) return '';
  const unit = size >= 1e9 ? [1e9, 'GB'] : size >= 1e6 ? [1e6, 'MB'] : size >= 1e3 ? [1e3, 'kB'] : [1, 'B'];
  return `${(size / unit[0]).toFixed(unit[0] === 1 ? 0 : 1)} ${unit[1]}`;
}

/** Calls the API; throws what the server says is wrong. */
async function call(method, path, body) {
  const headers = method === 'GET' ? {} : { 'X-Comfyd': '1' };
  if (body) headers['Content-Type'] = 'application/json';
  const response = await fetch(path, { method, headers, body: body ? JSON.stringify(body) : undefined, cache: 'no-store' });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.message || response.statusText), { status: response.status, hint: answer.hint || '' });
  return answer;
}

/** An event stream that comes back by itself: the browser does after a lost connection, this does after an error answer to `probe`. */
function follow(path, probe, on, state) {
  let source;
  let timer;
  let stopped = false;
  const open = () => {
    source = new EventSource(path);
    source.onopen = () => state('live');
    for (const [name, handle] of Object.entries(on)) source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    source.onerror = () => {
      if (stopped) return;
      state('reconnecting');
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(retry, RETRY_MS);
    };
  };
  const retry = async () => {
    try {
      await call('GET', probe);
    } catch (problem) {
      if (problem.status === 401) return logOut();
      if (problem.status === 404) return state('gone');
    }
    if (!stopped) open();
  };
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    source.close();
  };
  open();
  return stop;
}

// ---- The list ----------------------------------------------------------------------------------------------------------------

const runs = new Map();

function drawList() {
  const newest = [...runs.values()].sort((a, b) => (a.run_id < b.run_id ? 1 : -1));
  show($('no-runs'), newest.length === 0);
  keyed($('runs'), newest, (run) => run.run_id, () => {
    const name = make('span', 'name');
    return make('li', '', make('a', '', name, make('span', 'badge'), make('span', 'meta')));
  }, (item, run) => {
    const [name, badge, meta] = item.firstChild.children;
    const href = `#run=${run.run_id}`;
    if (item.firstChild.getAttribute('href') !== href) item.firstChild.setAttribute('href', href);
    item.firstChild.toggleAttribute('aria-current', run.run_id === selected);
    setText(name, run.workflow_name);
    const percent = run.progress_permille / 10;
    const waits = run.attention && run.status !== 'completed' ? '⚠ ' : '';
    setText(badge, `${waits}${run.status.toUpperCase()}${run.status === 'executing' ? ` ${percent.toFixed(1)}%` : ''}`);
    setClass(badge, `badge s-${run.status}`);
    setText(meta, `${new Date(run.created).toLocaleString()} · ${run.instance}${run.error ? ` · ${run.error}` : ''}`);
  });
}

function followList() {
  follow('/api/v1/events', '/api/v1/runs?limit=1', {
    list: ({ runs: all }) => {
      runs.clear();
      for (const run of all) runs.set(run.run_id, run);
      drawList();
    },
    run: (run) => {
      runs.set(run.run_id, run);
      drawList();
    },
    deleted: ({ run_id: gone }) => {
      runs.delete(gone);
      drawList();
    },
  }, (state) => setText($('link'), state === 'live' ? '● live' : '○ connection lost, reconnecting …'));
}

// ---- One run -----------------------------------------------------------------------------------------------------------------

let selected = null;
let view = null;
let stopFollowing = () => {};
let painting = false;
let restoring = false;

function select(id) {
  if (id === selected) return;
  stopFollowing();
  selected = id;
  view = null;
  stopFollowing = () => {};
  show($('run-tile'), false);
  $('app').classList.toggle('one', id !== null);
  drawList();
  document.title = 'comfyd';
  if (id === null) return;
  for (const part of ['nodes', 'outputs', 'actions', 'problems', 'warnings']) $(part).replaceChildren();
  for (const part of ['preview', 'restored', 'action-problem']) show($(part), false);
  disarm();
  const path = `/api/v1/runs/${encodeURIComponent(id)}`;
  $('json').href = path;
  $('log').href = `${path}/log`;
  let live = null;
  const news = (newest) => {
    live = newest;
    view = listed(live);
    paint();
  };
  stopFollowing = follow(`${path}/events`, path, {
    state: (newest) => {
      if (restoring && !newest.timing.end_time) {
        setText($('restored'), `⏮️ Restored ComfyUI workflow: ${newest.workflow_name}. Progress: ${newest.progress.progress_percent}%`);
        show($('restored'), true);
      }
      restoring = false;
      if (newest.timing.end_time) show($('restored'), false);
      news(newest);
    },
    patch: (patch) => {
      news(merged(live, patch));
      if (live.timing.end_time) show($('restored'), false);
    },
    preview: ({ url }) => {
      $('preview').src = url;
      show($('preview'), true);
    },
    end: () => stopFollowing(),
  }, (state) => { if (state === 'gone') location.hash = ''; });
}

function paint() {
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    if (view) drawRun(view);
  });
}

function headline(run) {
  if (run.stopping) return 'Stopping …';
  const place = run.progress.queue_position;
  if (run.status === 'queued' && place !== undefined) return `Workflow queued at position ${place}`;
  if (run.status === 'executing' && run.progress.current_node) return `${run.progress.current_node} (${run.progress.current_node_id})`;
  if (run.status === 'completed') return run.outputs.length ? 'Outputs are stored' : 'Completed without outputs';
  return PHASES[run.phase] || '';
}

function drawRun(run) {
  const { progress, timing, error, attention } = run;
  show($('run-tile'), true);
  setText($('run-name'), run.workflow_name);
  setText($('run-status'), run.status.toUpperCase());
  setClass($('run-status'), `badge s-${run.status}`);
  setText($('run-text'), headline(run));
  show($('cancel'), !timing.end_time);
  $('cancel').disabled = run.stopping;
  $('bar').setAttribute('aria-valuenow', progress.progress_percent);
  $('bar-fill').style.width = `${progress.progress_percent}%`;
  setClass($('bar-fill'), `s-${run.status === 'executing' ? 'now' : run.status}`);
  setText($('bar-text'), `${progress.completed_nodes}/${progress.total_nodes} nodes`);
  setText($('bar-percent'), `${progress.progress_percent.toFixed(1)}%`);
  drawTime(run);
  show($('attention'), Boolean(attention));
  setText($('attention-text'), attention ? `⚠ ${attention.message}` : '');
  keyed($('actions'), attention ? attention.actions : [], (action) => `${attention.kind} ${action.id}`, actionButton, () => {});
  show($('error'), Boolean(error));
  if (error) drawError(run, error);
  show($('warnings'), run.warnings.length > 0);
  keyed($('warnings'), run.warnings, (warning) => `${warning.code} ${warning.node_id} ${warning.message}`,
    (warning) => make('li', '', `⚠ ${warning.message}${warning.node_id ? ` (node ${warning.node_id})` : ''}`), () => {});
  keyed($('nodes'), run.nodes, (node) => node.node_id, nodeRow, updateNode);
  keyed($('outputs'), run.outputs, (output) => `${output.n} ${output.downloaded} ${output.problem || ''}`, (output) => outputCard(run, output), () => {});
  // The preview stays until there is something better.
  if (run.status === 'completed' && run.outputs.some((output) => output.downloaded)) show($('preview'), false);
  setText($('run-where'), `${run.workflow_id} on ${run.instance}`);
  document.title = `${run.status === 'executing' ? `${progress.progress_percent}% ` : ''}${run.workflow_name} · ${run.status} · comfyd`;
}

function drawTime({ status, timing }) {
  const began = Date.parse(timing.start_time || timing.queue_time);
  const spent = (timing.end_time ? Date.parse(timing.end_time) : Date.now()) - began;
  const left = timing.estimated_completion ? Date.parse(timing.estimated_completion) - Date.now() : null;
  setText($('bar-time'), status === 'executing' && left !== null ? `${clock(spent)} · ETA ${clock(left)}` : clock(spent));
}

function drawError(run, error) {
  const where = error.node_id ? `❌ Workflow failed at node "${[error.node_type, `(${error.node_id})`].filter(Boolean).join(' ')}": ` : '❌ ';
  setText($('error-text'), where + error.message);
  setText($('error-hint'), error.hint);
  show($('error-more'), Boolean(error.details));
  setText($('error-details'), error.details || '');
  keyed($('problems'), error.problems, (problem) => JSON.stringify(problem), (problem) => {
    const input = problem.input ? `, input ${problem.input}` : '';
    const allowed = problem.allowed ? ` Allowed: ${problem.allowed}` : '';
    return make('li', '', `${problem.class} (${problem.node})${input}: ${problem.message}${allowed}`);
  }, () => {});
}

function nodeRow(node) {
  const row = make('li', '', make('span', 'mark'), make('span', 'name'), make('span', 'badge'), make('span', 'meta'));
  row.firstChild.setAttribute('aria-hidden', 'true');
  setText(row.children[1], `${node.parent_node_id ? '↳ ' : ''}${node.node_type || node.title || 'node'} (${node.node_id})`);
  return row;
}

function updateNode(row, node) {
  const [mark, word] = NODE_STATES[node.state] || ['?', node.state];
  setClass(row, `${node.parent_node_id ? 'made ' : ''}${node.counts || node.parent_node_id ? '' : 'aside'}`);
  setText(row.children[0], mark);
  setText(row.children[2], node.state === 'running' && node.steps ? `${word} ${node.progress}%` : word);
  setClass(row.children[2], `badge s-${node.state}`);
  const title = node.title && node.title !== node.node_type ? [node.title] : [];
  const message = node.message && node.message !== 'Cached' ? [node.message] : [];
  // What was counted stays after the end, so that the row keeps its height.
  const count = node.state === 'done' ? node.steps : node.step;
  const steps = !message.length && node.steps ? [`${count}/${node.steps}`] : [];
  setText(row.children[3], [...title, ...message, ...steps].join(' · '));
}

function outputCard(run, output) {
  const url = `/api/v1/runs/${run.run_id}/outputs/${output.n}/content`;
  const name = output.filename || output.key;
  const card = make('figure', '');
  if (output.text !== undefined) card.append(make('pre', '', output.text));
  const kind = output.local_name && SHOWN.test(output.media_type || '') ? output.media_type.split('/')[0] : '';
  if (kind) {
    const media = make({ image: 'img', video: 'video', audio: 'audio' }[kind], '');
    if (kind === 'image') Object.assign(media, { alt: name, loading: 'lazy' });
    else Object.assign(media, { controls: true, preload: 'metadata' });
    media.src = url;
    card.append(media);
  }
  const caption = make('figcaption', '', `${name} ${bytes(output.size)} `);
  if (output.local_name) {
    const link = make('a', '', 'Download');
    link.href = `${url}?download=1`;
    link.download = name;
    caption.append(link);
  } else if (output.problem) {
    caption.append(make('span', 'problem-text', `⚠ ${output.problem}`));
  } else if (output.text === undefined) {
    caption.append(make('span', 'muted', 'being fetched …'));
  }
  card.append(caption);
  return card;
}

// ---- Actions -----------------------------------------------------------------------------------------------------------------

async function act(button, method, href, body) {
  button.disabled = true;
  show($('action-problem'), false);
  try {
    await call(method, href, body);
  } catch (problem) {
    if (problem.status === 401) return logOut();
    setText($('action-problem'), `${problem.message} ${problem.hint || ''}`);
    show($('action-problem'), true);
  } finally {
    button.disabled = false;
  }
}

function actionButton(action) {
  const button = make('button', '', action.label);
  button.type = 'button';
  button.onclick = () => act(button, action.method, action.href, action.body);
  return button;
}

let armed = null;

function disarm() {
  clearTimeout(armed);
  armed = null;
  setText($('cancel'), 'Stop Workflow');
}

$('cancel').onclick = () => {
  if (armed === null) {
    setText($('cancel'), 'Really stop?');
    armed = setTimeout(disarm, 4000);
    return;
  }
  disarm();
  act($('cancel'), 'POST', `/api/v1/runs/${selected}/cancel`);
};

// ---- Start -------------------------------------------------------------------------------------------------------------------

function logOut() {
  location.reload();
}

function fragment() {
  return new URLSearchParams(location.hash.slice(1));
}

async function logIn(token) {
  await call('POST', '/api/v1/login', { token });
}

function askForToken(problem) {
  show($('login'), true);
  setText($('link'), '');
  setText($('login-problem'), problem || '');
}

$('login-form').onsubmit = async (event) => {
  event.preventDefault();
  try {
    await logIn($('token').value.trim());
    show($('login'), false);
    $('token').value = '';
    await start();
  } catch (problem) {
    askForToken(`${problem.message}. ${problem.hint || ''}`);
  }
};

/** Takes the token out of the address before anything else: it must not stay in the history. */
async function takeToken() {
  const given = fragment();
  const token = given.get('token');
  if (token === null) return false;
  given.delete('token');
  history.replaceState(null, '', given.size ? `#${given}` : location.pathname);
  await logIn(token);
  return true;
}

async function start() {
  const { state } = await call('GET', '/comfyui/workflow/state');
  show($('app'), true);
  restoring = true;
  if (!fragment().has('run') && state) history.replaceState(null, '', `#run=${state.run_id}`);
  window.onhashchange = async () => {
    if (await takeToken().catch(() => false)) return;
    restoring = false;
    select(fragment().get('run'));
  };
  select(fragment().get('run'));
  followList();
  setInterval(() => { if (view && !view.timing.end_time) drawTime(view); }, 1000);
}

async function begin() {
  try {
    await takeToken();
    await start();
  } catch (problem) {
    if (problem.status === 401 || problem.status === 429) return askForToken(problem.message === 'this needs the token' ? '' : `${problem.message}. ${problem.hint}`);
    setText($('link'), '○ the server does not answer, trying again …');
    setTimeout(begin, RETRY_MS);
  }
}

begin();
