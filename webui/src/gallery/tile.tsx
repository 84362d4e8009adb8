/** One output in the gallery: its picture, where it comes from, and whether it is chosen. */
import type { JSX } from 'preact';
import { hrefOf, onLink } from '../app/route';
import { ago, fullTime, now } from '../parts/time';
import { keyOf } from '../run/outputs/shot';
import { nameOf, Shown, shownAs } from '../run/outputs/shown';
import { FOOT_PX, type Tile } from './masonry';

/** Props of a tile. */
export interface TileProps {
  tile: Tile;
  chosen: boolean;
  onChoose: () => void;
  onOpen: () => void;
}

/** The tile, at its place. */
export function GalleryTile({ tile, chosen, onChoose, onOpen }: TileProps): JSX.Element {
  const { shot, summary, left, top, width, height } = tile;
  const name = nameOf(shot.output);
  const to = { view: 'run', run: shot.run, node: undefined, seq: undefined, tab: undefined, with: undefined, pane: 'main' } as const;
  return (
    <figure class={`gallery-tile ${chosen ? 'chosen' : ''}`} data-shot={keyOf(shot)} style={{ transform: `translate(${left}px, ${top}px)`, width: `${width}px`, height: `${height}px` }}>
      <div class="gallery-shown" style={{ height: `${height - FOOT_PX}px` }}><Shown run={shot.run} output={shot.output} onOpen={onOpen} /></div>
      {shownAs(shot.output) === 'image' && <label class="gallery-choose"><input type="checkbox" checked={chosen} aria-label={`Choose ${name}`} onChange={onChoose} /></label>}
      <figcaption>
        <a class="cut" href={hrefOf(to)} title={`${summary.workflow_name} #${shot.run.slice(-6)}: ${name}`} onClick={onLink(to)}>{summary.workflow_name}</a>
        <span class="cut muted" title={fullTime(summary.ended ?? summary.created)}><span class="num">#{shot.run.slice(-6)}</span> · {summary.instance} · <time data-clock="">{ago(summary.ended ?? summary.created, now.value)}</time></span>
      </figcaption>
    </figure>
  );
}
