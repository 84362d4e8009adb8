/** An output with the run that made it: what galleries, the large view and comparisons speak of. */
import type { Output } from '../../api/types';

/** One output of one run. */
export interface Shot {
  run: string;
  output: Output;
}

/** A name that no other output has. */
export function keyOf(shot: Shot): string {
  return `${shot.run}/${shot.output.n}`;
}
