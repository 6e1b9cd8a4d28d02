/**
 * Tells when a source keeps losing packets, so that somebody may ask it for another transport (design.md 7):
 *
 *   counting ──more than the limit lost over a whole window──► told ──a minute later, still so──► told again
 *
 * Counted in steps of a second, from numbers that grow anyway: nothing is done per packet.
 */
import type { Ms } from '../units.ts';

const STEP_MS = 1000;
const STEPS = 10;
export const LOSS_WINDOW_MS = STEP_MS * STEPS;
const TELL_EVERY_MS = 60_000;
/** A handful of packets proves nothing. */
const LEAST_PACKETS = 100;

export class LossWatch {
  /** Totals at the beginning of each step. */
  readonly #received = new Float64Array(STEPS + 1);
  readonly #lost = new Float64Array(STEPS + 1);
  #steps = -1;
  #nextStepAt = -Infinity;
  #toldAt = -Infinity;

  /** When `update` has something to look at; before that it need not be called. */
  get due(): number {
    return this.#nextStepAt;
  }

  /** Percentage lost over the last window when that is to be told now. `received` and `lost`: since the source began. */
  update(received: number, lost: number, abovePercent: number, now: Ms): number | undefined {
    if (now < this.#nextStepAt) return undefined;
    // A pause, or a new beginning: the window starts over.
    if (now - this.#nextStepAt > 2 * STEP_MS) this.#steps = -1;
    this.#nextStepAt = now + STEP_MS;
    this.#steps++;
    const place = this.#steps % (STEPS + 1);
    this.#received[place] = received;
    this.#lost[place] = lost;
    if (this.#steps < STEPS) return undefined;
    const oldest = (this.#steps + 1) % (STEPS + 1);
    const came = received - this.#received[oldest]!;
    // What was thought lost may come late: fewer are missing now than then.
    const missing = Math.max(0, lost - this.#lost[oldest]!);
    const percent = (100 * missing) / (came + missing);
    if (came + missing < LEAST_PACKETS || percent <= abovePercent || now - this.#toldAt < TELL_EVERY_MS) return undefined;
    this.#toldAt = now;
    return percent;
  }
}
