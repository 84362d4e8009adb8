/** One row of the timeline: what a node did, when, and what it does usually. */
import type { JSX } from 'preact';
import { type Node, nodeState } from '../../api/types';
import { span } from '../../parts/time';
import { NODE } from '../../parts/tile';
import { loadingOf, type Story } from '../replay/story';
import { type Axis, shareOf } from './axis';
import { difference, tookOf, verdictOf } from './compare';
import type { Row, Stretch } from './rows';
import { ms } from '../../parts/time';

/** A stretch of a track, as shares of its width. */
export function Part({ axis, from, to, kind, title }: { axis: Axis; from: number; to: number; kind: string; title?: string }): JSX.Element {
  const left = shareOf(axis, from);
  return <i class={kind} style={{ left: `${100 * left}%`, width: `${100 * (shareOf(axis, to) - left)}%` }} title={title} />;
}

/** Props of a row. `node` is the row's node at the moment that is looked at. */
export interface BarsProps {
  row: Row;
  node: Node | undefined;
  other: Node | undefined;
  compared: boolean;
  /** What moves the other run's times onto this axis. */
  shift: number;
  axis: Axis;
  moment: number;
  past: boolean;
  story: Story;
  top: number;
  selected: boolean;
  onSelect: (node: string | undefined) => void;
}

/** A node usually takes as long as this share of what is expected, at most. */
const SLOW_SHARE = 1.5;

/** The row. */
export function Bars({ row, node, other, compared, shift, axis, moment, past, story, top, selected, onSelect }: BarsProps): JSX.Element {
  const begun = ms(node?.start_time);
  const ended = ms(node?.end_time);
  const state = node ? nodeState(node) : undefined;
  const running = state === 'running';
  const length = begun === undefined ? undefined : (ended ?? (running ? moment : (row.stretches[0]?.to ?? moment))) - begun;
  const { expected } = row;
  const slow = !compared && length !== undefined && expected !== undefined && length > SLOW_SHARE * expected && length > expected + 1000;
  const mine = node ? tookOf(node) : undefined;
  const theirs = tookOf(other);
  const verdict = compared ? verdictOf(mine, theirs) : undefined;
  const label = `${row.name}${row.node ? ` ${row.node.node_id}` : ''}: ${state ? NODE[state].word : `${row.count} nodes`}${length === undefined ? '' : `, ${span(length)}`}`;
  const content = (
    <>
      <span class="cut name">{row.name} {row.node ? <span class="num muted">{row.node.node_id}</span> : <span class="num muted">×{row.count}</span>}</span>
      <span class="track">
        {row.node ? <One {...{ row, node, axis, moment, past, story, begun, slow }} /> : row.stretches.filter((stretch) => stretch.from <= moment).map((stretch) => <Stretched key={stretch.from} stretch={stretch} axis={axis} moment={moment} />)}
        {compared && <Theirs node={other} axis={axis} shift={shift} />}
      </span>
      <span class="num took">{compared ? <Delta mine={mine} theirs={theirs} verdict={verdict} /> : <Took length={length} running={running} expected={begun === undefined ? expected : undefined} />}</span>
    </>
  );
  const style = { top: `${top}px` };
  if (!row.node) return <div class="timeline-row" style={style}>{content}</div>;
  const id = row.node.node_id;
  return <button type="button" class={`timeline-row ${slow ? 'slow' : ''} ${verdict ?? ''}`} style={style} data-row={id} aria-label={label} aria-current={selected ? 'true' : undefined} onClick={() => onSelect(selected ? undefined : id)}>{content}</button>;
}

function Took({ length, running, expected }: { length: number | undefined; running: boolean; expected: number | undefined }): JSX.Element | string {
  if (length !== undefined) return running ? <time data-clock="">{span(length)}</time> : span(length);
  return expected === undefined ? '' : `~${span(expected)}`;
}

function Delta({ mine, theirs, verdict }: { mine: number | undefined; theirs: number | undefined; verdict: string | undefined }): JSX.Element | string {
  if (mine === undefined) return theirs === undefined ? '' : <span class="muted">{span(theirs)}</span>;
  if (theirs === undefined) return 'only here';
  return <span class={verdict === 'slower' ? 'text-warn' : verdict === 'faster' ? 'text-ok' : ''}>{difference(mine - theirs)}</span>;
}

/** The bar of one node: measured, expected, usual, and of an earlier moment what came later. */
function One({ row, node, axis, moment, past, story, begun, slow }: { row: Row; node: Node | undefined; axis: Axis; moment: number; past: boolean; story: Story; begun: number | undefined; slow: boolean }): JSX.Element {
  const { expected } = row;
  const whole = row.stretches[0];
  const end = begun === undefined ? undefined : (ms(node?.end_time) ?? (node?.state === 'running' ? moment : (whole?.to ?? moment)));
  const loading = begun === undefined || !row.node ? undefined : loadingOf(story, row.node.node_id, begun);
  const loaded = loading === undefined || begun === undefined || end === undefined ? undefined : Math.min(end, begun + loading);
  const usual = begun !== undefined && expected !== undefined ? begun + expected : undefined;
  return (
    <>
      {past && whole && <Part axis={axis} from={whole.from} to={whole.to ?? moment} kind="later" />}
      {begun !== undefined && end !== undefined && <Part axis={axis} from={begun} to={end} kind={node ? nodeState(node) : 'done'} title={`${row.name}: ${span(end - begun)}`} />}
      {slow && usual !== undefined && end !== undefined && <Part axis={axis} from={usual} to={end} kind="over" title={`longer than usual by ${span(end - usual)}`} />}
      {begun !== undefined && loaded !== undefined && <Part axis={axis} from={begun} to={loaded} kind="loading" title={`before the first step ${span(loaded - begun)}`} />}
      {node?.state === 'running' && usual !== undefined && end !== undefined && usual > end && <Part axis={axis} from={end} to={usual} kind="expected" title={`expected ${span(expected ?? 0)}`} />}
      {begun === undefined && !past && row.expectedFrom !== undefined && expected !== undefined && <Part axis={axis} from={row.expectedFrom} to={row.expectedFrom + expected} kind="expected" title={`expected ${span(expected)}`} />}
      {usual !== undefined && usual <= axis.end && <i class="usual" style={{ left: `${100 * shareOf(axis, usual)}%` }} title={`usually ${span(expected ?? 0)}`} />}
    </>
  );
}

function Stretched({ stretch, axis, moment }: { stretch: Stretch; axis: Axis; moment: number }): JSX.Element {
  const to = Math.min(moment, stretch.to ?? moment);
  return <Part axis={axis} from={stretch.from} to={to} kind={stretch.to === undefined || stretch.to > moment ? 'running' : stretch.state} />;
}

/** The same node of the other run. */
function Theirs({ node, axis, shift }: { node: Node | undefined; axis: Axis; shift: number }): JSX.Element | null {
  const from = ms(node?.start_time);
  const to = ms(node?.end_time);
  if (from === undefined || to === undefined) return null;
  return <Part axis={axis} from={from + shift} to={to + shift} kind="other" title={`the other run: ${span(to - from)}`} />;
}
