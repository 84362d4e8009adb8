/** The recorded events of a run, read in pieces and followed while it goes on. */
import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { getText, problemOf, runPath } from '../api/client';
import type { LogLine } from '../api/types';

const PIECE = 5000;

/** Events of a run up to its seq; more come as it grows. */
export function useLog(id: string, seq: number): { lines: Signal<LogLine[]>; problem: Signal<string | undefined> } {
  const lines = useSignal<LogLine[]>([]);
  const problem = useSignal<string | undefined>(undefined);
  const busy = useRef(false);
  const goal = useRef(seq);
  goal.current = seq;
  const abort = useRef(new AbortController());
  useEffect(() => {
    lines.value = [];
    problem.value = undefined;
    busy.current = false;
    const own = (abort.current = new AbortController());
    return () => own.abort();
  }, [id]);
  useEffect(() => {
    // It reads on while the run goes on; only another run ends it.
    const { signal } = abort.current;
    const read = async (): Promise<void> => {
      if (busy.current) return;
      busy.current = true;
      try {
        while (!signal.aborted) {
          const last = lines.peek().at(-1)?.seq ?? 0;
          if (last >= goal.current) break;
          const text = await getText(runPath(id, `/log?after=${last}&limit=${PIECE}`), signal);
          if (signal.aborted) break;
          const more = text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as LogLine);
          if (more.length === 0) break;
          lines.value = [...lines.peek(), ...more];
        }
        problem.value = undefined;
      } catch (thrown) {
        if (!signal.aborted) problem.value = problemOf(thrown).message;
      } finally {
        if (!signal.aborted) busy.current = false;
      }
    };
    void read();
  }, [id, seq]);
  return { lines, problem };
}
