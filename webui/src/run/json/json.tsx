/** The state of a run as it is, and the workflow that it was given. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { runPath } from '../../api/client';
import type { Run, RunWorkflow } from '../../api/types';
import { Act } from '../../parts/action';
import { copy } from '../../parts/copy';

/** Raw JSON. */
export function Json({ run, workflow }: { run: Run; workflow: RunWorkflow | undefined }): JSX.Element {
  const which = useSignal<'state' | 'workflow'>('state');
  const text = JSON.stringify(which.value === 'state' ? run : workflow?.workflow, undefined, 2) ?? '';
  return (
    <div>
      <div class="log-tools">
        <button type="button" class="chip" aria-pressed={which.value === 'state'} onClick={() => (which.value = 'state')}>state at {run.seq}</button>
        <button type="button" class="chip" aria-pressed={which.value === 'workflow'} onClick={() => (which.value = 'workflow')}>workflow</button>
        <span class="right row">
          <Act class="chip" do={() => copy(text)}>Copy</Act>
          <Act class="chip" title="Copy a command that asks for this run" do={() => copy(`curl -sS -H "Authorization: Bearer $(comfyd token)" ${location.origin}${runPath(run.run_id)}`)}>Copy as curl</Act>
        </span>
      </div>
      <pre class="json" tabIndex={0} aria-label="JSON">{text}</pre>
    </div>
  );
}
