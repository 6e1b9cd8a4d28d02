/** AAC in RTP (RFC 3640, mode AAC-hbr): several frames a packet, or one frame over several. Units carry ADTS frames. */
import { BitReader } from '../media/bit-reader.ts';
import { AAC_SAMPLES_PER_FRAME, parseAdts } from '../media/audio.ts';
import { adtsHeader, readAudioSpecificConfig } from '../media/audio-tracks.ts';
import type { RawUnit } from '../media/unit-intake.ts';
import type { MediaUnit } from '../media/unit.ts';
import type { Depacketizer, DepacketizerCounters, EsPacket, Packetizer } from './payload-format.ts';
import type { FormatParameters } from './format-parameters.ts';
import { TimestampLine, timestampOf } from './media-clock.ts';
import { readUint16 } from './packet.ts';

const MAX_PAYLOAD_BYTES = 1400;
/** aac_frame_length has 13 bits, header included. */
const MAX_FRAME_BYTES = 8191 - 7;
const MAX_FRAMES = 64;
const LC = { objectType: 2, channels: 1 };
const DEFAULT_RATE_HZ = 44_100;

export class AacDepacketizer implements Depacketizer {
  readonly clockHz: number;
  readonly counters: DepacketizerCounters = { malformed: 0, refused: 0, oversizeUnits: 0 };
  readonly #parameters: FormatParameters;
  readonly #config: { readonly objectType: number; readonly sampleRateHz: number; readonly channels: number };
  readonly #line: TimestampLine;
  /** The first pieces of a frame that is longer than a packet. */
  #pieces: Uint8Array | undefined;

  constructor(parameters: FormatParameters, clockHz = DEFAULT_RATE_HZ) {
    this.#parameters = parameters;
    this.#config = readAudioSpecificConfig(parameters.config) ?? { ...LC, sampleRateHz: clockHz };
    this.clockHz = clockHz === DEFAULT_RATE_HZ ? this.#config.sampleRateHz : clockHz;
    this.#line = new TimestampLine(this.clockHz);
  }

  push(payload: Uint8Array, marker: boolean, timestamp: number): RawUnit[] {
    const sizes = this.#frameSizes(payload);
    if (sizes === undefined) return [];
    const data = payload.subarray(2 + Math.ceil(readUint16(payload, 0) / 8));
    if (sizes.length === 1 && sizes[0]! > data.length) return this.#piece(data, sizes[0]!, marker, timestamp);
    if (this.#pieces !== undefined) this.#malformed();
    const frames = split(data, sizes);
    if (frames === undefined) this.#malformed();
    return frames === undefined || frames.length === 0 ? [] : [this.#unit(frames, timestamp)];
  }

  gap(): void {
    this.#pieces = undefined;
  }

  flush(): RawUnit[] {
    this.#pieces = undefined;
    return [];
  }

  /** AU-headers (3.2.1); undefined when they cannot be read or frames are interleaved. */
  #frameSizes(payload: Uint8Array): number[] | undefined {
    const { sizeLength, indexLength, indexDeltaLength } = this.#parameters;
    const bits = payload.length < 2 ? 0 : readUint16(payload, 0);
    if (bits === 0 || sizeLength === 0 || 2 + Math.ceil(bits / 8) > payload.length) return this.#malformed();
    const reader = new BitReader(payload.subarray(2));
    const sizes: number[] = [];
    for (let used = 0; used < bits && sizes.length < MAX_FRAMES; used += sizeLength + (sizes.length === 1 ? indexLength : indexDeltaLength)) {
      sizes.push(reader.bits(sizeLength));
      if (reader.bits(sizes.length === 1 ? indexLength : indexDeltaLength) !== 0) {
        this.counters.refused += 1;
        return undefined;
      }
    }
    return reader.overrun ? this.#malformed() : sizes;
  }

  /** Pieces of a frame that was never finished go with it. */
  #malformed(): undefined {
    this.counters.malformed += 1;
    this.#pieces = undefined;
    return undefined;
  }

  #piece(data: Uint8Array, frameBytes: number, marker: boolean, timestamp: number): RawUnit[] {
    if (frameBytes > MAX_FRAME_BYTES) {
      this.#malformed();
      return [];
    }
    const before = this.#pieces ?? new Uint8Array(0);
    const joined = new Uint8Array(before.length + data.length);
    joined.set(before);
    joined.set(data, before.length);
    this.#pieces = joined;
    if (joined.length < frameBytes && !marker) return [];
    this.#pieces = undefined;
    if (joined.length === frameBytes) return [this.#unit([joined], timestamp)];
    this.counters.malformed += 1;
    return [];
  }

  #unit(frames: readonly Uint8Array[], timestamp: number): RawUnit {
    const { objectType, sampleRateHz, channels } = this.#config;
    const bytes = new Uint8Array(frames.reduce((sum, frame) => sum + 7 + frame.length, 0));
    let at = 0;
    for (const frame of frames) {
      bytes.set(adtsHeader(objectType, sampleRateHz, channels, frame.length), at);
      bytes.set(frame, at + 7);
      at += 7 + frame.length;
    }
    const pts90k = this.#line.ticks90k(timestamp);
    return { kind: 'audio', codec: 'aac', pts90k, dts90k: pts90k, keyFrame: false, damaged: false, bytes };
  }
}

function split(data: Uint8Array, sizes: readonly number[]): Uint8Array[] | undefined {
  const frames: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    if (size === 0 || size > MAX_FRAME_BYTES || at + size > data.length) return undefined;
    frames.push(data.subarray(at, at + size));
    at += size;
  }
  return frames;
}

/** One frame a packet, cut where it is longer: every piece says the size of the whole (3.2.3.1). */
export class AacPacketizer implements Packetizer {
  readonly clockHz: number;

  constructor(sampleRateHz: number) {
    this.clockHz = sampleRateHz;
  }

  packets(unit: MediaUnit): EsPacket[] {
    if (unit.codec !== 'aac') return [];
    const packets: EsPacket[] = [];
    const first = timestampOf(unit.pts90k, this.clockHz);
    let samples = 0;
    for (let at = 0; at < unit.bytes.length; ) {
      const adts = parseAdts(unit.bytes, at);
      if (!adts.ok || at + adts.value.frameBytes > unit.bytes.length) break;
      const frame = unit.bytes.subarray(at + adts.value.headerBytes, at + adts.value.frameBytes);
      this.#add(packets, frame, (first + samples) >>> 0);
      samples += AAC_SAMPLES_PER_FRAME;
      at += adts.value.frameBytes;
    }
    return packets;
  }

  #add(packets: EsPacket[], frame: Uint8Array, timestamp: number): void {
    const room = MAX_PAYLOAD_BYTES - 4;
    for (let at = 0; at < frame.length; at += room) {
      const piece = frame.subarray(at, at + room);
      const payload = new Uint8Array(4 + piece.length);
      payload.set([0, 16, frame.length >> 5, (frame.length & 0x1f) << 3]);
      payload.set(piece, 4);
      packets.push({ payload, marker: at + piece.length === frame.length, timestamp });
    }
  }
}
