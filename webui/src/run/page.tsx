/** The page of one run: it is read here, and shown by the parts below, live or at an earlier event. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { runPath } from '../api/client';
import type { Run, RunWorkflow } from '../api/types';
import { go, goSoon, route, type Tab, TABS } from '../app/route';
import type { Picture } from '../live/protocol';
import { useRead } from '../live/read';
import { useRun } from '../live/store';
import { ms } from '../parts/time';
import { Empty, Tile } from '../parts/tile';
import { Events } from './events/events';
import { Graph } from './graph/graph';
import { RunHeader } from './header';
import { Inputs } from './inputs/inputs';
import { Inspector } from './inspector/inspector';
import { Json } from './json/json';
import { Notices } from './notices';
import { Outputs } from './outputs/outputs';
import { workflowOf } from './outputs/provenance';
import { Replay, useRunAt } from './replay/replay';
import { Restored } from './restored';
import { ComparePick } from './timeline/compare';
import { Timeline } from './timeline/timeline';

/** What is shown of a run. */
export interface Shown {
  /** The run now. */
  newest: Run;
  /** The run as it is shown. */
  run: Run;
  live: boolean;
  seq: number | undefined;
  /** Why the event that is looked at cannot be shown. */
  problem: string | undefined;
  workflow: RunWorkflow | undefined;
  /** Why there is no workflow to be shown. */
  lacking: string | undefined;
  picture: Picture | undefined;
  node: string | undefined;
}

/** The page of a run: the middle column and the one at its side. */
export function useShown(id: string): Shown | { missing: string | undefined } {
  const watched = useRun(id);
  const { seq, node } = route.value;
  const past = useRunAt(id, seq);
  const { value: workflow, problem: lacking } = useRead(id, () => workflowOf(id));
  const last = useSignal<Run | undefined>(undefined);
  const newest = watched?.run.value;
  if (!newest) return { missing: watched?.missing.value?.message };
  // While another moment is read, the one before stays.
  if (past.run) last.value = past.run;
  const kept = last.peek();
  const run = seq === undefined ? newest : (past.run ?? (kept?.run_id === id ? kept : newest));
  return { newest, run, live: seq === undefined, seq, problem: past.problem, workflow, lacking: lacking?.message, picture: watched.picture.value, node };
}

/** The middle column of a run. */
export function RunPage({ shown }: { shown: Shown }): JSX.Element {
  const { newest, run, live, seq, workflow, node } = shown;
  const select = (id: string | undefined): void => go({ node: id }, true);
  const seek = (to: number | undefined): void => goSoon({ seq: to });
  return (
    <div class={`stack run-page ${live ? '' : 'past'}`}>
      <RunHeader run={run} live={live} />
      <Restored run={newest} />
      <Notices run={run} live={live} />
      <Tile title="🕸️ Graph" bare><Graph run={run} workflow={workflow} selected={node} onSelect={select} frozen={live && run.attention?.kind === 'unreachable'} /></Tile>
      <Tile title="📊 Timeline" bare aside={<ComparePick run={newest} />}><Timeline run={run} newest={newest} workflow={workflow} selected={node} onSelect={select} at={live ? undefined : ms(run.timing.last_update)} /></Tile>
      <Replay run={newest} seq={seq} onSeek={seek} at={run.timing.last_update} problem={shown.problem} />
      <Lower shown={shown} onSeek={seek} />
      <div class="narrow-side"><Inspector run={run} workflow={workflow} picture={shown.picture} live={live} node={node} /></div>
    </div>
  );
}

const WORDS: Record<Tab, string> = { events: 'Events', outputs: 'Outputs', inputs: 'Inputs', json: 'JSON' };

function Lower({ shown, onSeek }: { shown: Shown; onSeek: (seq: number) => void }): JSX.Element {
  const { newest, run, workflow, seq } = shown;
  const tab = route.value.tab ?? (newest.outputs.length > 0 || newest.status === 'completed' ? 'outputs' : 'events');
  const counts: Partial<Record<Tab, number>> = { events: newest.seq, outputs: run.outputs.length };
  const stored = run.outputs.some((output) => output.downloaded && output.text == null);
  return (
    <section class="tile lower">
      <header>
        <div class="tabs" role="tablist" aria-label="About the run"
          onKeyDown={(event) => {
            const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
            const next = TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length];
            if (step === 0 || !next) return;
            event.stopPropagation();
            go({ tab: next }, true);
            document.getElementById(`tab-${next}`)?.focus();
          }}>
          {TABS.map((word) => (
            <button key={word} id={`tab-${word}`} type="button" role="tab" aria-selected={tab === word} aria-controls="tab-panel" tabIndex={tab === word ? 0 : -1} onClick={() => go({ tab: word }, true)}>
              {WORDS[word]}{counts[word] !== undefined && <span class="count">{counts[word]}</span>}
            </button>
          ))}
        </div>
        {stored && tab === 'outputs' && <a class="button right" href={runPath(run.run_id, '/outputs.zip')} download>⤓ All as zip</a>}
      </header>
      <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {tab === 'events' && <Events run={newest} seq={seq} onSeek={onSeek} />}
        {tab === 'outputs' && <Outputs run={run} />}
        {tab === 'inputs' && <Inputs run={run} workflow={workflow} problem={shown.lacking} />}
        {tab === 'json' && <Json run={run} workflow={workflow} />}
      </div>
    </section>
  );
}

/** The place of a run that is not there yet, or not any more. */
export function RunMissing({ why }: { why: string | undefined }): JSX.Element {
  if (why === undefined) return <Empty title="Reading the run …" />;
  return <Empty title="There is no such run"><p>{why}</p><p><button type="button" onClick={() => go({ run: undefined, seq: undefined, node: undefined })}>Back to the runs</button></p></Empty>;
}
