/** The events of a run: one list with chips by kind; a click goes to that moment. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import type { LogLine, Run } from '../../api/types';
import { reconnected } from '../../live/store';
import { span, timeOfDay } from '../../parts/time';
import { Empty } from '../../parts/tile';
import { useSight } from '../../parts/virtual';
import { type Here, Part } from './part';
import { askedFor, detailOf, isProblem, type Kind, KINDS } from './words';

const ROW_PX = 26;
/** How near an end of the list the next piece is asked for. */
const NEAR_PX = 400;
/** While one types nothing is asked. */
const CALM_MS = 250;
const NONE: Here = { lines: [], from: 1, to: 0 };

/** Props of the events: the run live, the event that is looked at, and how to look at another one. */
export interface EventsProps {
  run: Run;
  seq: number | undefined;
  onSeek: (seq: number) => void;
}

/** The list: its end first, and it stays there while it is there. */
export function Events({ run, seq, onSeek }: EventsProps): JSX.Element {
  const hidden = useSignal<ReadonlySet<Kind>>(new Set(['progress']));
  const problems = useSignal(false);
  const word = useSignal('');
  const text = useSignal('');
  useEffect(() => {
    const timer = setTimeout(() => (text.value = word.value.trim()), word.value === '' ? 0 : CALM_MS);
    return () => clearTimeout(timer);
  }, [word.value]);
  const kinds = askedFor(hidden.value, problems.value);
  const part = useMemo(() => new Part(run.run_id, { kinds, text: text.value }), [run.run_id, kinds, text.value]);
  useEffect(() => () => part.close(), [part]);
  // While another part is read the one before stays.
  const last = useRef<Here>(NONE);
  const found = part.here.value;
  const here = found ?? last.current;
  last.current = here;
  const ref = useRef<HTMLDivElement>(null);
  const { top, bottom } = useSight(ref).value;
  const atEnd = useRef(true);
  const epoch = useRef(reconnected.value);
  useEffect(() => {
    // What is here needs no other look when the link is there again.
    if (epoch.current !== reconnected.value && part.problem.peek() === undefined) return;
    epoch.current = reconnected.value;
    void part.show(seq, run.seq);
  }, [part, seq, reconnected.value]);
  const head = here.from > 1 ? 1 : 0;
  const tail = here.to < run.seq && !atEnd.current ? 1 : 0;
  const { lines } = here;
  // The line of the moment that is looked at, or the last one before it.
  const cursor = seq === undefined || seq < here.from || seq > here.to ? -1 : lines.findLastIndex((line) => line.seq <= seq);
  const before = useRef(here);
  const tall = useRef(0);
  useLayoutEffect(() => {
    const element = ref.current;
    const old = before.current;
    before.current = here;
    if (!element) return;
    // One may have scrolled away, and the browser not told of it yet.
    atEnd.current &&= element.scrollTop + element.clientHeight > Math.min(tall.current, element.scrollHeight) - 2 * ROW_PX;
    if (seq === undefined && atEnd.current) {
      element.scrollTop = element.scrollHeight;
      tall.current = element.scrollHeight;
      return;
    }
    tall.current = element.scrollHeight;
    // What is in sight stays where it is.
    const oldHead = old.from > 1 ? 1 : 0;
    const at = Math.max(0, Math.floor(element.scrollTop / ROW_PX) - oldHead);
    const now = lines.indexOf(old.lines[at] as LogLine);
    if (now >= 0) element.scrollTop += (now + head - at - oldHead) * ROW_PX;
  }, [here]);
  useEffect(() => {
    const element = ref.current;
    const place = (cursor + head) * ROW_PX;
    if (!element || cursor < 0 || (place >= element.scrollTop && place + ROW_PX <= element.scrollTop + element.clientHeight)) return;
    atEnd.current = false;
    element.scrollTop = place - element.clientHeight / 2;
  }, [cursor < 0 ? undefined : lines[cursor], head]);
  /** Asks for the next piece where an end of what is here is near. */
  const goOn = (): void => {
    const element = ref.current;
    if (!element || !found) return;
    if (found.to < run.seq && (atEnd.current || element.scrollTop + element.clientHeight > element.scrollHeight - NEAR_PX)) void part.newer(run.seq);
    else if (found.from > 1 && element.scrollTop < NEAR_PX) void part.older();
  };
  const { value: problem } = part.problem;
  // What failed is asked for again when one scrolls or says so, or when the link is there again.
  useEffect(() => {
    if (problem === undefined) goOn();
  }, [part, found, run.seq, bottom, problem]);
  const toggle = (kind: Kind): void => {
    const next = new Set(hidden.peek());
    if (!next.delete(kind)) next.add(kind);
    hidden.value = next;
  };
  const first = Math.max(0, Math.floor(top / ROW_PX) - head);
  const seen = lines.slice(first, Math.ceil(bottom / ROW_PX));
  return (
    <div>
      <div class="log-tools">
        {KINDS.map((kind) => <button key={kind} type="button" class="chip" aria-pressed={!hidden.value.has(kind) && !problems.value} onClick={() => toggle(kind)}>{kind}</button>)}
        <button type="button" class="chip" aria-pressed={problems.value} onClick={() => (problems.value = !problems.value)}>only problems</button>
        <input class="log-search" type="search" placeholder="Search events" aria-label="Search events" value={word.value} onInput={(event) => (word.value = event.currentTarget.value)} />
      </div>
      {problem !== undefined && <p class="text-bad log-problem" role="alert">{problem} <button type="button" class="chip" onClick={() => void part.show(seq, run.seq)}>Try again</button></p>}
      <div class="log" ref={ref} role="log" aria-label="Events" aria-live="off" tabIndex={0}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          atEnd.current = scrollTop + clientHeight > scrollHeight - ROW_PX;
          // The rows to be made may be the same ones: what came above moved them down, and one scrolled back within one frame.
          goOn();
        }}>
        {lines.length === 0 && <Empty title={!found ? 'Reading the events …' : 'No events match'} />}
        <div class="space" style={{ height: `${(head + lines.length + tail) * ROW_PX}px` }}>
          {head > 0 && <p class="log-more" style={{ top: '0px' }}>Older events …</p>}
          {seen.map((line, index) => <Row key={line.seq} line={line} before={lines[first + index - 1]} top={(head + first + index) * ROW_PX} current={first + index === cursor} onSeek={onSeek} />)}
          {tail > 0 && <p class="log-more" style={{ top: `${(head + lines.length) * ROW_PX}px` }}>Newer events …</p>}
        </div>
      </div>
    </div>
  );
}

function Row({ line, before, top, current, onSeek }: { line: LogLine; before: LogLine | undefined; top: number; current: boolean; onSeek: (seq: number) => void }): JSX.Element {
  const gap = before ? `+${span(Date.parse(line.at) - Date.parse(before.at))}` : '';
  const detail = detailOf(line);
  return (
    <button type="button" class="log-row" style={{ top: `${top}px` }} aria-current={current ? 'true' : undefined} title="Look at the run at this event" onClick={() => onSeek(line.seq)}>
      <span class="num">{line.seq}</span>
      <span class="num">{timeOfDay(line.at, true)}</span>
      <span class="num gap">{gap}</span>
      <span class={`kind cut ${isProblem(line) ? 'text-bad' : ''}`}>{line.event.kind.replaceAll('_', ' ')}</span>
      <span class="detail cut" title={detail}>{detail}</span>
    </button>
  );
}
