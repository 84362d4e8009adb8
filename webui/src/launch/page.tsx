/** A new run: a template or a dropped file, its form, and the button. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { get, problemOf } from '../api/client';
import type { Instance, Template } from '../api/types';
import { go, hrefOf, onLink, route } from '../app/route';
import { useRead } from '../live/read';
import { hints } from '../live/store';
import { Box, Empty, Tile } from '../parts/tile';
import { FormPage } from './form-page';
import { dropped, dropProblem, FILE, ofDropped, ofTemplate, type Source, spare, takeFile } from './source';

/** The page. */
export function NewRun(): JSX.Element {
  const { name } = route.value;
  return name === undefined || (name === FILE && !dropped.value) ? <Choice /> : <Prepared key={name} name={name} />;
}

/** The templates as cards, and a place for files. */
function Choice(): JSX.Element {
  const { value: templates, problem } = useRead('templates', async (abort) => (await get<{ workflows: Template[] }>('/api/v1/workflows', abort)).workflows, hints.workflows.value);
  return (
    <div class="stack launch">
      {dropProblem.value !== undefined && <Box tone="warn" role="alert">{dropProblem.value}</Box>}
      {spare.value && <Box tone="accent" role="status">{spare.value.news} <button type="button" class="chip" onClick={() => (spare.value = undefined)}>Not now</button></Box>}
      <Tile title="🎨 New run" aside={<span class="muted">Pick a template, or bring a workflow of your own</span>}>
        {problem && <Box tone="bad" role="alert">{problem.message}</Box>}
        <ul class="template-cards">
          {templates?.map((template) => <li key={template.name}><TemplateCard template={template} /></li>)}
          <li><FileCard /></li>
        </ul>
        {!templates && !problem && <Empty title="Reading the templates …" />}
      </Tile>
    </div>
  );
}

function TemplateCard({ template }: { template: Template }): JSX.Element {
  const to = { view: 'new', name: template.name, pane: 'main' } as const;
  if (template.error != null) {
    return (
      <div class="template-card broken">
        <span class="picture" aria-hidden="true">⚠️</span>
        <strong>{template.title}</strong>
        <span class="text-bad">{template.error.message}</span>
        <span class="muted">{template.error.hint}</span>
      </div>
    );
  }
  return (
    <a class="template-card" data-template={template.name} href={hrefOf(to)} onClick={onLink(to)}>
      {template.preview != null ? <img class="picture" src={template.preview} alt="" loading="lazy" /> : <span class="picture" aria-hidden="true">🧩</span>}
      <strong>{template.title}</strong>
      {template.description != null && <span class="muted">{template.description}</span>}
      <span class="muted num">{template.node_count} nodes{template.source === 'user' ? ' · yours' : ''}{template.needs_models.length > 0 ? ` · ${template.needs_models.length} ${template.needs_models.length === 1 ? 'model' : 'models'}` : ''}</span>
    </a>
  );
}

function FileCard(): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  return (
    <button type="button" class="template-card file-card" onClick={() => input.current?.click()}>
      <span class="picture" aria-hidden="true">📂</span>
      <strong>Your own workflow</strong>
      <span class="muted">Drop a workflow (.json) or a picture made by ComfyUI (.png, .webp) anywhere on this page, or choose a file.</span>
      <input ref={input} type="file" hidden aria-label="A workflow or a picture made by ComfyUI" accept=".json,.png,.webp,application/json,image/png,image/webp" onClick={(event) => event.stopPropagation()}
        onChange={(event) => {
          const [file] = event.currentTarget.files ?? [];
          if (file) void takeFile(file);
        }} />
    </button>
  );
}

/** The instances, and the one that a run without a choice goes to. */
function useInstances(): { all: Instance[]; byDefault: Instance | undefined; isRead: boolean } {
  const all = useSignal<Instance[] | undefined>(undefined);
  useEffect(() => {
    const abort = new AbortController();
    const read = (): void => void get<{ instances: Instance[] }>('/api/v1/instances', abort.signal).then(
      (answer) => (all.value = answer.instances),
      () => (all.value ??= []),
    );
    read();
    const timer = setInterval(read, 5000);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, []);
  return { all: all.value ?? [], byDefault: all.value?.find((one) => one.default), isRead: all.value !== undefined };
}

const numbers = new Map<string, number>();

/** A number for a text: the same for the same one. */
function numberOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const known = numbers.get(text) ?? numbers.size + 1;
  numbers.set(text, known);
  return known;
}

/** A source that is read for an instance, and its form. */
function Prepared({ name }: { name: string }): JSX.Element {
  const { all, byDefault, isRead } = useInstances();
  const chosen = useSignal<string | undefined>(undefined);
  const target = chosen.value ?? byDefault?.name;
  const file = name === FILE ? dropped.value : undefined;
  const read = (abort: AbortSignal): Promise<Source> => (file ? ofDropped(file, target) : ofTemplate(name, target, abort).catch((thrown: unknown) => {
    // An instance that cannot be asked has no lists to choose from; the form works without them.
    if (abort.aborted || target === undefined || problemOf(thrown).status === 404) throw thrown;
    return ofTemplate(name, undefined, abort);
  }));
  const { value, problem } = useRead(isRead ? JSON.stringify([name, target, file?.key ?? file?.name, file?.text]) : undefined, read);
  // While it is read for another instance the form stays; another file is another form.
  const last = useRef<{ file: typeof file; source: Source } | undefined>(undefined);
  if (value) last.current = { file, source: value };
  const source = last.current?.file === file ? last.current?.source : undefined;
  const wrong = problem && (
    <div class="stack launch">
      <Box tone="bad" role="alert">
        <h3>{source ? 'It cannot be read for this instance' : 'This cannot be run'}</h3>
        <p>{problem.message}</p>
        <p class="muted">{problem.hint}</p>
        <div class="actions"><button type="button" onClick={() => go({ name: undefined })}>Back to the templates</button></div>
      </Box>
    </div>
  );
  if (!source) return wrong ?? <Empty title="Reading the workflow …" />;
  // Another file of the same name is another form.
  return <>{wrong}<FormPage key={`${source.key} ${numberOf(source.text)}`} source={source} instances={all} byDefault={byDefault} chosen={chosen.value} onChoose={(to) => (chosen.value = to)} /></>;
}
