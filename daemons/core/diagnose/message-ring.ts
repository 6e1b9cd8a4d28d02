/**
 * The last messages that passed, in memory taken once: a push copies the octets and overwrites the oldest. Entries lie in order and in
 * one piece each; what is left at the end of the memory by one that did not fit there stays empty.
 */

/** Messages are longer than this on average: so many entries are kept at most. */
const LEAST_AVERAGE_BYTES = 256;
/** Of one message; what is longer is kept up to here. */
export const MAX_KEPT_BYTES = 64 * 1024;
/** Below this a ring holds nothing. */
export const MIN_RING_BYTES = 4096;

/** One message, valid until the next push. */
export interface RingEntry<Tag> {
  readonly sequence: number;
  readonly atWallMs: number;
  readonly tag: Tag;
  readonly isOut: boolean;
  /** A view into the ring. */
  readonly bytes: Uint8Array;
  /** It was longer. */
  readonly cut: boolean;
}

export class MessageRing<Tag> {
  readonly #memory: Uint8Array;
  readonly #capacity: number;
  readonly #sequence: Float64Array;
  readonly #atWallMs: Float64Array;
  readonly #start: Uint32Array;
  readonly #length: Uint32Array;
  readonly #flags: Uint8Array;
  readonly #tags: (Tag | undefined)[];
  /** Of the oldest entry. */
  #first = 0;
  #count = 0;
  #write = 0;
  /** Sequence of the youngest one that was overwritten; -1: none was. */
  overwritten = -1;

  /** `bytes` below MIN_RING_BYTES: it keeps nothing. */
  constructor(bytes: number) {
    const size = bytes < MIN_RING_BYTES ? 0 : bytes;
    this.#memory = new Uint8Array(size);
    this.#capacity = Math.ceil(size / LEAST_AVERAGE_BYTES);
    this.#sequence = new Float64Array(this.#capacity);
    this.#atWallMs = new Float64Array(this.#capacity);
    this.#start = new Uint32Array(this.#capacity);
    this.#length = new Uint32Array(this.#capacity);
    this.#flags = new Uint8Array(this.#capacity);
    this.#tags = new Array<Tag | undefined>(this.#capacity).fill(undefined);
  }

  get count(): number {
    return this.#count;
  }

  push(sequence: number, atWallMs: number, isOut: boolean, bytes: Uint8Array, tag: Tag): void {
    if (this.#capacity === 0 || bytes.length === 0) return;
    const length = Math.min(bytes.length, MAX_KEPT_BYTES, this.#memory.length);
    this.#makeRoom(length);
    const at = (this.#first + this.#count) % this.#capacity;
    this.#memory.set(length === bytes.length ? bytes : bytes.subarray(0, length), this.#write);
    this.#sequence[at] = sequence;
    this.#atWallMs[at] = atWallMs;
    this.#start[at] = this.#write;
    this.#length[at] = length;
    this.#flags[at] = (isOut ? 1 : 0) | (length < bytes.length ? 2 : 0);
    this.#tags[at] = tag;
    this.#write += length;
    this.#count += 1;
  }

  /** Room for `length` octets in one piece at #write, and for one more entry. */
  #makeRoom(length: number): void {
    if (this.#write + length > this.#memory.length) {
      while (this.#count > 0 && this.#start[this.#first]! >= this.#write) this.#forget();
      this.#write = 0;
    }
    while (this.#count > 0 && this.#isInTheWay(this.#start[this.#first]!, length)) this.#forget();
    if (this.#count === this.#capacity) this.#forget();
  }

  #isInTheWay(start: number, length: number): boolean {
    return start >= this.#write && start < this.#write + length;
  }

  #forget(): void {
    this.overwritten = this.#sequence[this.#first]!;
    this.#tags[this.#first] = undefined;
    this.#first = (this.#first + 1) % this.#capacity;
    this.#count -= 1;
  }

  /** How many entries are older than `sequence` or are it. */
  indexAfter(sequence: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sequence[(this.#first + middle) % this.#capacity]! <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The entry of this age: 0 is the oldest. */
  at(index: number): RingEntry<Tag> | undefined {
    if (index < 0 || index >= this.#count) return undefined;
    const at = (this.#first + index) % this.#capacity;
    const start = this.#start[at]!;
    const flags = this.#flags[at]!;
    return { sequence: this.#sequence[at]!, atWallMs: this.#atWallMs[at]!, tag: this.#tags[at]!, isOut: (flags & 1) !== 0, bytes: this.#memory.subarray(start, start + this.#length[at]!), cut: (flags & 2) !== 0 };
  }
}
