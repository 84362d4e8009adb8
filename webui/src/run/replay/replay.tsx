/** Travelling in time: a slider over the events of a run, with marks, keys and playing. It stays in sight while the page is scrolled. */
import { type Signal, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { listEpoch, reconnected } from '../../live/store';
import { isOver, type Run } from '../../api/types';
import { hrefOf } from '../../app/route';
import { Act } from '../../parts/action';
import { copy } from '../../parts/copy';
import { clock, ms, timeOfDay } from '../../parts/time';
import { type Acts, sliderKey, takeKeys } from './keys';
import { play, SPEEDS } from './play';
import { Sign } from './signs';
import { type Reel, reelOf } from './tapes';
import { Ticks } from './ticks';

/** A run with no more events than this is read as a whole without being asked, for the marks. */
const SHORT = 5000;
/** How often the marks of a run that goes on are brought up to date. */
const FOLLOW_MS = 3000;

/** The run at an event; undefined while it is read. */
export function useRunAt(id: string, seq: number | undefined): { run: Run | undefined; problem: string | undefined } {
  const reel = reelOf(id);
  const run = seq === undefined ? undefined : reel.tape.runAt(seq);
  // Only who waits for an event is painted when events come.
  if (seq !== undefined && !run) void reel.version.value;
  useEffect(() => {
    if (seq !== undefined && !reel.tape.has(seq)) void reel.want(seq);
  }, [reel, seq, seq !== undefined && reel.tape.has(seq), listEpoch.value, reconnected.value]);
  return { run, problem: seq !== undefined && !run ? reel.problem.value : undefined };
}

/** Props of the slider: the run now, the event that is looked at, and how to look at another; undefined is live. */
export interface ReplayProps {
  run: Run;
  seq: number | undefined;
  onSeek: (seq: number | undefined) => void;
  /** The time of the event that is looked at. */
  at: string | undefined;
  /** Why that event cannot be shown. */
  problem?: string | undefined;
}

/** The slider over the events. */
export function Replay({ run, seq, onSeek, at, problem }: ReplayProps): JSX.Element {
  const reel = reelOf(run.run_id);
  const speed = useSignal<number>(1);
  const playing = useSignal(false);
  const used = useSignal(seq !== undefined);
  reel.reach(run.seq);
  useFilling(reel, run, used.value || seq !== undefined);
  const newest = run.seq;
  const place = Math.min(seq ?? newest, newest);
  const over = isOver(run.status);
  // The newest event is not the past: whoever comes there follows the run again.
  const seek = (to: number): void => onSeek(to >= newest ? undefined : Math.max(1, to));
  const now = useRef({ place, newest, seek });
  now.current = { place, newest, seek };
  useEffect(() => {
    if (!playing.value) return undefined;
    return play({
      tape: () => reel.tape, seq: () => now.current.place, newest: () => now.current.newest, speed: () => speed.peek(),
      seek: (to) => now.current.seek(to), ended: () => (playing.value = false),
    });
  }, [playing.value, reel]);
  const toggle = (): void => {
    used.value = true;
    // From the end there is nothing to play, so it begins anew.
    if (!playing.peek() && seq === undefined) onSeek(1);
    playing.value = !playing.peek();
  };
  const boundary = (step: 1 | -1): void => {
    playing.value = false;
    void reel.boundary(now.current.place, step).then((to) => {
      if (to !== undefined) now.current.seek(to);
      // Without a next one it is the end; an event that cannot be read leaves everything where it is.
      else if (step === 1 && reel.tape.filled >= reel.newest) onSeek(undefined);
    });
  };
  const step = (by: 1 | -1): void => {
    playing.value = false;
    if (by === -1 || seq !== undefined) seek(place + by);
  };
  const live = (): void => {
    playing.value = false;
    onSeek(undefined);
  };
  useKeys({ step, boundary, toggle, live });
  return (
    <div class={`replay ${seq === undefined ? '' : 'past'}`} role="group" aria-label="Replay" onPointerEnter={() => (used.value = true)} onFocusIn={() => (used.value = true)}>
      {seq !== undefined && <Banner at={at} over={over} problem={seq > newest ? `There is no event ${seq}; the newest is ${newest}.` : problem} onLive={live} />}
      <div class="replay-bar">
        <button type="button" class="plain" aria-label="Previous node event (Shift ←)" title="Previous node event (Shift ←)" disabled={place <= 1} onClick={() => boundary(-1)}><Sign is="previous" /></button>
        <button type="button" class="plain" aria-label="One event back (←)" title="One event back (←)" disabled={place <= 1} onClick={() => step(-1)}><Sign is="back" /></button>
        <button type="button" class="replay-play" aria-label={playing.value ? 'Pause (Space)' : 'Play (Space)'} title={playing.value ? 'Pause (Space)' : 'Play (Space)'} aria-pressed={playing.value} disabled={newest < 2} onClick={toggle}><Sign is={playing.value ? 'pause' : 'play'} /></button>
        <button type="button" class="plain" aria-label="One event forward (→)" title="One event forward (→)" disabled={seq === undefined} onClick={() => step(1)}><Sign is="forward" /></button>
        <button type="button" class="plain" aria-label="Next node event (Shift →)" title="Next node event (Shift →)" disabled={seq === undefined} onClick={() => boundary(1)}><Sign is="next" /></button>
        <div class="replay-track">
          <Ticks reel={reel} newest={newest} />
          <input type="range" min={1} max={newest} value={place} step={1} aria-label="Event" aria-valuetext={`event ${place} of ${newest}`}
            onInput={(event) => {
              playing.value = false;
              seek(Number(event.currentTarget.value));
            }}
            onKeyDown={sliderKey} />
        </div>
        <span class="num replay-place">seq <b>{place}</b>/{newest}{seq !== undefined && at !== undefined ? <span class="replay-time"> · +{clock((ms(at) ?? 0) - (ms(run.timing.queue_time) ?? 0))}</span> : ''}</span>
        <Speed speed={speed} />
        <Act class="plain replay-link" label="Copy a link to this event" title="Copy a link to this event" do={() => copy(location.origin + hrefOf({ seq: place }))}><Sign is="link" /></Act>
        <button type="button" class="replay-live" aria-pressed={seq === undefined} title={over ? 'Show the end (L)' : 'Follow the run (L)'} onClick={live}>{over ? 'END' : 'LIVE'}</button>
      </div>
    </div>
  );
}

function Speed({ speed }: { speed: Signal<number> }): JSX.Element {
  const next = (): void => {
    speed.value = SPEEDS[(SPEEDS.findIndex((one) => one === speed.peek()) + 1) % SPEEDS.length] ?? 1;
  };
  return <button type="button" class="plain num replay-speed" title="How fast it is played" aria-label={`Played ${speed.value} times as fast`} onClick={next}>×{speed.value}</button>;
}

/** The word that this is not now, which nobody can overlook. */
function Banner({ at, over, problem, onLive }: { at: string | undefined; over: boolean; problem: string | undefined; onLive: () => void }): JSX.Element {
  return (
    <div class="past-banner" role="status">
      <span class="grow cut">⏪ {problem ?? `Viewing ${at === undefined ? 'the past' : timeOfDay(at, true)}${over ? '' : ', the run is live'}`}</span>
      <button type="button" onClick={onLive}>{over ? 'To the end' : 'Back to live'}</button>
    </div>
  );
}

/** Reads the events in the background: of a short run always, of a long one when the slider is used. */
function useFilling(reel: Reel, run: Run, used: boolean): void {
  const last = useRef(-Infinity);
  const wanted = used || run.seq <= SHORT;
  useEffect(() => {
    if (!wanted) return undefined;
    const wait = isOver(run.status) ? 0 : Math.max(0, last.current + FOLLOW_MS - performance.now());
    const timer = setTimeout(() => {
      last.current = performance.now();
      void reel.fill();
    }, wait);
    return () => clearTimeout(timer);
    // Events that come while it waits are read with the others.
  }, [reel, wanted, isOver(run.status), run.seq, reel.version.value, reconnected.value]);
}

/** Lets the keys of the page act on this slider while it is there. */
function useKeys(acts: Acts): void {
  const newest = useRef(acts);
  newest.current = acts;
  useEffect(() => takeKeys({
    step: (by) => newest.current.step(by), boundary: (by) => newest.current.boundary(by), toggle: () => newest.current.toggle(), live: () => newest.current.live(),
  }), []);
}
