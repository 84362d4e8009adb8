/** Comparing two to four pictures: one over the other with a line that is dragged, or side by side; and what their workflows differ in. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { hrefOf, onLink } from '../../app/route';
import { Dialog } from '../../parts/dialog';
import { contentOf, nameOf } from './shown';
import { differing, workflowOf } from './provenance';
import { keyOf, type Shot } from './shot';

/** How many pictures can be compared at once. */
export const COMPARED = { least: 2, most: 4 };

/** The pictures, large. */
export function Compare({ shots, onClose }: { shots: Shot[]; onClose: () => void }): JSX.Element {
  const over = useSignal(shots.length === 2);
  return (
    <Dialog label="Compare outputs" class="lightbox compare" onClose={onClose}>
      {over.value && shots[0] && shots[1] ? <Over first={shots[0]} second={shots[1]} /> : <Grid shots={shots} />}
      <Differing shots={shots} />
      <footer>
        {shots.length === 2 && (
          <span class="row">
            <button type="button" aria-pressed={over.value} onClick={() => (over.value = true)}>◧ Slider</button>
            <button type="button" aria-pressed={!over.value} onClick={() => (over.value = false)}>▥ Side by side</button>
          </span>
        )}
        <span class="grow" />
        <button type="button" onClick={onClose}>✕ Close</button>
      </footer>
    </Dialog>
  );
}

function Caption({ shot, mark }: { shot: Shot; mark: string }): JSX.Element {
  const to = { view: 'run', run: shot.run, node: shot.output.node_id, seq: undefined } as const;
  return <span class="compare-caption cut"><b>{mark}</b> {nameOf(shot.output)} <a class="num" href={hrefOf(to)} onClick={onLink(to)}>#{shot.run.slice(-6)}</a></span>;
}

/** One over the other; left of the line is the first. */
function Over({ first, second }: { first: Shot; second: Shot }): JSX.Element {
  const at = useSignal(50);
  const stage = useRef<HTMLDivElement>(null);
  const move = (event: PointerEvent): void => {
    const box = stage.current?.getBoundingClientRect();
    if (box && event.buttons > 0) at.value = Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width));
  };
  return (
    <div class="stage compare-over">
      <div class="compare-stack" ref={stage} onPointerDown={(event) => { event.currentTarget.setPointerCapture(event.pointerId); move(event); }} onPointerMove={move}>
        <img src={contentOf(second.run, second.output)} alt={nameOf(second.output)} draggable={false} />
        <img src={contentOf(first.run, first.output)} alt={nameOf(first.output)} draggable={false} style={{ clipPath: `inset(0 ${100 - at.value}% 0 0)` }} />
        <i class="compare-edge" aria-hidden="true" style={{ left: `${at.value}%` }} />
        <Caption shot={first} mark="A" />
        <Caption shot={second} mark="B" />
      </div>
      <input type="range" min={0} max={100} step={1} value={at.value} aria-label="How much of the first picture is seen" onInput={(event) => (at.value = Number(event.currentTarget.value))} />
    </div>
  );
}

function Grid({ shots }: { shots: Shot[] }): JSX.Element {
  return (
    <div class="stage compare-grid" data-count={shots.length}>
      {shots.map((shot, index) => (
        <figure key={keyOf(shot)}>
          <img src={contentOf(shot.run, shot.output)} alt={nameOf(shot.output)} />
          <figcaption><Caption shot={shot} mark={'ABCD'[index] ?? ''} /></figcaption>
        </figure>
      ))}
    </div>
  );
}

/** More rows than this tell nothing. */
const MOST = 12;

function Differing({ shots }: { shots: Shot[] }): JSX.Element | null {
  const rows = useSignal<ReturnType<typeof differing>>([]);
  const runs = shots.map((shot) => shot.run);
  const key = runs.join(' ');
  useEffect(() => {
    rows.value = [];
    if (new Set(runs).size < 2) return;
    // Without the workflows the pictures can still be compared.
    Promise.all(runs.map(workflowOf)).then((workflows) => (rows.value = differing(workflows)), () => undefined);
  }, [key]);
  if (rows.value.length === 0) return null;
  return (
    <div class="compare-table" tabIndex={0} role="group" aria-label="What differs">
      <table>
        <thead><tr><th scope="col">What differs</th>{shots.map((shot, index) => <th key={keyOf(shot)} scope="col">{'ABCD'[index]}</th>)}</tr></thead>
        <tbody>
          {rows.value.slice(0, MOST).map((row) => <tr key={`${row.title} ${row.name}`}><th scope="row">{row.title} · {row.name}</th>{row.values.map((value, index) => <td key={index} class="value">{value ?? '–'}</td>)}</tr>)}
        </tbody>
      </table>
      {rows.value.length > MOST && <p class="muted">and {rows.value.length - MOST} more</p>}
    </div>
  );
}
