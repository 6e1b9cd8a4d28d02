/**
 * Drops what a slow viewer cannot take, by whole pictures, and lets it go on at the next key frame (fault 64).
 *
 *   flowing ──more than `maxWaitingBytes` wait, or the oldest for longer than `maxWaitingMs`──► dropping
 *   dropping ──little waits and a key frame comes (without video: anything)──► flowing
 *   dropping ──nothing was taken for `stallMs`──► stalled (the connection is dead in all but name)
 */
import type { Ms } from '../units.ts';
import type { MediaUnit } from './unit.ts';

export interface SlowViewerLimits {
  readonly maxWaitingBytes: number;
  readonly maxWaitingMs: number;
  readonly stallMs: number;
}

export const DEFAULT_LIMITS: SlowViewerLimits = { maxWaitingBytes: 8 * 1024 * 1024, maxWaitingMs: 2000, stallMs: 30_000 };
/** As good as empty: what one write to a socket takes. */
const DRAINED_BYTES = 64 * 1024;

export class SlowViewer {
  readonly #limits: SlowViewerLimits;
  #hasVideo = false;
  /** Since when something waits without a moment of nothing. */
  #waitingSince: Ms | undefined;
  #least = Infinity;
  #progressAt: Ms | undefined;
  state: 'flowing' | 'dropping' | 'stalled' = 'flowing';
  droppedUnits = 0;

  constructor(limits: SlowViewerLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  /** May this unit be sent? `waitingBytes`: what was given to the connection and not taken by the peer yet. */
  admit(unit: MediaUnit, waitingBytes: number, now: Ms): boolean {
    this.#hasVideo ||= unit.kind === 'video';
    this.#watch(waitingBytes, now);
    if (this.state === 'flowing' && this.#isBehind(waitingBytes, now)) this.state = 'dropping';
    else if (this.state === 'dropping' && waitingBytes <= DRAINED_BYTES && (unit.keyFrame || !this.#hasVideo)) {
      this.state = 'flowing';
      this.#waitingSince = undefined;
    }
    if (this.state === 'flowing') return true;
    this.droppedUnits += 1;
    return false;
  }

  #isBehind(waitingBytes: number, now: Ms): boolean {
    if (waitingBytes > this.#limits.maxWaitingBytes) return true;
    return this.#waitingSince !== undefined && now - this.#waitingSince > this.#limits.maxWaitingMs;
  }

  #watch(waitingBytes: number, now: Ms): void {
    if (waitingBytes <= DRAINED_BYTES) {
      this.#waitingSince = undefined;
      this.#progressAt = undefined;
      this.#least = Infinity;
      return;
    }
    this.#waitingSince ??= now;
    if (waitingBytes < this.#least || this.#progressAt === undefined) {
      this.#least = waitingBytes;
      this.#progressAt = now;
    } else if (this.state === 'dropping' && now - this.#progressAt >= this.#limits.stallMs) this.state = 'stalled';
  }
}
