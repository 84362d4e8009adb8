/** The dialog about the key of a machine: exactly this key is accepted, or none. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { get, send } from '../api/client';
import type { Attention } from '../api/types';
import { Act } from '../parts/action';
import { Dialog } from '../parts/dialog';
import type { HostKey, Machine } from './types';

/** Props of the dialog. `known` is the key that the machine had before, where it changed. */
export interface HostKeyProps {
  instance: string;
  machine: string;
  presented: Omit<HostKey, 'machine'>;
  known?: HostKey | undefined;
  changed: boolean;
  onClose: () => void;
  onTrusted?: () => void;
}

/** The dialog; a changed key is a different, red one. */
export function HostKeyDialog(props: HostKeyProps): JSX.Element {
  // What is accepted is what was shown when it opened, whatever the machine shows meanwhile.
  const asked = useRef({ changed: props.changed, presented: props.presented, machine: props.machine, known: props.known });
  const { changed, presented, machine, known } = asked.current;
  const isOther = props.presented.fingerprint !== presented.fingerprint || props.changed !== changed;
  const accept = async (): Promise<void> => {
    await send('POST', `/api/v1/instances/${encodeURIComponent(props.instance)}/trust`, { fingerprint: presented.fingerprint, ...(changed && { replace: true }) });
    props.onTrusted?.();
    props.onClose();
  };
  return (
    <Dialog label={changed ? 'The host key has changed' : 'SSH Host Key Verification'} class={`host-key ${changed ? 'changed' : ''}`} onClose={props.onClose}>
      <div class="body">
        <h2>{changed ? '⛔ The host key has changed' : '⚠️ SSH Host Key Verification'}</h2>
        {changed
          ? <p>This machine shows another key than the one that was accepted. Somebody may be reading along, or the address was given to another machine. Continue only if you know why it changed.</p>
          : <p>The authenticity of this host can't be established. This is normal for new cloud instances.</p>}
        <pre class="box mono">Host: {machine}</pre>
        {changed && known && <><h3>Key that was accepted:</h3><pre class="box mono old">{line(known, known.machine)}</pre></>}
        <h3>{changed ? 'Key that it shows now:' : 'Host key fingerprint:'}</h3>
        <pre class="box mono" data-fingerprint={presented.fingerprint}>{line(presented, machine)}</pre>
        <p class="strong">{changed ? 'Do you want to replace the key?' : 'Do you want to continue connecting and add this host to known hosts?'}</p>
        {isOther && <p class="text-bad" role="alert">The machine shows another key now than the one above. Close this and look again.</p>}
        <div class="actions">
          <button type="button" autofocus onClick={props.onClose}>No, Cancel</button>
          <Act class={changed ? 'stop' : 'primary'} disabled={isOther} do={accept}>{changed ? 'Replace the key' : 'Yes, Continue'}</Act>
        </div>
      </div>
    </Dialog>
  );
}

function line(key: Omit<HostKey, 'machine'>, machine: string): string {
  return `${key.fingerprint} ${machine}${key.algorithm != null ? ` (${key.algorithm.replace(/^ssh-/, '').toUpperCase()})` : ''}`;
}

/** Whether an attention is about a host key that can be decided upon. */
export function isHostKey(attention: { kind: string }): boolean {
  return attention.kind === 'host_key_unknown' || attention.kind === 'host_key_changed';
}

/** The fingerprint that an attention's action carries. */
function fingerprintOf(attention: Attention): string | undefined {
  for (const action of attention.actions) {
    const body = action.body as { fingerprint?: unknown } | null | undefined;
    if (typeof body?.fingerprint === 'string') return body.fingerprint;
  }
  return undefined;
}

/** Asks about the key that a run waits for: at once when it is first seen, and again by a button. */
export function HostKeyQuestion({ attention, instance }: { attention: Attention; instance: string }): JSX.Element | null {
  const machine = useSignal<Machine | undefined>(undefined);
  // What the question says is what was known when it was asked, so it waits for the machine.
  const isRead = useSignal(false);
  const isOpen = useSignal(true);
  useEffect(() => {
    isOpen.value = true;
    isRead.value = false;
    const abort = new AbortController();
    get<Machine>(`/api/v1/instances/${encodeURIComponent(instance)}`, abort.signal).then((answer) => {
      machine.value = answer;
      isRead.value = true;
    }, () => {
      // The attention's own fingerprint does where the instance cannot be read.
      if (!abort.signal.aborted) isRead.value = true;
    });
    return () => abort.abort();
  }, [instance, attention.since]);
  const obstacle = machine.value?.obstacle;
  const fingerprint = fingerprintOf(attention) ?? obstacle?.fingerprint ?? undefined;
  if (fingerprint === undefined) return null;
  const name = obstacle?.machine ?? instance;
  const presented = { fingerprint };
  const known = machine.value?.trusted?.find((key) => key.machine === name);
  return (
    <>
      <button type="button" class="primary" onClick={() => (isOpen.value = true)}>🔑 Look at the key …</button>
      {isOpen.value && isRead.value && <HostKeyDialog instance={instance} machine={name} presented={presented} known={known} changed={attention.kind === 'host_key_changed'} onClose={() => (isOpen.value = false)} />}
    </>
  );
}
