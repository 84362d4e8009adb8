/** A button that asks once: the first click changes its words, the second one acts. */
import { useSignal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { Act } from './action';

const ASKS_FOR_MS = 10_000;

/** A button for what cannot be undone. */
export function Confirm(props: { do: () => Promise<unknown>; sure: string; class?: string; title?: string; label?: string; children: ComponentChildren }): JSX.Element {
  const asked = useSignal(false);
  const acts = useSignal(false);
  useEffect(() => {
    // What it comes to is waited for, and said.
    if (!asked.value || acts.value) return undefined;
    const timer = setTimeout(() => (asked.value = false), ASKS_FOR_MS);
    return () => clearTimeout(timer);
  }, [asked.value, acts.value]);
  const act = async (): Promise<void> => {
    acts.value = true;
    try {
      await props.do();
      asked.value = false;
    } finally {
      acts.value = false;
    }
  };
  if (!asked.value) return <button type="button" class={props.class} title={props.title} aria-label={props.label} onClick={() => (asked.value = true)}>{props.children}</button>;
  return (
    <span class="row" onKeyDown={(event) => event.key === 'Escape' && (asked.value = false)}>
      <Act class="stop" do={act}>{props.sure}</Act>
      <button type="button" onClick={() => (asked.value = false)}>No</button>
    </span>
  );
}
