/**
 * The way of one push to a server and back to it after every failure:
 *
 *   idle ──start──► connecting ──the server takes it──► opening ──the channel is open──► pushing
 *                      ▲   └──────────────failed───────────┴──────────────failed────────────┘
 *                      └──after a wait, doubled with each failure── waiting ◄──┘
 *   any ──stop──► stopped
 *
 * The server first: a camera is not asked for pictures that nobody takes. A push that ran for STEADY_MS begins with the short wait again.
 */
import { type Ms, NEVER, addMs } from '../units.ts';

const STEADY_MS = 30_000;
const MAX_DOUBLINGS = 6;
/** Longest wait, in times of the first. */
const MAX_TIMES = 12;

export type PushState = 'idle' | 'connecting' | 'opening' | 'pushing' | 'waiting' | 'stopped';

export class PushCourse {
  readonly #firstWaitMs: number;
  #failures = 0;
  #pushingSince: Ms | undefined;
  state: PushState = 'idle';
  deadline: Ms = NEVER;

  constructor(firstWaitMs: number) {
    this.#firstWaitMs = firstWaitMs;
  }

  /** To be connected now. */
  start(): void {
    if (this.state === 'idle') this.state = 'connecting';
  }

  taken(): boolean {
    if (this.state !== 'connecting') return false;
    this.state = 'opening';
    return true;
  }

  opened(now: Ms): boolean {
    if (this.state !== 'opening') return false;
    this.state = 'pushing';
    this.#pushingSince = now;
    return true;
  }

  /** Everything of this attempt is to be given up. Answers the wait; undefined when there was no attempt. */
  failed(now: Ms): number | undefined {
    if (this.state !== 'connecting' && this.state !== 'opening' && this.state !== 'pushing') return undefined;
    const steady = this.#pushingSince !== undefined && now - this.#pushingSince >= STEADY_MS;
    this.#failures = steady ? 0 : this.#failures;
    const waitMs = this.#firstWaitMs * Math.min(2 ** Math.min(this.#failures, MAX_DOUBLINGS), MAX_TIMES);
    this.#failures += 1;
    this.#pushingSince = undefined;
    this.state = 'waiting';
    this.deadline = addMs(now, waitMs);
    return waitMs;
  }

  /** True: to be connected now. */
  tick(now: Ms): boolean {
    if (this.state !== 'waiting' || now < this.deadline) return false;
    this.deadline = NEVER;
    this.state = 'connecting';
    return true;
  }

  stop(): void {
    this.state = 'stopped';
    this.deadline = NEVER;
  }
}
