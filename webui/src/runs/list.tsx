/** The column with the runs: filter, search and the list, of which only the rows in sight exist. */
import { useComputed } from '@preact/signals';
import type { JSX, RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { isOver, type Summary } from '../api/types';
import { go, hrefOf, openedRun, openRun, route, SHOWN, type Shown } from '../app/route';
import { isListed, rowOf } from '../live/store';
import { ago, Elapsed, now, ms, span, timeOfDay } from '../parts/time';
import { Bar, Empty, StatusIcon } from '../parts/tile';
import { useSight } from '../parts/virtual';
import { Batch } from './batch';
import { followRuns, type Line, lines, loadAgain, loadMore, paging } from './model';

const WORDS: Record<Shown, string> = { all: 'All', active: 'Active', completed: 'Done', failed: 'Failed', cancelled: 'Cancelled' };
/** How near the end of the list the next page is asked for. */
const NEAR_PX = 1200;
/** As near to the top as this one sees new runs come. */
const TOP_PX = 20;

/** The column. */
export function RunsColumn(): JSX.Element {
  useEffect(followRuns, []);
  return (
    <aside class="runs-column" aria-label="Runs">
      <Head />
      <List />
    </aside>
  );
}

function Head(): JSX.Element {
  const { show, q, on } = route.value;
  return (
    <div class="runs-head">
      <div class="search">
        <input id="search" type="search" placeholder="Search runs  ( / )" aria-label="Search runs by name, id, instance or error" value={q} autocomplete="off" spellcheck={false}
          onInput={(event) => go({ q: event.currentTarget.value }, true)} />
      </div>
      <div class="chips" role="group" aria-label="Show">
        {SHOWN.map((word) => <button key={word} type="button" class="chip" aria-pressed={show === word} onClick={() => go({ show: word }, true)}>{WORDS[word]}</button>)}
        {on && <button type="button" class="chip" aria-pressed="true" onClick={() => go({ on: undefined }, true)}>on {on} ✕</button>}
      </div>
    </div>
  );
}

function List(): JSX.Element {
  const ref = useRef<HTMLDivElement>(null);
  const sight = useSight(ref);
  const seen = useComputed(() => {
    const { top, bottom } = sight.value;
    const all = lines.value.lines;
    return all.slice(firstBelow(all, top), firstBelow(all, bottom) + 1);
  });
  const all = lines.value;
  useStill(ref, all.lines);
  const { height } = all;
  const { next, busy, problem } = paging.value;
  const { show, q, on } = route.value;
  // Another list begins at its beginning.
  useEffect(() => {
    if (ref.current) ref.current.scrollTop = 0;
  }, [show, q, on]);
  useEffect(() => {
    // What failed is asked for again when one says so, or when the link is there again.
    if (next && !busy && problem === undefined && sight.value.bottom > height - NEAR_PX) loadMore();
  }, [next, busy, problem, sight.value.bottom, height]);
  return (
    <div class="runs-scroll" ref={ref} tabIndex={-1}>
      {height === 0 && <Nothing />}
      <div class="space" role="list" style={{ height: `${height + (next ? 54 : 12)}px` }}>
        {seen.value.map((line) => <LineView key={line.key} line={line} />)}
        {next && <p class="day" style={{ top: `${height}px` }}>{problem === undefined ? 'Older runs …' : <>{problem} <button type="button" class="chip" onClick={loadAgain}>Try again</button></>}</p>}
      </div>
    </div>
  );
}

/** Keeps what is in sight where it is when lines come or go above it; at the top the newest is seen to come. */
function useStill(ref: RefObject<HTMLDivElement | null>, now: Line[]): void {
  const before = useRef(now);
  useLayoutEffect(() => {
    const element = ref.current;
    const old = before.current;
    before.current = now;
    if (!element || old === now || element.scrollTop < TOP_PX) return;
    const places = new Map(now.map((line) => [line.key, line.top]));
    // A heading is no place to hold on to: it stays at the top of its group, whatever comes into that.
    const held = old.slice(firstBelow(old, element.scrollTop)).find((line) => line.kind !== 'day' && places.has(line.key));
    if (held) element.scrollTop += (places.get(held.key) ?? held.top) - held.top;
  }, [now]);
}

/** The first line that ends below a place, by halving. */
function firstBelow(all: Line[], place: number): number {
  let low = 0;
  let high = all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const line = all[middle];
    if (line && line.top + line.height <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}

function Nothing(): JSX.Element {
  const { show, q, on } = route.value;
  if (paging.value.problem) return <Empty title="The list cannot be read">{paging.value.problem}</Empty>;
  if (!isListed.value || paging.value.busy) return <Empty title="">Reading the list …</Empty>;
  if (show === 'all' && !q && !on) return <Empty title="No runs yet">Start one with <kbd>n</kbd>, or drop a workflow here.</Empty>;
  const filters = [show !== 'all' && WORDS[show].toLowerCase(), q && `“${q}”`, on && `on ${on}`].filter(Boolean).join(', ');
  return (
    <Empty title="No runs match">
      <p>{filters}</p>
      <p><button type="button" onClick={() => go({ show: 'all', q: '', on: undefined }, true)}>Clear the filter</button></p>
    </Empty>
  );
}

function LineView({ line }: { line: Line }): JSX.Element {
  if (line.kind === 'day') return <div class="day" style={{ top: `${line.top}px` }} role="presentation"><span>{line.text}</span><span class="num">{line.count}</span></div>;
  if (line.kind === 'batch') return <Batch line={line} />;
  return <Row run={line.run} top={line.top} member={line.member} />;
}

function Row({ run: given, top, member }: { run: Summary; top: number; member: boolean }): JSX.Element {
  const run = rowOf(given).value;
  const current = openedRun.value === run.run_id && route.value.view === 'run';
  return (
    <div role="listitem" class={`run-slot ${member ? 'batch-member' : ''}`} style={{ top: `${top}px` }}>
    <a class="run-row" href={hrefOf({ view: 'run', run: run.run_id, seq: undefined, node: undefined, tab: undefined, with: undefined, pane: 'main' })}
      data-run={run.run_id} aria-current={current ? 'true' : undefined}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        openRun(run.run_id);
      }}>
      <StatusIcon status={run.status} attention={run.attention != null} />
      <span class="name cut" title={run.workflow_name}>{run.workflow_name}</span>
      <span class="when">{isOver(run.status) ? timeOfDay(run.created) : <Elapsed from={run.created} />}</span>
      <More run={run} />
    </a>
    </div>
  );
}

