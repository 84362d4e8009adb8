/** What the pages of a browser and the one connection of that browser say to each other. */
import type { Problem } from '../api/client';
import type { Summary } from '../api/types';
import type { LiveRun } from './merge';

/** Where the connection is. */
export type LinkState = 'connecting' | 'live' | 'lost' | 'denied';

/** The newest picture of a running sampler. */
export interface Picture {
  number: number;
  node_id?: string;
  media_type: string;
  url: string;
}

/** What may have changed, so that who shows it reads it again. */
export type Hint = 'setups' | 'instances' | 'workflows';

/** From a page. */
export type Asked =
  | { say: 'watch'; runs: string[] }
  | { say: 'alive' }
  /** Try at once; `again` is to be told how the link is. */
  | { say: 'retry'; again?: true }
  | { say: 'bye' };

/** To a page. */
export type Told =
  | { say: 'link'; state: LinkState; since: number; tries: number }
  | { say: 'list'; runs: Summary[] }
  | { say: 'run'; run: Summary }
  | { say: 'deleted'; id: string }
  | { say: 'hint'; of: Hint }
  | { say: 'state'; id: string; run: LiveRun }
  | { say: 'patch'; id: string; patch: unknown }
  | { say: 'picture'; id: string; picture: Picture }
  | { say: 'missing'; id: string; problem: Pick<Problem, 'code' | 'message' | 'hint'> };

/** A page's end of the connection. */
export interface Wire {
  send(message: Told): void;
}
