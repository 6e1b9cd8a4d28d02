/** Time stamps of one elementary stream as a continuous line: wraps taken out, missing ones estimated, 8 kHz ticks scaled. */

const HALF_WRAP = 2 ** 31;
const WRAPS = [2 ** 32, 2 ** 33] as const;
/** 90000 / 8000: G.711 time stamps that count samples (gb28181.md 6.6 rule 7). */
const SAMPLES_TO_TICKS = 11.25;
/** Steps that must look like samples before the clock is taken for one. */
const CONFIRMATIONS = 3;

export interface StampedAt {
  /** Continuous: may exceed 33 bits after a wrap. */
  readonly pts90k: number;
  /** There was no PTS: the last one plus what was expected. */
  readonly estimated: boolean;
}

export class TimestampTrack {
  /** The last stamp that was there, and where it stands on the line. */
  #anchor: { readonly raw: number; readonly at: number } | undefined;
  #last: number | undefined;
  #expectedTicks = 0;
  #samplesBefore = 0;
  #sampleSteps = 0;
  #countsSamples = false;

  /** The sender counts 8 kHz samples although the field is 90 kHz. */
  get countsSamples(): boolean {
    return this.#countsSamples;
  }

  /** `raw`: as it stood, 33 bits. `expectedTicks`: how long this unit lasts. `samples`: of 8 kHz audio in it, else 0. */
  next(raw: number | undefined, expectedTicks: number, samples = 0): StampedAt {
    const at = raw === undefined ? this.#estimate() : this.#follow(raw);
    if (raw !== undefined) this.#anchor = { raw, at };
    this.#last = at;
    this.#expectedTicks = expectedTicks;
    this.#samplesBefore = raw === undefined ? 0 : samples;
    return { pts90k: this.#countsSamples ? Math.round(at * SAMPLES_TO_TICKS) : at, estimated: raw === undefined };
  }

  #estimate(): number {
    if (this.#last === undefined) return 0;
    return this.#last + (this.#countsSamples ? this.#expectedTicks / SAMPLES_TO_TICKS : this.#expectedTicks);
  }

  #follow(raw: number): number {
    if (this.#anchor === undefined) return raw;
    const step = unwrappedStep(this.#anchor.raw, raw);
    this.#watchClock(step);
    return this.#anchor.at + step;
  }

  /** Steps equal to the sample count of the unit before, several times: those are samples, not ticks. */
  #watchClock(step: number): void {
    const before = this.#samplesBefore;
    if (this.#countsSamples || before === 0) return;
    this.#sampleSteps = Math.abs(step - before) <= before / 8 ? this.#sampleSteps + 1 : 0;
    this.#countsSamples = this.#sampleSteps >= CONFIRMATIONS;
  }
}

/** Distance from one 33-bit stamp to the next, over a wrap at 33 bits or at the 32 bits that some cameras use (rule 6). */
export function unwrappedStep(before: number, raw: number): number {
  const step = raw - before;
  if (Math.abs(step) < HALF_WRAP) return step;
  const candidates = [step, ...WRAPS.flatMap(wrap => [step + wrap, step - wrap])];
  return candidates.reduce((best, candidate) => (Math.abs(candidate) < Math.abs(best) ? candidate : best));
}
