/** The measure of a timeline: from when to when, and where its marks stand. */
import { isOver, type Run } from '../../api/types';
import { ms } from '../../parts/time';

/** The stretch of time that is shown. */
export interface Axis {
  begin: number;
  end: number;
  /** The moment that counts as 0:00. */
  zero: number;
  /** Whether the beginning of a long wait is left out. */
  cut: boolean;
}

/** A wait of more than this share of the run is cut, so that the bars of the nodes can be seen. */
const MOST_WAIT = 0.4;
const CUT_WAIT = 0.12;

/** The axis of a run at a moment. While the run goes on it grows in strides, so that the bars do not shrink each second. */
export function axisOf(run: Run, moment: number): Axis {
  const queued = ms(run.timing.queue_time) ?? moment;
  const started = ms(run.timing.start_time);
  const over = isOver(run.status);
  const last = over ? (ms(run.timing.end_time) ?? moment) : Math.max(moment, ms(run.timing.estimated_completion) ?? 0);
  const zero = started ?? queued;
  const ran = Math.max(1000, last - zero);
  const waited = zero - queued;
  const cut = started !== undefined && waited > MOST_WAIT * (ran + waited);
  const begin = cut ? zero - CUT_WAIT * ran : queued;
  return { begin, end: over ? Math.max(last, begin + 100) : begin + stride(Math.max(1000, last - begin)), zero, cut };
}

const STRIDES = [1, 1.5, 2, 3, 4, 6, 8, 10];

/** The next round length. */
function stride(length: number): number {
  const unit = 10 ** Math.floor(Math.log10(length));
  return unit * (STRIDES.find((one) => one * unit >= length * 1.02) ?? 10);
}

/** Where a time stands, 0 to 1. */
export function shareOf(axis: Axis, time: number): number {
  return Math.max(0, Math.min(1, (time - axis.begin) / (axis.end - axis.begin)));
}

const STEPS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 43_200_000, 86_400_000];

/** The marks of an axis, as lengths from its zero: not more than `most` of them. */
export function marksOf(axis: Axis, most = 6): { at: number; length: number }[] {
  const step = STEPS_MS.find((one) => (axis.end - axis.begin) / one <= most) ?? STEPS_MS.at(-1) ?? 1;
  const marks = [];
  for (let length = Math.ceil((axis.begin - axis.zero) / step) * step; axis.zero + length <= axis.end; length += step) if (length >= 0) marks.push({ at: shareOf(axis, axis.zero + length), length });
  return marks;
}
