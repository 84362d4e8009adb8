/** The gallery: the outputs of all runs, the newest first. Only what is in sight is there. */
import { useComputed, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { runPath } from '../api/client';
import { isOver } from '../api/types';
import { go, hrefOf, onLink, route } from '../app/route';
import { Confirm } from '../parts/confirm';
import { timeOfDay, dayOf } from '../parts/time';
import { Empty } from '../parts/tile';
import { useSight } from '../parts/virtual';
import { deleteRun } from '../run/actions';
import { About } from '../run/outputs/about';
import { Choice } from '../run/outputs/choice';
import { Viewer } from '../run/outputs/lightbox';
import { shownAs } from '../run/outputs/shown';
import { keyOf, type Shot } from '../run/outputs/shot';
import { Feed, KINDS, type Made } from './feed';
import { Filters } from './filters';
import { type Group, type Heading, type Wall, wallOf } from './masonry';
import { heightOf, learned, measure } from './sizes';
import { GalleryTile } from './tile';

const SOON_MS = 250;
/** This much below what is in sight is made ready. */
const AHEAD_PX = 1200;

function useFeed(): Feed {
  const { q, on, kind, has, days } = route.value;
  const key = JSON.stringify([q, on, kind, has, days]);
  const make = (): Feed => new Feed({ q: q.trim(), on, kind: KINDS.find((one) => one === kind), has: has.trim(), days });
  const feed = useSignal<{ key: string; feed: Feed } | undefined>(undefined);
  feed.value ??= { key, feed: make() };
  useEffect(() => {
    if (feed.peek()?.key === key) return undefined;
    // While one types the last answer stays.
    const timer = setTimeout(() => {
      feed.peek()?.feed.close();
      feed.value = { key, feed: make() };
    }, SOON_MS);
    return () => clearTimeout(timer);
  }, [key]);
  useEffect(() => () => feed.peek()?.feed.close(), []);
  return feed.value.feed;
}

function grouped(made: Made[], by: 'run' | 'batch' | undefined): Group[] {
  if (by === undefined) return [{ key: 'all', heading: undefined, shots: made.flatMap(({ summary, shots }) => shots.map((shot) => ({ shot, summary }))) }];
  const groups = new Map<string, Group>();
  for (const { summary, shots } of made) {
    const key = by === 'batch' ? (summary.batch ?? summary.run_id) : summary.run_id;
    const group = groups.get(key) ?? { key, heading: { name: summary.workflow_name, run: by === 'batch' && summary.batch != null ? undefined : summary, count: 0 }, shots: [] };
    group.shots.push(...shots.map((shot) => ({ shot, summary })));
    if (group.heading) group.heading.count += shots.length;
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** The wall that is shown: what new outputs push down stays as it is until their shapes are known, so that nothing is empty meanwhile. */
function useLasting(built: Wall | undefined, groups: Group[], width: number): Wall | undefined {
  const last = useRef<{ wall: Wall; width: number } | undefined>(undefined);
  const held = last.current;
  if (built && built.unknown.length > 0 && held?.width === width && built.tiles.length < held.wall.tiles.length) {
    const there = new Set(groups.flatMap(({ shots }) => shots.map(({ shot }) => keyOf(shot))));
    if (held.wall.tiles.every(({ shot }) => there.has(keyOf(shot)))) return held.wall;
  }
  last.current = built && { wall: built, width };
  return built;
}

/** The page. */
export function Gallery(): JSX.Element {
  const feed = useFeed();
  const box = useRef<HTMLDivElement>(null);
  const sight = useSight(box);
  const width = useSignal(0);
  const opened = useSignal<string | undefined>(undefined);
  const chosen = useSignal<Shot[]>([]);
  const { group } = route.value;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const look = (): void => void (width.value = element.clientWidth - 2 * Number.parseFloat(getComputedStyle(element).paddingLeft));
    look();
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    return () => sizes.disconnect();
  }, []);
  const made = feed.made.value;
  const groups = useMemo(() => grouped(made, group), [made, group]);
  const version = learned.value;
  const built = useMemo(() => (width.value > 0 ? wallOf(groups, width.value, heightOf) : undefined), [groups, width.value, version]);
  const wall = useLasting(built, groups, width.value);
  const { busy, more, problem } = feed.state.value;
  const short = (wall?.height ?? 0) < sight.value.bottom + AHEAD_PX;
  useEffect(() => {
    if (!built || (!short && built === wall)) return;
    if (built.unknown.length > 0) measure(built.unknown);
    else if (problem === undefined) void feed.more();
  }, [built, wall, short, feed, busy, problem]);
  const pictures = useComputed(() => feed.made.value.flatMap(({ shots }) => shots).filter((shot) => /image|video/.test(shownAs(shot.output))));
  const index = opened.value === undefined ? -1 : pictures.value.findIndex((shot) => keyOf(shot) === opened.value);
  const toggle = (shot: Shot): void => {
    const key = keyOf(shot);
    const without = chosen.peek().filter((one) => keyOf(one) !== key);
    chosen.value = without.length < chosen.peek().length ? without : [...without, shot];
  };
  const summaries = useComputed(() => new Map(feed.made.value.map(({ summary }) => [summary.run_id, summary])));
  const news = feed.news.value.size;
  // Each time that there are some, and not each time that another number of them is painted.
  useEffect(() => feed.news.subscribe((some) => {
    if (some.size > 0 && (box.current?.scrollTop ?? 0) < 40) void feed.refresh();
  }), [feed]);
  const keys = new Set(chosen.value.map(keyOf));
  const outputs = made.reduce((all, { shots }) => all + shots.length, 0);
  return (
    <div class="gallery-page">
      <Filters />
      <p class="gallery-count muted" role="status">
        <span class="num">{outputs}{more ? '+' : ''}</span> {outputs === 1 && !more ? 'output' : 'outputs'} of <span class="num">{made.length}</span> {made.length === 1 ? 'run' : 'runs'}
        {(busy || (short && (built?.unknown.length ?? 0) > 0)) && <span class="spinner" role="img" aria-label="Reading" />}
        {news > 0 && <button type="button" class="chip" onClick={() => { box.current?.scrollTo({ top: 0 }); void feed.refresh(); }}>↑ New outputs of {news} {news === 1 ? 'run' : 'runs'}</button>}
        {problem !== undefined && <span class="text-bad" role="alert">{problem} <button type="button" class="chip" onClick={() => void feed.more()}>Try again</button></span>}
      </p>
      <div class="gallery" ref={box} role="region" aria-label="Outputs" tabIndex={0}>
        {outputs === 0 && !busy && !more && <Nothing />}
        <div class="gallery-wall" style={{ height: `${wall?.height ?? 0}px` }}>
          {wall?.headings.filter(({ top }) => top > sight.value.top - 100 && top < sight.value.bottom).map(({ heading, key, top }) => <GroupHeading key={key} heading={heading} top={top} />)}
          {wall?.tiles.filter(({ top, height }) => top + height > sight.value.top && top < sight.value.bottom).map((tile) => (
            <GalleryTile key={keyOf(tile.shot)} tile={tile} chosen={keys.has(keyOf(tile.shot))} onChoose={() => toggle(tile.shot)} onOpen={() => (opened.value = keyOf(tile.shot))} />
          ))}
        </div>
      </div>
      <Choice chosen={chosen} />
      {index >= 0 && (
        <Viewer shots={pictures.value} index={index} onIndex={(at) => {
          const shot = pictures.peek()[at];
          opened.value = shot && keyOf(shot);
          if (at > pictures.peek().length - 5) void feed.more();
        }} onClose={() => (opened.value = undefined)}
          about={(shot) => <About shot={shot} summary={summaries.value.get(shot.run)} onGone={() => (opened.value = undefined)} />} />
      )}
    </div>
  );
}

function GroupHeading({ heading, top }: { heading: Heading; top: number }): JSX.Element {
  const { run } = heading;
  const to = run && ({ view: 'run', run: run.run_id, seq: undefined, node: undefined, tab: undefined, with: undefined, pane: 'main' } as const);
  return (
    <div class="gallery-heading" style={{ transform: `translateY(${top}px)` }}>
      <h3 class="cut">{to ? <a href={hrefOf(to)} onClick={onLink(to)}>{heading.name} <span class="num">#{run?.run_id.slice(-6)}</span></a> : `${heading.name}, a batch`}</h3>
      <span class="muted num">{heading.count}</span>
      {run && <span class="muted cut">{dayOf(run.created)} {timeOfDay(run.created)} · {run.instance}</span>}
      {run && (
        <span class="row right">
          <a class="button plain" href={runPath(run.run_id, '/outputs.zip')} download title="Download all outputs of the run">⤓ zip</a>
          {isOver(run.status) && <Confirm class="plain" sure="Delete it with its outputs" label={`Delete ${heading.name}`} do={() => deleteRun(run.run_id)}>🗑</Confirm>}
        </span>
      )}
    </div>
  );
}

function Nothing(): JSX.Element {
  const { q, on, kind, has, days } = route.value;
  const filtered = q !== '' || has !== '' || on !== undefined || kind !== undefined || days !== undefined;
  if (!filtered) return <Empty title="No outputs yet">Pictures, videos, sounds and texts of all runs appear here.</Empty>;
  return (
    <Empty title="No output matches">
      <p>{[q && `“${q}”`, has && `with ${has}`, on && `on ${on}`, kind, days !== undefined && `of the last ${days} days`].filter(Boolean).join(' · ')}</p>
      <p><button type="button" onClick={() => go({ q: '', has: '', on: undefined, kind: undefined, days: undefined }, true)}>Clear the filters</button></p>
    </Empty>
  );
}
