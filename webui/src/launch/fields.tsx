/** The fields of a form: one for each kind of value. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useId } from 'preact/hooks';
import type { Field } from '../api/types';
import { bytes } from '../parts/time';
import { diced, isFile, isInteger, isNumber, typed, wrongWith } from './values';

/** Props of a field. */
export interface FieldProps {
  field: Field;
  value: string | boolean;
  file: File | undefined;
  /** Whether a seed is drawn anew for each run. */
  fresh: boolean;
  /** Whether the workflow draws the value anew for each run, if it is left as it is. */
  drawn: boolean;
  onValue: (value: string | boolean) => void;
  onFile: (file: File | undefined) => void;
  onFresh: (fresh: boolean) => void;
}

/** One field with its label. */
export function FormField(props: FieldProps): JSX.Element {
  const { field, value } = props;
  const id = useId();
  const wrong = props.fresh ? undefined : wrongWith(field, value);
  const long = field.multiline === true || field.kind === 'prompt' || field.kind === 'negative_prompt';
  const label = field.advanced ? `${field.node_title} · ${field.label}` : field.label;
  return (
    <div class={`field kind-${field.kind} ${long || isFile(field) ? 'long' : ''}`} data-field={field.id}>
      {field.kind === 'boolean'
        ? <label class="check" for={id} title={field.tooltip ?? undefined}><input id={id} type="checkbox" checked={value === true} onChange={(event) => props.onValue(event.currentTarget.checked)} /> {label}</label>
        : <label for={id} title={field.tooltip ?? undefined}>{label}</label>}
      {field.kind !== 'boolean' && <Control {...props} id={id} long={long} wrong={wrong !== undefined} />}
      {props.drawn && value === typed(field.default) && <p class="muted wrong">Drawn anew for each run, as the canvas says, unless it is changed here.</p>}
      {wrong !== undefined && <p class="text-bad wrong" role="alert">{wrong}</p>}
    </div>
  );
}

function Control(props: FieldProps & { id: string; long: boolean; wrong: boolean }): JSX.Element {
  const { field, value, id } = props;
  const text = String(value);
  if (isFile(field)) return <FileDrop {...props} />;
  if (field.options != null && field.options.length > 0) {
    const options = field.options.map(String);
    return (
      <select id={id} value={text} onChange={(event) => props.onValue(event.currentTarget.value)}>
        {!options.includes(text) && <option value={text}>{text} (not on this instance)</option>}
        {options.map((option) => <option key={option} value={option}>{option}</option>)}
      </select>
    );
  }
  if (props.long) return <textarea id={id} rows={field.kind === 'prompt' ? 3 : 2} value={text} onInput={(event) => props.onValue(event.currentTarget.value)} />;
  if (field.kind === 'seed') {
    return (
      <div class="row">
        <input id={id} class="num" inputMode="numeric" aria-invalid={props.wrong} disabled={props.fresh} value={text} onInput={(event) => props.onValue(event.currentTarget.value)} />
        <button type="button" title="Another seed" aria-label="Another seed" disabled={props.fresh} onClick={() => props.onValue(diced())}>🎲</button>
        <button type="button" aria-pressed={props.fresh} title="A new seed for each run, or always this one" onClick={() => props.onFresh(!props.fresh)}>{props.fresh ? 'New each time' : 'Keep'}</button>
      </div>
    );
  }
  if (isNumber(field)) {
    return (
      <input id={id} class="num" type="number" inputMode={isInteger(field) ? 'numeric' : 'decimal'} aria-invalid={props.wrong} step={isInteger(field) ? 1 : 'any'} {...(field.min != null && { min: String(field.min) })} {...(field.max != null && { max: String(field.max) })}
        value={text} onInput={(event) => props.onValue(event.currentTarget.value)} />
    );
  }
  return <input id={id} type="text" value={text} onInput={(event) => props.onValue(event.currentTarget.value)} />;
}

const ACCEPT: Partial<Record<Field['kind'], string>> = { image: 'image/*', video: 'video/*', audio: 'audio/*' };

/** A place for a file: dropped, pasted or chosen. Without one the name of the workflow counts, if the instance has it. */
function FileDrop({ field, value, file, id, onFile }: FieldProps & { id: string }): JSX.Element {
  const over = useSignal(false);
  const url = useSignal<string | undefined>(undefined);
  useEffect(() => {
    if (!file?.type.startsWith('image/')) {
      url.value = undefined;
      return undefined;
    }
    const made = URL.createObjectURL(file);
    url.value = made;
    return () => URL.revokeObjectURL(made);
  }, [file]);
  const take = (files: FileList | null | undefined): void => {
    const [first] = files ?? [];
    if (first) onFile(first);
  };
  return (
    <div class={`drop-field ${over.value ? 'over' : ''}`}
      onDragOver={(event) => { event.preventDefault(); event.stopPropagation(); over.value = true; }}
      onDragLeave={() => (over.value = false)}
      onPaste={(event) => take(event.clipboardData?.files)}
      onDrop={(event) => {
        event.preventDefault();
        event.stopPropagation();
        over.value = false;
        take(event.dataTransfer?.files);
      }}>
      {url.value !== undefined && <img src={url.value} alt="" />}
      <div class="grow">
        {file
          ? <p class="row"><span class="cut strong">{file.name}</span> <span class="num muted">{bytes(file.size)}</span></p>
          : <p class="muted">Drop a file here, or choose one.{value !== '' && <> Without one, <code>{String(value)}</code> of the instance is used.</>}</p>}
        <p class="row">
          <input id={id} type="file" accept={ACCEPT[field.kind]} onChange={(event) => take(event.currentTarget.files)} />
          {file && <button type="button" class="plain" onClick={() => onFile(undefined)}>Remove</button>}
        </p>
      </div>
    </div>
  );
}
