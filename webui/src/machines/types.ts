/** What machines that are reached over SSH have besides; absent where they are reached by an address. */
import type { Instance, TestReport } from '../api/types';

/** A host key. */
export interface HostKey {
  /** The machine: its host, or `[host]:port`. */
  machine: string;
  algorithm?: string | null;
  /** `SHA256:` and 43 characters. */
  fingerprint: string;
}

/** What stands in the way to a machine. */
export interface Obstacle {
  kind: string;
  machine?: string | null;
  fingerprint?: string | null;
}

/** An instance, however it is reached. */
export type Machine = Instance & { ssh_connection?: string | null; trusted?: HostKey[] | null; obstacle?: Obstacle | null };
/** A verdict, with the key that nobody has accepted yet. */
export type Verdict = TestReport & { host_key?: HostKey | null };
