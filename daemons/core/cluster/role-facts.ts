/** What the role of a node is decided on (role.ts). */
import type { Ms } from '../units.ts';
import type { ClusterRole } from './heartbeat.ts';

export type VrrpState = 'master' | 'backup' | 'fault' | 'stopped';

export interface RoleTiming {
  /** After the start, or after it stood still: the peer is listened for so long first. */
  readonly settleMs: number;
  /** Somebody who lost the role does not take it again within this time ... */
  readonly holdDownMs: number;
  /** ... unless nobody was heard to be active for so long. */
  readonly holdSilenceMs: number;
  /** The less preferred of two leaves the first word to the other for so long. */
  readonly patienceMs: number;
  /** What was given up is taken back when the peer did not take it within this time. */
  readonly giveBackMs: number;
  /** sipd lets go within this time, or is not waited for. */
  readonly demoteMs: number;
  /** Longer between two ticks: this node stood still, and others may have acted. */
  readonly stallMs: number;
  /** A peer that takes over because it does not hear us is given way to after this; less than keepalived needs. */
  readonly deafMs: number;
  /** The peer must be so much fitter for so long. */
  readonly fitterBy: number;
  readonly fitterMs: number;
  /** Who gave way because the network knows the address somewhere else waits so long for a word of the peer. */
  readonly elsewhereMs: number;
}

export const ROLE_TIMING: RoleTiming = { settleMs: 500, holdDownMs: 60_000, holdSilenceMs: 5000, patienceMs: 1000, giveBackMs: 2000, demoteMs: 500, stallMs: 1000, deafMs: 100, fitterBy: 20, fitterMs: 2000, elsewhereMs: 600_000 };

export interface RoleOptions {
  readonly name: string;
  readonly peerName: string;
  /** One is configured. */
  readonly hasWitness: boolean;
  readonly stateVersion: number;
  /** The highest that was ever seen here. */
  readonly term: number;
  /** clusterd alone was started anew: this node has the addresses, and is active with this term. */
  readonly resumes?: boolean;
  readonly timing: RoleTiming;
}

/** What the rules look at. */
export interface RoleFacts {
  readonly role: ClusterRole;
  readonly term: number;
  readonly vrrp: VrrpState;
  readonly witness: boolean;
  /** The witness answers the address of the pair somewhere else. */
  readonly elsewhere: boolean;
  readonly fitness: number;
  readonly settledAt: Ms;
  readonly lostAt: Ms | undefined;
  /** The role was left to a peer that only the witness knows of. */
  readonly yieldedAt: Ms | undefined;
  readonly leavingSince: Ms | undefined;
  readonly nobodySince: Ms | undefined;
  readonly fitterSince: Ms | undefined;
  readonly deafSince: Ms | undefined;
  readonly activeSince: Ms | undefined;
}
