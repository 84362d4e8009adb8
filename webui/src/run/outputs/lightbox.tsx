/** A picture over the whole page; the arrow keys go through the others. */
import type { JSX } from 'preact';
import type { Output } from '../../api/types';
import { Dialog } from '../../parts/dialog';
import { contentOf, nameOf, shownAs } from './outputs';

/** The pictures of a run, one of them large. */
export function Lightbox(props: { run: string; outputs: Output[]; index: number; onIndex: (index: number) => void; onClose: () => void }): JSX.Element | null {
  const { run, outputs, index } = props;
  const output = outputs[index];
  if (!output) return null;
  const step = (by: number): void => props.onIndex((index + by + outputs.length) % outputs.length);
  const source = contentOf(run, output);
  return (
    <Dialog label={nameOf(output)} class="lightbox" onClose={props.onClose}>
      <div class="stage" onClick={props.onClose}
        onKeyDown={(event) => {
          if (event.key === 'ArrowRight') step(1);
          else if (event.key === 'ArrowLeft') step(-1);
        }}>
        {shownAs(output) === 'video' ? <video src={source} controls autoplay loop muted /> : <img src={source} alt={nameOf(output)} />}
      </div>
      <footer
        onKeyDown={(event) => {
          if (event.key === 'ArrowRight') step(1);
          else if (event.key === 'ArrowLeft') step(-1);
        }}>
        <button type="button" onClick={() => step(-1)} aria-label="Previous">‹</button>
        <button type="button" onClick={() => step(1)} aria-label="Next">›</button>
        <span class="cut grow">{nameOf(output)}</span>
        <span class="num">{index + 1}/{outputs.length}</span>
        <a class="button" href={contentOf(run, output, true)} download>⤓ Download</a>
        <button type="button" onClick={props.onClose}>✕ Close</button>
      </footer>
    </Dialog>
  );
}
