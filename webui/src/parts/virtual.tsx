/** Which rows of a long list are to be made: those in sight and some around them. */
import { type Signal, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useLayoutEffect } from 'preact/hooks';

const AROUND_PX = 400;

/** The part of a scrolling element that is in sight, with a margin, in pixels. */
export function useSight(ref: RefObject<HTMLElement | null>): Signal<{ top: number; bottom: number }> {
  const sight = useSignal({ top: 0, bottom: 1600 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return undefined;
    const look = (): void => {
      const top = Math.floor((element.scrollTop - AROUND_PX) / 200) * 200;
      const bottom = Math.ceil((element.scrollTop + element.clientHeight + AROUND_PX) / 200) * 200;
      const now = sight.peek();
      if (now.top !== top || now.bottom !== bottom) sight.value = { top, bottom };
    };
    look();
    element.addEventListener('scroll', look, { passive: true });
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    return () => {
      element.removeEventListener('scroll', look);
      sizes.disconnect();
    };
  }, []);
  return sight;
}
