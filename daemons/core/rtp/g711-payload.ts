/** G.711 in RTP (RFC 3551 4.5.14): one octet a sample at 8 kHz. */
import { isG711, toLaw } from '../media/g711.ts';
import type { RawUnit } from '../media/unit-intake.ts';
import type { MediaUnit } from '../media/unit.ts';
import type { Depacketizer, DepacketizerCounters, EsPacket, Packetizer } from './payload-format.ts';
import { TimestampLine, timestampOf } from './media-clock.ts';

const CLOCK_HZ = 8000;
/** 160 ms: GB/T 28181 wants 20 to 180 ms a packet (gb28181.md 6.6). */
const MAX_PAYLOAD_BYTES = 1280;

export class G711Depacketizer implements Depacketizer {
  readonly clockHz = CLOCK_HZ;
  readonly counters: DepacketizerCounters = { malformed: 0, refused: 0, oversizeUnits: 0 };
  readonly #codec: 'g711a' | 'g711u';
  readonly #line = new TimestampLine(CLOCK_HZ);

  constructor(codec: 'g711a' | 'g711u') {
    this.#codec = codec;
  }

  push(payload: Uint8Array, _marker: boolean, timestamp: number): RawUnit[] {
    if (payload.length === 0) {
      this.counters.malformed += 1;
      return [];
    }
    const pts90k = this.#line.ticks90k(timestamp);
    return [{ kind: 'audio', codec: this.#codec, pts90k, dts90k: pts90k, keyFrame: false, damaged: false, bytes: new Uint8Array(payload) }];
  }

  gap(): void {
    // Each packet stands alone.
  }

  flush(): RawUnit[] {
    return [];
  }
}

/** Takes both laws: some loudspeakers want the one that nobody speaks (quirk 67). */
export class G711Packetizer implements Packetizer {
  readonly clockHz = CLOCK_HZ;
  readonly #codec: 'g711a' | 'g711u';

  constructor(codec: 'g711a' | 'g711u') {
    this.#codec = codec;
  }

  packets(unit: MediaUnit): EsPacket[] {
    if (!isG711(unit.codec)) return [];
    const bytes = toLaw(unit.bytes, unit.codec, this.#codec);
    const packets: EsPacket[] = [];
    const first = timestampOf(unit.pts90k, CLOCK_HZ);
    for (let at = 0; at < bytes.length; at += MAX_PAYLOAD_BYTES) {
      packets.push({ payload: bytes.subarray(at, at + MAX_PAYLOAD_BYTES), marker: false, timestamp: (first + at) >>> 0 });
    }
    return packets;
  }
}
