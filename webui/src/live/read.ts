/** Reading something once, and again where that failed and the link is there again. */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type Problem, problemOf } from '../api/client';
import { reconnected } from './store';

/** What was read, or why it was not. */
export interface Read<T> {
  value: T | undefined;
  problem: Problem | undefined;
}

const NOTHING = { value: undefined, problem: undefined };

/**
 * Reads what a key names; undefined is nothing. What is here stays while the key does. `fresh` counts up when it may have changed: then it is read again,
 * and what was read before is shown until that is here.
 */
export function useRead<T>(key: string | undefined, read: (abort: AbortSignal) => Promise<T>, fresh = 0): Read<T> {
  const found = useSignal<({ key: string; fresh: number } & Read<T>) | undefined>(undefined);
  useEffect(() => {
    const before = found.peek();
    if (key === undefined || (before?.key === key && before.fresh === fresh && before.problem === undefined)) return undefined;
    const abort = new AbortController();
    const take = (what: Partial<Read<T>>): void => {
      if (!abort.signal.aborted) found.value = { key, fresh, ...NOTHING, ...what };
    };
    read(abort.signal).then((value) => take({ value }), (thrown: unknown) => take({ value: before?.key === key ? before.value : undefined, problem: problemOf(thrown) }));
    return () => abort.abort();
  }, [key, fresh, reconnected.value]);
  return found.value?.key === key ? (found.value ?? NOTHING) : NOTHING;
}
