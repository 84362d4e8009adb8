/** Calls of the API. What the server says is wrong is thrown as a `Problem`. */
import type { ProblemBody } from './types';

/** What is wrong, in words for people. */
export class Problem extends Error {
  readonly code: string;
  readonly hint: string;
  readonly status: number;
  readonly details: string | undefined;

  constructor(status: number, body: Partial<ProblemBody>) {
    super(body.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? 'unknown';
    this.hint = body.hint ?? '';
    this.details = body.details ?? undefined;
  }

  /** Whether the server was not there at all. */
  get isUnreachable(): boolean {
    return this.status === 0;
  }
}

/** What is wrong, whatever was thrown. */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  return new Problem(0, { code: 'page_error', message: thrown instanceof Error ? thrown.message : String(thrown), hint: 'Load the page again.' });
}

/** Called when the session is over, so that the page can ask for the token. */
let deniedBy: () => void = () => undefined;
export function onDenied(listener: () => void): void {
  deniedBy = listener;
}

async function answered(request: Promise<Response>): Promise<Response> {
  let response: Response;
  try {
    response = await request;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Problem(0, { code: 'unreachable', message: 'The server does not answer.', hint: 'It is tried again as soon as the connection is back.' });
  }
  if (response.ok || response.status === 304) return response;
  if (response.status === 401) deniedBy();
  const body = (await response.json().catch(() => ({}))) as Partial<ProblemBody>;
  throw new Problem(response.status, body);
}

const OWN = { 'X-Comfyd': '1' };

/** GET as JSON. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await answered(fetch(path, { headers: OWN, ...(signal && { signal }) }));
  return (await response.json()) as T;
}

/** GET as text. */
export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  const response = await answered(fetch(path, { headers: OWN, ...(signal && { signal }) }));
  return response.text();
}

/** GET as lines of JSON, with the last event that was looked at. */
export async function getLines<T>(path: string, signal?: AbortSignal): Promise<{ lines: T[]; last: number }> {
  const response = await answered(fetch(path, { headers: OWN, ...(signal && { signal }) }));
  const text = await response.text();
  return { lines: text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as T), last: Number(response.headers.get('x-last-seq')) };
}

/** GET as bytes. */
export async function getBlob(path: string): Promise<Blob> {
  return (await answered(fetch(path, { headers: OWN }))).blob();
}

/** A request that changes something, with a JSON body if there is one. */
export async function send<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  const json = body === undefined || body === null ? {} : { 'Content-Type': 'application/json' };
  const request = fetch(path, { method, headers: { ...OWN, ...json, ...headers }, ...(body === undefined || body === null ? {} : { body: JSON.stringify(body) }) });
  return (await (await answered(request)).json()) as T;
}

/** A request with a body that is ready: a form with files, or a text of JSON, which may hold numbers that this page cannot. */
export async function sendReady<T>(path: string, body: FormData | string, headers: Record<string, string> = {}): Promise<T> {
  const json = typeof body === 'string' ? { 'Content-Type': 'application/json' } : {};
  const request = fetch(path, { method: 'POST', headers: { ...OWN, ...json, ...headers }, body });
  return (await (await answered(request)).json()) as T;
}

/** A key that no other request has; it is had over plain HTTP too. */
export function freshKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A path of a run. */
export function runPath(id: string, rest = ''): string {
  return `/api/v1/runs/${encodeURIComponent(id)}${rest}`;
}
