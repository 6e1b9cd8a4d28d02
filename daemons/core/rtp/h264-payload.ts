/** H.264 in RTP (RFC 6184): single NAL units, STAP-A and FU-A. The interleaved mode is refused. */
import { readUint16 } from './packet.ts';
import { MAX_ES_PAYLOAD_BYTES, NalDepacketizer, NalPacketizer, cutFragments } from './nal-payload.ts';

const STAP_A = 24;
const FU_A = 28;
/** STAP-B, MTAP16, MTAP24, FU-B. */
const INTERLEAVED: ReadonlySet<number> = new Set([25, 26, 27, 29]);
const START = 0x80;
const END = 0x40;

export class H264Depacketizer extends NalDepacketizer {
  constructor() {
    super('h264');
  }

  protected firstNal(payload: Uint8Array): Uint8Array | undefined {
    const type = payload[0]! & 0x1f;
    if (type === STAP_A) return payload.subarray(3);
    if (type !== FU_A) return payload;
    return (payload[1]! & START) === 0 ? undefined : Uint8Array.of((payload[0]! & 0xe0) | (payload[1]! & 0x1f), payload[2] ?? 0);
  }

  protected read(payload: Uint8Array): void {
    const type = payload[0]! & 0x1f;
    if (type >= 1 && type <= 23) this.nal(payload);
    else if (type === STAP_A) this.#aggregate(payload);
    else if (type === FU_A) this.#fragment(payload);
    else if (INTERLEAVED.has(type)) this.refuse();
    else this.malformed();
  }

  #aggregate(payload: Uint8Array): void {
    let at = 1;
    while (at + 2 <= payload.length) {
      const length = readUint16(payload, at);
      if (length === 0 || at + 2 + length > payload.length) break;
      this.nal(payload.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    if (at !== payload.length) this.malformed();
  }

  #fragment(payload: Uint8Array): void {
    if (payload.length < 3) return this.malformed();
    const flags = payload[1]!;
    const bytes = payload.subarray(2);
    if ((flags & START) !== 0) this.beginFragment(Uint8Array.of((payload[0]! & 0xe0) | (flags & 0x1f)), bytes);
    else this.continueFragment(bytes);
    if ((flags & END) !== 0) this.endFragment();
  }
}

/** Packetization mode 1 without aggregation: what every receiver takes. */
export class H264Packetizer extends NalPacketizer {
  constructor(maxPayloadBytes = MAX_ES_PAYLOAD_BYTES) {
    super('h264', maxPayloadBytes);
  }

  protected fragments(nal: Uint8Array, maxPayloadBytes: number): Uint8Array[] {
    const indicator = (nal[0]! & 0xe0) | FU_A;
    const type = nal[0]! & 0x1f;
    return cutFragments(nal, 1, maxPayloadBytes, (first, last) => Uint8Array.of(indicator, (first ? START : 0) | (last ? END : 0) | type));
  }
}
