/** The page without a session: it takes the token. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { problemOf } from '../api/client';
import { logIn } from '../api/session';
import { reconnect } from '../live/store';

/** Asks for the token. */
export function Login(): JSX.Element {
  const token = useSignal('');
  const wrong = useSignal<string | undefined>(undefined);
  const busy = useSignal(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    busy.value = true;
    try {
      await logIn(token.value);
      reconnect();
    } catch (thrown) {
      const problem = problemOf(thrown);
      wrong.value = `${problem.message} ${problem.hint}`;
    }
    busy.value = false;
  };
  return (
    <main class="login">
      <section class="tile">
        <header><h1>🔑 comfyd</h1></header>
        <form class="body" onSubmit={(event) => void submit(event)}>
          <p>Open the link that the server prints when it starts, or paste the token that <code>comfyd token</code> prints.</p>
          <label>Token <input type="password" autocomplete="current-password" spellcheck={false} required autofocus value={token.value} onInput={(event) => (token.value = event.currentTarget.value)} /></label>
          <button class="primary big" type="submit" disabled={busy.value}>Log in</button>
          {wrong.value !== undefined && <p class="text-bad" role="alert">{wrong.value}</p>}
        </form>
      </section>
    </main>
  );
}
