/** The users and groups of this machine, read again once a minute: whoever leaves a group loses its role within that time. */
import { readFileSync } from 'node:fs';
import { isDaemonUser, rolesOfUser, unixAccounts, type UnixAccounts } from '#core/access/unix-accounts.ts';
import { ACCESS_OF, type Access, roleConflict, type Role } from '#core/access/roles.ts';
import type { Ms } from '#core/units.ts';
import { type Clock, systemClock } from './clock.ts';
import type { PeerCredentials } from './peer-credentials.ts';

const REFRESH_MS = 60_000;
const ROOT_UID = 0;

/** What somebody may ask of a daemon. `all`: root, and the daemons among each other. */
export type Rights = 'all' | readonly Access[];

export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}
export const SYSTEM_FILES: AccountFiles = { passwd: '/etc/passwd', group: '/etc/group' };

export class Accounts {
  readonly #files: AccountFiles;
  readonly #clock: Clock;
  #known: UnixAccounts = { users: new Map(), groups: [] };
  #readAt: Ms | undefined;

  constructor(files: AccountFiles = SYSTEM_FILES, clock: Clock = systemClock) {
    this.#files = files;
    this.#clock = clock;
  }

  nameOf(uid: number): string | null {
    return this.#fresh().users.get(uid)?.name ?? null;
  }

  rolesOf(uid: number, gids: readonly number[]): readonly Role[] {
    const roles = rolesOfUser(this.#fresh(), uid, gids);
    // Who was put into groups that exclude each other has the lesser one: reading the log.
    return roleConflict(roles) === null ? roles : ['auditor'];
  }

  rightsOf({ uid, gid }: PeerCredentials): Rights {
    if (uid === ROOT_UID || uid === process.getuid?.() || isDaemonUser(this.#fresh(), uid)) return 'all';
    return [...new Set(this.rolesOf(uid, [gid]).flatMap(role => ACCESS_OF[role]))];
  }

  #fresh(): UnixAccounts {
    const now = this.#clock.now();
    if (this.#readAt !== undefined && now - this.#readAt < REFRESH_MS) return this.#known;
    this.#readAt = now;
    this.#known = unixAccounts(textOf(this.#files.passwd), textOf(this.#files.group));
    return this.#known;
  }
}

/** Nobody is in a group that cannot be read. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
