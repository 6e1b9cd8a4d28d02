/** FLV as a file without end (Adobe Flash Video File Format 10.1, Annex E): header, then tags each with the size of the one before. */
import type { MediaTracks } from '../media/unit.ts';
import { type FlvTag, flvCarries } from './tags.ts';

const TAG_HEADER_BYTES = 11;
const HAS_AUDIO = 4;
const HAS_VIDEO = 1;

/** To be sent first. The flags are a promise that players wait for. */
export function flvHeader({ video, audio }: MediaTracks): Uint8Array {
  return Uint8Array.of(0x46, 0x4c, 0x56, 1, (audio !== null && flvCarries(audio.codec) ? HAS_AUDIO : 0) | (video !== null && flvCarries(video.codec) ? HAS_VIDEO : 0), 0, 0, 0, 9, 0, 0, 0, 0);
}

/** Three pieces to be sent in order; the middle one is the shared body. */
export function flvTagBytes({ type, timestampMs, body }: FlvTag): readonly [Uint8Array, Uint8Array, Uint8Array] {
  const { length } = body;
  const head = Uint8Array.of(type, length >> 16, length >> 8, length, timestampMs >>> 16, timestampMs >>> 8, timestampMs, timestampMs >>> 24, 0, 0, 0);
  const size = length + TAG_HEADER_BYTES;
  return [head, body, Uint8Array.of(size >>> 24, size >>> 16, size >>> 8, size)];
}
