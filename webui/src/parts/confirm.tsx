/** A button that asks once: the first click changes its words, the second one acts. */
import { useSignal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { Act } from './action';

const ASKS_FOR_MS = 5000;

/** A button for what cannot be undone. */
export function Confirm(props: { do: () => Promise<unknown>; sure: string; class?: string; title?: string; label?: string; children: ComponentChildren }): JSX.Element {
  const asked = useSignal(false);
  useEffect(() => {
    if (!asked.value) return undefined;
    const timer = setTimeout(() => (asked.value = false), ASKS_FOR_MS);
    return () => clearTimeout(timer);
  }, [asked.value]);
  if (!asked.value) return <button type="button" class={props.class} title={props.title} aria-label={props.label} onClick={() => (asked.value = true)}>{props.children}</button>;
  return (
    <span class="row" onKeyDown={(event) => event.key === 'Escape' && (asked.value = false)}>
      <Act class="stop" do={props.do}>{props.sure}</Act>
      <button type="button" onClick={() => (asked.value = false)}>No</button>
    </span>
  );
}
