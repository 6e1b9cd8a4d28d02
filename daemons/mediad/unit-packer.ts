/** From units to the RTP payloads of a sink leg: program stream, or one elementary stream. Every piece has room for its header in front. */
import type { MediaFormat } from '#contracts/mediad.ts';
import type { AudioCodec } from '#core/media/audio.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { PsMuxer } from '#core/ps/mux.ts';
import { timestampOf } from '#core/rtp/media-clock.ts';
import { RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import { type Packetizer, openPacketizer } from '#core/rtp/elementary.ts';
import { MAX_PIECE_BYTES, pieceCount, pieceLength } from '#core/rtp/reslice.ts';
import type { MediaBatch } from './media-batch.ts';

/** Packets of one sink, numbered on a timeline of its own. */
export interface UnitPacker {
  tracks(tracks: MediaTracks): void;
  /** Adds the packets of this unit, none when it is nothing for this sink. */
  pack(unit: MediaUnit, into: MediaBatch): void;
}

const PS_CLOCK_HZ = 90_000;

export const packerOf = (format: MediaFormat, firstIndex: number): UnitPacker => (format === 'ps' ? new PsPacker(firstIndex) : new EsPacker(format, firstIndex));

/** System header and map before every key frame, one pack a picture (gb28181.md 6.6). */
export class PsPacker implements UnitPacker {
  #muxer = new PsMuxer({});
  #audio: AudioCodec | undefined;
  #hasVideo = false;
  #mapVersion = -1;
  #index: number;

  /** `firstIndex`: where its numbers begin. */
  constructor(firstIndex = 0) {
    this.#index = firstIndex;
  }

  tracks(tracks: MediaTracks): void {
    this.#audio = tracks.audio?.codec;
    this.#hasVideo = tracks.video !== null;
    this.#mapVersion += 1;
    this.#muxer = new PsMuxer({ mapVersion: this.#mapVersion, ...(tracks.video !== null && { video: tracks.video.codec }), ...(this.#audio !== undefined && { audio: this.#audio }) });
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
    const timestamp = timestampOf(pts90k, PS_CLOCK_HZ);
    for (let piece = 0; piece < pieces; piece++) {
      const at = piece * stride + RTP_HEADER_BYTES;
      const length = pieceLength(stream.length, piece);
      memory.set(stream.subarray(piece * MAX_PIECE_BYTES, piece * MAX_PIECE_BYTES + length), at);
      into.add(memory, at, length, piece === pieces - 1, timestamp, this.#index++);
    }
  }
}

/** One elementary stream; the other kind is left out (gb28181.md 6.3: sound has a session of its own). */
export class EsPacker implements UnitPacker {
  readonly #format: Exclude<MediaFormat, 'ps'>;
  #packetizer: Packetizer;
  #index: number;

  constructor(format: Exclude<MediaFormat, 'ps'>, firstIndex = 0) {
    this.#format = format;
    this.#packetizer = openPacketizer(format);
    this.#index = firstIndex;
  }

  tracks(tracks: MediaTracks): void {
    if (this.#format === 'aac' && tracks.audio?.codec === 'aac') this.#packetizer = openPacketizer('aac', tracks.audio.sampleRateHz);
  }

  pack(unit: MediaUnit, into: MediaBatch): void {
    into.kind = this.#format === 'h264' || this.#format === 'h265' ? this.#format : 'unknown';
    for (const { payload, marker, timestamp } of this.#packetizer.packets(unit)) {
      const memory = new Uint8Array(RTP_HEADER_BYTES + payload.length);
      memory.set(payload, RTP_HEADER_BYTES);
      into.add(memory, RTP_HEADER_BYTES, payload.length, marker, timestamp, this.#index++);
    }
  }
}
