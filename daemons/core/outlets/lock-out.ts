/**
 * Wrong passwords of one address: after LOCK_AFTER within WINDOW_MS it is locked out for LOCK_MS (faults.md 86). Bounded: of too
 * many addresses the oldest is forgotten.
 */
import type { Ms } from '../units.ts';

const LOCK_AFTER = 10;
const WINDOW_MS = 60_000;
const LOCK_MS = 600_000;
const MAX_ADDRESSES = 4096;

interface Failures {
  count: number;
  readonly since: number;
  lockedUntil: number;
}

export class LockOut {
  readonly #failures = new Map<string, Failures>();

  isLocked(address: string, now: Ms): boolean {
    return (this.#failures.get(address)?.lockedUntil ?? 0) > now;
  }

  /** True when this one locks the address. */
  fail(address: string, now: Ms): boolean {
    let failures = this.#failures.get(address);
    if (failures === undefined || (now - failures.since > WINDOW_MS && failures.lockedUntil <= now)) {
      this.#failures.delete(address);
      const oldest = this.#failures.size >= MAX_ADDRESSES ? this.#failures.keys().next().value : undefined;
      if (oldest !== undefined) this.#failures.delete(oldest);
      this.#failures.set(address, (failures = { count: 0, since: now, lockedUntil: 0 }));
    }
    failures.count += 1;
    if (failures.count < LOCK_AFTER || failures.lockedUntil > now) return false;
    failures.lockedUntil = now + LOCK_MS;
    return true;
  }
}
