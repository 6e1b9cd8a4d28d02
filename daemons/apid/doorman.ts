/**
 * Who is at the door: passwords, tokens, certificates (faults.md 7). One log-in:
 *
 *   password --right--> access token (minutes, memory) + refresh token (hours, used once) --refresh--> new ones of the same family
 *            --wrong--> counted (core/access/login-guard): who guesses is locked out, and nobody else
 *   a refresh token that comes a second time was stolen by somebody: its whole family ends
 */
import { LOGIN_RULE, LockOut } from '#core/access/lock-out.ts';
import { type Attempt, KNOWN_SITE_MS, LoginGuard } from '#core/access/login-guard.ts';
import { type Access, ROLES } from '#core/access/roles.ts';
import { passwordProblem } from '#core/api/password-rules.ts';
import { siteOf } from '#core/host/site.ts';
import { TokenBook } from '#core/api/token-book.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Random } from '#kit/random.ts';
import { type Caller, accessesOf } from './caller.ts';
import { DoorError } from './failure.ts';
import type { Passwords } from './passwords.ts';
import type { TokenRow, UserRow, UserStore } from './user-store.ts';

const TOKEN_BYTES = 32;
/** Kinds are told by how they begin, so that a secret scanner finds one that was lost. */
const ACCESS_TOKEN = 'vla_';
const REFRESH_TOKEN = 'vlr_';
export const API_TOKEN = 'vlt_';
const MAX_HEADER = 256;
const HOUR_MS = 3_600_000;

export interface Tokens {
  readonly accessToken: string;
  readonly expiresInS: number;
  readonly refreshToken: string;
  readonly mustChangePassword: boolean;
  readonly roles: UserRow['roles'];
}

/** What the connection shows. */
export interface Shown {
  readonly authorization: string | undefined;
  /** SHA-256 of the client certificate, lower-case hex, if it is valid now. */
  readonly certificateSha256: string | undefined;
  readonly address: string;
}

export interface DoormanDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly store: UserStore;
  readonly passwords: Passwords;
  lives(): { readonly tokenMinutes: number; readonly refreshHours: number };
  /** Log-ins of this user ended: what he still hears ends too. */
  onEnd(user: string): void;
}

interface Session {
  readonly family: string;
  readonly user: string;
}

export class Doorman {
  readonly #deps: DoormanDeps;
  readonly #tokens = new TokenBook<Session>();
  readonly #guard = new LoginGuard();
  /** Of who is in already: strangers have no part in it. */
  readonly #ownMistakes = new LockOut(LOGIN_RULE);

  constructor(deps: DoormanDeps) {
    this.#deps = deps;
  }

  get accessTokens(): number {
    return this.#tokens.size;
  }

  /** Undefined: nobody that we know. */
  recognize({ authorization, certificateSha256, address }: Shown): Caller | undefined {
    if (authorization !== undefined) return this.#byToken(authorization, address);
    const user = certificateSha256 === undefined ? undefined : this.#deps.store.byCertificate(certificateSha256);
    return user === undefined || user.disabled ? undefined : callerOf(user, address, { how: 'certificate', certificateSha256 });
  }

