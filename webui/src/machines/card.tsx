/** One instance as a card. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { get, type Problem, problemOf, send } from '../api/client';
import type { InstanceNow } from '../api/types';
import { go } from '../app/route';
import { Act } from '../parts/action';
import { Confirm } from '../parts/confirm';
import { ago, bytes, now } from '../parts/time';
import { Badge, Bar, Box, type Tone } from '../parts/tile';
import { HostKeyDialog } from './hostkey';
import { placeOf } from './place';
import { Report } from './report';
import type { Machine, Verdict } from './types';

const STATES: Record<string, { word: string; tone: Tone; about: string }> = {
  connected: { word: 'Connected', tone: 'ok', about: 'It answers, and tells what happens there' },
  polling: { word: 'Polling', tone: 'warn', about: 'It answers, its live channel does not: it is asked now and then' },
  connecting: { word: 'Connecting', tone: 'run', about: 'The way there is being made' },
  unreachable: { word: 'Unreachable', tone: 'bad', about: 'It does not answer; it is tried again and again' },
  idle: { word: 'Idle', tone: 'grey', about: 'No run needs it, so no connection is kept' },
};
const LOOK_MS = 5000;
const MOST_LATENCIES = 40;

/** The newest answer of an instance, and how long its answers took. */
function useNow(name: string, isUp: boolean): { newest: InstanceNow | undefined; latencies: number[] } {
  const seen = useSignal<{ newest: InstanceNow | undefined; latencies: number[] }>({ newest: undefined, latencies: [] });
  useEffect(() => {
    if (!isUp) return undefined;
    const abort = new AbortController();
    const read = (): void => void get<InstanceNow>(`/api/v1/instances/${encodeURIComponent(name)}/stats`, abort.signal).then(
      (newest) => (seen.value = { newest, latencies: [...seen.peek().latencies, newest.latency_ms ?? 0].slice(-MOST_LATENCIES) }),
      () => undefined, // Its state says it.
    );
    read();
    const timer = setInterval(() => !document.hidden && read(), LOOK_MS);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [name, isUp]);
  return seen.value;
}

/** The card. */
export function InstanceCard({ machine, onChange }: { machine: Machine; onChange: () => void }): JSX.Element {
  const verdict = useSignal<Verdict | undefined>(undefined);
  const asks = useSignal(false);
  const edits = useSignal(false);
  const state = STATES[machine.state] ?? { word: machine.state, tone: 'grey' as const, about: '' };
  const { newest, latencies } = useNow(machine.name, machine.state === 'connected' || machine.state === 'polling' || machine.state === 'idle');
  const devices = newest?.devices ?? machine.devices ?? [];
  const path = `/api/v1/instances/${encodeURIComponent(machine.name)}`;
  const test = async (): Promise<void> => {
    verdict.value = undefined;
    verdict.value = await send<Verdict>('POST', `${path}/test`);
    if (verdict.value.host_key != null) asks.value = true;
    onChange();
  };
  const { obstacle } = machine;
  const key = verdict.value?.host_key ?? (obstacle?.fingerprint != null ? { machine: obstacle.machine ?? machine.name, fingerprint: obstacle.fingerprint } : undefined);
  const changed = obstacle?.kind === 'host_key_changed' || (key !== undefined && (machine.trusted ?? []).some((known) => known.machine === key.machine && known.fingerprint !== key.fingerprint));
  const queue = newest?.queue ?? machine.queue;
  const foreign = queue == null ? 0 : Math.max(0, queue - machine.open_runs);
  return (
    <section class="tile instance-card" data-instance={machine.name} data-state={machine.state} aria-label={machine.label ?? machine.name}>
      <header>
        <h2 class="cut">🖥️ {machine.label ?? machine.name}</h2>
        {machine.default && <Badge tone="quiet">default</Badge>}
        <span class="right" title={state.about}><Badge tone={state.tone} pulse={machine.state === 'connecting'}>{state.word}</Badge></span>
      </header>
      <div class="body stack">
        <p class="mono muted cut" title={machine.ssh_connection ?? machine.url}>{machine.ssh_connection ?? machine.url}</p>
        <dl class="facts-table">
          <dt>ComfyUI</dt><dd class="num">{newest?.version ?? machine.version ?? 'not seen yet'}</dd>
          {newest?.python != null && <><dt>Python</dt><dd class="num cut" title={newest.python}>{newest.python.split(' ')[0]}{newest.pytorch != null && ` · PyTorch ${newest.pytorch}`}</dd></>}
          <dt>queue</dt><dd class="num">{machine.open_runs} ours{machine.waiting_runs > 0 && `, ${machine.waiting_runs} waiting here`}{foreign > 0 && `, ${foreign} of others`}</dd>
          {latencies.length > 0 && <><dt>answers in</dt><dd class="row"><span class="num">{(latencies.at(-1) ?? 0) < 1 ? 'under 1' : latencies.at(-1)} ms</span><Spark values={latencies} /></dd></>}
        </dl>
        {devices.map((device, index) => device.vram_total != null && device.vram_free != null && (
          <div key={index}>
            <p class="row device"><span class="cut">{device.name}</span><span class="num muted right">{bytes(device.vram_total - device.vram_free)} / {bytes(device.vram_total)}</span></p>
            <Bar value={((device.vram_total - device.vram_free) / Math.max(1, device.vram_total)) * 100} thin tone="run" label={`Memory in use of ${device.name}`} />
          </div>
        ))}
        {machine.last_error != null && machine.state !== 'connected' && <p class="text-warn last-error">{machine.last_error.message} <span class="muted" data-clock="">{ago(machine.last_error.at, now.value)}</span></p>}
        {key !== undefined && obstacle != null && <p class="text-warn">{changed ? '⛔ Its host key has changed.' : '🔑 Its host key is not known yet.'}</p>}
        {verdict.value && <Report verdict={verdict.value} />}
        <div class="actions">
          <Act do={test}>🔧 Test</Act>
          {key !== undefined && <button type="button" class={changed ? 'stop' : 'primary'} onClick={() => (asks.value = true)}>🔑 Look at the key …</button>}
          {obstacle != null && (obstacle.kind === 'key_locked' || obstacle.kind === 'auth_failed') && <Unlock path={path} kind={obstacle.kind} onDone={onChange} />}
          <button type="button" onClick={() => go({ view: 'run', run: undefined, on: machine.name, pane: 'list' })}>Runs</button>
          {!machine.default && machine.source !== 'config' && <Act do={() => send('PUT', path, { default: true }).then(onChange)}>Make it the default</Act>}
          {machine.source === 'api' && <button type="button" aria-expanded={edits.value} aria-label={`Change ${machine.name}`} onClick={() => (edits.value = !edits.value)}>✎ Change</button>}
          {machine.source === 'api' && <Confirm sure="Remove it" label={`Remove ${machine.name}`} do={() => send('DELETE', path).then(onChange)}>🗑</Confirm>}
        </div>
        {edits.value && <Edit machine={machine} path={path} onDone={() => { edits.value = false; verdict.value = undefined; onChange(); }} />}
      </div>
      {asks.value && key !== undefined && (
        <HostKeyDialog instance={machine.name} machine={key.machine} presented={key} changed={changed} known={(machine.trusted ?? []).find((known) => known.machine === key.machine)} onClose={() => (asks.value = false)} onTrusted={() => { verdict.value = undefined; onChange(); }} />
      )}
    </section>
  );
}

/** Another label or address. With open runs the address stays, and the server says so. */
function Edit({ machine, path, onDone }: { machine: Machine; path: string; onDone: () => void }): JSX.Element {
  const before = machine.ssh_connection ?? machine.url;
  const label = useSignal(machine.label ?? '');
  const place = useSignal(before);
  const wrong = useSignal<Problem | undefined>(undefined);
  const save = async (): Promise<void> => {
    const moved = place.value.trim() !== before;
    const named = label.value.trim() !== (machine.label ?? '');
    try {
      if (moved || named) await send('PUT', path, { ...(moved && placeOf(place.value)), ...(named && { label: label.value.trim() }) });
      onDone();
    } catch (thrown) {
      wrong.value = problemOf(thrown);
    }
  };
  return (
    <form class="stack edit-instance" onSubmit={(event) => { event.preventDefault(); void save(); }}>
      <label>Label<input type="text" maxLength={200} placeholder={machine.name} value={label.value} onInput={(event) => (label.value = event.currentTarget.value)} /></label>
      <label>Address or SSH command<input type="text" required spellcheck={false} value={place.value} onInput={(event) => (place.value = event.currentTarget.value)} /></label>
      {wrong.value && <Box tone="bad" role="alert"><p class="strong">{wrong.value.message}</p><p class="muted">{wrong.value.hint}</p></Box>}
      <p class="row"><button type="submit" class="primary">Save</button></p>
    </form>
  );
}

/** A place for the passphrase of a key or a password; the server keeps it in memory only. */
function Unlock({ path, kind, onDone }: { path: string; kind: string; onDone: () => void }): JSX.Element {
  const secret = useSignal('');
  const field = kind === 'key_locked' ? 'passphrase' : 'password';
  const unlock = async (): Promise<void> => {
    const typed = secret.value;
    secret.value = '';
    await send('POST', `${path}/unlock`, { [field]: typed });
    onDone();
  };
  return (
    <span class="row unlock">
      <input type="password" autocomplete="off" aria-label={field === 'passphrase' ? 'Passphrase of the key' : 'Password'} placeholder={field === 'passphrase' ? 'Passphrase of the key' : 'Password'} value={secret.value} onInput={(event) => (secret.value = event.currentTarget.value)} />
      <Act class="primary" do={unlock}>Log in</Act>
    </span>
  );
}

const WIDTH = 90;
const HEIGHT = 16;

/** How long the last answers took, as a small line. */
function Spark({ values }: { values: number[] }): JSX.Element | null {
  if (values.length < 2) return null;
  const most = Math.max(10, ...values);
  const points = values.map((value, index) => `${((index / (values.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 1 - (value / most) * (HEIGHT - 2)).toFixed(1)}`).join(' ');
  return <svg class="spark" width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true"><polyline points={points} /></svg>;
}
