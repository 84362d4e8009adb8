/** A picture over the whole page; the arrow keys go through the others. */
import type { ComponentChildren, JSX } from 'preact';
import { useRef } from 'preact/hooks';
import type { Output } from '../../api/types';
import { Dialog } from '../../parts/dialog';
import { contentOf, nameOf, shownAs } from './shown';
import type { Shot } from './shot';

/** The pictures of a run, one of them large. */
export function Lightbox(props: { run: string; outputs: Output[]; index: number; onIndex: (index: number) => void; onClose: () => void }): JSX.Element | null {
  const { run, outputs, ...rest } = props;
  return <Viewer shots={outputs.map((output) => ({ run, output }))} {...rest} />;
}

const SWIPE_PX = 60;

/** Pictures, one of them large; `about` is what stands beside it. */
export function Viewer(props: { shots: Shot[]; index: number; onIndex: (index: number) => void; onClose: () => void; about?: (shot: Shot) => ComponentChildren }): JSX.Element | null {
  const { shots, index, about } = props;
  const touched = useRef<number | undefined>(undefined);
  const shot = shots[index];
  if (!shot) return null;
  const { run, output } = shot;
  const step = (by: number): void => props.onIndex((index + by + shots.length) % shots.length);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.target instanceof HTMLVideoElement) return;
    if (event.key === 'ArrowRight') step(1);
    else if (event.key === 'ArrowLeft') step(-1);
    else return;
    event.preventDefault();
  };
  const source = contentOf(run, output);
  return (
    <Dialog label={nameOf(output)} class={`lightbox ${about ? 'told' : ''}`} onClose={props.onClose}>
      <div class="stage" onClick={(event) => event.target === event.currentTarget && props.onClose()} onKeyDown={onKeyDown}
        onPointerDown={(event) => (touched.current = event.pointerType === 'touch' ? event.clientX : undefined)}
        onPointerUp={(event) => {
          const moved = touched.current === undefined ? 0 : event.clientX - touched.current;
          touched.current = undefined;
          if (Math.abs(moved) > SWIPE_PX) step(moved < 0 ? 1 : -1);
        }}>
        {shownAs(output) === 'video' ? <video key={source} src={source} controls autoplay loop muted /> : <img src={source} alt={nameOf(output)} draggable={false} onClick={props.onClose} />}
      </div>
      <footer onKeyDown={onKeyDown}>
        <button type="button" onClick={() => step(-1)} aria-label="Previous">‹</button>
        <button type="button" onClick={() => step(1)} aria-label="Next">›</button>
        <span class="cut grow">{nameOf(output)}</span>
        <span class="num">{index + 1}/{shots.length}</span>
        <a class="button" href={contentOf(run, output, true)} download>⤓ Download</a>
        <button type="button" onClick={props.onClose}>✕ Close</button>
      </footer>
      {about?.(shot)}
    </Dialog>
  );
}
