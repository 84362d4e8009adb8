/** Tiles, badges, bars and boxes: the pieces of the look. */
import type { ComponentChildren, JSX } from 'preact';
import { type Node, nodeState, type NodeState, type Status } from '../api/types';

/** A tile: a bar with a title, and what belongs to it below. */
export function Tile(props: { title: ComponentChildren; aside?: ComponentChildren; class?: string; id?: string; bare?: boolean; ticks?: boolean; children: ComponentChildren }): JSX.Element {
  return (
    <section class={`tile ${props.class ?? ''}`} id={props.id} {...(props.ticks && { 'data-clock': '' })} aria-label={typeof props.title === 'string' ? props.title : undefined}>
      <header>
        <h2>{props.title}</h2>
        <div class="grow row">{props.aside}</div>
      </header>
      {props.bare ? props.children : <div class="body">{props.children}</div>}
    </section>
  );
}

/** The tone of a status. */
export type Tone = 'ok' | 'run' | 'bad' | 'warn' | 'accent' | 'quiet' | 'grey';

/** A short word in capitals. */
export function Badge({ tone, pulse = false, children }: { tone: Tone; pulse?: boolean; children: ComponentChildren }): JSX.Element {
  return <span class={`badge ${tone} ${pulse ? 'pulse' : ''}`}>{children}</span>;
}

/** The words for a status, with its tone. */
export const STATUS: Record<Status, { word: string; tone: Tone; mark: string }> = {
  queued: { word: 'Queued', tone: 'grey', mark: '…' },
  executing: { word: 'Running', tone: 'run', mark: '' },
  completed: { word: 'Completed', tone: 'ok', mark: '✓' },
  failed: { word: 'Failed', tone: 'bad', mark: '×' },
  cancelled: { word: 'Cancelled', tone: 'grey', mark: '■' },
};

/** A status as a small sign; its word is there for screen readers. */
export function StatusIcon({ status, attention = false }: { status: Status; attention?: boolean }): JSX.Element {
  const over = attention && (status === 'queued' || status === 'executing');
  const { word, mark } = STATUS[status];
  return (
    <span class={`icon status-icon ${over ? 'attention' : status}`} title={over ? `${word}, needs attention` : word}>
      <span aria-hidden="true">{over ? '!' : mark}</span>
      <span class="unseen">{over ? `${word}, needs attention` : word}</span>
    </span>
  );
}

/** The words, signs and badges of a node's states. */
export const NODE: Record<NodeState, { word: string; badge: string; mark: string; tone: Tone }> = {
  waiting: { word: 'Waiting', badge: 'Pending', mark: '·', tone: 'grey' },
  running: { word: 'Running', badge: 'Running', mark: '▶', tone: 'run' },
  done: { word: 'Done', badge: 'Success', mark: '✓', tone: 'ok' },
  cached: { word: 'Cached', badge: 'Cached', mark: '⚡', tone: 'ok' },
  failed: { word: 'Failed', badge: 'Failed', mark: '×', tone: 'bad' },
  blocked: { word: 'Blocked', badge: 'Blocked', mark: '⊘', tone: 'grey' },
  interrupted: { word: 'Stopped', badge: 'Stopped', mark: '■', tone: 'run' },
  not_reached: { word: 'Not reached', badge: 'Not reached', mark: '○', tone: 'quiet' },
};

/** The state of a node as a badge. */
export function NodeBadge({ node }: { node: Node }): JSX.Element {
  const state = nodeState(node);
  return <Badge tone={NODE[state].tone} pulse={state === 'running'}>{NODE[state].badge}</Badge>;
}

/** What people call a node. */
export function nodeName(node: Node): string {
  return node.title || node.node_type || `Node ${node.node_id}`;
}

/** A bar that fills; `value` is 0 to 100. */
export function Bar(props: { value: number; tone?: string; thin?: boolean; label: string; quiet?: boolean }): JSX.Element {
  const value = Math.max(0, Math.min(100, props.value));
  const roles = props.quiet ? { 'aria-hidden': true } : { role: 'progressbar' as const, 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': Math.round(value), 'aria-label': props.label };
  return (
    <div class={`bar ${props.tone ?? 'run'} ${props.thin ? 'thin' : ''}`} {...roles}>
      <i style={{ transform: `scaleX(${value / 100})` }} />
    </div>
  );
}

/** A boxed message. */
export function Box(props: { tone: 'ok' | 'warn' | 'bad' | 'accent' | 'grey'; role?: 'alert' | 'status'; class?: string; children: ComponentChildren }): JSX.Element {
  return <div class={`box ${props.tone} ${props.class ?? ''}`} role={props.role}>{props.children}</div>;
}

/** What a place says that has nothing to show. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return <div class="empty"><strong>{title}</strong>{children}</div>;
}
