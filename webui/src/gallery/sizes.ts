/** The shapes of pictures, learned by loading their small versions before they are shown. */
import { signal } from '@preact/signals';
import { shownAs, thumbnailOf } from '../run/outputs/shown';
import { keyOf, type Shot } from '../run/outputs/shot';

/** Height by width, by output. What a run made never changes, so a shape is learned once. */
const shapes = new Map<string, number>();
const asked = new Set<string>();
/** Counts up when shapes were learned, once for those of a moment. */
export const learned = signal(0);

/** A picture is not shown higher than this by its width, so that a banner does not fill a column. */
const TALLEST = 2.2;
const FLATTEST = 0.35;
const PATIENCE_MS = 10_000;
const AUDIO_PX = 64;
const FILE_PX = 84;
const LINE_PX = 17;
const LINES = { least: 2, most: 10 };

/** The height of an output's place for a width; nothing while it is not known. */
export function heightOf(shot: Shot, width: number): number | undefined {
  switch (shownAs(shot.output)) {
    case 'image': {
      const shape = shapes.get(keyOf(shot));
      return shape === undefined ? undefined : Math.round(width * Math.max(FLATTEST, Math.min(TALLEST, shape)));
    }
    case 'video':
      return Math.round((width * 9) / 16);
    case 'audio':
      return AUDIO_PX;
    case 'text': {
      const lines = (shot.output.text ?? '').split('\n').reduce((all, line) => all + Math.max(1, Math.ceil((line.length * 7.3) / (width - 16))), 0);
      return 16 + LINE_PX * Math.max(LINES.least, Math.min(LINES.most, lines));
    }
    case 'file':
      return FILE_PX;
  }
}

let told = false;

function tell(): void {
  if (told) return;
  told = true;
  // Those that come in one moment are placed together.
  requestAnimationFrame(() => {
    told = false;
    learned.value += 1;
  });
}

/** Loads what is not known yet. A picture that cannot be loaded, or not soon, gets a square. */
export function measure(shots: readonly Shot[]): void {
  for (const shot of shots) {
    const key = keyOf(shot);
    if (asked.has(key)) continue;
    asked.add(key);
    const image = new Image();
    const learn = (shape: number): void => {
      clearTimeout(timer);
      if (shapes.has(key)) return;
      shapes.set(key, shape);
      tell();
    };
    // One that does not come must not hold up all that are behind it.
    const timer = setTimeout(() => learn(1), PATIENCE_MS);
    image.onload = () => learn(image.naturalWidth > 0 ? image.naturalHeight / image.naturalWidth : 1);
    image.onerror = () => learn(1);
    image.src = thumbnailOf(shot.run, shot.output);
  }
}
