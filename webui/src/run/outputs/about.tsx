/** What is known of an output, beside its large picture. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { getBlob, getText, runPath } from '../../api/client';
import type { RunWorkflow, Summary } from '../../api/types';
import { hrefOf, onLink } from '../../app/route';
import { Act } from '../../parts/action';
import { Confirm } from '../../parts/confirm';
import { bytes, fullTime } from '../../parts/time';
import { deleteRun, retryRun } from '../actions';
import { contentOf, nameOf, shownAs } from './shown';
import { memberText } from './raw';
import { telling, valuesOf, workflowOf } from './provenance';
import type { Shot } from './shot';

const MOST = 14;

/** Opens the form of the workflow that made it, with its values. */
async function change(run: string, name: string | undefined): Promise<void> {
  const [answer, source] = await Promise.all([getText(runPath(run, '/workflow')), import('../../launch/source')]);
  // Its canvas goes along, so that the new run is drawn as this one; without it it runs all the same.
  const drawn = memberText(answer, 'canvas')?.startsWith('"') ? await getText(runPath(run, '/canvas')).catch(() => undefined) : undefined;
  const canvas = drawn === undefined ? undefined : memberText(drawn, 'canvas');
  source.openText({ name: `${name ?? 'workflow'}.json`, text: memberText(answer, 'workflow') ?? '{}', key: `run ${run}`, ...(canvas !== undefined && { canvas }) });
}

/** Takes the picture along to the choice of a template. */
async function asInput({ run, output }: Shot): Promise<void> {
  const [blob, source] = await Promise.all([getBlob(contentOf(run, output)), import('../../launch/source')]);
  source.keepSpare(new File([blob], nameOf(output), { type: blob.type }), `“${nameOf(output)}” is used by the template that you pick, if it takes a picture.`);
}

/** Its run, its values, and what can be done with it. */
export function About({ shot, summary, onGone }: { shot: Shot; summary: Summary | undefined; onGone: () => void }): JSX.Element {
  const { run, output } = shot;
  const workflow = useSignal<RunWorkflow | undefined>(undefined);
  useEffect(() => {
    workflow.value = undefined;
    let gone = false;
    // Its values are told if they can be had.
    workflowOf(run).then((found) => { if (!gone) workflow.value = found; }, () => undefined);
    return () => {
      gone = true;
    };
  }, [run]);
  const open = { view: 'run', run, node: output.node_id, seq: undefined, tab: undefined, with: undefined, pane: 'main' } as const;
  const values = workflow.value ? telling(valuesOf(workflow.value, output.node_id), MOST) : [];
  return (
    <aside class="about stack" aria-label="About this output">
      <h2 class="cut" title={nameOf(output)}>{nameOf(output)}</h2>
      <dl class="facts-table">
        <dt>run</dt><dd><a href={hrefOf(open)} onClick={onLink(open)}>{summary?.workflow_name ?? 'the run'} <span class="num">#{run.slice(-6)}</span></a></dd>
        {summary && <><dt>made</dt><dd>{fullTime(summary.ended ?? summary.created)}</dd><dt>on</dt><dd>{summary.instance}</dd></>}
        <dt>node</dt><dd class="num">{output.node_id}</dd>
        {output.size != null && <><dt>size</dt><dd class="num">{bytes(output.size)}</dd></>}
        {output.media_type != null && <><dt>type</dt><dd class="mono">{output.media_type}</dd></>}
      </dl>
      {values.length > 0 && (
        <dl class="facts-table about-values">
          {values.map(({ node, title, name, value }) => [<dt key={`${node} ${name} name`} title={title}>{name}{values.some((other) => other.name === name && other.node !== node) && <span class="num"> {node}</span>}</dt>, <dd key={`${node} ${name}`} class="mono">{value}</dd>])}
        </dl>
      )}
      <div class="actions">
        <Act class="primary" title="Run the same workflow with the same values again" do={() => retryRun(run)}>↻ Run again</Act>
        <Act title="Open the same workflow as a form" do={() => change(run, summary?.workflow_name)}>✎ Change and run</Act>
        {shownAs(output) === 'image' && <Act title="Give this picture to a new run" do={() => asInput(shot)}>🖼️ Use as input</Act>}
        <a class="button" href={runPath(run, '/outputs.zip')} download>⤓ All of the run</a>
        <Confirm sure="Delete the run with its outputs" label="Delete the run of this output" do={() => deleteRun(run).then(onGone)}>🗑 Delete</Confirm>
      </div>
    </aside>
  );
}
