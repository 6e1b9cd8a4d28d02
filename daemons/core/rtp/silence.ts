/**
 * Notices that a source fell silent, once per silence:
 *
 *   idle ──start──► waiting ──packet──► flowing ◄──packet (resumed)── silent
 *                      │                   │                            ▲
 *                      └────── no packet for silenceMs ─────────────────┘
 *
 * A packet only notes its time; the deadline is moved lazily when it comes due, so that the hot path sets no timer. Who comes late to it
 * stood still himself and may not have read what came: the source has its time once more.
 */
import { type Ms, NEVER, addMs } from '../units.ts';

/** No machine that is merely busy is so late. */
const STOOD_STILL_MS = 1000;

export type FlowState = 'idle' | 'waiting' | 'flowing' | 'silent';

export class SilenceWatch {
  readonly #silenceMs: number;
  #lastAt: Ms = NEVER;
  state: FlowState = 'idle';

  constructor(silenceMs: number) {
    this.#silenceMs = silenceMs;
  }

  start(now: Ms): void {
    this.#lastAt = now;
    this.state = 'waiting';
  }

  stop(): void {
    this.state = 'idle';
  }

  /** True for the first packet, and for the first one after a reported silence. */
  packet(now: Ms): boolean {
    this.#lastAt = now;
    if (this.state === 'flowing') return false;
    this.state = 'flowing';
    return true;
  }

  get deadline(): Ms {
    return this.state === 'waiting' || this.state === 'flowing' ? addMs(this.#lastAt, this.#silenceMs) : NEVER;
  }

  /** How long it has been silent, when that is to be reported now. */
  tick(now: Ms): number | undefined {
    const lateMs = now - this.deadline;
    if (lateMs < 0) return undefined;
    if (lateMs >= STOOD_STILL_MS) {
      this.#lastAt = now;
      return undefined;
    }
    this.state = 'silent';
    return now - this.#lastAt;
  }
}
