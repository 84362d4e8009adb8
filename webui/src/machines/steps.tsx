/** Steps one below the other: wide buttons with a toggle beside, an arrow between two of them. */
import type { JSX } from 'preact';
import { TaskList, type Task } from './tasks';

/** A step as it is shown. */
export interface Step {
  action: string;
  label: string;
  /** `pending in_progress completed failed blocked skipped`. */
  status: string;
  /** Whether it will be done. */
  enabled: boolean;
  tasks: Task[];
  note?: string | null | undefined;
  failed?: string | undefined;
}

const SIGNS: Record<string, string> = {
  test_ssh: '🔧', set_ui_home: '📁', get_ui_home: '📁', setup_civitdl: '🎨', test_civitdl: '🎨', sync_instance: '🔄', setup_python_venv: '🐍', clone_auto_installer: '📦', install_custom_nodes: '🔌', verify_dependencies: '🔗',
  reboot_instance: '🔄', execute_comfyui_workflow: '▶️', test_comfyui: '🌐', wait: '⏳',
};
const WORDS: Record<string, string> = { pending: 'will run', in_progress: 'in progress', completed: 'completed', failed: 'failed', blocked: 'blocked', skipped: 'skipped' };

/** The list of steps. `onToggle` is there while it can still be chosen what runs; when it `isOver` nothing is on its way. */
export function StepList({ steps, isOver = false, onToggle, onOpen }: { steps: Step[]; isOver?: boolean; onToggle?: ((index: number) => void) | undefined; onOpen?: ((index: number) => void) | undefined }): JSX.Element {
  return (
    <ol class="steps">
      {steps.map((step, index) => (
        <li key={`${index} ${step.action}`}>
          {index > 0 && <Arrow state={arrowOf(steps, index, isOver)} />}
          <StepTile step={step} onToggle={onToggle && (() => onToggle(index))} onOpen={onOpen && (() => onOpen(index))} />
        </li>
      ))}
    </ol>
  );
}

function StepTile({ step, onToggle, onOpen }: { step: Step; onToggle: (() => void) | undefined; onOpen: (() => void) | undefined }): JSX.Element {
  const isOn = step.enabled && step.status !== 'skipped';
  const word = isOn ? (WORDS[step.status] ?? step.status) : 'skipped';
  return (
    <>
      <div class={`workflow-step ${isOn ? step.status : 'skipped'}`} data-action={step.action} data-status={step.status}>
        <button type="button" class="step-button" disabled={!onOpen} onClick={onOpen}>
          <span aria-hidden="true">{SIGNS[step.action] ?? '⚙️'}</span> {step.label}<span class="unseen">, {word}</span>
        </button>
        <button type="button" class="step-toggle" role="switch" aria-checked={isOn} aria-label={`Run “${step.label}”`} disabled={!onToggle} onClick={onToggle}>{isOn ? '✓' : '✕'}</button>
      </div>
      <TaskList tasks={step.tasks} note={step.note} failed={step.failed} />
    </>
  );
}

/** What the arrow before a step shows. */
export type ArrowState = 'idle' | 'filling' | 'done' | 'failed';

/** The arrow belongs to the real pair of steps: those that are skipped are looked past. */
export function arrowOf(steps: Step[], index: number, isOver: boolean): ArrowState {
  const isReal = (step: Step): boolean => step.enabled && step.status !== 'skipped';
  const next = steps[index];
  const before = steps.slice(0, index).findLast(isReal);
  if (!next || !isReal(next)) return 'idle';
  if (before && before.status !== 'completed') return 'idle';
  switch (next.status) {
    case 'completed': return 'done';
    case 'in_progress': case 'blocked': return 'filling';
    case 'failed': return 'failed';
    // Waiting: the arrow fills while the pause between the two steps lasts.
    default: return !isOver && before && steps.every((step) => step.status !== 'in_progress' && step.status !== 'failed' && step.status !== 'blocked') ? 'filling' : 'idle';
  }
}

function Arrow({ state }: { state: ArrowState }): JSX.Element {
  return <div class={`step-arrow ${state}`} data-arrow={state} aria-hidden="true">{state === 'done' ? '✓' : state === 'failed' ? '✕' : state === 'filling' ? <i class="ring" /> : '↓'}</div>;
}
