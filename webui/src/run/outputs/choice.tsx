/** The bar that appears when outputs are chosen: compare two to four of them, or load them down. */
import { type Signal, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { Compare, COMPARED } from './compare';
import { contentOf } from './shown';
import type { Shot } from './shot';

/** The bar; nothing while nothing is chosen. */
export function Choice({ chosen }: { chosen: Signal<Shot[]> }): JSX.Element | null {
  const compared = useSignal(false);
  const shots = chosen.value;
  if (shots.length === 0) return null;
  const fits = shots.length >= COMPARED.least && shots.length <= COMPARED.most;
  const download = (): void => {
    for (const { run, output } of shots) {
      const link = document.createElement('a');
      link.href = contentOf(run, output, true);
      link.download = '';
      link.click();
    }
  };
  return (
    <div class="choice" role="toolbar" aria-label="What is chosen">
      <span class="num strong">{shots.length}</span> chosen
      <button type="button" class="primary" disabled={!fits} title={fits ? undefined : `Choose ${COMPARED.least} to ${COMPARED.most}`} onClick={() => (compared.value = true)}>◧ Compare</button>
      <button type="button" onClick={download}>⤓ Download</button>
      <button type="button" class="plain" onClick={() => (chosen.value = [])}>Clear</button>
      {compared.value && fits && <Compare shots={shots} onClose={() => (compared.value = false)} />}
    </div>
  );
}
