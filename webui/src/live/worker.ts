/** The connection in a shared worker, so that ten tabs use one. */
import { Hub } from './hub';
import type { Asked, Told, Wire } from './protocol';

const hub = new Hub();

(globalThis as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = (event) => {
  const port = event.ports[0];
  if (!port) return;
  const wire: Wire = { send: (message: Told) => port.postMessage(message) };
  port.onmessage = (said: MessageEvent<Asked>) => hub.take(wire, said.data);
  hub.join(wire);
};
