/** What a taker that joins now is given at once: everything since the last key frame, within bounds. */
import type { MediaUnit } from './unit.ts';

/** Longest key frame distance that is worth it: 10 s of 6 Mbit/s. A stream that outgrows it has no cache until its next key frame. */
export const MAX_GOP_BYTES = 8 * 1024 * 1024;
export const MAX_GOP_UNITS = 4096;

export class GopCache {
  readonly #maxBytes: number;
  #units: MediaUnit[] = [];
  #bytes = 0;
  overruns = 0;

  constructor(maxBytes = MAX_GOP_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** A key frame first; empty when there is none to begin with. */
  get units(): readonly MediaUnit[] {
    return this.#units;
  }

  get bytes(): number {
    return this.#bytes;
  }

  take(unit: MediaUnit): void {
    if (unit.kind === 'video' && unit.keyFrame) this.clear();
    else if (this.#units.length === 0) return;
    if (this.#bytes + unit.bytes.length > this.#maxBytes || this.#units.length >= MAX_GOP_UNITS) {
      this.overruns += 1;
      this.clear();
      return;
    }
    this.#units.push(unit);
    this.#bytes += unit.bytes.length;
  }

  clear(): void {
    this.#units = [];
    this.#bytes = 0;
  }
}
