/**
 * Where the tiles of the gallery stand: in columns, each new one under the shortest.
 *
 * A tile is placed once its size is known and all before it are placed. So what is placed never moves, whatever is read later.
 */
import type { Summary } from '../api/types';
import type { Shot } from '../run/outputs/shot';

/** A row of tiles that belong together; without a name there is no heading. */
export interface Group {
  key: string;
  heading: Heading | undefined;
  shots: { shot: Shot; summary: Summary }[];
}

/** What stands above a group. */
export interface Heading {
  name: string;
  /** The run, if the group is one. */
  run: Summary | undefined;
  count: number;
}

/** A tile with its place. */
export interface Tile {
  shot: Shot;
  summary: Summary;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Everything that is placed, and what must be measured to go on. */
export interface Wall {
  tiles: Tile[];
  headings: { heading: Heading; key: string; top: number }[];
  height: number;
  unknown: Shot[];
}

/** The room below a picture, for its words. */
export const FOOT_PX = 46;
/** The height of a heading. */
export const HEADING_PX = 40;
const GAP_PX = 10;
const COLUMN_PX = 220;
const LOOK_AHEAD = 12;

/** How many columns a width has: two on a phone at least. */
export function columnsOf(width: number): number {
  return Math.max(2, Math.floor((width + GAP_PX) / (COLUMN_PX + GAP_PX)));
}

/** Places the tiles. `heightOf` gives the height of a picture for a width, or nothing while it is not known. */
export function wallOf(groups: readonly Group[], width: number, heightOf: (shot: Shot, width: number) => number | undefined): Wall {
  const columns = columnsOf(width);
  const each = (width - (columns - 1) * GAP_PX) / columns;
  const wall: Wall = { tiles: [], headings: [], height: 0, unknown: [] };
  let tops = new Array<number>(columns).fill(0);
  for (const group of groups) {
    if (group.heading && wall.unknown.length === 0) {
      const top = Math.max(...tops);
      wall.headings.push({ heading: group.heading, key: group.key, top });
      tops = tops.map(() => top + HEADING_PX);
    }
    for (const { shot, summary } of group.shots) {
      const height = heightOf(shot, each);
      if (height === undefined || wall.unknown.length > 0) {
        if (height === undefined) wall.unknown.push(shot);
        if (wall.unknown.length >= LOOK_AHEAD) return finished(wall, tops);
        continue;
      }
      const column = tops.indexOf(Math.min(...tops));
      const top = tops[column] ?? 0;
      wall.tiles.push({ shot, summary, left: column * (each + GAP_PX), top, width: each, height: height + FOOT_PX });
      tops[column] = top + height + FOOT_PX + GAP_PX;
    }
    if (group.heading && wall.unknown.length === 0) tops = tops.map(() => Math.max(...tops));
  }
  return finished(wall, tops);
}

function finished(wall: Wall, tops: number[]): Wall {
  wall.height = Math.max(0, ...tops);
  return wall;
}