  #byToken(authorization: string, address: string): Caller | undefined {
    const token = authorization.length <= MAX_HEADER ? /^Bearer +([\w-]+)$/i.exec(authorization)?.[1] : undefined;
    if (token === undefined) return undefined;
    const { store, clock } = this.#deps;
    const hash = this.hashOf(token);
    if (token.startsWith(ACCESS_TOKEN)) {
      const found = this.#tokens.find(hash, clock.now());
      const user = found && store.user(found.owner.user);
      return user === undefined || user.disabled ? undefined : callerOf(user, address, { how: 'password', tokenHash: hash, until: found!.until });
    }
    const kept = token.startsWith(API_TOKEN) ? store.token(hash) : undefined;
    if (kept?.kind !== 'api' || (kept.expiresAtWallMs !== null && kept.expiresAtWallMs <= clock.wall())) return undefined;
    const user = store.user(kept.user);
    return user === undefined || user.disabled ? undefined : callerOf(user, address, { how: 'token', tokenHash: hash, limit: limitOf(kept) });
  }

  hashOf(token: string): string {
    return this.#deps.hashes.sha256(token);
  }

  newToken(prefix: string): string {
    return `${prefix}${Buffer.from(this.#deps.random.bytes(TOKEN_BYTES)).toString('base64url')}`;
  }

  /** UNAUTHENTICATED, whatever is wrong; LOCKED_OUT. */
  async login(name: string, password: string, address: string): Promise<Tokens> {
    const { clock, store, passwords } = this.#deps;
    const attempt: Attempt = { user: name, address, isKnown: store.knowsSite(name, siteOf(address) ?? address, clock.wall() - KNOWN_SITE_MS) };
    this.#refuseLocked(attempt);
    if (passwords.isBusy) throw new DoorError('TOO_MANY_REQUESTS', { retryAfterS: 1 });
    const user = store.user(name);
    const right = await passwords.verify(password, user?.passwordHash ?? null);
    // Whoever tried while this one was looked at may have locked it.
    this.#refuseLocked(attempt);
    if (!right || user === undefined || user.disabled) {
      this.#guard.fail(attempt, clock.now());
      throw new DoorError('UNAUTHENTICATED', { why: 'wrong name or password' });
    }
    this.#guard.succeed(attempt, clock.now());
    store.putSite(name, siteOf(address) ?? address, clock.wall());
    store.put({ ...user, lastLoginWallMs: clock.wall() });
    return this.#issue(user, this.#deps.random.hex(8));
  }

  /** UNAUTHENTICATED. */
  refresh(token: string): Tokens & { readonly user: string } {
    const { store, clock } = this.#deps;
    const hash = this.hashOf(token);
    const kept = token.startsWith(REFRESH_TOKEN) ? store.token(hash) : undefined;
    if (kept?.kind !== 'refresh' || kept.expiresAtWallMs === null || kept.expiresAtWallMs <= clock.wall()) throw new DoorError('UNAUTHENTICATED');
    const user = store.user(kept.user);
    if (kept.used || user === undefined || user.disabled) {
      store.deleteFamily(kept.user, kept.label);
      this.#tokens.revokeUser(kept.user);
      this.#deps.onEnd(kept.user);
      throw new DoorError('UNAUTHENTICATED');
    }
    store.putToken({ ...kept, used: true }, clock.wall());
    return { ...this.#issue(user, kept.label), user: user.name };
  }

  logout({ user, tokenHash }: Caller): void {
    const session = tokenHash === null ? undefined : this.#tokens.find(tokenHash, this.#deps.clock.now());
    if (session === undefined || tokenHash === null) return;
    this.#tokens.revoke(tokenHash);
    this.#deps.store.deleteFamily(user, session.owner.family);
    this.#deps.onEnd(user);
  }

  /** Ends every log-in of this user, and begins a new one. LOCKED_OUT after too many wrong old ones. */
  async changePassword(name: string, before: string, after: string): Promise<Tokens> {
    const { store, passwords, clock } = this.#deps;
    const user = store.user(name);
    if (user === undefined) throw new DoorError('UNAUTHENTICATED');
    refuse(this.#ownMistakes.lockedForMs(name, clock.now()));
    if (!(await passwords.verify(before, user.passwordHash))) {
      this.#ownMistakes.fail(name, clock.now());
      throw new DoorError('UNAUTHENTICATED', { why: 'wrong password' });
    }
    const problem = passwordProblem(after, name, before);
    if (problem !== null) throw new GatewayError('BAD_REQUEST', { field: 'newPassword', why: problem });
    const next: UserRow = { ...user, passwordHash: await passwords.hash(after), mustChangePassword: false };
    store.put(next);
    this.end(name);
    return this.#issue(next, this.#deps.random.hex(8));
  }

  /** Every log-in of this user. */
  end(name: string): void {
    this.#tokens.revokeUser(name);
    this.#deps.store.deleteRefreshTokens(name);
    this.#deps.onEnd(name);
  }

  /** A user who can make the others, when there is none: with a password for one log-in. Undefined: somebody is there already. `isKnown`: the password that was made before can still be read. */
  async firstUser(isKnown: boolean): Promise<string | undefined> {
    const { store, passwords, clock, random } = this.#deps;
    const users = store.users();
    const [only] = users;
    const waits = users.length === 1 && only!.mustChangePassword && only!.lastLoginWallMs === null && only!.name === FIRST_USER;
    if (users.length > 0 && (!waits || isKnown)) return undefined;
    const password = oneTimePassword(random);
    store.put({ name: FIRST_USER, kind: 'person', roles: ['admin', 'security'], waiting: null, channels: ['*'], passwordHash: await passwords.hash(password), mustChangePassword: true, disabled: false, certificateSha256: null, createdAtWallMs: clock.wall(), lastLoginWallMs: null });
    return password;
  }

  #issue(user: UserRow, family: string): Tokens {
    const { clock, store, lives } = this.#deps;
    const { tokenMinutes, refreshHours } = lives();
    const [accessToken, refreshToken] = [this.newToken(ACCESS_TOKEN), this.newToken(REFRESH_TOKEN)];
    this.#tokens.issue(this.hashOf(accessToken), user.name, { family, user: user.name }, tokenMinutes * 60_000, clock.now());
    const nowWallMs = clock.wall();
    store.putToken({ hash: this.hashOf(refreshToken), kind: 'refresh', user: user.name, label: family, accesses: null, reach: null, used: false, createdAtWallMs: nowWallMs, expiresAtWallMs: nowWallMs + refreshHours * HOUR_MS }, nowWallMs);
    return { accessToken, expiresInS: tokenMinutes * 60, refreshToken, mustChangePassword: user.mustChangePassword, roles: user.roles };
  }

  /** Who is locked out of this name now. */
  locksOf(name: string): ReturnType<LoginGuard['locksOf']> {
    return this.#guard.locksOf(name, this.#deps.clock.now());
  }

  /** How many locks there were. */
  unlock(name: string): number {
    const { clock } = this.#deps;
    const own = this.#ownMistakes.isLocked(name, clock.now()) ? 1 : 0;
    this.#ownMistakes.forget(name);
    return own + this.#guard.unlock(name, clock.now());
  }

  #refuseLocked(attempt: Attempt): void {
    refuse(this.#guard.lockedForMs(attempt, this.#deps.clock.now()));
  }
}

