/**
 * Guesses at passwords are stopped where they come from (fault 86), and strangers who guess lock nobody else out:
 *
 *     user from one site:    5 in ten minutes --> locked for ten
 *     site, whatever user:  20 in ten minutes --> locked for ten
 *     user from everywhere: 50 in ten minutes --> locked for ten, but for sites that he logged in from before
 *
 * A site is an IPv4 address or an IPv6 /64. Who does not exist is locked like who does.
 */
import { siteOf } from '../host/site.ts';
import type { Ms } from '../units.ts';
import { LOGIN_RULE, LockOut, type LockOutRule } from './lock-out.ts';

export const SITE_RULE: LockOutRule = { ...LOGIN_RULE, after: 20 };
export const USER_RULE: LockOutRule = { ...LOGIN_RULE, after: 50 };

/** `isKnown`: this user logged in from there before. */
export interface Attempt {
  readonly user: string;
  readonly address: string;
  readonly isKnown: boolean;
}

const pairOf = ({ user, address }: Pick<Attempt, 'user' | 'address'>): string => `${siteOf(address) ?? address} ${user}`;
const siteKeyOf = ({ address }: Pick<Attempt, 'address'>): string => siteOf(address) ?? address;

export class LoginGuard {
  readonly #pairs = new LockOut(LOGIN_RULE);
  readonly #sites = new LockOut(SITE_RULE);
  readonly #users = new LockOut(USER_RULE);

  /** 0: he may try. */
  lockedForMs(attempt: Attempt, now: Ms): number {
    const { user, isKnown } = attempt;
    return Math.max(this.#pairs.lockedForMs(pairOf(attempt), now), this.#sites.lockedForMs(siteKeyOf(attempt), now), isKnown ? 0 : this.#users.lockedForMs(user, now));
  }

  fail(attempt: Attempt, now: Ms): void {
    this.#pairs.fail(pairOf(attempt), now);
    this.#sites.fail(siteKeyOf(attempt), now);
    // From where he is at home his own mistakes lock him nowhere else.
    if (!attempt.isKnown) this.#users.fail(attempt.user, now);
  }

  succeed(attempt: Attempt, now: Ms): void {
    // Nor is the site forgiven: an account of his own must not buy anybody more guesses at others.
    this.#pairs.succeed(pairOf(attempt), now);
  }

  /** Locks that concern this user: from wherever, and from single sites. */
  locksOf(user: string, now: Ms): { readonly everywhereForMs: number; readonly sites: readonly string[] } {
    const sites = this.#pairs.locked(now).flatMap(key => (key.endsWith(` ${user}`) ? [key.slice(0, -user.length - 1)] : []));
    return { everywhereForMs: this.#users.lockedForMs(user, now), sites };
  }

  /** The user may try again, and so may the sites that were locked for him. How many locks there were. */
  unlock(user: string, now: Ms): number {
    const { everywhereForMs, sites } = this.locksOf(user, now);
    this.#users.forget(user);
    this.#pairs.forgetAll(key => key.endsWith(` ${user}`));
    const opened = sites.filter(site => this.#sites.isLocked(site, now));
    for (const site of sites) this.#sites.forget(site);
    return sites.length + opened.length + (everywhereForMs > 0 ? 1 : 0);
  }
}

/** How long a site is remembered from which somebody logged in. */
export const KNOWN_SITE_MS = 30 * 86_400_000;
