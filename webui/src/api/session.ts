/** The session: the token is given once, by a link that ends in `#token=` or by hand, and a cookie stands for it from then on. */
import { send } from './client';

/** Logs in. */
export async function logIn(token: string): Promise<void> {
  await send('POST', '/api/v1/login', { token: token.trim() });
}

/** The token of the address, which is taken out of it at once so that it stays in no history and no bookmark. */
export function tokenOfAddress(): string | undefined {
  const found = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (found === undefined) return undefined;
  history.replaceState(history.state, '', location.pathname + location.search);
  try {
    return decodeURIComponent(found);
  } catch {
    return found;
  }
}
