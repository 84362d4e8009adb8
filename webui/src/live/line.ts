/** The page's end of the connection, wherever the other end lives. */
import { Hub } from './hub';
import type { Asked, Told, Wire } from './protocol';

const ALIVE_MS = 20_000;

/** Opens the line; gives the function that speaks into it. */
export function openLine(take: (told: Told) => void): (asked: Asked) => void {
  const say = 'SharedWorker' in globalThis ? toWorker(take) : toSelf(take);
  setInterval(() => say({ say: 'alive' }), ALIVE_MS);
  addEventListener('pagehide', () => say({ say: 'bye' }));
  addEventListener('online', () => say({ say: 'retry' }));
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') say({ say: 'retry' });
  });
  return say;
}

function toWorker(take: (told: Told) => void): (asked: Asked) => void {
  const worker = new SharedWorker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'comfyd' });
  worker.port.onmessage = (event: MessageEvent<Told>) => take(event.data);
  worker.port.start();
  return (asked) => worker.port.postMessage(asked);
}

function toSelf(take: (told: Told) => void): (asked: Asked) => void {
  const hub = new Hub();
  const wire: Wire = { send: take };
  hub.join(wire);
  return (asked) => hub.take(wire, asked);
}
