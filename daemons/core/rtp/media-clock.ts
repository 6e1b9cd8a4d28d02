/** Between the 32-bit timestamps of RTP, in any clock, and 90 kHz without wraps. */

const WRAP = 2 ** 32;

export class TimestampLine {
  readonly #clockHz: number;
  #last: number | undefined;
  #at = 0;

  constructor(clockHz: number) {
    this.#clockHz = clockHz;
  }

  /** Continuous: the nearest time to the last one that this timestamp can mean. */
  ticks90k(timestamp: number): number {
    if (this.#last === undefined) this.#at = timestamp;
    else this.#at += (timestamp - this.#last) | 0;
    this.#last = timestamp;
    return Math.round((this.#at * 90_000) / this.#clockHz);
  }
}

/** Of any size and sign, as 32 bits of that clock. */
export function timestampOf(ticks90k: number, clockHz: number): number {
  const ticks = Math.round((ticks90k * clockHz) / 90_000) % WRAP;
  return ticks < 0 ? ticks + WRAP : ticks;
}
