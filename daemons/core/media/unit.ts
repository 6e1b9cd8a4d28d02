/**
 * The one neutral form of media between whatever comes in and whatever goes out: a picture or some sound, with its time.
 * Every source makes these, every sink that is not plain relay takes them (design.md 7).
 */
import type { AudioCodec } from './audio.ts';
import type { Codec } from './codec.ts';

export interface MediaUnit {
  readonly kind: 'video' | 'audio';
  readonly codec: Codec;
  /** 90 kHz, one timeline over wraps and restarts of the source; both kinds on the same one. */
  readonly pts90k: number;
  readonly dts90k: number;
  /** Video: holds a random access picture, with its parameter sets before it. */
  readonly keyFrame: boolean;
  /** Bytes are known to be missing from it, or from a picture that it is built on. */
  readonly damaged: boolean;
  /** Video: one access unit in Annex B. Audio: whole ADTS frames, or raw samples of G.711 and others. All takers share it: nobody writes to it. */
  readonly bytes: Uint8Array;
}

export interface VideoTrack {
  readonly codec: Codec;
  /** VPS (H.265 only), SPS, PPS in this order, without start codes. Empty for what is not H.264 or H.265. */
  readonly parameterSets: readonly Uint8Array[];
  /** From the SPS; 0 when it cannot be read. */
  readonly width: number;
  readonly height: number;
}

export interface AudioTrack {
  readonly codec: AudioCodec;
  readonly sampleRateHz: number;
  readonly channels: number;
  /** AAC: AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1), two bytes for AAC LC. Empty for others. */
  readonly config: Uint8Array;
}

/** What a stream has. A new object whenever something in it changed, parameter sets included. */
export interface MediaTracks {
  readonly video: VideoTrack | null;
  readonly audio: AudioTrack | null;
}
