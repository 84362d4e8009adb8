/** The outputs of one run: pictures, videos, sounds and texts. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { isOver, type Output, type Run } from '../../api/types';
import { bytes } from '../../parts/time';
import { Empty } from '../../parts/tile';
import { Choice } from './choice';
import { Lightbox } from './lightbox';
import type { Shot } from './shot';
import { contentOf, nameOf, Shown, shownAs } from './shown';

/** So many are shown at first, and so many more each time their end comes into sight. */
const STRIDE = 60;

/** All outputs of a run, or those of one node. */
export function Outputs({ run, node }: { run: Run; node?: string }): JSX.Element {
  const opened = useSignal<number | undefined>(undefined);
  const chosen = useSignal<Shot[]>([]);
  const most = useSignal(STRIDE);
  const end = useRef<HTMLParagraphElement>(null);
  const outputs = node === undefined ? run.outputs : run.outputs.filter((output) => output.node_id === node);
  const pictures = outputs.filter((output) => shownAs(output) === 'image' || shownAs(output) === 'video');
  const index = pictures.findIndex((output) => output.n === opened.value);
  const rest = outputs.length - most.value;
  useEffect(() => {
    const element = end.current;
    if (!element) return undefined;
    const seen = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) most.value += STRIDE;
    }, { rootMargin: '600px' });
    seen.observe(element);
    return () => seen.disconnect();
  }, [rest > 0, most.value]);
  if (outputs.length === 0) return <Empty title={isOver(run.status) ? 'No outputs' : 'No outputs yet'}>{isOver(run.status) ? '' : 'They appear here as soon as ComfyUI reports them.'}</Empty>;
  const toggle = (output: Output): void => {
    const without = chosen.peek().filter((shot) => shot.output.n !== output.n);
    chosen.value = without.length < chosen.peek().length ? without : [...without, { run: run.run_id, output }];
  };
  const isChosen = new Set(chosen.value.map((shot) => shot.output.n));
  return (
    <div class="stack">
      <div class="outputs">{outputs.slice(0, most.value).map((output) => <One key={output.n} run={run.run_id} output={output} chosen={isChosen.has(output.n)} onChoose={() => toggle(output)} onOpen={() => (opened.value = output.n)} />)}</div>
      {rest > 0 && <p ref={end} class="muted outputs-rest">{rest} more …</p>}
      <Choice chosen={chosen} />
      {index >= 0 && <Lightbox run={run.run_id} outputs={pictures} index={index} onIndex={(at) => (opened.value = pictures[at]?.n)} onClose={() => (opened.value = undefined)} />}
    </div>
  );
}

function One({ run, output, chosen, onChoose, onOpen }: { run: string; output: Output; chosen: boolean; onChoose: () => void; onOpen: () => void }): JSX.Element {
  const name = nameOf(output);
  return (
    <figure class={`output ${chosen ? 'chosen' : ''}`} data-output={output.n}>
      <Shown run={run} output={output} onOpen={onOpen} />
      {shownAs(output) === 'image' && <label class="gallery-choose"><input type="checkbox" checked={chosen} aria-label={`Choose ${name}`} onChange={onChoose} /></label>}
      <footer>
        <span class="cut" title={name}>{name}</span>
        <span class="num">{bytes(output.size)}</span>
        {output.downloaded && output.text == null && <a class="button plain" href={contentOf(run, output, true)} download aria-label={`Download ${name}`} title="Download">⤓</a>}
      </footer>
    </figure>
  );
}
