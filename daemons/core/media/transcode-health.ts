/**
 * Whether a transcoder process lives, and when it is started again (faults 74, 76).
 *
 *   down ──start──► starting ──first output──► running ──told that its input ended──► down
 *                      │ no output for `firstOutputMs`     │ no output for `stallMs` although it got input
 *                      │ died                              │ died, floods, writes what cannot be read
 *                      └──────────► waiting ◄──────────────┘
 *                waiting ──delay over──► starting
 *                waiting ──`maxFailures` within `failureWindowMs`──► failed (for good)
 *
 * A new shape of the source (`reshape`) is a start without a failure, but not more often than one a second.
 */
import { addMs, type Ms, NEVER } from '../units.ts';

export interface HealthLimits {
  readonly firstOutputMs: number;
  readonly stallMs: number;
  /** Before the first start anew; doubles up to the longest. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  readonly maxFailures: number;
  readonly failureWindowMs: number;
  readonly reshapeMs: number;
}

export const HEALTH_LIMITS: HealthLimits = { firstOutputMs: 8000, stallMs: 4000, firstDelayMs: 100, longestDelayMs: 800, maxFailures: 8, failureWindowMs: 30_000, reshapeMs: 1000 };

export type HealthState = 'down' | 'starting' | 'running' | 'waiting' | 'failed';

export class TranscodeHealth {
  readonly #limits: HealthLimits;
  #failures: Ms[] = [];
  #startedAt = -Infinity as Ms;
  /** Since when input waits for an answer. */
  #owesSince: Ms | undefined;
  #wakeAt: Ms = NEVER;
  state: HealthState = 'down';
  starts = 0;

  constructor(limits: HealthLimits = HEALTH_LIMITS) {
    this.#limits = limits;
  }

  /** When `onDue` wants to be called. */
  get deadline(): Ms {
    if (this.state === 'waiting') return this.#wakeAt;
    if (this.#owesSince === undefined || (this.state !== 'starting' && this.state !== 'running')) return NEVER;
    return addMs(this.#owesSince, this.state === 'starting' ? this.#limits.firstOutputMs : this.#limits.stallMs);
  }

  get failures(): number {
    return this.#failures.length;
  }

  started(now: Ms): void {
    this.state = 'starting';
    this.starts += 1;
    this.#startedAt = now;
    this.#owesSince = undefined;
  }

  /** Something was written to it. */
  fed(now: Ms): void {
    this.#owesSince ??= now;
  }

  /** Something came out of it. */
  answered(): void {
    this.#owesSince = undefined;
    if (this.state === 'starting') this.state = 'running';
  }

  /** It died, or was killed for a reason. `failed` afterwards: not again. */
  died(now: Ms): void {
    if (this.state === 'failed' || this.state === 'waiting') return;
    this.#failures = [...this.#failures.filter(at => now - at < this.#limits.failureWindowMs), now];
    if (this.#failures.length >= this.#limits.maxFailures) {
      this.state = 'failed';
      return;
    }
    const delayMs = Math.min(this.#limits.longestDelayMs, this.#limits.firstDelayMs * 2 ** (this.#failures.length - 1));
    this.#wait(addMs(now, delayMs));
  }

  /** What it is given changed: it is ended and started with a new command. */
  reshape(now: Ms): void {
    if (this.state !== 'failed') this.#wait(addMs(this.#startedAt, this.#limits.reshapeMs) > now ? addMs(this.#startedAt, this.#limits.reshapeMs) : now);
  }

  stop(): void {
    if (this.state !== 'failed') this.state = 'down';
  }

  /** The deadline came: start it, or it hangs and must be killed; null: too early. */
  onDue(now: Ms): 'start' | 'hangs' | null {
    if (now < this.deadline) return null;
    return this.state === 'waiting' ? 'start' : 'hangs';
  }

  #wait(until: Ms): void {
    this.state = 'waiting';
    this.#wakeAt = until;
    this.#owesSince = undefined;
  }
}
