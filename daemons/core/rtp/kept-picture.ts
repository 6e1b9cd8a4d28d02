/**
 * The last key picture of a running source and, where all of it fits, what came since: for who wants to see at once where nobody
 * takes pictures yet (a snapshot, a first viewer), without asking the camera and waiting for its answer.
 *
 *   nothing ──a key picture begins──► key ──next picture──► following ──more than fits, or a packet is missing──► key only
 *      ▲                               │       └── the group before did not fit either ──► key only
 *      └── a packet is missing, or it does not fit ──┘        (a key picture that begins: key again)
 *
 * Nothing is demultiplexed: packets are looked at as the payload probe does, and copied as they are. A stream whose RTP timestamps
 * stand still has no end of its key picture, and nothing is kept of it.
 */
import type { Ms } from '../units.ts';
import type { PacketColumns, PacketTaker } from './packet-columns.ts';
import { heldBytes, type PacketStore } from './packet-store.ts';
import { beginsKeyPicture } from './payload-probe.ts';

/** Nobody should take an older picture for the present one; cameras that save bits have key pictures every 20 s and less. */
const MAX_KEPT_MS = 30_000;

type Phase = 'nothing' | 'key' | 'following' | 'key-only';

export class KeptPicture {
  readonly #store: PacketStore;
  #phase: Phase = 'nothing';
  readonly #slots: number[] = [];
  #bytes = 0;
  /** Of the slots, once the picture is whole. */
  #keyPackets = 0;
  #keyBytes = 0;
  #timestamp = 0;
  #since = 0 as Ms;
  #next = -1;
  /** Everything since the last key picture, kept or not; counted until it is more than fits. */
  #groupBytes = 0;
  /** The whole group before would have fitted. */
  #fits = true;
  /** Key pictures that were not kept because they are larger than the limit. */
  tooLarge = 0;

  constructor(store: PacketStore) {
    this.#store = store;
  }

  /** Memory that is held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Packets in order. `limitBytes` 0: nothing is kept. */
  take(packets: PacketColumns, now: Ms, limitBytes: number): void {
    if (limitBytes === 0) return this.clear();
    for (let i = 0; i < packets.count; i++) {
      const index = packets.index[i]!;
      if (index !== this.#next || index === packets.restartAt) this.#miss();
      this.#next = index + 1;
      this.#takeOne(packets, i, now, limitBytes);
    }
  }

  /**
   * Hands on what is kept. `live`: the next packet of the source follows it; `behind`: a whole key picture, and packets are missing behind
   * it; `nothing`: there is none, or it is too old. The memory is good until the next call of anything here.
   */
  read(out: PacketTaker, now: Ms): 'nothing' | 'live' | 'behind' {
    if (this.#phase === 'nothing' || now - this.#since > MAX_KEPT_MS) return 'nothing';
    const { memory, offset, length, marker, timestamp, index } = this.#store;
    for (let i = 0; i < this.#slots.length; i++) {
      const slot = this.#slots[i]!;
      // Cameras that never set the marker: the picture is known to end here.
      out.add(memory[slot]!, offset[slot]!, length[slot]!, marker[slot]! || i === this.#keyPackets - 1, timestamp[slot]!, index[slot]!);
    }
    return this.#phase === 'key-only' ? 'behind' : 'live';
  }

  clear(): void {
    this.#dropFrom(0);
    this.#keyPackets = this.#keyBytes = 0;
    this.#phase = 'nothing';
  }

  #takeOne(packets: PacketColumns, i: number, now: Ms, limitBytes: number): void {
    const memory = packets.memory[i]!;
    const offset = packets.payloadOffset[i]!;
    const length = packets.payloadLength[i]!;
    const timestamp = packets.timestamp[i]!;
    if (this.#phase === 'key' && timestamp !== this.#timestamp) this.#endKey();
    // Its parameter sets, its other packs: all of one key picture have one timestamp.
    if (this.#phase !== 'key' && beginsKeyPicture(packets.kind, memory, offset, length)) this.#begin(timestamp, now, limitBytes);
    const bytes = heldBytes(length);
    if (this.#groupBytes <= limitBytes) this.#groupBytes += bytes;
    if (this.#phase === 'nothing' || this.#phase === 'key-only') return;
    if (this.#bytes + bytes > limitBytes) return this.#overrun();
    this.#slots.push(this.#store.put(memory, offset, length, packets.marker[i]!, timestamp, packets.index[i]!));
    this.#bytes += bytes;
  }

  #begin(timestamp: number, now: Ms, limitBytes: number): void {
    this.clear();
    this.#fits = this.#groupBytes <= limitBytes;
    this.#groupBytes = 0;
    this.#timestamp = timestamp;
    this.#since = now;
    this.#phase = 'key';
  }

  #endKey(): void {
    this.#keyPackets = this.#slots.length;
    this.#keyBytes = this.#bytes;
    this.#phase = this.#fits ? 'following' : 'key-only';
  }

  #miss(): void {
    if (this.#phase === 'key') this.clear();
    else if (this.#phase === 'following') this.#keepKey();
  }

  #overrun(): void {
    if (this.#phase === 'following') return this.#keepKey();
    this.tooLarge += 1;
    this.clear();
  }

  #keepKey(): void {
    this.#dropFrom(this.#keyPackets);
    this.#bytes = this.#keyBytes;
    this.#phase = 'key-only';
  }

  #dropFrom(kept: number): void {
    for (let i = kept; i < this.#slots.length; i++) this.#store.drop(this.#slots[i]!);
    this.#slots.length = kept;
    if (kept === 0) this.#bytes = 0;
  }
}
