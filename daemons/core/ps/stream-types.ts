/** Start codes and stream types of an MPEG program stream as GB/T 28181 uses it (ISO/IEC 13818-1 2.5, GB/T 28181 Annex C). */
import type { Codec } from '../media/codec.ts';

export type { Codec } from '../media/codec.ts';

/** Fourth byte of `00 00 01 xx`. Everything below END is inside an elementary stream (a NAL unit header). */
export const START_CODE = {
  end: 0xb9,
  pack: 0xba,
  systemHeader: 0xbb,
  programStreamMap: 0xbc,
  privateStream1: 0xbd,
  padding: 0xbe,
  privateStream2: 0xbf,
  firstAudio: 0xc0,
  lastAudio: 0xdf,
  firstVideo: 0xe0,
  lastVideo: 0xef,
} as const;

export const isAudioId = (id: number): boolean => id >= START_CODE.firstAudio && id <= START_CODE.lastAudio;
export const isVideoId = (id: number): boolean => id >= START_CODE.firstVideo && id <= START_CODE.lastVideo;

const CODEC_OF: ReadonlyMap<number, Codec> = new Map([
  [0x10, 'mpeg4'],
  [0x1b, 'h264'],
  [0x24, 'h265'],
  [0x80, 'svac'],
  [0x0f, 'aac'],
  [0x90, 'g711a'],
  [0x91, 'g711u'],
  [0x92, 'g722.1'],
  [0x93, 'g723.1'],
  [0x99, 'g729'],
  [0x9b, 'svac-audio'],
]);

const TYPE_OF: ReadonlyMap<Codec, number> = new Map([...CODEC_OF].map(([type, codec]) => [codec, type]));

export const codecOf = (streamType: number): Codec => CODEC_OF.get(streamType) ?? 'unknown';

/** stream_type of a codec; 0 for unknown. */
export const streamTypeOf = (codec: Codec): number => TYPE_OF.get(codec) ?? 0;
