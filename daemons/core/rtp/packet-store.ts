/**
 * Copies of packets that have to wait, in slots of one size: one store serves all bridges of an instance, so that its memory is
 * what waits at the same time and not what might. A slot that was given on is lent until `recycle`: its bytes are still being read.
 */
import { RTP_HEADER_BYTES } from './packet.ts';
import type { PacketTaker } from './packet-columns.ts';

/** A datagram that fits an Ethernet frame, with room for a header in front. A longer payload gets memory of its own. */
const SLOT_BYTES = 1536;
const SLOTS_PER_CHUNK = 64;
/** So much is kept for the next time when nothing waits any more. */
const MAX_SPARE_BYTES = 4 * 1024 * 1024;

/** What a payload of this length takes in a store. */
export const heldBytes = (length: number): number => Math.max(SLOT_BYTES, RTP_HEADER_BYTES + length);

export interface StoreMemory {
  readonly allocate: (bytes: number) => Uint8Array;
  readonly copy: (from: Uint8Array, at: number, length: number, into: Uint8Array, intoAt: number) => void;
}

const PLAIN: StoreMemory = {
  allocate: bytes => new Uint8Array(bytes),
  copy: (from, at, length, into, intoAt) => into.set(from.subarray(at, at + length), intoAt),
};

export class PacketStore {
  readonly #io: StoreMemory;
  /** Of the slot itself; a long payload stands elsewhere. */
  readonly #home: Uint8Array[] = [];
  readonly #homeOffset: number[] = [];
  readonly memory: Uint8Array[] = [];
  readonly offset: number[] = [];
  readonly length: number[] = [];
  readonly marker: boolean[] = [];
  readonly timestamp: number[] = [];
  readonly index: number[] = [];
  readonly #free: number[] = [];
  readonly #lent: number[] = [];

  constructor(io: StoreMemory = PLAIN) {
    this.#io = io;
  }

  /** Slots that are neither free nor lent. */
  get used(): number {
    return this.memory.length - this.#free.length - this.#lent.length;
  }

  get bytes(): number {
    return this.memory.length * SLOT_BYTES;
  }

  /** Copies the payload; answers its slot. */
  put(memory: Uint8Array, offset: number, length: number, marker: boolean, timestamp: number, index: number): number {
    if (this.#free.length === 0) this.#grow();
    const slot = this.#free.pop()!;
    if (length > SLOT_BYTES - RTP_HEADER_BYTES) {
      this.memory[slot] = this.#io.allocate(RTP_HEADER_BYTES + length);
      this.offset[slot] = RTP_HEADER_BYTES;
    }
    this.#io.copy(memory, offset, length, this.memory[slot]!, this.offset[slot]!);
    this.length[slot] = length;
    this.marker[slot] = marker;
    this.timestamp[slot] = timestamp;
    this.index[slot] = index;
    return slot;
  }

  /** Hands a slot on as a packet with this index; it is free after the next `recycle`. */
  give(slot: number, out: PacketTaker, index: number): void {
    out.add(this.memory[slot]!, this.offset[slot]!, this.length[slot]!, this.marker[slot]!, this.timestamp[slot]!, index);
    this.#lent.push(slot);
  }

  drop(slot: number): void {
    this.#goHome(slot);
    this.#free.push(slot);
    if (this.#free.length === this.memory.length && this.bytes > MAX_SPARE_BYTES) this.#letGo();
  }

  /** Every slot is free: a bad hour of the network is no reason to keep its memory. */
  #letGo(): void {
    for (const column of [this.#home, this.#homeOffset, this.memory, this.offset, this.length, this.marker, this.timestamp, this.index, this.#free]) column.length = 0;
  }

  /** Whoever was given packets is done with them. `mayReuse` false: somebody still reads them, so the slots get other memory. */
  recycle(mayReuse: boolean): void {
    const lent = this.#lent;
    if (lent.length === 0) return;
    for (const slot of lent) {
      if (!mayReuse) {
        this.#home[slot] = this.#io.allocate(SLOT_BYTES);
        this.#homeOffset[slot] = RTP_HEADER_BYTES;
      }
      this.drop(slot);
    }
    lent.length = 0;
  }

  #goHome(slot: number): void {
    this.memory[slot] = this.#home[slot]!;
    this.offset[slot] = this.#homeOffset[slot]!;
  }

  #grow(): void {
    const chunk = this.#io.allocate(SLOTS_PER_CHUNK * SLOT_BYTES);
    for (let i = SLOTS_PER_CHUNK - 1; i >= 0; i--) {
      const slot = this.#home.push(chunk) - 1;
      this.#homeOffset[slot] = i * SLOT_BYTES + RTP_HEADER_BYTES;
      this.length[slot] = this.timestamp[slot] = this.index[slot] = 0;
      this.marker[slot] = false;
      this.#goHome(slot);
      this.#free.push(slot);
    }
  }
}
