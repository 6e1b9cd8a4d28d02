/**
 * Wrong passwords of one address, or for one user: after so many within a time it is locked out (faults.md 86). Bounded: of too
 * many the oldest is forgotten.
 *
 *     OPEN --fail--> COUNTING --`after` fails within `windowMs`--> LOCKED --lockMs--> OPEN
 *       ^                |  the window is over, or it succeeds
 *       +----------------+
 */
import type { Ms } from '../units.ts';

const MAX_KEPT = 4096;

export interface LockOutRule {
  readonly after: number;
  readonly windowMs: number;
  readonly lockMs: number;
}

/** Of the outlets: players try more than once by themselves. */
export const OUTLET_RULE: LockOutRule = { after: 10, windowMs: 60_000, lockMs: 600_000 };
/** Of people who log in (faults.md 7). */
export const LOGIN_RULE: LockOutRule = { after: 5, windowMs: 600_000, lockMs: 600_000 };

interface Failures {
  count: number;
  readonly since: number;
  lockedUntil: number;
}

export class LockOut {
  readonly #failures = new Map<string, Failures>();
  readonly #rule: LockOutRule;

  constructor(rule: LockOutRule = OUTLET_RULE) {
    this.#rule = rule;
  }

  isLocked(who: string, now: Ms): boolean {
    return this.lockedForMs(who, now) > 0;
  }

  /** 0: it is not. */
  lockedForMs(who: string, now: Ms): number {
    return Math.max(0, (this.#failures.get(who)?.lockedUntil ?? 0) - now);
  }

  /** True when this one locks it. */
  fail(who: string, now: Ms): boolean {
    const { after, windowMs, lockMs } = this.#rule;
    let failures = this.#failures.get(who);
    if (failures === undefined || (now - failures.since > windowMs && failures.lockedUntil <= now)) {
      this.#failures.delete(who);
      const oldest = this.#failures.size >= MAX_KEPT ? this.#failures.keys().next().value : undefined;
      if (oldest !== undefined) this.#failures.delete(oldest);
      this.#failures.set(who, (failures = { count: 0, since: now, lockedUntil: 0 }));
    }
    failures.count += 1;
    if (failures.count < after || failures.lockedUntil > now) return false;
    failures.lockedUntil = now + lockMs;
    return true;
  }

  /** Whoever is locked stays so. */
  succeed(who: string, now: Ms): void {
    if (!this.isLocked(who, now)) this.#failures.delete(who);
  }

  /** All that are locked now. */
  locked(now: Ms): readonly string[] {
    return [...this.#failures].flatMap(([who, { lockedUntil }]) => (lockedUntil > now ? [who] : []));
  }

  forget(who: string): void {
    this.#failures.delete(who);
  }

  forgetAll(which: (who: string) => boolean): void {
    for (const who of [...this.#failures.keys()]) if (which(who)) this.forget(who);
  }
}
