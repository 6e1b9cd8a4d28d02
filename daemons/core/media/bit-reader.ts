/** Bits of a NAL unit (ITU-T H.264 7.2, H.265 7.2), emulation prevention taken out. Reading past the end gives zeros and is told. */

/** Longest Exp-Golomb prefix that fits 32 bits (H.264 9.1). */
const MAX_PREFIX_BITS = 31;

export class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  /** More bits were asked for than there are, or a code was longer than any allowed. */
  overrun = false;

  /** `rbsp`: without emulation prevention bytes. */
  constructor(rbsp: Uint8Array) {
    this.#bytes = rbsp;
  }

  bit(): number {
    const byte = this.#bytes[this.#at >> 3];
    if (byte === undefined) {
      this.overrun = true;
      return 0;
    }
    const value = (byte >> (7 - (this.#at & 7))) & 1;
    this.#at += 1;
    return value;
  }

  /** u(n), n up to 32. */
  bits(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i += 1) value = value * 2 + this.bit();
    return value;
  }

  skip(count: number): void {
    this.#at += count;
    if (this.#at > this.#bytes.length * 8) this.overrun = true;
  }

  /** ue(v). */
  ue(): number {
    let zeros = 0;
    while (!this.overrun && this.bit() === 0) {
      zeros += 1;
      if (zeros > MAX_PREFIX_BITS) {
        this.overrun = true;
        return 0;
      }
    }
    return 2 ** zeros - 1 + this.bits(zeros);
  }

  /** se(v). */
  se(): number {
    const code = this.ue();
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2;
  }
}

/** The payload of a NAL unit without its emulation prevention bytes, at most `limit` bytes of it. */
export function rbspOf(nal: Uint8Array, from: number, limit: number): Uint8Array {
  const rbsp = new Uint8Array(Math.max(0, Math.min(nal.length - from, limit)));
  let used = 0;
  let zeros = 0;
  for (let at = from; at < nal.length && used < rbsp.length; at += 1) {
    const byte = nal[at]!;
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    rbsp[used] = byte;
    used += 1;
  }
  return rbsp.subarray(0, used);
}