function refuse(lockedMs: number): void {
  if (lockedMs > 0) throw new DoorError('LOCKED_OUT', { retryAfterS: Math.ceil(lockedMs / 1000) });
}

/** Null: all that its user may. */
const limitOf = ({ accesses, reach }: TokenRow): readonly Access[] | null => (reach === null ? accesses : (accesses ?? reach).filter(access => reach.includes(access)));

export const FIRST_USER = 'admin';

/** Without letters and digits that look alike: 80 bits. */
const ALPHABET = 'abcdefghjkmnpqrstuvwxyz23456789'.padEnd(32, 'A');

export function oneTimePassword(random: Random): string {
  const group = (): string => Array.from({ length: 4 }, () => ALPHABET[random.int(ALPHABET.length)]).join('');
  return Array.from({ length: 4 }, group).join('-');
}

function callerOf(user: UserRow, address: string, by: { readonly how: Caller['how']; readonly tokenHash?: string; readonly until?: Caller['until']; readonly certificateSha256?: string | undefined; readonly limit?: readonly Access[] | null }): Caller {
  const roles = user.roles.filter(role => ROLES.includes(role));
  return {
    user: user.name,
    roles,
    accesses: accessesOf(roles, by.limit ?? null),
    channels: user.channels,
    how: by.how,
    mustChangePassword: by.how === 'password' && user.mustChangePassword,
    tokenHash: by.tokenHash ?? null,
    certificateSha256: by.certificateSha256 ?? null,
    until: by.until ?? null,
    address,
  };
}
