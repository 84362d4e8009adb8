/** Server-sent events by fetch: unlike an EventSource it tells what the server refused, and notices a connection that has gone silent. */

/** One event. */
export interface Sent {
  name: string;
  id: string | undefined;
  data: string;
}

/** The server sends at least a comment each 15 seconds; after this long the connection is taken for dead. */
const SILENCE_MS = 40_000;

/** Splits a stream of text into events, however its pieces are cut. */
export class Splitter {
  private rest = '';

  push(text: string): Sent[] {
    const blocks = (this.rest + text).split(/\r?\n\r?\n/);
    this.rest = blocks.pop() ?? '';
    return blocks.map(parsed).filter((sent) => sent !== undefined);
  }
}

function parsed(block: string): Sent | undefined {
  let name = 'message';
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') name = value;
    else if (field === 'id') id = value;
    else if (field === 'data') data.push(value);
  }
  return data.length > 0 ? { name, id, data: data.join('\n') } : undefined;
}

/** Why a stream did not come about. */
export class Refused extends Error {
  constructor(readonly status: number, readonly body: string) {
    super(`the stream was refused with ${status}`);
  }
}

/** Follows a stream until it ends, fails or is let go. `opened` is called when the server has taken it. */
export async function follow(path: string, from: string | undefined, abort: AbortController, opened: () => void, take: (sent: Sent) => void): Promise<void> {
  let silence: ReturnType<typeof setTimeout> | undefined;
  const heard = (): void => {
    clearTimeout(silence);
    silence = setTimeout(() => abort.abort(), SILENCE_MS);
  };
  try {
    heard();
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (from) headers['Last-Event-ID'] = from;
    const response = await fetch(path, { headers, signal: abort.signal, cache: 'no-store' });
    if (!response.ok || !response.body) throw new Refused(response.status, await response.text());
    opened();
    const splitter = new Splitter();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      for (const sent of splitter.push(value)) take(sent);
    }
  } finally {
    clearTimeout(silence);
  }
}
