/** Cuts the bytes of one RTP timestamp into RTP packets (RFC 3550 5.1; GB/T 28181 Annex C: marker on the last packet of a picture). */
import { RTP_HEADER_BYTES, writeRtpHeader } from '../rtp/packet.ts';

/** Leaves room for IP, UDP and tunnels in 1500. */
export const DEFAULT_PAYLOAD_BYTES = 1400;

export interface RtpSlicerOptions {
  readonly ssrc: number;
  readonly payloadType: number;
  readonly firstSequence: number;
  readonly maxPayloadBytes?: number;
}

/** Sequence state of one sender. */
export class RtpSlicer {
  readonly #options: RtpSlicerOptions;
  readonly #maxPayloadBytes: number;
  #sequence: number;

  constructor(options: RtpSlicerOptions) {
    this.#options = options;
    this.#maxPayloadBytes = Math.max(1, options.maxPayloadBytes ?? DEFAULT_PAYLOAD_BYTES);
    this.#sequence = options.firstSequence & 0xffff;
  }

  /** Sequence number of the next packet. */
  get nextSequence(): number {
    return this.#sequence;
  }

  /** Packets of one picture or audio frame. `timestamp90k` of any size; its low 32 bits are sent. */
  slice(bytes: Uint8Array, timestamp90k: number, marker = true): Uint8Array[] {
    const { ssrc, payloadType } = this.#options;
    const packets: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += this.#maxPayloadBytes) {
      const payload = bytes.subarray(at, at + this.#maxPayloadBytes);
      const packet = new Uint8Array(RTP_HEADER_BYTES + payload.length);
      const isLast = at + payload.length === bytes.length;
      writeRtpHeader(packet, 0, marker && isLast, payloadType, this.#sequence, timestamp90k % 2 ** 32, ssrc);
      packet.set(payload, RTP_HEADER_BYTES);
      packets.push(packet);
      this.#sequence = (this.#sequence + 1) & 0xffff;
    }
    return packets;
  }
}
