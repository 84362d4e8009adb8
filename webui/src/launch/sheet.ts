/** A table of values: a column for each input that varies, a row for each run. */
import type { Field } from '../api/types';
import { inputsText, wrongWith } from './values';

/** The table: ids of fields, and what stands below each. */
export interface Sheet {
  columns: string[];
  rows: string[][];
}

/** The most runs of one batch. */
export const MOST_ROWS = 1000;

/** Splits a pasted table into cells: tabs or commas between them, quotes around what holds one. */
export function cellsOf(text: string): string[][] {
  const between = text.includes('\t') ? '\t' : ',';
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = '';
  let quoted = false;
  const endCell = (): void => {
    row.push(cell.trim());
    cell = '';
  };
  const endRow = (): void => {
    endCell();
    if (row.some((one) => one !== '')) rows.push(row);
    row = [];
  };
  for (let at = 0; at < text.length; at += 1) {
    const letter = text.charAt(at);
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text.charAt(at + 1) === '"') {
        cell += '"';
        at += 1;
      } else quoted = false;
    } else if (letter === '"' && cell.trim() === '') {
      quoted = true;
      cell = '';
    } else if (letter === between) endCell();
    else if (letter === '\n') endRow();
    else if (letter !== '\r') cell += letter;
  }
  endRow();
  return rows;
}

/** What people may call a field. */
function isCalled(field: Field, name: string): boolean {
  const called = name.trim().toLowerCase();
  return [field.id, field.label, field.input, `${field.node_title} ${field.label}`].some((one) => one.toLowerCase() === called);
}

/** A pasted table. Its first line names the inputs; without names it goes below the columns that are there. Throws what is wrong, in words. */
export function sheetOf(text: string, form: readonly Field[], before: Sheet): Sheet {
  const cells = cellsOf(text);
  const [head = []] = cells;
  const named = head.map((name) => form.find((field) => isCalled(field, name)));
  const isNamed = named.some((field) => field !== undefined);
  const unknown = isNamed ? head.filter((_, index) => !named[index]) : [];
  if (unknown.length > 0) throw new Error(`No input is called ${unknown.map((name) => `“${name}”`).join(', ')}. Inputs are ${form.map((field) => field.label).slice(0, 12).join(', ')}.`);
  const columns = isNamed ? named.flatMap((field) => field?.id ?? []) : before.columns;
  const rows = isNamed ? cells.slice(1) : cells;
  if (columns.length === 0) throw new Error('The first line of the table names the inputs, such as: Seed, Steps.');
  const wide = rows.findIndex((row) => row.length > columns.length);
  if (wide >= 0) throw new Error(`Row ${wide + 1} has ${rows[wide]?.length} cells, and there are ${columns.length} columns.`);
  if (rows.length > MOST_ROWS) throw new Error(`There are ${rows.length} rows; a batch has ${MOST_ROWS} runs at most.`);
  return { columns, rows: rows.map((row) => columns.map((_, index) => row[index] ?? '')) };
}

/** What is wrong in a cell; an empty one takes the value of the form. */
export function wrongCell(field: Field | undefined, cell: string): string | undefined {
  return cell === '' || !field ? undefined : wrongWith(field, cell);
}

/** The table as the `variations` of a batch. */
export function variationsText(form: readonly Field[], sheet: Sheet): string {
  const one = (row: string[]): string => {
    const given = sheet.columns.flatMap((id, index) => {
      const field = form.find((known) => known.id === id);
      const cell = row[index] ?? '';
      // What equals the workflow's own value is sent all the same: the form may have another.
      return field && cell !== '' ? [{ field: { ...field, default: undefined }, value: field.kind === 'boolean' ? /^(true|yes|1|on)$/i.test(cell) : cell }] : [];
    });
    return `{"inputs":${inputsText(given.map(({ field }) => field), Object.fromEntries(given.map(({ field, value }) => [field.id, value])), {})}}`;
  };
  return `[${sheet.rows.map(one).join(',')}]`;
}
