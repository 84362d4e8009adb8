/** The first rows of the timeline: the run as a whole, split in its phases, and each time that it was sent. */
import type { JSX } from 'preact';
import type { Run } from '../../api/types';
import { ms, span } from '../../parts/time';
import type { Story } from '../replay/story';
import type { Axis } from './axis';
import { Part } from './bars';

/** Phases in words, with the colour of their part. */
const PHASES: Record<string, [word: string, kind: string]> = {
  waiting: ['waits', 'queued'], staging: ['sends files', 'sending'], submitting: ['submits', 'sending'], in_doubt: ['looks for the prompt', 'doubt'], pending: ["waits in ComfyUI's queue", 'pending'],
  running: ['runs', 'running'], collecting: ['fetches outputs', 'collecting'],
};

interface Stage {
  from: number;
  to: number;
  word: string;
  kind: string;
}

/** The phases as far as they are known: exactly from the events, else from the times that the run has. */
function stagesOf(run: Run, moment: number, story: Story, told: number): Stage[] {
  const queued = ms(run.timing.queue_time) ?? 0;
  const started = ms(run.timing.start_time);
  const ended = Math.min(moment, ms(run.timing.end_time) ?? moment);
  if (told > 0 && story.told >= run.seq) {
    return story.phases.flatMap(({ phase, at }, index) => {
      const known = PHASES[phase];
      if (!known || at > ended) return [];
      return [{ from: at, to: Math.min(ended, story.phases[index + 1]?.at ?? ended), word: known[0], kind: known[1] }];
    });
  }
  const first: Stage = { from: queued, to: started ?? ended, word: 'waits', kind: 'queued' };
  return started === undefined ? [first] : [first, { from: started, to: ended, word: 'runs', kind: 'running' }];
}

/** The rows. */
export function Whole({ run, axis, moment, story, told }: { run: Run; axis: Axis; moment: number; story: Story; told: number }): JSX.Element {
  const queued = ms(run.timing.queue_time) ?? 0;
  const ended = Math.min(moment, ms(run.timing.end_time) ?? moment);
  const stages = stagesOf(run, moment, story, told);
  const attempts = story.attempts.filter(({ at }) => at <= moment);
  const text = <>{span(ended - queued)}</>;
  return (
    <div class="timeline-whole">
      <div class="timeline-row whole">
        <span class="cut name strong">Run</span>
        <span class="track">
          {stages.map((stage) => <Part key={stage.from + stage.word} axis={axis} from={stage.from} to={stage.to} kind={stage.kind} title={`${stage.word} ${span(stage.to - stage.from)}`} />)}
          {axis.cut && <i class="cut-mark" title={`It waited ${span(axis.zero - queued)}; the beginning is left out`}>⫽</i>}
        </span>
        <span class="num took">{run.timing.end_time == null ? <time data-clock="">{text}</time> : text}</span>
      </div>
      {attempts.length > 1 && attempts.map(({ at }, index) => {
        const to = Math.min(ended, attempts[index + 1]?.at ?? ended);
        return (
          <div key={at} class="timeline-row">
            <span class="cut name">Attempt {index + 1} <span class="muted">{run.instance}</span></span>
            <span class="track"><Part axis={axis} from={at} to={to} kind={index === attempts.length - 1 ? 'running' : 'interrupted'} title={`attempt ${index + 1}: ${span(to - at)}`} /></span>
            <span class="num took">{span(to - at)}</span>
          </div>
        );
      })}
    </div>
  );
}
