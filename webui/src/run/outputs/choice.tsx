/** The bar that appears when outputs are chosen: compare two to four of them, or load them down. */
import { type Signal, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { Compare, COMPARED } from './compare';
import { contentOf } from './shown';
import type { Shot } from './shot';

/** So many fit into one archive: the server takes no more. */
const MOST = 300;

/** The bar; nothing while nothing is chosen. */
export function Choice({ chosen }: { chosen: Signal<Shot[]> }): JSX.Element | null {
  const compared = useSignal(false);
  const shots = chosen.value;
  if (shots.length === 0) return null;
  const fits = shots.length >= COMPARED.least && shots.length <= COMPARED.most;
  const [only] = shots;
  const href = shots.length === 1 && only ? contentOf(only.run, only.output, true) : `/api/v1/outputs.zip?of=${shots.map(({ run, output }) => `${encodeURIComponent(run)}/${output.n}`).join(',')}`;
  return (
    <div class="choice" role="toolbar" aria-label="What is chosen">
      <span class="num strong">{shots.length}</span> chosen
      <button type="button" class="primary" disabled={!fits} title={fits ? undefined : `Choose ${COMPARED.least} to ${COMPARED.most}`} onClick={() => (compared.value = true)}>◧ Compare</button>
      {shots.length > MOST
        ? <button type="button" disabled title={`Choose at most ${MOST}`}>⤓ Download as zip (at most {MOST})</button>
        : <a class="button" href={href} download>⤓ Download{shots.length > 1 ? ' as zip' : ''}</a>}
      <button type="button" class="plain" onClick={() => (chosen.value = [])}>Clear</button>
      {compared.value && fits && <Compare shots={shots} onClose={() => (compared.value = false)} />}
    </div>
  );
}
