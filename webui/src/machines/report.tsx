/** The verdict on the way to an instance, step by step. */
import type { JSX } from 'preact';
import { span } from '../parts/time';
import type { Verdict } from './types';

const WORDS: Record<string, string> = {
  resolve: 'Name', connect: 'Port', host_key: 'Host key', auth: 'Login', forward: 'Tunnel', http: 'ComfyUI', version: 'Version', websocket: 'Live channel', queue: 'Queue', gpu: 'GPU', disk: 'Disk',
};

/** The steps with what was found. */
export function Report({ verdict }: { verdict: Verdict }): JSX.Element {
  return (
    <div class="report" role="status" data-ok={verdict.ok ? 'yes' : 'no'}>
      <p class={verdict.ok ? 'text-ok' : 'text-bad'}>{verdict.ok ? '✓ Runs can go there' : '× Runs cannot go there yet'}</p>
      <ul>
        {verdict.steps.map((step) => (
          <li key={step.name} class={step.ok === true ? 'ok' : step.ok === false ? 'bad' : 'muted'}>
            <span class="mark" aria-hidden="true">{step.ok === true ? '✓' : step.ok === false ? '×' : '·'}</span>
            <span>{WORDS[step.name] ?? step.name}</span>
            <span class="muted">{step.problem != null ? <><span class="text-bad">{step.problem.message}</span> {step.problem.hint}</> : step.ok == null ? 'not tried' : step.detail}</span>
            <span class="num muted">{step.ok == null ? '' : span(step.ms)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
