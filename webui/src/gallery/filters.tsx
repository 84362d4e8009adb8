/** What the gallery shows: search, kinds, values, age and grouping. All of it stands in the address. */
import type { JSX } from 'preact';
import { go, GROUPS, route } from '../app/route';
import { KINDS, type Kind } from './feed';

const WORDS: Record<Kind, string> = { image: 'Images', video: 'Videos', audio: 'Sound', text: 'Texts', file: 'Files' };
const AGES: [days: number | undefined, word: string][] = [[undefined, 'Any time'], [1, 'Last day'], [7, 'Last week'], [30, 'Last month']];
const GROUPED = { run: 'By run', batch: 'By batch' } as const;

/** The bar above the pictures. */
export function Filters(): JSX.Element {
  const { q, kind, has, days, group, on } = route.value;
  return (
    <div class="gallery-filters" role="search">
      <input type="search" placeholder="Search runs" aria-label="Search runs by name, id or instance" value={q} onInput={(event) => go({ q: event.currentTarget.value }, true)} />
      <input type="search" placeholder="Any input: seed=42, a model, a word" aria-label="Search the inputs of the workflows" value={has} onInput={(event) => go({ has: event.currentTarget.value }, true)} />
      <span class="row wrap" role="group" aria-label="Kind">
        <button type="button" class="chip" aria-pressed={kind === undefined} onClick={() => go({ kind: undefined }, true)}>All</button>
        {KINDS.map((one) => <button key={one} type="button" class="chip" aria-pressed={kind === one} onClick={() => go({ kind: kind === one ? undefined : one }, true)}>{WORDS[one]}</button>)}
      </span>
      <span class="row wrap right">
        {on !== undefined && <button type="button" class="chip" aria-pressed="true" title="Show all instances" onClick={() => go({ on: undefined }, true)}>on {on} ✕</button>}
        <select aria-label="Age" value={String(days ?? '')} onChange={(event) => go({ days: Number(event.currentTarget.value) || undefined }, true)}>
          {AGES.map(([age, word]) => <option key={word} value={age ?? ''}>{word}</option>)}
        </select>
        {GROUPS.map((one) => <button key={one} type="button" class="chip" aria-pressed={group === one} onClick={() => go({ group: group === one ? undefined : one }, true)}>{GROUPED[one]}</button>)}
      </span>
    </div>
  );
}
