/** The ComfyUI servers: cards with what is known of them, and a place to add one. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { get, problemOf, send } from '../api/client';
import { hints } from '../live/store';
import { Box, Empty, Tile } from '../parts/tile';
import { InstanceCard } from './card';
import { Report } from './report';
import { HostKeyDialog } from './hostkey';
import { nameOf, placeOf } from './place';
import type { Machine, Verdict } from './types';

/** How much waits somewhere changes without a word. */
const POLL_MS = 5000;

/** The page. */
export function Instances(): JSX.Element {
  const all = useSignal<Machine[] | undefined>(undefined);
  const problem = useSignal<string | undefined>(undefined);
  const again = useSignal(0);
  useEffect(() => {
    const abort = new AbortController();
    let before = '';
    const read = (): void => void get<{ instances: Machine[] }>('/api/v1/instances', abort.signal).then(
      (answer) => {
        const text = JSON.stringify(answer.instances);
        if (text !== before) all.value = answer.instances;
        before = text;
        problem.value = undefined;
      },
      (thrown: unknown) => {
        if (!abort.signal.aborted) problem.value = problemOf(thrown).message;
      },
    );
    const stop = hints.instances.subscribe(read);
    const timer = setInterval(() => !document.hidden && read(), POLL_MS);
    return () => {
      stop();
      clearInterval(timer);
      abort.abort();
    };
  }, [again.value]);
  const look = (): void => void (again.value += 1);
  return (
    <div class="stack launch">
      {problem.value !== undefined && <Box tone="warn" role="status">{problem.value}</Box>}
      {all.value?.length === 0 && <Box tone="accent"><h3>No instance yet</h3><p>Add the ComfyUI that is to do the work: its address, or the SSH command of its machine.</p></Box>}
      {all.value ? <ul class="instances">{all.value.map((one) => <li key={one.name}><InstanceCard machine={one} onChange={look} /></li>)}</ul> : problem.value === undefined && <Empty title="Reading the instances …" />}
      <Add onAdded={look} isFirst={all.value?.length === 0} />
    </div>
  );
}

function Add({ onAdded, isFirst }: { onAdded: () => void; isFirst: boolean }): JSX.Element {
  const place = useSignal('');
  const name = useSignal('');
  const port = useSignal('');
  const isDefault = useSignal(false);
  const busy = useSignal<'test' | 'add' | undefined>(undefined);
  const verdict = useSignal<Verdict | undefined>(undefined);
  const wrong = useSignal<{ message: string; hint: string } | undefined>(undefined);
  const asked = useSignal<Verdict | undefined>(undefined);
  const over = 'ssh_connection' in placeOf(place.value);
  const called = name.value.trim() || nameOf(place.value);
  const body = (): Record<string, unknown> => ({ ...placeOf(place.value), ...(over && port.value.trim() && { comfyui_port: Number(port.value) }) });
  const act = async (what: 'test' | 'add', call: () => Promise<void>): Promise<void> => {
    busy.value = what;
    wrong.value = undefined;
    try {
      await call();
    } catch (thrown) {
      wrong.value = problemOf(thrown);
    }
    busy.value = undefined;
  };
  const test = (): Promise<void> => act('test', async () => {
    verdict.value = undefined;
    verdict.value = await send<Verdict>('POST', '/api/v1/instances/test', body());
  });
  const add = (): Promise<void> => act('add', async () => {
    const wish = { ...body(), name: called };
    const isAsked = isDefault.value;
    const made = await send<Machine>('POST', '/api/v1/instances', { ...wish, ...((isAsked || isFirst) && { default: true }) }).catch((thrown: unknown) => {
      // The first one is the default unless the server was started with another; then it is merely added.
      if (isAsked || problemOf(thrown).code !== 'default_is_fixed') throw thrown;
      return send<Machine>('POST', '/api/v1/instances', wish);
    });
    place.value = name.value = port.value = '';
    verdict.value = undefined;
    onAdded();
    // A machine is known by its key: it is asked at once.
    if (made.ssh_connection != null) {
      const seen = await send<Verdict>('POST', `/api/v1/instances/${encodeURIComponent(made.name)}/test`);
      if (seen.host_key != null) asked.value = seen;
    }
  });
  return (
    <Tile title="➕ Add an instance">
      <form class="add-instance" onSubmit={(event) => { event.preventDefault(); void add(); }}>
        <label class="place">Address or SSH command<input type="text" required spellcheck={false} autocomplete="off" placeholder="http://127.0.0.1:8188 or ssh -p 40738 root@203.0.113.5" value={place.value} onInput={(event) => { place.value = event.currentTarget.value; verdict.value = undefined; }} /></label>
        <label>Name<input type="text" spellcheck={false} placeholder={nameOf(place.value) || 'gpu-a'} value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} /></label>
        {over && <label>ComfyUI's port there<input class="num" type="number" min="1" max="65535" placeholder="18188" value={port.value} onInput={(event) => (port.value = event.currentTarget.value)} /></label>}
        <label class="check row"><input type="checkbox" checked={isDefault.value || isFirst} disabled={isFirst} onChange={(event) => (isDefault.value = event.currentTarget.checked)} /> for runs that name none</label>
        <p class="row">
          <button type="button" disabled={!place.value.trim() || busy.value !== undefined} aria-busy={busy.value === 'test'} onClick={() => void test()}>{busy.value === 'test' && <span class="spinner" aria-hidden="true" />}🔧 Test</button>
          <button type="submit" class="primary" disabled={!place.value.trim() || busy.value !== undefined} aria-busy={busy.value === 'add'}>{busy.value === 'add' && <span class="spinner" aria-hidden="true" />}Add {called && `“${called}”`}</button>
        </p>
      </form>
      {wrong.value && <Box tone="bad" role="alert"><p class="strong">{wrong.value.message}</p><p class="muted">{wrong.value.hint}</p></Box>}
      {verdict.value && <Report verdict={verdict.value} />}
      {asked.value?.host_key != null && asked.value.name != null && (
        <HostKeyDialog instance={asked.value.name} machine={asked.value.host_key.machine} presented={asked.value.host_key} changed={false} onClose={() => (asked.value = undefined)} onTrusted={onAdded} />
      )}
    </Tile>
  );
}
