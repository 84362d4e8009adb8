/** Comparing a run with another: the bars of both on one axis, and which nodes were slower. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { get, problemOf, runPath } from '../../api/client';
import { isOver, type Node, type Run, type Summary } from '../../api/types';
import { go, route } from '../../app/route';
import { useRead } from '../../live/read';
import { Dialog } from '../../parts/dialog';
import { ms, span, timeOfDay, dayOf } from '../../parts/time';
import { Empty, StatusIcon } from '../../parts/tile';

/** A node must take this much longer, and by this share, to be called slower. */
const SLOWER_MS = 250;
const SLOWER_SHARE = 1.15;

/** How long a node took, once that is settled. */
export function tookOf(node: Node | undefined): number | undefined {
  const from = ms(node?.start_time);
  const to = ms(node?.end_time);
  return from === undefined || to === undefined ? undefined : to - from;
}

/** Which way a difference goes, if it is one worth naming. */
export function verdictOf(mine: number | undefined, other: number | undefined): 'slower' | 'faster' | undefined {
  if (mine === undefined || other === undefined || Math.abs(mine - other) < SLOWER_MS) return undefined;
  if (mine > other * SLOWER_SHARE) return 'slower';
  return other > mine * SLOWER_SHARE ? 'faster' : undefined;
}

/** The node of another run that does the same: of one id and one class. */
export function sameNode(node: Node, others: ReadonlyMap<string, Node> | undefined): Node | undefined {
  const other = others?.get(node.node_id);
  return other?.node_type === node.node_type ? other : undefined;
}

/** A difference in words. */
export function difference(length: number): string {
  return `${length < 0 ? '−' : '+'}${span(Math.abs(length))}`;
}

/** The run that the address names beside the one that is shown. */
export function useOther(id: string): { run: Run | undefined; problem: string | undefined } {
  const wanted = route.value.with;
  const { value: run, problem } = useRead(wanted && wanted !== id ? wanted : undefined, (abort) => get<Run>(runPath(wanted ?? ''), abort));
  return { run, problem: problem?.message };
}

/** The button that asks which run to compare with, or that ends it. */
export function ComparePick({ run }: { run: Run }): JSX.Element {
  const open = useSignal(false);
  const other = route.value.with;
  if (other && other !== run.run_id) return <button type="button" class="chip right" aria-pressed="true" title="Show this run alone" onClick={() => go({ with: undefined }, true)}>⇄ with #{other.slice(-6)} ✕</button>;
  return (
    <>
      <button type="button" class="chip right" title="Compare with another run" onClick={() => (open.value = true)}>⇄ Compare</button>
      {open.value && <Picker run={run} onClose={() => (open.value = false)} />}
    </>
  );
}

const MOST = 30;

function Picker({ run, onClose }: { run: Run; onClose: () => void }): JSX.Element {
  const word = useSignal('');
  const found = useSignal<Summary[] | undefined>(undefined);
  const problem = useSignal<string | undefined>(undefined);
  const search = word.value.trim();
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      // Without a word: the runs of the same workflow, as those are what one compares with.
      const query = new URLSearchParams({ limit: String(MOST), ...(search ? { text: search } : { name: run.workflow_name }) });
      get<{ runs: Summary[] }>(`/api/v1/runs?${query}`, abort.signal).then(
        (page) => {
          found.value = page.runs.filter((one) => one.run_id !== run.run_id);
          problem.value = undefined;
        },
        (thrown: unknown) => {
          if (!abort.signal.aborted) problem.value = problemOf(thrown).message;
        },
      );
    }, search ? 150 : 0);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [search, run.run_id]);
  const take = (id: string): void => {
    onClose();
    go({ with: id }, true);
  };
  return (
    <Dialog label="Compare with another run" class="palette" onClose={onClose}>
      <input type="text" aria-label="Search runs" placeholder={`Runs of ${run.workflow_name}, or search all`} autofocus value={word.value} onInput={(event) => (word.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          const first = found.peek()?.[0];
          if (event.key === 'Enter' && first) take(first.run_id);
        }} />
      {problem.value !== undefined && <p class="text-bad body" role="alert">{problem.value}</p>}
      {found.value?.length === 0 && <Empty title={search ? 'No run matches' : 'No other run of this workflow'} />}
      <ul class="compare-list">
        {found.value?.map((one) => (
          <li key={one.run_id}>
            <button type="button" class="plain" onClick={() => take(one.run_id)}>
              <StatusIcon status={one.status} />
              <span class="cut strong">{one.workflow_name}</span>
              <span class="num muted">#{one.run_id.slice(-6)}</span>
              <span class="muted cut">{one.instance}</span>
              <span class="num right">{one.ended != null ? span((ms(one.ended) ?? 0) - (ms(one.created) ?? 0)) : 'running'}</span>
              <span class="muted">{dayOf(one.created)} {timeOfDay(one.created)}</span>
            </button>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

/** What differs, in one line. */
export function Differences({ run, other }: { run: Run; other: Run }): JSX.Element {
  const before = new Map(other.nodes.map((node) => [node.node_id, node]));
  const all = run.nodes.flatMap((node) => {
    const mine = tookOf(node);
    const theirs = tookOf(sameNode(node, before));
    const verdict = verdictOf(mine, theirs);
    return verdict && mine !== undefined && theirs !== undefined ? [{ node, by: mine - theirs, verdict }] : [];
  }).sort((a, b) => Math.abs(b.by) - Math.abs(a.by));
  const whole = (one: Run): number | undefined => {
    const from = ms(one.timing.start_time);
    const to = ms(one.timing.end_time);
    return from === undefined || to === undefined || !isOver(one.status) ? undefined : to - from;
  };
  const mine = whole(run);
  const theirs = whole(other);
  return (
    <p class="compare-line" role="status">
      <span class="compare-key mine" aria-hidden="true" /> this run{mine !== undefined && <span class="num"> {span(mine)}</span>}
      <span class="compare-key other" aria-hidden="true" /> #{other.run_id.slice(-6)} <span class="muted">on {other.instance}</span>{theirs !== undefined && <span class="num"> {span(theirs)}</span>}
      {mine !== undefined && theirs !== undefined && <b class={`num ${verdictOf(mine, theirs) === 'slower' ? 'text-warn' : verdictOf(mine, theirs) === 'faster' ? 'text-ok' : ''}`}>{difference(mine - theirs)}</b>}
      {all.slice(0, 3).map(({ node, by, verdict }) => <span key={node.node_id} class={verdict === 'slower' ? 'text-warn' : 'text-ok'}>{node.title || node.node_type} <span class="num">{difference(by)}</span></span>)}
      {all.length === 0 && <span class="muted">No node was clearly slower or faster.</span>}
    </p>
  );
}
