/** The tasks under a step: rows with badges, a long list folded to those around what runs. */
import type { JSX } from 'preact';
import { Badge, NODE, type Tone } from '../parts/tile';

/** A task, of a step or of a run. */
export interface Task {
  /** Its name in the page; the name does where there is none. */
  id?: string;
  name: string;
  status: string;
  note?: string | null;
  subtasks?: Task[] | null;
  /** Where its name leads. */
  link?: { href: string; onClick: (event: MouseEvent) => void };
}

const BADGES: Record<string, { word: string; tone: Tone }> = {
  pending: { word: 'Pending', tone: 'grey' }, running: { word: 'Running', tone: 'run' }, success: { word: 'Success', tone: 'ok' }, failed: { word: 'Failed', tone: 'bad' },
  ...Object.fromEntries((['cached', 'blocked', 'interrupted', 'not_reached'] as const).map((state) => [state, { word: NODE[state].badge, tone: NODE[state].tone }])),
};
/** Up to so many are shown one by one. */
const ALL = 6;
const HEAD = 2;

/** One row of a folded list: a task, or some that are counted. */
export type Row = { task: Task } | { count: number; done: number; failed: number; status: string };

/** Folds a long list: the first two, the rest before, the two around what runs, the rest after. */
export function folded(tasks: Task[]): Row[] {
  if (tasks.length <= ALL) return tasks.map((task) => ({ task }));
  const busy = tasks.findIndex((task) => task.status === 'running' || task.status === 'failed' || task.status === 'interrupted');
  const begun = busy >= 0 ? busy : tasks.findLastIndex((task) => task.status === 'success' || task.status === 'cached');
  const at = Math.max(HEAD + 1, begun);
  const rows: Row[] = tasks.slice(0, HEAD).map((task) => ({ task }));
  rows.push(...counted(tasks.slice(HEAD, at - 1)), ...tasks.slice(at - 1, at + 1).map((task) => ({ task })), ...counted(tasks.slice(at + 1)));
  return rows;
}

function counted(tasks: Task[]): Row[] {
  const [only] = tasks;
  if (tasks.length === 1 && only) return [{ task: only }];
  if (tasks.length === 0) return [];
  const of = (...states: string[]): number => tasks.filter((task) => states.includes(task.status)).length;
  return [{ count: tasks.length, done: of('success', 'cached'), failed: of('failed'), status: tasks.at(-1)?.status ?? 'pending' }];
}

const COUNTDOWN = /^\d+ ?s$/;

/** The list, with a line of live numbers and a note for its end. */
export function TaskList({ tasks, note, failed }: { tasks: Task[]; note?: string | null | undefined; failed?: string | undefined }): JSX.Element | null {
  if (tasks.length === 0 && note == null && failed === undefined) return null;
  const live = tasks.flatMap((task) => [task, ...(task.subtasks ?? [])]).find((task) => task.status === 'running' && task.note != null && !COUNTDOWN.test(task.note));
  return (
    <div class="step-tasks">
      {tasks.length > 0 && <ul class="task-rows">{folded(tasks).map((row, index) => ('task' in row ? <TaskRow key={row.task.id ?? row.task.name} task={row.task} /> : <Others key={`others ${index}`} {...row} />))}</ul>}
      {live && <p class="live-line mono">{live.name} {live.note}</p>}
      {note != null && note !== '' && <p class="task-note">{note}</p>}
      {failed !== undefined && <p class="task-note bad" role="alert">{failed}</p>}
    </div>
  );
}

function TaskRow({ task, under = false }: { task: Task; under?: boolean }): JSX.Element {
  const badge = BADGES[task.status] ?? { word: task.status, tone: 'grey' as const };
  const countdown = task.note != null && COUNTDOWN.test(task.note);
  return (
    <>
      <li class={under ? 'under' : ''} data-task={task.status} data-check={task.id}>
        {under && <span class="hook muted" aria-hidden="true">↳</span>}
        <span class="grow" title={task.name}>{task.link ? <a {...task.link}>{task.name}</a> : task.name}{task.note != null && !countdown && task.status !== 'running' && <span class="muted"> {task.note}</span>}</span>
        {countdown ? <Badge tone="accent">{task.note}</Badge> : <Badge tone={badge.tone} pulse={task.status === 'running'}>{badge.word}</Badge>}
      </li>
      {!under && task.subtasks?.map((sub) => <TaskRow key={`${task.name} ${sub.name}`} task={sub} under />)}
    </>
  );
}

function Others({ count, done, failed, status }: { count: number; done: number; failed: number; status: string }): JSX.Element {
  const rest = BADGES[status] ?? BADGES.pending;
  return (
    <li class="others">
      <span class="grow">{count} others</span>
      {failed > 0 ? <Badge tone="bad">Failed ({failed}/{count})</Badge> : done > 0 ? <Badge tone="ok">Success ({done}/{count})</Badge> : <Badge tone={rest?.tone ?? 'grey'}>{rest?.word}</Badge>}
    </li>
  );
}
