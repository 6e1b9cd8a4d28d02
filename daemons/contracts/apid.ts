/** What apid offers over its RPC socket; what it offers over HTTP is its route table (daemons/apid/routes). */
import type { Role } from '#core/access/roles.ts';
import type { MergedRow } from '#core/api/user-merge.ts';
import type { Author } from './configd.ts';
import type { ReloadAnswer, ReloadParams } from './reload.ts';

export interface ApidStatus {
  readonly listening: readonly { readonly address: string; readonly port: number; readonly tls: boolean; /** Why it is not served there, and is tried again; null: it is. */ readonly why: string | null }[];
  /** SHA-256 of the certificate that is shown, in hex; null: none is. */
  readonly certificateSha256: string | null;
  /** It vouches for itself. */
  readonly selfSigned: boolean;
  readonly users: number;
  /** The first password was made and nobody has logged in with it. */
  readonly firstPasswordWaits: boolean;
  readonly accessTokens: number;
  readonly listeners: number;
  readonly webhooks: readonly WebhookRow[];
}

export interface WebhookRow {
  readonly name: string;
  /** Scheme and host, never path, query and secret. */
  readonly target: string;
  readonly state: 'idle' | 'sending' | 'waiting';
  readonly queued: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly lastDropWallMs: number | null;
  /** Of the one that it is asked to take now. */
  readonly failures: number;
  readonly why: string | null;
}

export interface UserSummary {
  readonly name: string;
  readonly kind: 'person' | 'platform';
  readonly roles: readonly Role[];
  /** Roles that an admin must agree to. */
  readonly waiting: readonly Role[];
  readonly disabled: boolean;
  /** Has a password for one log-in, or none yet. */
  readonly mustChangePassword: boolean;
  readonly lastLoginWallMs: number | null;
  /** Locked out after wrong passwords, from wherever he did not come before; 0: not. */
  readonly lockedForS: number;
  /** Addresses from which it is locked. */
  readonly lockedSites: readonly string[];
}

/** Roles that a security officer gave beyond his own. */
export interface WaitingRoles {
  readonly name: string;
  readonly holds: readonly Role[];
  readonly roles: readonly Role[];
  readonly by: string;
  readonly sinceWallMs: number;
  /** False: nobody has logged in yet and chosen a password. */
  readonly hasOwnPassword: boolean;
  readonly certificateSha256: string | null;
  readonly lastLoginWallMs: number | null;
}

/** A piece of what changed among users and API tokens. `seq`: up to there; `last`: there is no more. */
export interface UserChanges {
  /** Two nodes that share their users have the same one. */
  readonly line: string;
  readonly rows: readonly MergedRow[];
  readonly seq: number;
  readonly last: boolean;
}

export interface ApidRequests {
  status(params: Record<string, never>): ApidStatus;
  /** Shows the first log-in and takes it away; null: it was used or shown. Root only. */
  takeFirstPassword(params: Record<string, never>): { readonly user: string; readonly password: string } | null;
  users(params: Record<string, never>): readonly UserSummary[];
  /** PEER_UNKNOWN. How many locks there were. */
  unlockUser(params: { readonly author: Author; readonly name: string }): { readonly locks: number };
  /** PEER_UNKNOWN, BAD_REQUEST, CONFLICT. `waiting`: roles that an admin must agree to anew, because who asked is not one. */
  resetPassword(params: { readonly author: Author; readonly name: string }): { readonly password: string; readonly waiting: readonly Role[] };
  waitingRoles(params: Record<string, never>): readonly WaitingRoles[];
  /** NOT_PERMITTED to who gave them; CONFLICT: nothing waits, or nobody has chosen a password yet. */
  approveRoles(params: { readonly author: Author; readonly name: string }): { readonly roles: readonly Role[] };
  /** For the other node of a pair: users and tokens that changed since, in pieces. */
  userChanges(params: { readonly sinceSeq: number }): UserChanges;
  counters(params: Record<string, never>): Readonly<Record<string, number>>;
  reload(params: ReloadParams): ReloadAnswer;
}
