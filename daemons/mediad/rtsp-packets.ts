/** Units as RTP packets of elementary streams: cut once for all viewers, then written for each with its own numbers. */
import { type EsPacket, isElementaryFormat, openPacketizer } from '#core/rtp/elementary.ts';
import type { MediaUnit } from '#core/media/unit.ts';
import { RTP_HEADER_BYTES, writeRtpHeader } from '#core/rtp/packet.ts';
import { INTERLEAVED, INTERLEAVED_HEADER_BYTES } from '#core/rtsp/reader.ts';

interface CutUnit {
  readonly packets: readonly EsPacket[];
  readonly bytes: number;
}

/** A unit is the same object for all takers of a stream. */
const cuts = new WeakMap<MediaUnit, CutUnit>();

function cut(unit: MediaUnit, clockHz: number): CutUnit | undefined {
  const known = cuts.get(unit);
  if (known !== undefined || !isElementaryFormat(unit.codec)) return known;
  const packets = openPacketizer(unit.codec, clockHz).packets(unit);
  const made = { packets, bytes: packets.reduce((sum, { payload }) => sum + payload.length, 0) };
  cuts.set(unit, made);
  return made;
}

/** Packets of one unit, one behind the other; datagrams or interleaved frames. */
export interface WrittenPackets {
  readonly memory: Uint8Array;
  readonly offsets: readonly number[];
  readonly lengths: readonly number[];
}

export interface TrackNumbers {
  readonly payloadType: number;
  readonly clockHz: number;
  readonly ssrc: number;
  readonly firstSequence: number;
  readonly firstTimestamp: number;
}

const WRAP = 2 ** 32;

/** One track toward one viewer. */
export class TrackWriter {
  readonly #numbers: TrackNumbers;
  #sequence: number;
  packets = 0;
  octets = 0;

  constructor(numbers: TrackNumbers) {
    this.#numbers = numbers;
    this.#sequence = numbers.firstSequence;
  }

  get ssrc(): number {
    return this.#numbers.ssrc;
  }

  /** Of the next packet. */
  get sequence(): number {
    return this.#sequence;
  }

  rtpTime(pts90k: number): number {
    const { clockHz, firstTimestamp } = this.#numbers;
    const ticks = Math.round((pts90k * clockHz) / 90_000) + firstTimestamp;
    return ((ticks % WRAP) + WRAP) % WRAP;
  }

  /** `channel`: interleaved; null: datagrams. Null when there is nothing to send of this unit. */
  write(unit: MediaUnit, channel: number | null): WrittenPackets | null {
    const { payloadType, ssrc, clockHz } = this.#numbers;
    const parts = cut(unit, clockHz);
    const first = parts?.packets[0];
    if (parts === undefined || first === undefined) return null;
    const headroom = RTP_HEADER_BYTES + (channel === null ? 0 : INTERLEAVED_HEADER_BYTES);
    const memory = new Uint8Array(parts.bytes + parts.packets.length * headroom);
    const begin = this.rtpTime(unit.pts90k);
    const offsets: number[] = [];
    const lengths: number[] = [];
    let at = 0;
    for (const { payload, marker, timestamp } of parts.packets) {
      const from = at;
      offsets.push(from);
      const rtpBytes = RTP_HEADER_BYTES + payload.length;
      if (channel !== null) {
        memory.set([INTERLEAVED, channel, rtpBytes >> 8, rtpBytes & 0xff], at);
        at += INTERLEAVED_HEADER_BYTES;
      }
      writeRtpHeader(memory, at, marker, payloadType, this.#sequence, (begin + timestamp - first.timestamp) >>> 0, ssrc);
      memory.set(payload, at + RTP_HEADER_BYTES);
      at += rtpBytes;
      lengths.push(at - from);
      this.#sequence = (this.#sequence + 1) & 0xffff;
    }
    this.packets += parts.packets.length;
    this.octets += parts.bytes;
    return { memory, offsets, lengths };
  }
}