function More({ run }: { run: Summary }): JSX.Element {
  const where = <span class="cut">{run.instance}</span>;
  if (run.quarantined != null) return <span class="more"><span class="cut text-bad">log damaged</span></span>;
  if (run.status === 'executing') {
    return (
      <span class="more">
        {run.attention != null ? <span class="cut text-warn">{run.attention}</span> : where}
        <Bar value={run.progress_permille / 10} thin quiet label="" tone={run.attention != null ? 'warn' : 'run'} />
        <span class="num">{Math.floor(run.progress_permille / 10)}%</span>
      </span>
    );
  }
  if (run.status === 'queued') return <span class="more">{run.attention != null ? <span class="cut text-warn">{run.attention}</span> : <span class="cut">{run.phase === 'waiting' ? 'waiting for' : run.phase} · {run.instance}</span>}</span>;
  if (run.status === 'failed') return <span class="more"><span class="cut text-bad" title={run.error ?? ''}>{run.error ?? 'failed'}</span></span>;
  const took = (ms(run.ended) ?? 0) - (ms(run.created) ?? 0);
  const age = now.peek() - Date.parse(run.created);
  return (
    <span class="more">
      <span class="cut">{run.status === 'cancelled' ? 'cancelled' : `${run.outputs} ${run.outputs === 1 ? 'output' : 'outputs'}`} · {span(took)} · {age > 86_400_000 ? run.instance : ago(run.created, now.value)}</span>
    </span>
  );
}
