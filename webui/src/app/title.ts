/** The title of the tab: what is looked at, and how far it is. */
import { effect } from '@preact/signals';
import { counts, onRuns, summaryOf } from '../live/store';
import { unseen } from './alerts';
import { route } from './route';

/** Keeps the title. */
export function keepTitle(): void {
  const update = (): void => {
    const run = summaryOf(route.peek().run);
    const marks = { queued: '…', executing: `${Math.floor((run?.progress_permille ?? 0) / 10)}%`, completed: '✓', failed: '×', cancelled: '■' };
    const { running, waiting } = counts.peek();
    const open = running + waiting;
    const news = unseen.peek() > 0 ? '● ' : '';
    const title = news + (run ? `${run.attention != null ? '! ' : ''}${marks[run.status]} ${run.workflow_name}` : open > 0 ? `(${open}) comfyd` : 'comfyd');
    if (document.title !== title) document.title = title;
  };
  onRuns(update);
  effect(() => {
    void route.value;
    void unseen.value;
    update();
  });
}
