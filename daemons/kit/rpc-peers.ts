/** What whoever connected to a daemon may ask of it: by its Unix user, against one table a contract. */
import type { Socket } from 'node:net';
import { type Needs, neededOf } from '#core/access/roles.ts';
import type { Accounts, Rights } from './accounts.ts';
import { peerOf, peersAreKnown } from './peer-credentials.ts';

/** What each method needs; `daemons`: nobody but the daemons themselves, and root. */
export type RpcAccess<Requests> = { readonly [Method in keyof Requests]: Needs | 'daemons' };

export interface RpcPeer {
  /** Null: the kernel does not say, or it has no name. */
  readonly user: string | null;
  readonly rights: Rights;
}

/** Where peers cannot be told apart the mode of the socket is all that stands between: group viewlink. */
const ANYBODY: RpcPeer = { user: null, rights: 'all' };

/** Null: it has no right at all here. */
export function admit(socket: Socket, accounts: Accounts): RpcPeer | null {
  if (!peersAreKnown()) return ANYBODY;
  const credentials = peerOf(socket);
  if (credentials === null) return null;
  const rights = accounts.rightsOf(credentials);
  return rights.length === 0 ? null : { user: accounts.nameOf(credentials.uid), rights };
}

/** Null: it may. A person speaks for nobody else: what is written down of it stands under its own name. */
export function refusalOf({ user, rights }: RpcPeer, needs: Needs | 'daemons' | undefined, params: unknown): Readonly<Record<string, string>> | null {
  if (rights === 'all') return null;
  if (needs === undefined || needs === 'daemons') return { why: 'only the daemons may' };
  const missing = neededOf(needs).find(access => !rights.includes(access));
  if (missing !== undefined) return { needs: missing, why: `not permitted to ${user ?? 'this user'}` };
  const author = authorIn(params);
  return author === null || (author.user === user && author.via === 'cli') ? null : { why: `${user ?? 'this user'} cannot act as somebody else` };
}

function authorIn(params: unknown): { readonly user?: unknown; readonly via?: unknown } | null {
  if (typeof params !== 'object' || params === null || !('author' in params)) return null;
  return typeof params.author === 'object' && params.author !== null ? params.author : {};
}
