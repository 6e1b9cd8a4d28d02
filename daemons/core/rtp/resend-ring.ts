/** The last packets that a sink sent, for a peer that may ask for them again (nack.ts): bounded by age and by octets. */
import type { Ms } from '../units.ts';
import type { PacketStore } from './packet-store.ts';

const RING = 4096;
const RING_MASK = RING - 1;
const EMPTY = -1;
export const RESEND_MAX_AGE_MS = 1500;
const MAX_BYTES = 4 * 1024 * 1024;
/** Resent packets: a burst, and a share of what is sent. */
const MAX_BURST = 400;
const PER_PACKET = 0.75;

export class ResendRing {
  readonly #store: PacketStore;
  readonly #slots = new Int32Array(RING).fill(EMPTY);
  readonly #at = new Float64Array(RING);
  readonly #sequences = new Uint16Array(RING);
  #oldest = 0;
  #count = 0;
  #bytes = 0;
  #budget = MAX_BURST;

  constructor(store: PacketStore) {
    this.#store = store;
  }

  get count(): number {
    return this.#count;
  }

  /** Copies a packet that leaves with this number; numbers come in ascending order, with gaps. */
  keep(sequence: number, memory: Uint8Array, offset: number, length: number, marker: boolean, timestamp: number, now: Ms): void {
    this.#budget = Math.min(MAX_BURST, this.#budget + PER_PACKET);
    while (this.#count > 0 && (this.#bytes > MAX_BYTES || this.#count >= RING || now - this.#at[this.#oldest]! > RESEND_MAX_AGE_MS)) this.#dropOldest();
    const place = (this.#oldest + this.#count) & RING_MASK;
    this.#slots[place] = this.#store.put(memory, offset, length, marker, timestamp, sequence);
    this.#at[place] = now;
    this.#sequences[place] = sequence;
    this.#count++;
    this.#bytes += length;
  }

  /** Slot of the store that has this packet; -1: it is gone, or more was asked for than there is to give. */
  find(sequence: number, now: Ms): number {
    if (this.#count === 0 || this.#budget < 1) return EMPTY;
    // Numbers ascend, so the place is at most as far from the newest as the number is.
    let at = this.#count - 1;
    const newest = this.#sequences[(this.#oldest + at) & RING_MASK]!;
    const back = (newest - sequence) & 0xffff;
    if (back >= RING) return EMPTY;
    at = Math.max(0, at - back);
    for (; at < this.#count; at++) {
      const place = (this.#oldest + at) & RING_MASK;
      const step = (sequence - this.#sequences[place]!) & 0xffff;
      if (step > 0x8000) return EMPTY;
      if (step !== 0) continue;
      if (now - this.#at[place]! > RESEND_MAX_AGE_MS) return EMPTY;
      this.#budget--;
      return this.#slots[place]!;
    }
    return EMPTY;
  }

  clear(): void {
    while (this.#count > 0) this.#dropOldest();
  }

  #dropOldest(): void {
    const slot = this.#slots[this.#oldest]!;
    this.#bytes -= this.#store.length[slot]!;
    this.#store.drop(slot);
    this.#slots[this.#oldest] = EMPTY;
    this.#oldest = (this.#oldest + 1) & RING_MASK;
    this.#count--;
  }
}
