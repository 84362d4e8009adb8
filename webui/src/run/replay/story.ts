/** What the events of a run tell beside its state: when its phases began, when the link was lost, how its nodes went from step to step. */
import type { Node } from '../../api/types';
import type { Tape } from './tape';

/** What was told so far, in the order of time. */
export interface Story {
  /** The events that were taken in: all up to this one. */
  told: number;
  phases: { phase: string; at: number }[];
  /** Stretches without a link; the last may have no end yet. */
  losses: { from: number; to: number | undefined }[];
  /** Each time the prompt was sent. */
  attempts: { at: number }[];
  /** The first and the last step that each node told of. */
  steps: Map<string, { first: Step; last: Step }>;
}

interface Step {
  at: number;
  step: number;
}

/** What is looked at of a change; each part may be missing. */
interface Change {
  phase?: string;
  attention?: { kind?: string } | null;
  nodes?: Record<string, Partial<Node> | null>;
}

/** A story of which nothing was told. */
export function newStory(): Story {
  return { told: 0, phases: [], losses: [], attempts: [], steps: new Map() };
}

/** Takes in what has come since. */
export function tell(story: Story, tape: Tape): void {
  for (let seq = story.told + 1; seq <= tape.filled; seq += 1) {
    take(story, tape.at[seq] ?? 0, tape.kinds[seq] ?? '', tape.change(seq) as Change);
    story.told = seq;
  }
}

function take(story: Story, at: number, kind: string, change: Change): void {
  if (change.phase !== undefined && change.phase !== story.phases.at(-1)?.phase) story.phases.push({ phase: change.phase, at });
  if (kind === 'submit_intended') story.attempts.push({ at });
  const open = story.losses.at(-1);
  const raised = kind === 'attention_raised' ? change.attention?.kind : undefined;
  if (raised === 'unreachable') {
    if (!open || open.to !== undefined) story.losses.push({ from: at, to: undefined });
  } else if (open && open.to === undefined && (raised !== undefined || /^(attention_cleared|completed|failed|cancelled)$/.test(kind))) open.to = at;
  for (const [id, node] of Object.entries(change.nodes ?? {})) {
    const step = node?.step;
    if (typeof step !== 'number' || step < 1) continue;
    const known = story.steps.get(id);
    if (known) known.last = { at, step };
    else story.steps.set(id, { first: { at, step }, last: { at, step } });
  }
}

/** How long a node took before its first step, less what a step takes: it loaded a model, as a rule. Nothing if that is short. */
export function loadingOf(story: Story, id: string, begun: number): number | undefined {
  const known = story.steps.get(id);
  if (!known || known.last.step <= known.first.step) return undefined;
  const each = (known.last.at - known.first.at) / (known.last.step - known.first.step);
  const before = known.first.at - begun - each * known.first.step;
  return before > 1000 && before > 2 * each ? before : undefined;
}
