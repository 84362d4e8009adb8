/** The column with the runs: filter, search and the list, of which only the rows in sight exist. */
import { useComputed, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { get, send } from '../api/client';
import { isOver, type Summary } from '../api/types';
import { question } from '../app/keys';
import { go, hrefOf, openedRun, openRun, route, SHOWN, type Shown } from '../app/route';
import { isListed, rowOf } from '../live/store';
import { Act } from '../parts/action';
import { ago, Elapsed, now, ms, span, timeOfDay } from '../parts/time';
import { Bar, Empty, StatusIcon } from '../parts/tile';
import { useSight } from '../parts/virtual';
import { followRuns, type Line, lines, loadMore, paging, toggleBatch } from './model';

const WORDS: Record<Shown, string> = { all: 'All', active: 'Active', completed: 'Done', failed: 'Failed', cancelled: 'Cancelled' };
/** How near the end of the list the next page is asked for. */
const NEAR_PX = 1200;

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
  const { height } = lines.value;
  const { next, busy, problem } = paging.value;
  const { show, q, on } = route.value;
  // Another list begins at its beginning.
  useEffect(() => {
    if (ref.current) ref.current.scrollTop = 0;
  }, [show, q, on]);
  useEffect(() => {
    if (next && !busy && sight.value.bottom > height - NEAR_PX) loadMore();
  }, [next, busy, sight.value.bottom, height]);
  return (
    <div class="runs-scroll" ref={ref} tabIndex={-1}>
      {height === 0 && <Nothing />}
      <div class="space" role="list" style={{ height: `${height + (next ? 54 : 12)}px` }}>
        {seen.value.map((line) => <LineView key={line.key} line={line} />)}
        {next && <p class="day" style={{ top: `${height}px` }}>{problem ?? 'Older runs …'}</p>}
      </div>
    </div>
  );
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

function Batch({ line }: { line: Extract<Line, { kind: 'batch' }> }): JSX.Element {
  const runs = line.runs.map((run) => rowOf(run).value);
  const over = runs.filter((run) => isOver(run.status)).length;
  const failed = runs.filter((run) => run.status === 'failed').length;
  const open = runs.length - over;
  return (
    <div role="listitem" class="run-slot" style={{ top: `${line.top}px` }}>
    <div class="run-row">
      <button type="button" class="plain icon" aria-expanded={line.open} aria-label={`Batch of ${runs.length} runs`} onClick={() => toggleBatch(line.id)}>{line.open ? '▾' : '▸'}</button>
      <span class="name cut">{runs[0]?.workflow_name} × {runs.length}</span>
      <span class="when">{open > 0 && <CancelAll id={line.id} open={open} />}</span>
      <span class="more">
        <span>batch</span>
        <Bar value={(100 * over) / runs.length} thin label={`${over} of ${runs.length} runs are over`} tone={failed > 0 ? 'bad' : open > 0 ? 'run' : 'ok'} />
        <span class="num">{over}/{runs.length}</span>
      </span>
    </div>
    </div>
  );
}

function CancelAll({ id, open }: { id: string; open: number }): JSX.Element {
  const told = useSignal<string | undefined>(undefined);
  const cancel = async (): Promise<void> => {
    const answer = await send<{ cancelled: string[]; refused: unknown[] }>('POST', `/api/v1/batches/${encodeURIComponent(id)}/cancel`, {});
    told.value = `${answer.cancelled.length} asked to stop${answer.refused.length > 0 ? `, ${answer.refused.length} refused` : ''}`;
  };
  if (told.value !== undefined) return <span role="status">{told.value}</span>;
  // The list may hold a part of the batch: what is asked is what will be stopped.
  const ask = async (): Promise<void> => {
    const { counts } = await get<{ counts: { queued: number; executing: number } }>(`/api/v1/batches/${encodeURIComponent(id)}`);
    const all = counts.queued + counts.executing;
    question.value = { text: `Cancel the ${all} runs of this batch that have not ended?`, sure: `Yes, cancel ${all}`, do: cancel };
  };
  return <Act class="plain" title="Cancel all runs of the batch" do={ask}>cancel {open}</Act>;
}
