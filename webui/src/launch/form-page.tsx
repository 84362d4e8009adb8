/** The form of a new run with its button. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { freshKey, Problem, problemOf, sendReady } from '../api/client';
import type { Field, Instance } from '../api/types';
import { go, openRun } from '../app/route';
import { Box, Tile } from '../parts/tile';
import { BatchEditor } from './batch';
import { batchOf, bodyOf } from './body';
import { FormField } from './fields';
import { Preflight, useFindings } from './preflight';
import { changedOf, keepLast, lastOf } from './last';
import { type Source, spare } from './source';
import { drawnInto, type Sheet, variationsText } from './sheet';
import { diced, filled, followed, isFile, startOf, type Values, wrongWith } from './values';

const MOST_AT_ONCE = 64;

/** Props of the form. */
export interface FormPageProps {
  source: Source;
  instances: Instance[];
  byDefault: Instance | undefined;
  chosen: string | undefined;
  onChoose: (name: string | undefined) => void;
}

/** The form. */
export function FormPage({ source, instances, byDefault, chosen, onChoose }: FormPageProps): JSX.Element {
  const { form } = source;
  const last = useMemo(() => lastOf(source.key), [source.key]);
  const values = useSignal<Values>(startOf(form, last));
  const fresh = useSignal<string[]>(last.fresh);
  const files = useSignal<Record<string, File>>({});
  const name = useSignal('');
  const times = useSignal(1);
  const all = useSignal(false);
  const busy = useSignal(false);
  const sheet = useSignal<Sheet | undefined>(undefined);
  /** What is being sent: after a lost answer the same is sent again under the same keys, so that nothing runs twice. */
  const sending = useRef<{ wish: string; runs: { body: FormData; key: string; made: string | undefined }[] } | undefined>(undefined);
  const batch = useRef<{ wish: string; body: string; key: string } | undefined>(undefined);
  const problem = useSignal<Problem | undefined>(undefined);
  /** Whether it is queued although the look beforehand says that it would be refused. */
  const anyway = useSignal(false);
  const target = chosen ?? byDefault?.name;
  const before = useRef(form);
  useEffect(() => {
    if (before.current !== form) values.value = followed(values.peek(), before.current, form);
    before.current = form;
  }, [form]);
  useEffect(() => {
    const first = form.find((field) => field.kind === 'image');
    const kept = spare.peek();
    if (!first || !kept) return;
    files.value = { [first.id]: kept.file };
    spare.value = undefined;
  }, []);

  const graph = useMemo(() => filled(source.graph, form, values.value), [source, values.value]);
  const found = useFindings(graph, target);
  const given = new Set(Object.keys(files.value));
  const findings = found.findings?.filter((finding) => !given.has(`${finding.node_id}.${finding.input ?? ''}`));
  const wrong = form.filter((field) => !fresh.value.includes(field.id) && wrongWith(field, values.value[field.id]) !== undefined);
  // Whether the instance is sure to refuse all of it; while a changed form is looked at nobody is held up, as the server looks again.
  const isRefused = found.valid === false && findings?.some((finding) => finding.certain) === true;
  const mayInsist = isRefused || problem.value?.code === 'workflow_not_valid';
  const insists = mayInsist && anyway.value;
  const blocked = wrong.length > 0 || (isRefused && found.state === 'done' && !insists);

  const run = async (front: boolean): Promise<void> => {
    if (busy.peek() || blocked) return;
    busy.value = true;
    problem.value = undefined;
    try {
      keepLast(source.key, changedOf(form, values.value, fresh.value));
      const wish = JSON.stringify([source.template, source.text, source.canvas, values.value, fresh.value, Object.entries(files.value).map(([id, file]) => [id, file.name, file.size, file.lastModified]), chosen, name.value, times.value, front, insists]);
      if (sending.current?.wish !== wish) {
        sending.current = { wish, runs: Array.from({ length: times.value }, (_, index) => {
          const drawn = { ...values.value };
          for (const seed of form.filter((field) => field.kind === 'seed')) if (fresh.value.includes(seed.id) || index > 0) drawn[seed.id] = diced();
          return { body: bodyOf(source, drawn, files.value, { instance: chosen, name: name.value.trim(), front, unchecked: insists }), key: freshKey(), made: undefined };
        }) };
      }
      const { runs } = sending.current;
      for (const one of runs) one.made ??= (await sendReady<{ run_id: string }>('/api/v1/runs', one.body, { 'Idempotency-Key': one.key })).run_id;
      sending.current = undefined;
      const made = runs[0]?.made;
      if (made !== undefined) openRun(made);
    } catch (thrown) {
      problem.value = problemOf(thrown);
    }
    busy.value = false;
  };

  const runBatch = async (): Promise<void> => {
    if (!sheet.value) return;
    keepLast(source.key, changedOf(form, values.value, fresh.value));
    const wish = JSON.stringify([source.template, source.text, source.canvas, values.value, fresh.value, sheet.value, chosen, name.value, insists]);
    if (batch.current?.wish !== wish) {
      const seeds = form.filter((field) => field.kind === 'seed' && fresh.value.includes(field.id)).map((field) => field.id);
      const kept = Object.fromEntries(Object.entries(values.value).filter(([id]) => !seeds.includes(id)));
      const body = batchOf(source, kept, { instance: chosen, name: name.value.trim(), front: false, unchecked: insists }, variationsText(form, drawnInto(sheet.value, seeds)));
      batch.current = { wish, body, key: freshKey() };
    }
    const { body } = batch.current;
    const { runs } = await sendReady<{ runs: { run_id: string }[] }>('/api/v1/batches', body, { 'Idempotency-Key': batch.current.key });
    batch.current = undefined;
    if (runs[0]) openRun(runs[0].run_id);
  };
  const openSheet = (): void => {
    const first = form.find((field) => field.kind === 'seed') ?? form.find((field) => !isFile(field));
    sheet.value ??= { columns: first ? [first.id] : [], rows: [first?.kind === 'seed' ? [diced()] : ['']] };
  };

  const shown = form.filter((field) => all.value || !field.advanced);
  const hidden = form.length - form.filter((field) => !field.advanced).length;
  return (
    <form class="stack launch" noValidate onSubmit={(event) => { event.preventDefault(); void run(event.submitter instanceof HTMLElement && event.submitter.dataset.front === 'yes'); }}>
      <Tile title={`🎨 ${source.title}`} aside={<button type="button" class="plain right" onClick={() => go({ name: undefined })}>Other workflows</button>}>
        {source.description !== undefined && <p class="muted launch-about">{aboutOf(source.description)}</p>}
        {source.warnings.map((warning) => <p key={warning} class="text-warn">{warning}</p>)}
        {shown.length === 0 && <p class="muted">This workflow has no values of its own.</p>}
        <div class="fields">
          {shown.map((field) => (
            <FormField key={field.id} field={field} value={values.value[field.id] ?? ''} file={files.value[field.id]} fresh={fresh.value.includes(field.id)} drawn={source.drawn.has(field.id)}
              onValue={(value) => (values.value = { ...values.value, [field.id]: value })}
              onFile={(file) => (files.value = withFile(files.value, field, file))}
              onFresh={(on) => (fresh.value = on ? [...fresh.value, field.id] : fresh.value.filter((id) => id !== field.id))} />
          ))}
        </div>
        {hidden > 0 && <p><button type="button" class="plain" aria-expanded={all.value} onClick={() => (all.value = !all.value)}>{all.value ? 'Fewer inputs' : `All inputs (${hidden} more)`}</button></p>}
      </Tile>
      <Tile title="▶️ Run">
        <div class="launch-run">
          <label>Instance
            <select value={chosen ?? ''} onChange={(event) => onChoose(event.currentTarget.value || undefined)}>
              <option value="">Auto{byDefault ? `: ${byDefault.label ?? byDefault.name}, the default` : ''}</option>
              {instances.map((one) => <option key={one.name} value={one.name}>{one.label ?? one.name} ({one.state}{one.open_runs + one.waiting_runs > 0 ? `, ${one.open_runs + one.waiting_runs} runs` : ''})</option>)}
            </select>
          </label>
          <label>Name<input type="text" maxLength={200} placeholder={source.title} value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} /></label>
          <label title="With more than one each has a seed of its own">Runs<input class="num" type="number" min="1" max={MOST_AT_ONCE} value={times.value} onInput={(event) => (times.value = Math.min(MOST_AT_ONCE, Math.max(1, Math.floor(Number(event.currentTarget.value)) || 1)))} /></label>
        </div>
        {mayInsist && (
          <p class="launch-anyway"><label class="check row" title="The instance may have more than it tells, such as a model that was just copied there">
            <input type="checkbox" checked={anyway.value} onChange={(event) => (anyway.value = event.currentTarget.checked)} /> Run anyway, without this check
          </label></p>
        )}
        <p class="launch-button">
          <button class="primary big" type="submit" disabled={busy.value || blocked} aria-busy={busy.value} title="Shift: to the front of the queue. Alt: a batch" onClick={(event) => {
            event.currentTarget.dataset.front = event.shiftKey ? 'yes' : '';
            if (!event.altKey) return;
            event.preventDefault();
            openSheet();
          }}>
            {busy.value ? <span class="spinner" aria-hidden="true" /> : '▶️'} {times.value > 1 ? `Run ${times.value} times` : 'Run Workflow'}
          </button>{' '}
          <button type="button" class="plain" aria-expanded={sheet.value !== undefined} onClick={() => (sheet.value ? (sheet.value = undefined) : openSheet())}>▦ Batch …</button>
        </p>
        {problem.value && (
          <Box tone="bad" role="alert">
            <h3>{problem.value.message}</h3>
            <p class="muted">{problem.value.hint}</p>
            {problem.value.details !== undefined && <pre class="json">{problem.value.details}</pre>}
          </Box>
        )}
        <Preflight instance={instances.find((one) => one.name === target)} look={found} findings={findings} title={name.value.trim() || source.title} times={sheet.value?.rows.length ?? times.value} wrong={wrong.length} />
      </Tile>
      {sheet.value && <BatchEditor form={form} sheet={sheet.value} blocked={blocked} pictures={Object.keys(files.value).length} onSheet={(next) => (sheet.value = next)} onRun={runBatch} onClose={() => (sheet.value = undefined)} />}
    </form>
  );
}

/** The first paragraph of a description that is no heading. */
function aboutOf(description: string): string {
  return description.split(/\n\s*\n/).find((part) => part.trim() !== '' && !part.trim().startsWith('#'))?.trim() ?? '';
}

function withFile(files: Record<string, File>, field: Field, file: File | undefined): Record<string, File> {
  const next = { ...files };
  if (file) next[field.id] = file;
  else delete next[field.id];
  return next;
}
