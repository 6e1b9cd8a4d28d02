/** What the outlet (main thread) and the thread that speaks WebRTC say to one another. */
import type { AudioCodec } from '#core/media/audio.ts';
import type { MediaUnit } from '#core/media/unit.ts';

export interface RtcThreadData {
  /** To bind. */
  readonly address: string;
  /** The only ICE candidate. */
  readonly candidate: string;
  readonly port: number;
}

export type ToThread =
  | {
      readonly type: 'open';
      readonly id: string;
      /** SDP offer. */
      readonly offer: string;
      /** profile_idc of its SPS; null: no pictures. */
      readonly profileIdc: number | null;
      readonly audio: AudioCodec | null;
    }
  /** What was known since the last key frame, at once; then unit by unit. */
  | { readonly type: 'burst'; readonly id: string; readonly units: readonly MediaUnit[] }
  | { readonly type: 'unit'; readonly id: string; readonly unit: MediaUnit }
  | { readonly type: 'close'; readonly id: string; readonly why: string }
  | { readonly type: 'ping' };

export interface RtcStats {
  readonly id: string;
  readonly sentBytes: number;
  readonly droppedUnits: number;
}

export type FromThread =
  | { readonly type: 'ready'; readonly port: number }
  | { readonly type: 'opened'; readonly id: string; readonly answer: string }
  | { readonly type: 'refused'; readonly id: string; readonly why: string }
  /** Keys are agreed: units may come. */
  | { readonly type: 'connected'; readonly id: string; readonly remote: string }
  | { readonly type: 'key-frame-wanted'; readonly id: string }
  | { readonly type: 'closed'; readonly id: string; readonly why: string }
  /** Also the answer to a ping. */
  | { readonly type: 'stats'; readonly sessions: readonly RtcStats[]; readonly counters: Readonly<Record<string, number>> };
