/** Moving and zooming a graph: dragging moves, a wheel with Ctrl and two fingers zoom. A plain wheel scrolls the page. */
import type { Signal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect } from 'preact/hooks';
import type { Layout } from './layout';

/** The part of a graph that is seen, in its own measures. */
export interface Sight {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A graph in the middle of the place that it has, never larger than life. */
export function fitted(layout: Layout | undefined, svg: SVGSVGElement | null): Sight {
  const width = layout?.width ?? 100;
  const height = layout?.height ?? 100;
  const room = { width: svg?.clientWidth || 800, height: svg?.clientHeight || 320 };
  const scale = Math.max(width / room.width, height / room.height, 0.85);
  const size = { width: room.width * scale, height: room.height * scale };
  return { x: (width - size.width) / 2, y: (height - size.height) / 2, ...size };
}

/** The same, nearer or farther, around a place. */
export function zoomed(sight: Sight, factor: number, at = { x: sight.x + sight.width / 2, y: sight.y + sight.height / 2 }): Sight {
  const width = Math.min(20_000, Math.max(160, sight.width * factor));
  const real = width / sight.width;
  return { x: at.x - (at.x - sight.x) * real, y: at.y - (at.y - sight.y) * real, width, height: sight.height * real };
}

interface Point {
  x: number;
  y: number;
}

const DRAG_PX = 4;

/** Lets pointers move what is seen. */
export function useMoves(ref: RefObject<SVGSVGElement | null>, layout: Signal<Layout | undefined>, sight: Signal<Sight | undefined>): void {
  useEffect(() => {
    const svg = ref.current;
    if (!svg) return undefined;
    const now = (): Sight => sight.peek() ?? fitted(layout.peek(), svg);
    const fingers = new Map<number, Point>();
    const down = (event: PointerEvent): void => {
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    };
    const move = (event: PointerEvent): void => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const after = { x: event.clientX, y: event.clientY };
      if (fingers.size === 1) {
        if (!svg.classList.contains('dragged') && Math.hypot(after.x - before.x, after.y - before.y) < DRAG_PX) return;
        svg.classList.add('dragged');
        const scale = now().width / svg.clientWidth;
        sight.value = { ...now(), x: now().x - (after.x - before.x) * scale, y: now().y - (after.y - before.y) * scale };
      } else {
        const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
        const apart = (one: Point): number => (other && Math.hypot(one.x - other.x, one.y - other.y)) || 1;
        sight.value = zoomed(now(), apart(before) / apart(after));
      }
      fingers.set(event.pointerId, after);
    };
    const up = (event: PointerEvent): void => {
      fingers.delete(event.pointerId);
      // The click that ends a drag selects nothing.
      setTimeout(() => svg.classList.remove('dragged'));
    };
    const wheel = (event: WheelEvent): void => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      const scale = now().width / svg.clientWidth;
      const at = { x: now().x + (event.clientX - box.left) * scale, y: now().y + (event.clientY - box.top) * scale };
      sight.value = zoomed(now(), Math.exp(event.deltaY / 300), at);
    };
    svg.addEventListener('pointerdown', down);
    addEventListener('pointermove', move);
    addEventListener('pointerup', up);
    addEventListener('pointercancel', up);
    svg.addEventListener('wheel', wheel, { passive: false });
    return () => {
      svg.removeEventListener('pointerdown', down);
      removeEventListener('pointermove', move);
      removeEventListener('pointerup', up);
      removeEventListener('pointercancel', up);
      svg.removeEventListener('wheel', wheel);
    };
  }, []);
}
