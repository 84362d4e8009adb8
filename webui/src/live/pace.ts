/** Painting at a calm pace: the first change at once, those that follow together, at most two paints a second. */

/** The shortest time between two paints of one thing. */
export const PAINT_MS = 500;

/** Calls `paint` when asked to, but not more often than each `every` milliseconds; the last request is never lost. */
export function paced(paint: () => void, every = PAINT_MS): { ask: () => void; now: () => void; stop: () => void } {
  let last = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const now = (): void => {
    clearTimeout(timer);
    timer = undefined;
    last = performance.now();
    paint();
  };
  return {
    now,
    ask: () => {
      if (timer !== undefined) return;
      const wait = last + every - performance.now();
      if (wait <= 0) now();
      else timer = setTimeout(now, wait);
    },
    stop: () => clearTimeout(timer),
  };
}
