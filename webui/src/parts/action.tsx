/** A button that makes a call: it waits for the answer, and says below it what is wrong. */
import { useSignal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { problemOf } from '../api/client';

/** A button whose click is a call. */
export function Act(props: { do: () => Promise<unknown>; class?: string; title?: string; label?: string; disabled?: boolean; children: ComponentChildren }): JSX.Element {
  const busy = useSignal(false);
  const wrong = useSignal<string | undefined>(undefined);
  const click = async (): Promise<void> => {
    busy.value = true;
    wrong.value = undefined;
    try {
      await props.do();
    } catch (thrown) {
      const problem = problemOf(thrown);
      wrong.value = [problem.message, problem.hint].filter(Boolean).join(' ');
    }
    busy.value = false;
  };
  return (
    <>
      <button type="button" class={props.class} title={props.title} aria-label={props.label} disabled={busy.value || props.disabled === true} aria-busy={busy.value} onClick={() => void click()}>
        {busy.value && <span class="spinner" aria-hidden="true" />}
        {props.children}
      </button>
      {wrong.value !== undefined && <span class="text-bad" role="alert">{wrong.value}</span>}
    </>
  );
}
