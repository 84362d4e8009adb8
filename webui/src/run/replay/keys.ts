/** The keys of the slider: they act wherever the focus is, as long as a run is shown. */
import { KEYS } from '../../app/keys';

/** What the keys do. */
export interface Acts {
  /** One event back or forward. */
  step: (by: 1 | -1) => void;
  /** To the event before or after at which a node begins or ends. */
  boundary: (by: 1 | -1) => void;
  /** Plays or pauses. */
  toggle: () => void;
  /** Back to the newest event. */
  live: () => void;
}

let current: Acts | undefined;

/** Gives the keys to a slider. Gives the function that takes them away. */
export function takeKeys(acts: Acts): () => void {
  current = acts;
  return () => {
    if (current === acts) current = undefined;
  };
}

const when = (): boolean => current !== undefined;

KEYS.push(
  { keys: ['ArrowLeft'], shown: '←', does: 'One event back', shift: false, when, act: () => current?.step(-1) },
  { keys: ['ArrowRight'], shown: '→', does: 'One event forward', shift: false, when, act: () => current?.step(1) },
  { keys: ['ArrowLeft'], shown: 'Shift ←', does: 'Where a node began or ended before', shift: true, when, act: () => current?.boundary(-1) },
  { keys: ['ArrowRight'], shown: 'Shift →', does: 'Where a node begins or ends next', shift: true, when, act: () => current?.boundary(1) },
  { keys: [' '], shown: 'Space', does: 'Play or pause', when, act: () => current?.toggle() },
  { keys: ['l', 'L'], shown: 'l', does: 'Back to live', when, act: () => current?.live() },
);

/** The same keys for the slider itself, as the page leaves alone what is typed into a field. */
export function sliderKey(event: KeyboardEvent): void {
  if (!current || event.ctrlKey || event.metaKey || event.altKey) return;
  const by = event.key === 'ArrowLeft' || event.key === 'ArrowDown' ? -1 : event.key === 'ArrowRight' || event.key === 'ArrowUp' ? 1 : undefined;
  if (by !== undefined) (event.shiftKey ? current.boundary : current.step)(by);
  else if (event.key === ' ') current.toggle();
  else if (event.key === 'l' || event.key === 'L') current.live();
  else return;
  event.preventDefault();
}
