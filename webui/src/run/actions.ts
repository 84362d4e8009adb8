/** What can be done with a run. */
import { runPath, send } from '../api/client';
import type { Action } from '../api/types';
import { go, openRun } from '../app/route';

/** Asks a run to stop. */
export async function cancelRun(id: string): Promise<void> {
  await send('POST', runPath(id, '/cancel'), {});
}

/** Runs the same workflow again, and opens the new run. */
export async function retryRun(id: string): Promise<void> {
  const { run_id: made } = await send<{ run_id: string }>('POST', runPath(id, '/retry'), {});
  openRun(made);
}

/** Removes a run that is over. */
export async function deleteRun(id: string): Promise<void> {
  await send('DELETE', runPath(id));
  go({ run: undefined, seq: undefined, node: undefined, tab: undefined });
}

/** Makes the call of an attention's action as it stands. */
export async function callAction(action: Action): Promise<void> {
  await send(action.method as 'POST' | 'PUT' | 'DELETE', action.href, action.body ?? undefined);
}
