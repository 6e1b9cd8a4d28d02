/** H.265 in RTP (RFC 7798): single NAL units, aggregation packets and fragmentation units, with or without decoding order numbers. */
import { NO_PARAMETERS, type FormatParameters } from './format-parameters.ts';
import { MAX_ES_PAYLOAD_BYTES, NalDepacketizer, NalPacketizer, cutFragments } from './nal-payload.ts';
import { readUint16 } from './packet.ts';

const AGGREGATION = 48;
const FRAGMENTATION = 49;
const PACI = 50;
const NAL_HEADER_BYTES = 2;
const DONL_BYTES = 2;
const START = 0x80;
const END = 0x40;

export class H265Depacketizer extends NalDepacketizer {
  readonly #donlBytes: number;

  constructor({ hasDonl }: FormatParameters = NO_PARAMETERS) {
    super('h265');
    this.#donlBytes = hasDonl ? DONL_BYTES : 0;
  }

  protected firstNal(payload: Uint8Array): Uint8Array | undefined {
    const type = (payload[0]! >> 1) & 0x3f;
    if (type === AGGREGATION) return payload.subarray(NAL_HEADER_BYTES + this.#donlBytes + 2);
    if (type !== FRAGMENTATION) return payload;
    const flags = payload[2] ?? 0;
    return (flags & START) === 0 ? undefined : Uint8Array.of(...nalHeader(payload, flags), payload[3 + this.#donlBytes] ?? 0);
  }

  protected read(payload: Uint8Array): void {
    if (payload.length <= NAL_HEADER_BYTES) return this.malformed();
    const type = (payload[0]! >> 1) & 0x3f;
    if (type < AGGREGATION) this.#single(payload);
    else if (type === AGGREGATION) this.#aggregate(payload);
    else if (type === FRAGMENTATION) this.#fragment(payload);
    else if (type === PACI) this.refuse();
    else this.malformed();
  }

  #single(payload: Uint8Array): void {
    if (this.#donlBytes === 0) return this.nal(payload);
    if (payload.length <= NAL_HEADER_BYTES + DONL_BYTES) return this.malformed();
    const nal = new Uint8Array(payload.length - DONL_BYTES);
    nal.set(payload.subarray(0, NAL_HEADER_BYTES));
    nal.set(payload.subarray(NAL_HEADER_BYTES + DONL_BYTES), NAL_HEADER_BYTES);
    this.nal(nal);
  }

  /** The first has a DONL, each further one a DOND of one byte (4.4.2). */
  #aggregate(payload: Uint8Array): void {
    let at = NAL_HEADER_BYTES;
    let order = this.#donlBytes;
    while (at + order + 2 <= payload.length) {
      const length = readUint16(payload, at + order);
      const from = at + order + 2;
      if (length <= NAL_HEADER_BYTES || from + length > payload.length) break;
      this.nal(payload.subarray(from, from + length));
      at = from + length;
      order = Math.min(1, this.#donlBytes);
    }
    if (at !== payload.length) this.malformed();
  }

  #fragment(payload: Uint8Array): void {
    const flags = payload[2]!;
    const isFirst = (flags & START) !== 0;
    const bytes = payload.subarray(3 + (isFirst ? this.#donlBytes : 0));
    if (bytes.length === 0) return this.malformed();
    if (isFirst) this.beginFragment(Uint8Array.from(nalHeader(payload, flags)), bytes);
    else this.continueFragment(bytes);
    if ((flags & END) !== 0) this.endFragment();
  }
}

/** Layer and temporal ids of the payload header, type of the FU header. */
const nalHeader = (payload: Uint8Array, flags: number): readonly [number, number] => [(payload[0]! & 0x81) | ((flags & 0x3f) << 1), payload[1] ?? 0];

export class H265Packetizer extends NalPacketizer {
  constructor(maxPayloadBytes = MAX_ES_PAYLOAD_BYTES) {
    super('h265', maxPayloadBytes);
  }

  protected fragments(nal: Uint8Array, maxPayloadBytes: number): Uint8Array[] {
    const first = (nal[0]! & 0x81) | (FRAGMENTATION << 1);
    const type = (nal[0]! >> 1) & 0x3f;
    return cutFragments(nal, NAL_HEADER_BYTES, maxPayloadBytes, (isFirst, isLast) => Uint8Array.of(first, nal[1]!, (isFirst ? START : 0) | (isLast ? END : 0) | type));
  }
}
