/** A table of values: a column for each input that varies, a row for each run. */
import type { Field } from '../api/types';
import { diced, inputsText, wrongWith } from './values';

/** The table: ids of fields, and what stands below each. */
export interface Sheet {
  columns: string[];
  rows: string[][];
}

/** The most runs of one batch. */
export const MOST_ROWS = 1000;

/** Splits a pasted table into cells by what stands between them, if anything; quotes are around what holds one. */
function cellsOf(text: string, between: string | undefined): string[][] {
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
    } else if (between !== undefined && letter === between) endCell();
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
  const nameable = (name: string): boolean => form.some((field) => isCalled(field, name));
  // Prompts have commas: they separate only where the first line, split by them, names inputs and nothing else.
  const byCommas = cellsOf(text, ',');
  const isCsv = !text.includes('\t') && (byCommas[0]?.length ?? 0) > 1 && byCommas[0]?.every(nameable) === true;
  const cells = text.includes('\t') ? cellsOf(text, '\t') : isCsv ? byCommas : cellsOf(text, undefined);
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

const ON = /^(true|yes|1|on)$/i;
const OFF = /^(false|no|0|off)$/i;

/** What is wrong in a cell; an empty one takes the value of the form. */
export function wrongCell(field: Field | undefined, cell: string): string | undefined {
  if (cell === '' || !field) return undefined;
  if (field.kind === 'boolean') return ON.test(cell) || OFF.test(cell) ? undefined : 'Give yes or no.';
  return wrongWith(field, cell);
}

/** The table with a number by chance for these seeds in each row that has none. */
export function drawnInto(sheet: Sheet, seeds: readonly string[]): Sheet {
  const columns = [...sheet.columns, ...seeds.filter((id) => !sheet.columns.includes(id))];
  return { columns, rows: sheet.rows.map((row) => columns.map((id, index) => (seeds.includes(id) && !row[index] ? diced() : (row[index] ?? '')))) };
}

/** The table as the `variations` of a batch. */
export function variationsText(form: readonly Field[], sheet: Sheet): string {
  const one = (row: string[]): string => {
    const given = sheet.columns.flatMap((id, index) => {
      const field = form.find((known) => known.id === id);
      const cell = row[index] ?? '';
      // What equals the workflow's own value is sent all the same: the form may have another.
      return field && cell !== '' ? [{ field: { ...field, default: undefined }, value: field.kind === 'boolean' ? ON.test(cell) : cell }] : [];
    });
    return `{"inputs":${inputsText(given.map(({ field }) => field), Object.fromEntries(given.map(({ field, value }) => [field.id, value])), {})}}`;
  };
  return `[${sheet.rows.map(one).join(',')}]`;
}
