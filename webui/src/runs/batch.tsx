/** A batch as one row. How many runs it has, and how they stand, is the server's word: a filter or a page has only some of them here. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { get, send } from '../api/client';
import { isOver } from '../api/types';
import { question } from '../app/keys';
import { reconnected, rowOf } from '../live/store';
import { Act } from '../parts/action';
import { Bar } from '../parts/tile';
import { type Line, toggleBatch } from './model';

/** The runs of a large batch end one after the other: it is asked for no more often than this. */
const CALM_MS = 1500;

interface Standing {
  total: number;
  counts: { queued: number; executing: number; failed: number };
}

const pathOf = (id: string): string => `/api/v1/batches/${encodeURIComponent(id)}`;

/** How a batch stands, read again when one of its runs that are here stands otherwise. */
function useStanding(id: string, shown: string): Standing | undefined {
  const found = useSignal<Standing | undefined>(undefined);
  const asked = useRef(-Infinity);
  /** When what is shown was asked for. */
  const answered = useRef(-Infinity);
  const life = useRef(new AbortController());
  useEffect(() => {
    const abort = (life.current = new AbortController());
    return () => abort.abort();
  }, [id]);
  useEffect(() => {
    const { signal } = life.current;
    const timer = setTimeout(() => {
      asked.current = performance.now();
      const mine = asked.current;
      // Without an answer there is the count of what is here. One that is under way is let come: runs may change more often than it takes.
      get<Standing>(pathOf(id), signal).then((standing) => {
        if (mine >= answered.current) [answered.current, found.value] = [mine, standing];
      }, () => undefined);
    }, Math.max(0, asked.current + CALM_MS - performance.now()));
    return () => clearTimeout(timer);
  }, [id, shown, reconnected.value]);
  return found.value;
}

/** The row. */
export function Batch({ line }: { line: Extract<Line, { kind: 'batch' }> }): JSX.Element {
  const runs = line.runs.map((run) => rowOf(run).value);
  const standing = useStanding(line.id, runs.map((run) => run.status).join());
  const total = standing?.total ?? runs.length;
  const open = standing ? standing.counts.queued + standing.counts.executing : runs.filter((run) => !isOver(run.status)).length;
  const failed = standing?.counts.failed ?? runs.filter((run) => run.status === 'failed').length;
  const over = total - open;
  return (
    <div role="listitem" class="run-slot" style={{ top: `${line.top}px` }}>
    <div class="run-row" data-batch={line.id}>
      <button type="button" class="plain icon" aria-expanded={line.open} aria-label={`Batch of ${total} runs`} onClick={() => toggleBatch(line.id)}>{line.open ? '▾' : '▸'}</button>
      <span class="name cut">{runs[0]?.workflow_name} × {total}</span>
      <span class="when">{open > 0 && <CancelAll id={line.id} open={standing && open} />}</span>
      <span class="more">
        <span>batch{total > runs.length ? `, ${runs.length} here` : ''}</span>
        <Bar value={(100 * over) / total} thin label={`${over} of ${total} runs are over`} tone={failed > 0 ? 'bad' : open > 0 ? 'run' : 'ok'} />
        <span class="num">{over}/{total}</span>
      </span>
    </div>
    </div>
  );
}

function CancelAll({ id, open }: { id: string; open: number | undefined }): JSX.Element {
  const told = useSignal<string | undefined>(undefined);
  const cancel = async (): Promise<void> => {
    const answer = await send<{ cancelled: string[]; refused: unknown[] }>('POST', `${pathOf(id)}/cancel`, {});
    told.value = `${answer.cancelled.length} asked to stop${answer.refused.length > 0 ? `, ${answer.refused.length} refused` : ''}`;
  };
  if (told.value !== undefined) return <span role="status">{told.value}</span>;
  // What is asked is what will be stopped.
  const ask = async (): Promise<void> => {
    const { counts } = await get<Standing>(pathOf(id));
    const all = counts.queued + counts.executing;
    question.value = { text: `Cancel the ${all} runs of this batch that have not ended?`, sure: `Yes, cancel ${all}`, do: cancel };
  };
  return <Act class="plain" title="Cancel all runs of the batch" do={ask}>cancel {open ?? 'all'}</Act>;
}
