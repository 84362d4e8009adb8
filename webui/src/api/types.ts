/** The shapes that the server answers with, by the names that this page uses for them. */
import type { components } from './schema';

type Schemas = components['schemas'];

/** A run in full. The live stream leaves out what would be null, so read optional members with `??` or `!= null`. */
export type Run = Schemas['RunView'];
/** One node of a run. */
export type Node = Schemas['NodeView'];
/** One output of a run. */
export type Output = Schemas['OutputView'];
/** A run in a list. */
export type Summary = Schemas['Summary'];
/** What a run waits for. */
export type Attention = Schemas['AttentionView'];
/** One HTTP call that answers an attention. */
export type Action = Schemas['ActionView'];
/** Why a run failed. */
export type RunError = Schemas['ErrorView'];
/** One of the five words. */
export type Status = Schemas['Status'];
/** A ComfyUI. */
export type Instance = Schemas['InstanceView'];
/** What an instance tells of itself now. */
export type InstanceNow = Schemas['StatsView'];
/** The verdict on the way to an instance. */
export type TestReport = Schemas['TestReport'];
/** A template in the list. */
export type Template = Schemas['WorkflowRow'];
/** A template with its form. */
export type TemplateDetail = Schemas['WorkflowDetail'];
/** One input of a form. */
export type Field = Schemas['Field'];
/** A list of steps. */
export type Setup = Schemas['SetupState'];
/** One step of a list. */
export type SetupStep = Schemas['StepState'];
/** One task under a step. */
export type SetupTask = Schemas['TaskState'];
/** What a refused request answers. */
export type ProblemBody = Schemas['Problem'];

/** An input of a node: a value, or the output of another node. */
export type GraphInput = unknown;
/** One node of a graph in API format. */
export interface GraphNode {
  class_type: string;
  inputs: Record<string, GraphInput>;
  _meta?: { title?: string };
}
/** What a run was asked to do. */
export interface RunWorkflow {
  run_id: string;
  workflow: Record<string, GraphNode>;
  expected_ms: Record<string, number>;
  uploads: { node_id: string; input: string; file_name: string; sha256: string }[];
  /** Where its canvas is, if it was drawn on one. */
  canvas?: string | null;
}

/** A recorded event. */
export interface LogLine {
  seq: number;
  at: string;
  event: { kind: string; version: number; data: unknown };
}

/** What a node is doing, in the order of urgency. */
export const NODE_STATES = ['failed', 'running', 'interrupted', 'blocked', 'waiting', 'not_reached', 'cached', 'done'] as const;
export type NodeState = (typeof NODE_STATES)[number];

/** The state of a node as one of the known words; a newer server may say others. */
export function nodeState(node: Node): NodeState {
  return NODE_STATES.find((state) => state === node.state) ?? 'waiting';
}

/** Whether a run is over. */
export function isOver(status: Status): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}
