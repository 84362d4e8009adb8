/** Marks on the slider: where nodes began, outputs came, something failed, the link was lost. One canvas, however many there are. */
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Reel } from './tapes';

/** Half of the slider's thumb: the first and the last event stand that far from its ends. */
const THUMB_PX = 8;

/** Marks by kind of event, the most important last, as it is drawn over the others. */
const MARKS: [RegExp, string, number][] = [
  [/^(node_started|nodes_cached)$/, '--muted', 5],
  [/^(outputs_found|output_saved)$/, '--ok', 8],
  [/^(attention_raised|attention_cleared|gap_noted|resubmit_requested|submit_in_doubt)$/, '--warn', 10],
  [/^(failed|cancelled|output_lost|limit_reached|outputs_refused|cancel_requested)$/, '--bad', 12],
];

const ranks = new Map<string, number>();

function rankOf(kind: string): number {
  let rank = ranks.get(kind);
  if (rank === undefined) {
    rank = MARKS.findIndex(([pattern]) => pattern.test(kind));
    ranks.set(kind, rank);
  }
  return rank;
}

/** Draws the marks of a run whose newest event is `newest`. */
export function Ticks({ reel, newest }: { reel: Reel; newest: number }): JSX.Element {
  const ref = useRef<HTMLCanvasElement>(null);
  const version = reel.version.value;
  useEffect(() => {
    const canvas = ref.current;
    if (!canvas) return undefined;
    const paint = (): void => draw(canvas, reel, newest);
    paint();
    const sizes = new ResizeObserver(paint);
    sizes.observe(canvas);
    const scheme = matchMedia('(prefers-color-scheme: light)');
    scheme.addEventListener('change', paint);
    return () => {
      sizes.disconnect();
      scheme.removeEventListener('change', paint);
    };
  }, [reel, newest, version]);
  return <canvas ref={ref} class="ticks" aria-hidden="true" />;
}

function draw(canvas: HTMLCanvasElement, reel: Reel, newest: number): void {
  const scale = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (width === 0 || height === 0) return;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext('2d');
  if (!context) return;
  const inset = THUMB_PX * scale;
  const room = width - 2 * inset;
  const columns = new Map<number, number>();
  for (let seq = 1; seq <= newest; seq += 1) {
    const kind = reel.tape.kinds[seq];
    const rank = kind === undefined ? -1 : rankOf(kind);
    if (rank < 0) continue;
    const x = Math.round(inset + (room * (seq - 1)) / Math.max(1, newest - 1));
    if (rank > (columns.get(x) ?? -1)) columns.set(x, rank);
  }
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const line = Math.max(1, Math.round(1.5 * scale));
  MARKS.forEach(([, colour, length], rank) => {
    context.fillStyle = style.getPropertyValue(colour);
    const long = Math.min(height, length * scale);
    for (const [x, highest] of columns) if (highest === rank) context.fillRect(x - Math.floor(line / 2), (height - long) / 2, line, long);
  });
}
