/** The editor of a batch: one column for each input that varies, one row for each run; tables can be pasted. */
import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import type { Field } from '../api/types';
import { Act } from '../parts/action';
import { Tile } from '../parts/tile';
import { MOST_ROWS, type Sheet, sheetOf, wrongCell } from './sheet';
import { isFile } from './values';

/** Props of the editor. */
export interface BatchProps {
  form: Field[];
  sheet: Sheet;
  blocked: boolean;
  /** How many files were chosen in the form: a batch takes none. */
  pictures: number;
  onSheet: (sheet: Sheet) => void;
  onRun: () => Promise<void>;
  onClose: () => void;
}

/** The editor. */
export function BatchEditor({ form, sheet, blocked, pictures, onSheet, onRun, onClose }: BatchProps): JSX.Element {
  const wrong = useSignal<string | undefined>(undefined);
  const fields = form.filter((field) => !isFile(field));
  const fieldOf = (id: string | undefined): Field | undefined => fields.find((field) => field.id === id);
  const bad = sheet.rows.flatMap((row) => row.filter((cell, index) => wrongCell(fieldOf(sheet.columns[index]), cell) !== undefined)).length;
  const set = (at: number, column: number, text: string): void => onSheet({ ...sheet, rows: sheet.rows.map((row, index) => (index === at ? row.map((cell, place) => (place === column ? text : cell)) : row)) });
  const paste = (event: ClipboardEvent): void => {
    const text = event.clipboardData?.getData('text/plain') ?? '';
    // One value goes into its cell, as anywhere.
    if (!/[\n\t]/.test(text.trim())) return;
    event.preventDefault();
    try {
      onSheet(sheetOf(text, fields, sheet));
      wrong.value = undefined;
    } catch (thrown) {
      wrong.value = thrown instanceof Error ? thrown.message : String(thrown);
    }
  };
  return (
    <Tile title="▦ Batch" class="batch" aside={<button type="button" class="plain right" aria-label="Close the batch" onClick={onClose}>✕</button>}>
      <div class="stack" onPaste={paste}>
        <p class="muted">A column for each input that varies, a row for each run. A table from a spreadsheet or a CSV file can be pasted into a cell; its first line names the inputs. What is left empty is as in the form above.</p>
        <div class="batch-table">
          <table>
            <thead>
              <tr>
                <th scope="col" class="num">#</th>
                {sheet.columns.map((id, column) => (
                  <th key={column} scope="col">
                    <select aria-label={`Input of column ${column + 1}`} value={id} onChange={(event) => onSheet({ ...sheet, columns: sheet.columns.map((one, index) => (index === column ? event.currentTarget.value : one)) })}>
                      {fields.map((field) => <option key={field.id} value={field.id} disabled={field.id !== id && sheet.columns.includes(field.id)}>{field.label} ({field.node_title})</option>)}
                    </select>
                  </th>
                ))}
                <th scope="col"><span class="unseen">Remove</span></th>
              </tr>
            </thead>
            <tbody>
              {sheet.rows.map((row, at) => (
                <tr key={at}>
                  <th scope="row" class="num">{at + 1}</th>
                  {sheet.columns.map((id, column) => {
                    const cell = row[column] ?? '';
                    const problem = wrongCell(fieldOf(id), cell);
                    return <td key={column}><input type="text" value={cell} title={problem} aria-invalid={problem !== undefined} aria-label={`${fieldOf(id)?.label ?? id} of run ${at + 1}`} onInput={(event) => set(at, column, event.currentTarget.value)} /></td>;
                  })}
                  <td><button type="button" class="plain" aria-label={`Remove run ${at + 1}`} onClick={() => onSheet({ ...sheet, rows: sheet.rows.filter((_, index) => index !== at) })}>✕</button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        {wrong.value !== undefined && <p class="text-bad" role="alert">{wrong.value}</p>}
        <div class="actions">
          <button type="button" disabled={sheet.rows.length >= MOST_ROWS} onClick={() => onSheet({ ...sheet, rows: [...sheet.rows, sheet.columns.map(() => '')] })}>+ Row</button>
          <button type="button" disabled={sheet.columns.length >= fields.length} onClick={() => {
            const next = fields.find((field) => !sheet.columns.includes(field.id));
            if (next) onSheet({ columns: [...sheet.columns, next.id], rows: sheet.rows.map((row) => [...row, '']) });
          }}>+ Column</button>
          <Act class="primary right" do={onRun} disabled={blocked || pictures > 0 || bad > 0 || sheet.rows.length === 0}>▶️ {sheet.rows.length === 1 ? 'Run 1 run' : `Run ${sheet.rows.length} runs`}</Act>
        </div>
        {pictures > 0 && <p class="text-warn" role="alert">A batch takes no files: put the picture into ComfyUI’s input folder and give its name, or run it once for each.</p>}
        {bad > 0 && <p class="text-bad" role="alert">{bad} {bad === 1 ? 'value is' : 'values are'} not usable.</p>}
      </div>
    </Tile>
  );
}
