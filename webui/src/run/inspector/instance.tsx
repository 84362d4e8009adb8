/** The instance of a run: whether it answers, what it has, how much waits there. */
import { type Signal, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { get } from '../../api/client';
import { type Instance, isOver, type Run } from '../../api/types';
import { bytes } from '../../parts/time';
import { Bar, Tile } from '../../parts/tile';

const LOOK_MS = 10_000;

/** An instance as it is now, looked at again while the page is seen and `again` holds. */
export function useInstance(name: string, again: boolean): Signal<Instance | undefined> {
  const found = useSignal<Instance | undefined>(undefined);
  useEffect(() => {
    const abort = new AbortController();
    // An instance that was removed has no facts to show; nothing else depends on them.
    const look = (): void => void get<Instance>(`/api/v1/instances/${encodeURIComponent(name)}`, abort.signal).then((instance) => (found.value = instance), () => undefined);
    look();
    const timer = again ? setInterval(() => document.visibilityState === 'visible' && look(), LOOK_MS) : undefined;
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [name, again]);
  return found;
}

const TONES: Record<string, string> = { connected: 'ok', polling: 'warn', connecting: 'warn', unreachable: 'bad', idle: 'hollow' };

/** The tile. It is looked up and not told by events, so it is marked as what follows the clock. */
export function InstanceTile({ run }: { run: Run }): JSX.Element | null {
  const instance = useInstance(run.instance, !isOver(run.status)).value;
  if (!instance) return null;
  return (
    <Tile title="🖥️ Instance" ticks aside={<span class="muted right row"><span class={`dot ${TONES[instance.state] ?? ''}`} aria-hidden="true" />{instance.state}</span>}>
      <div class="stack">
        <p class="cut" title={instance.url}>{instance.label ?? instance.name} <span class="mono muted">{instance.url}</span></p>
        {instance.devices?.map((device, index) => {
          const total = device.vram_total ?? 0;
          const used = total - (device.vram_free ?? 0);
          return (
            <div key={index}>
              <p class="row"><span class="muted cut">{device.name}</span>{total > 0 && <span class="num right">{bytes(used)} / {bytes(total)}</span>}</p>
              {total > 0 && <Bar value={(100 * used) / total} thin label="Memory in use" tone={used > 0.92 * total ? 'warn' : 'accent'} />}
            </div>
          );
        })}
        <dl class="facts-table">
          {instance.version != null && <><dt>ComfyUI</dt><dd class="num">{instance.version}</dd></>}
          {instance.queue != null && <><dt>queue there</dt><dd class="num">{instance.queue}</dd></>}
          <dt>ours</dt><dd class="num">{instance.open_runs} open, {instance.waiting_runs} waiting</dd>
        </dl>
      </div>
    </Tile>
  );
}
