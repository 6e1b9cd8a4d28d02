/** RTP packets as some cameras and networks deliver them. */
import type { Quirks } from './quirks.ts';

const LOSS_EVERY = 100;
const REORDER_EVERY = 10;
const DUPLICATE_EVERY = 10;
const RTP_HEADER_BYTES = 12;
/** One-byte header extension profile with one word (RFC 8285 4.2), and four octets of padding. */
const EXTENSION = [0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0] as const;
const PADDING = [0, 0, 0, 4] as const;

export class PacketQuirks {
  readonly #quirks: Quirks;
  readonly #overTcp: boolean;
  #count = 0;
  #held: Uint8Array | undefined;

  constructor(quirks: Quirks, overTcp: boolean) {
    this.#quirks = quirks;
    this.#overTcp = overTcp;
  }

  apply(packets: Uint8Array[]): Uint8Array[] {
    return packets.flatMap(packet => this.#each(packet));
  }

  #each(packet: Uint8Array): Uint8Array[] {
    this.#count += 1;
    if (this.#quirks.has('marker-always')) packet[1]! |= 0x80;
    const shaped = this.#quirks.has('rtp-extension') ? withExtension(packet) : packet;
    if (this.#overTcp) return [shaped];
    if (this.#quirks.has('loss') && this.#count % LOSS_EVERY === 0) return [];
    if (this.#quirks.has('duplicates') && this.#count % DUPLICATE_EVERY === 0) return [shaped, shaped];
    return this.#quirks.has('reorder') ? this.#reorder(shaped) : [shaped];
  }

  #reorder(packet: Uint8Array): Uint8Array[] {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) return [packet, held];
    if (this.#count % REORDER_EVERY !== 0) return [packet];
    this.#held = packet;
    return [];
  }
}

function withExtension(packet: Uint8Array): Uint8Array {
  const whole = new Uint8Array(packet.length + EXTENSION.length + PADDING.length);
  whole.set(packet.subarray(0, RTP_HEADER_BYTES));
  whole[0]! |= 0x30;
  whole.set(EXTENSION, RTP_HEADER_BYTES);
  whole.set(packet.subarray(RTP_HEADER_BYTES), RTP_HEADER_BYTES + EXTENSION.length);
  whole.set(PADDING, whole.length - PADDING.length);
  return whole;
}
