/** From units to the RTP payloads of a sink leg: program stream, or one elementary stream. Every piece has room for its header in front. */
import type { MediaFormat } from '#contracts/mediad.ts';
import type { AudioCodec } from '#core/media/audio.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { PsMuxer } from '#core/ps/mux.ts';
import { RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import { MAX_PIECE_BYTES, pieceCount, pieceLength } from '#core/rtp/reslice.ts';
import { MediaBatch } from './media-batch.ts';

/** Packets of one sink, numbered on a timeline of its own. */
export interface UnitPacker {
  tracks(tracks: MediaTracks): void;
  /** Adds the packets of this unit, none when it is nothing for this sink. */
  pack(unit: MediaUnit, into: MediaBatch): void;
}

const TIMESTAMP_WRAP = 2 ** 32;

export const rtpTimestamp = (ticks: number): number => ((Math.round(ticks) % TIMESTAMP_WRAP) + TIMESTAMP_WRAP) % TIMESTAMP_WRAP;

export const packerOf = (_format: MediaFormat, firstIndex: number): UnitPacker => new PsPacker(firstIndex);

/** System header and map before every key frame, one pack a picture (gb28181.md 6.6). */
export class PsPacker implements UnitPacker {
  #muxer = new PsMuxer({});
  #audio: AudioCodec | undefined;
  #hasVideo = false;
  #index: number;

  /** `firstIndex`: where its numbers begin. */
  constructor(firstIndex = 0) {
    this.#index = firstIndex;
  }

  tracks(tracks: MediaTracks): void {
    this.#audio = tracks.audio?.codec;
    this.#hasVideo = tracks.video !== null;
    this.#muxer = new PsMuxer({ ...(tracks.video !== null && { video: tracks.video.codec }), ...(this.#audio !== undefined && { audio: this.#audio }) });
  }

  pack(unit: MediaUnit, into: MediaBatch): void {
    const { bytes, pts90k, dts90k, keyFrame } = unit;
    if (unit.kind === 'video') this.#add(this.#muxer.video({ bytes, pts90k, dts90k: dts90k === pts90k ? undefined : dts90k, keyFrame }), pts90k, into);
    else if (unit.codec === this.#audio) this.#add(this.#muxer.audio({ bytes, pts90k, ownPack: !this.#hasVideo }), pts90k, into);
  }

  #add(stream: Uint8Array, pts90k: number, into: MediaBatch): void {
    into.kind = 'ps';
    const pieces = pieceCount(stream.length);
    const stride = RTP_HEADER_BYTES + MAX_PIECE_BYTES;
    const memory = new Uint8Array(stream.length + pieces * RTP_HEADER_BYTES);
    const timestamp = rtpTimestamp(pts90k);
    for (let piece = 0; piece < pieces; piece++) {
      const at = piece * stride + RTP_HEADER_BYTES;
      const length = pieceLength(stream.length, piece);
      memory.set(stream.subarray(piece * MAX_PIECE_BYTES, piece * MAX_PIECE_BYTES + length), at);
      into.add(memory, at, length, piece === pieces - 1, timestamp, this.#index++);
    }
  }
}
