/** The discreet word that a run was found again after a reload: once for each load, in a place that is there anyway. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { isOver, type Run } from '../api/types';

/** The run that this load found going on, with its text as it was then; null once another run was looked at. It stays for as long as the run is looked at, so that nothing moves. */
const restored = signal<{ id: string; text: string } | null | undefined>(undefined);

/** The word, for the first run that a load shows, if it goes on. */
export function Restored({ run }: { run: Run }): JSX.Element | null {
  if (restored.peek() === undefined) {
    const again = performance.getEntriesByType('navigation').some((entry) => (entry as PerformanceNavigationTiming).type !== 'navigate') || document.referrer === '';
    if (isOver(run.status) || !again) restored.value = null;
    else restored.value = { id: run.run_id, text: `⏮️ Restored ComfyUI workflow: ${run.workflow_name}. Progress: ${run.progress.progress_percent}%` };
  }
  const found = restored.value;
  if (found && found.id !== run.run_id) queueMicrotask(() => (restored.value = null));
  if (!found || found.id !== run.run_id) return null;
  return <p class="restored" role="status">{found.text}</p>;
}
