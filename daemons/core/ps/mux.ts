/**
 * Program stream of one camera as GB/T 28181 Annex C wants it: one pack a picture, system header and map before each key frame,
 * PES of at most 65,000 payload bytes with the PTS in the first one.
 */
import type { AudioCodec } from '../media/audio.ts';
import type { Codec } from '../media/codec.ts';
import { writeTimestamp } from './pes.ts';
import { writePsm } from './psm.ts';
import { START_CODE, streamTypeOf } from './stream-types.ts';

/** Keeps PES_packet_length, header included, under the 16 bits and under what receivers are known to take (0xFF80). */
export const MAX_PES_PAYLOAD_BYTES = 65000;
/** In units of 50 bytes/s. */
export const DEFAULT_MUX_RATE = 6106;
const DEFAULT_RATE_BOUND = 26234;

const PTS_WRAP = 2 ** 33;

/** MPEG-2 pack header without stuffing. `scr90k` of 33 bits; the 27 MHz extension is 0. */
export function packHeader(scr90k: number, muxRate = DEFAULT_MUX_RATE): Uint8Array {
  const high = Math.floor(scr90k / 0x40000000) & 7;
  const low = scr90k % 0x40000000;
  return Uint8Array.of(
    0, 0, 1, START_CODE.pack,
    0x44 | (high << 3) | ((low >>> 28) & 3),
    (low >>> 20) & 0xff,
    ((low >>> 12) & 0xf8) | 4 | ((low >>> 13) & 3),
    (low >>> 5) & 0xff,
    ((low << 3) & 0xf8) | 4,
    1,
    (muxRate >>> 14) & 0xff,
    (muxRate >>> 6) & 0xff,
    ((muxRate << 2) & 0xfc) | 3,
    0xf8,
  );
}

/** Buffer bounds: 400 KiB of video (`E0`), 4 KiB of audio (`C0`). */
export function systemHeader(hasAudio: boolean, hasVideo = true): Uint8Array {
  const streams = [...(hasVideo ? [START_CODE.firstVideo, 0xe1, 0x90] : []), ...(hasAudio ? [START_CODE.firstAudio, 0xc0, 0x20] : [])];
  const rate = (0x800000 | (DEFAULT_RATE_BOUND << 1) | 1) >>> 0;
  const fixed = [rate >> 16, (rate >> 8) & 0xff, rate & 0xff, (hasAudio ? 1 : 0) << 2, 0xe0 | (hasVideo ? 1 : 0), 0x7f];
  const length = fixed.length + streams.length;
  return Uint8Array.of(0, 0, 1, START_CODE.systemHeader, length >> 8, length & 0xff, ...fixed, ...streams);
}

/** PES header with data_alignment_indicator when a time stamp opens an access unit, without both in the ones that go on. */
export function pesHeader(streamId: number, payloadBytes: number, pts90k?: number, dts90k?: number): Uint8Array {
  const dataBytes = pts90k === undefined ? 0 : dts90k === undefined ? 5 : 10;
  const header = new Uint8Array(9 + dataBytes);
  const length = 3 + dataBytes + payloadBytes;
  const flags = dataBytes === 0 ? 0 : dataBytes === 5 ? 0x80 : 0xc0;
  header.set([0, 0, 1, streamId, length >> 8, length & 0xff, dataBytes === 0 ? 0x80 : 0x84, flags, dataBytes]);
  if (pts90k !== undefined) writeTimestamp(header, 9, dts90k === undefined ? 2 : 3, pts90k);
  if (dts90k !== undefined) writeTimestamp(header, 14, 1, dts90k);
  return header;
}

export interface PsMuxerOptions {
  /** SVAC and others are carried as they are. */
  readonly video?: Codec;
  readonly audio?: AudioCodec;
  /** Default true. `false` makes the stream of a camera that sends none (quirk 47). */
  readonly map?: boolean;
  /** Another one for other content (ISO/IEC 13818-1 2.5.4.2); its low 5 bits are sent. */
  readonly mapVersion?: number;
  readonly maxPesPayloadBytes?: number;
}

export interface VideoPicture {
  /** One access unit in Annex B. */
  readonly bytes: Uint8Array;
  readonly pts90k: number;
  /** Only when it differs from the PTS. */
  readonly dts90k?: number | undefined;
  readonly keyFrame: boolean;
}

/** Stateless but for its configuration: each call gives the bytes of one RTP timestamp. Time stamps of any size are taken modulo 2^33. */
export class PsMuxer {
  readonly #keyFrameHeaders: Uint8Array;
  readonly #maxPesPayloadBytes: number;

  constructor(options: PsMuxerOptions) {
    const { video, audio, map = true, mapVersion = 0 } = options;
    const streams = [
      ...(video === undefined ? [] : [{ streamType: streamTypeOf(video), streamId: START_CODE.firstVideo }]),
      ...(audio === undefined ? [] : [{ streamType: streamTypeOf(audio), streamId: START_CODE.firstAudio }]),
    ];
    this.#keyFrameHeaders = join([systemHeader(audio !== undefined, video !== undefined), ...(map ? [writePsm(streams, mapVersion)] : [])]);
    this.#maxPesPayloadBytes = Math.min(options.maxPesPayloadBytes ?? MAX_PES_PAYLOAD_BYTES, MAX_PES_PAYLOAD_BYTES);
  }

  /** Pack with one picture. */
  video(picture: VideoPicture): Uint8Array {
    const pts90k = picture.pts90k % PTS_WRAP;
    const dts90k = picture.dts90k === undefined ? undefined : picture.dts90k % PTS_WRAP;
    const parts = [packHeader(dts90k ?? pts90k)];
    if (picture.keyFrame) parts.push(this.#keyFrameHeaders);
    this.#pushPes(parts, START_CODE.firstVideo, picture.bytes, pts90k, dts90k);
    return join(parts);
  }

  /** One or more whole audio frames as PES. `ownPack`: with a pack header, for a stream without video. */
  audio(frame: { readonly bytes: Uint8Array; readonly pts90k: number; readonly ownPack?: boolean }): Uint8Array {
    const pts90k = frame.pts90k % PTS_WRAP;
    const parts = frame.ownPack === true ? [packHeader(pts90k), this.#keyFrameHeaders] : [];
    this.#pushPes(parts, START_CODE.firstAudio, frame.bytes, pts90k, undefined);
    return join(parts);
  }

  #pushPes(parts: Uint8Array[], streamId: number, payload: Uint8Array, pts90k: number, dts90k: number | undefined): void {
    for (let at = 0; at === 0 || at < payload.length; at += this.#maxPesPayloadBytes) {
      const piece = payload.subarray(at, at + this.#maxPesPayloadBytes);
      const header = at === 0 ? pesHeader(streamId, piece.length, pts90k, dts90k) : pesHeader(streamId, piece.length);
      parts.push(header, piece);
    }
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
