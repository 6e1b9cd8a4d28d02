/** What is done to users, over HTTP and at the console alike. `By` is who does it and what he is. */
import type { UserSummary, WaitingRoles } from '#contracts/apid.ts';
import { type Appointment, appoint, withNewLogin } from '#core/access/appointment.ts';
import { type Role, mayDo, roleConflict } from '#core/access/roles.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import type { Random } from '#kit/random.ts';
import { type Doorman, oneTimePassword } from './doorman.ts';
import type { Passwords } from './passwords.ts';
import type { UserRow, UserStore, Waiting } from './user-store.ts';

export interface By {
  readonly user: string;
  /** At the console a name is that of a Unix user: the same name need not be the same person. */
  readonly via: 'api' | 'cli';
  readonly roles: readonly Role[];
}

export interface PeopleDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly users: UserStore;
  readonly passwords: Passwords;
  readonly doorman: Doorman;
}

const TRUSTED: readonly Role[] = ['admin', 'security', 'auditor'];
const appointmentOf = ({ roles, waiting }: UserRow): Appointment => ({ roles, waiting: waiting?.roles ?? [] });

export class People {
  readonly #deps: PeopleDeps;

  constructor(deps: PeopleDeps) {
    this.#deps = deps;
  }

  /** PEER_UNKNOWN. */
  found(name: string): UserRow {
    const row = this.#deps.users.user(name);
    if (row === undefined) throw new GatewayError('PEER_UNKNOWN', { name });
    return row;
  }

  /** Whom the console is shown. */
  summaries(): readonly UserSummary[] {
    const { users, doorman } = this.#deps;
    return users.users().map(({ name, kind, roles, waiting, disabled, mustChangePassword, lastLoginWallMs }) => {
      const { everywhereForMs, sites } = doorman.locksOf(name);
      return { name, kind, roles: [...roles], waiting: [...(waiting?.roles ?? [])], disabled, mustChangePassword, lastLoginWallMs, lockedForS: Math.ceil(everywhereForMs / 1000), lockedSites: [...sites] };
    });
  }

  /** `roles` given to `row` by somebody: what reaches beyond him waits. */
  appointed(row: UserRow, roles: readonly Role[], by: By): UserRow {
    return this.#with(row, appoint(roles, row.roles, by.roles), by);
  }

  /** `row`, now that somebody gave it a log-in which he could use himself. */
  withLogin(row: UserRow, by: By): UserRow {
    return by.via === 'api' && by.user === row.name ? row : this.#with(row, withNewLogin(appointmentOf(row), by.roles), by);
  }

  #with(row: UserRow, { roles, waiting }: Appointment, by: By): UserRow {
    const next: Waiting | null = waiting.length === 0 ? null : { roles: waiting, by: by.user, sinceWallMs: this.#deps.clock.wall() };
    return { ...row, roles, waiting: next };
  }

  /** A password for one log-in; every log-in ends. BAD_REQUEST: a platform has none. CONFLICT: nobody would be left for it. */
  async resetPassword(name: string, by: By): Promise<string> {
    const { random, passwords, users, doorman } = this.#deps;
    if (this.found(name).kind !== 'person') throw new GatewayError('BAD_REQUEST', { why: 'a platform has no password' });
    const password = oneTimePassword(random);
    const passwordHash = await passwords.hash(password);
    const next = { ...this.withLogin(this.found(name), by), passwordHash, mustChangePassword: true };
    this.keepsSecurity(next, name);
    users.put(next);
    doorman.unlock(name);
    doorman.end(name);
    return password;
  }

  /** Who waits for a second person. */
  waiting(): readonly WaitingRoles[] {
    return this.#deps.users.users().flatMap(({ name, roles, waiting, mustChangePassword, certificateSha256, lastLoginWallMs }) => (waiting === null ? [] : [{ name, holds: [...roles], roles: [...waiting.roles], by: waiting.by, sinceWallMs: waiting.sinceWallMs, hasOwnPassword: !mustChangePassword, certificateSha256, lastLoginWallMs }]));
  }

  /** NOT_PERMITTED to who gave it and to himself; CONFLICT: nothing waits, it is not what was looked at, or it is not ready. */
  approve(name: string, sinceWallMs: number | null, by: By): UserRow {
    const row = this.found(name);
    const { waiting } = row;
    if (waiting === null) throw new GatewayError('CONFLICT', { name, why: 'no role waits' });
    if (sinceWallMs !== null && waiting.sinceWallMs !== sinceWallMs) throw new GatewayError('CONFLICT', { name, why: 'it was changed meanwhile: look again' });
    if (by.user === waiting.by || by.user === name) throw new GatewayError('NOT_PERMITTED', { name, why: 'another person must agree' });
    if (row.mustChangePassword) throw new GatewayError('CONFLICT', { name, why: 'has not logged in and chosen a password yet' });
    const next: UserRow = { ...row, roles: [...row.roles, ...waiting.roles], waiting: null };
    this.judge(next);
    this.#deps.users.put(next);
    this.#deps.doorman.end(name);
    return next;
  }

  /** BAD_REQUEST: roles that exclude each other, what is for people only, rights over everything for who may not see everything. */
  judge(row: Pick<UserRow, 'kind' | 'roles' | 'channels' | 'waiting'>): void {
    const held = [...row.roles, ...(row.waiting?.roles ?? [])];
    const conflict = roleConflict(held);
    if (conflict !== null) throw new GatewayError('BAD_REQUEST', { field: 'roles', why: conflict });
    const isMore = held.some(role => TRUSTED.includes(role));
    if (row.kind === 'platform' && isMore) throw new GatewayError('BAD_REQUEST', { field: 'roles', why: 'a platform can be viewer or operator only' });
    if (!row.channels.includes('*') && isMore) throw new GatewayError('BAD_REQUEST', { field: 'channels', why: 'who may not see every channel can be viewer or operator only' });
  }

  /** CONFLICT: somebody must be left who can make users. */
  keepsSecurity(next: UserRow | undefined, name: string): void {
    const left = this.#deps.users.users().filter(row => row.name !== name);
    const all = next === undefined ? left : [...left, next];
    if (!all.some(row => !row.disabled && row.kind === 'person' && mayDo(row.roles, 'security'))) throw new GatewayError('CONFLICT', { why: 'nobody would be left with the role security' });
  }
}
