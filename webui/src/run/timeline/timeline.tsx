/** The timeline of a run: one bar per node, what was measured solid, what is expected dashed; or two runs on one axis. */
import { useComputed, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import { isOver, type Run, type RunWorkflow } from '../../api/types';
import { ms, now, span } from '../../parts/time';
import { Empty } from '../../parts/tile';
import { useSight } from '../../parts/virtual';
import { linksOf } from '../graph/layout';
import { reelOf } from '../replay/tapes';
import { type Axis, axisOf, marksOf, shareOf } from './axis';
import { Bars } from './bars';
import { Differences, sameNode, useOther } from './compare';
import { folded, MANY, orderOf, rowsOf } from './rows';
import { Whole } from './whole';

/** A run as it is to be shown, at the time `at` if that is not now. */
export interface TimelineProps {
  run: Run;
  /** The run now: the rows and the axis are its own, so that nothing moves while one travels through time. */
  newest: Run;
  workflow: RunWorkflow | undefined;
  selected: string | undefined;
  onSelect: (node: string | undefined) => void;
  /** The moment that is looked at, in milliseconds; undefined is now. */
  at: number | undefined;
}

const ROW_PX = 25;
const ROW_PHONE_PX = 40;
const phone = matchMedia('(max-width: 820px)');
const NONE: Record<string, number> = {};

/** The bars. Rows stand in the order in which nodes began; those that wait come after. */
export function Timeline({ run, newest, workflow, selected, onSelect, at }: TimelineProps): JSX.Element {
  const { run: other, problem } = useOther(newest.run_id);
  const all = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const sight = useSight(box);
  const over = isOver(newest.status);
  const present = over ? (ms(newest.timing.end_time) ?? 0) : now.value;
  const moment = at ?? present;
  const shape = newest.nodes.map((node) => node.node_id).join('\n');
  const order = useMemo(() => orderOf(newest.nodes, linksOf(newest.nodes, workflow)), [shape, workflow]);
  const expected = workflow?.expected_ms ?? NONE;
  const single = useMemo(() => rowsOf(newest, order, expected, over ? 0 : present), [newest, order, expected, over ? 0 : present]);
  const many = single.length > MANY && !all.value;
  const rows = useMemo(() => (many ? folded(single) : single), [single, many]);
  const axis = useMemo(() => widened(axisOf(newest, present), other), [newest, present, other]);
  const states = useMemo(() => new Map(run.nodes.map((node) => [node.node_id, node])), [run]);
  const before = useMemo(() => other && new Map(other.nodes.map((node) => [node.node_id, node])), [other]);
  const reel = reelOf(newest.run_id);
  // The story grows while events are read; only what it has told is shown.
  const told = useComputed(() => reel.version.value).value;
  const height = phone.matches ? ROW_PHONE_PX : ROW_PX;
  const shift = other ? axis.zero - (ms(other.timing.start_time) ?? ms(other.timing.queue_time) ?? 0) : 0;
  const first = Math.max(0, Math.floor(sight.value.top / height));
  const marks = marksOf(axis, phone.matches ? 3 : 6);
  const losses = told > 0 ? reel.story.losses.filter((loss) => loss.from <= moment) : [];
  if (rows.length === 0 && over) return <Empty title="No node ran" />;
  return (
    <div>
      {problem !== undefined && <p class="compare-line text-bad" role="alert">{problem}</p>}
      {other && <Differences run={newest} other={other} />}
      {many && <p class="compare-line"><span class="muted">{single.length} nodes, by class.</span> <button type="button" class="chip" onClick={() => (all.value = true)}>Load detail</button></p>}
      <div class={`timeline ${other ? 'two' : ''}`} ref={box} role="group" aria-label="Timeline" tabIndex={0} style={{ '--row': `${height}px` }}>
        <div class="timeline-body">
          <div class="timeline-lines" aria-hidden="true">{marks.map((mark) => <i key={mark.length} class="mark" style={{ '--at': mark.at }} />)}</div>
          <div class="timeline-head">
            <div class="timeline-axis" aria-hidden="true">{marks.map((mark) => <span key={mark.length} style={{ '--at': mark.at }}>{mark.length === 0 ? '0' : span(mark.length).replace(/\.0 s$/, ' s')}</span>)}</div>
            <Whole run={run} axis={axis} moment={moment} story={reel.story} told={told} />
          </div>
          <div class="timeline-rows" style={{ height: `${rows.length * height}px` }}>
            {rows.slice(first, Math.ceil(sight.value.bottom / height)).map((row, index) => (
              <Bars key={row.key} row={row} node={row.node && states.get(row.node.node_id)} other={row.node && sameNode(row.node, before)} compared={other !== undefined} shift={shift} axis={axis} moment={moment} past={at !== undefined} story={reel.story}
                top={(first + index) * height} selected={selected !== undefined && selected === row.node?.node_id} onSelect={onSelect} />
            ))}
          </div>
          <div class="timeline-lines over" aria-hidden="true">
            {losses.map((loss) => {
              const from = shareOf(axis, loss.from);
              return <i key={loss.from} class="lost" style={{ '--at': from, '--long': shareOf(axis, Math.min(moment, loss.to ?? moment)) - from }} />;
            })}
            {(at !== undefined || !over) && <i class={`cursor ${at === undefined ? 'now' : ''}`} style={{ '--at': shareOf(axis, moment) }} />}
          </div>
        </div>
      </div>
    </div>
  );
}

/** An axis with room for another run, which begins at the same zero. */
function widened(axis: Axis, other: Run | undefined): Axis {
  const from = ms(other?.timing.start_time);
  const to = ms(other?.timing.end_time);
  if (from === undefined || to === undefined) return axis;
  return { ...axis, end: Math.max(axis.end, axis.zero + to - from) };
}
