/** The events of a run: one list with chips by kind; a click goes to that moment. */
import { useComputed, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { LogLine, Run } from '../../api/types';
import { span, timeOfDay } from '../../parts/time';
import { Empty } from '../../parts/tile';
import { useSight } from '../../parts/virtual';
import { useLog } from '../log';
import { detailOf, isProblem, type Kind, kindOf, KINDS } from './words';

const ROW_PX = 26;

/** Props of the events: the run live, the event that is looked at, and how to look at another one. */
export interface EventsProps {
  run: Run;
  seq: number | undefined;
  onSeek: (seq: number) => void;
}

/** The list. It stays at its end while it is there. */
export function Events({ run, seq, onSeek }: EventsProps): JSX.Element {
  const { lines, problem } = useLog(run.run_id, run.seq);
  const hidden = useSignal<ReadonlySet<Kind>>(new Set(['progress']));
  const problems = useSignal(false);
  const word = useSignal('');
  const shown = useComputed(() => {
    const search = word.value.trim().toLowerCase();
    return lines.value.filter((line) => {
      if (problems.value ? !isProblem(line) : hidden.value.has(kindOf(line))) return false;
      return !search || line.event.kind.includes(search) || JSON.stringify(line.event.data).toLowerCase().includes(search);
    });
  });
  const ref = useRef<HTMLDivElement>(null);
  const sight = useSight(ref);
  const atEnd = useRef(true);
  useEffect(() => {
    const element = ref.current;
    if (element && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [shown.value.length]);
  // The line of the moment that is looked at, or the last one before it.
  const cursor = seq === undefined ? -1 : shown.value.findLastIndex((line) => line.seq <= seq);
  useEffect(() => {
    const element = ref.current;
    const top = cursor * ROW_PX;
    if (!element || cursor < 0 || (top >= element.scrollTop && top + ROW_PX <= element.scrollTop + element.clientHeight)) return;
    atEnd.current = false;
    element.scrollTop = top - element.clientHeight / 2;
  }, [cursor]);
  const toggle = (kind: Kind): void => {
    const next = new Set(hidden.peek());
    if (!next.delete(kind)) next.add(kind);
    hidden.value = next;
  };
  const first = Math.max(0, Math.floor(sight.value.top / ROW_PX));
  const seen = shown.value.slice(first, Math.ceil(sight.value.bottom / ROW_PX));
  return (
    <div>
      <div class="log-tools">
        {KINDS.map((kind) => <button key={kind} type="button" class="chip" aria-pressed={!hidden.value.has(kind) && !problems.value} onClick={() => toggle(kind)}>{kind}</button>)}
        <button type="button" class="chip" aria-pressed={problems.value} onClick={() => (problems.value = !problems.value)}>only problems</button>
        <input class="log-search" type="search" placeholder="Search events" aria-label="Search events" value={word.value} onInput={(event) => (word.value = event.currentTarget.value)} />
      </div>
      {problem.value !== undefined && <p class="text-bad log-problem" role="alert">{problem.value}</p>}
      <div class="log" ref={ref} role="log" aria-label="Events" aria-live="off" tabIndex={0}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          atEnd.current = scrollTop + clientHeight > scrollHeight - ROW_PX;
        }}>
        {shown.value.length === 0 && <Empty title={lines.value.length === 0 ? 'Reading the events …' : 'No events match'} />}
        <div class="space" style={{ height: `${shown.value.length * ROW_PX}px` }}>
          {seen.map((line, index) => <Row key={line.seq} line={line} before={shown.value[first + index - 1]} top={(first + index) * ROW_PX} current={first + index === cursor} onSeek={onSeek} />)}
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
