/** Playing a run's events at the speed of life, or faster. */
import type { Tape } from './tape';

/** How much faster than life. */
export const SPEEDS = [1, 4, 16, 64] as const;
/** A stretch in which nothing happens takes no longer than this. */
const MOST_MS = 1500;
const FRAME_MS = 50;

/** Where playing goes to. */
export interface Player {
  tape: () => Tape;
  /** The event that is shown. */
  seq: () => number;
  newest: () => number;
  speed: () => number;
  seek: (seq: number) => void;
  /** The events up to the newest were shown. */
  ended: () => void;
}

/** Plays on from where one looks; gives the function that stops it. Events that are not here yet are waited for. */
export function play(player: Player): () => void {
  let before = performance.now();
  /** How much time has been played since the event that is shown. */
  let played = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    played += (now - before) * player.speed();
    before = now;
    const tape = player.tape();
    let seq = player.seq();
    const begun = seq;
    while (seq < player.newest() && tape.has(seq) && tape.has(seq + 1)) {
      const gap = Math.min((tape.at[seq + 1] ?? 0) - (tape.at[seq] ?? 0), MOST_MS * player.speed());
      if (gap > played) break;
      played -= gap;
      seq += 1;
    }
    if (seq !== begun) player.seek(seq);
    if (seq >= player.newest()) player.ended();
    // While the next event is read no time passes.
    else if (!tape.has(seq + 1)) played = 0;
  }, FRAME_MS);
  return () => clearInterval(timer);
}
