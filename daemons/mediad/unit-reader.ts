/** From accepted RTP packets of a source leg to units: program stream, or one elementary stream (gb28181.md 6.3). */
import type { MediaFormat } from '#contracts/mediad.ts';
import type { VideoCodec } from '#core/media/h26x.ts';
import type { RawUnit } from '#core/media/unit-intake.ts';
import type { Promised } from '#core/media/track-watch.ts';
import { PsDemuxer, type PsEvent } from '#core/ps/demux.ts';
import { codecOf, isAudioId, isVideoId } from '#core/ps/stream-types.ts';
import { type Depacketizer, openDepacketizer } from '#core/rtp/elementary.ts';
import { parametersOf } from '#core/rtp/format-parameters.ts';
import type { Ms } from '#core/units.ts';
import type { MediaBatch } from './media-batch.ts';

export interface UnitTaker {
  take(unit: RawUnit, now: Ms): void;
  gap(now: Ms): void;
  promise(promised: Promised): void;
  /** Parameter sets that came beside the stream. */
  learn(codec: VideoCodec, parameterSets: readonly Uint8Array[]): void;
}

export interface UnitReader {
  /** In the order of their index; what lies before one that was read is passed over. */
  read(batch: MediaBatch, now: Ms): void;
  /** Packets are missing before the next one: what is whole is told now. */
  gap(now: Ms): void;
}

/** Turns missing numbers of the source's timeline into gaps. */
export abstract class OrderedReader implements UnitReader {
  #next: number | undefined;

  read(batch: MediaBatch, now: Ms): void {
    for (let i = 0; i < batch.count; i++) {
      const index = batch.index[i]!;
      if (this.#next !== undefined && index < this.#next) continue;
      if (this.#next !== undefined && (index > this.#next || index === batch.restartAt)) this.missing(now);
      this.#next = index + 1;
      this.packet(batch, i, now);
    }
  }

  gap(now: Ms): void {
    this.missing(now);
  }

  /** Numbers are missing here, or the source began anew. */
  protected abstract missing(now: Ms): void;
  protected abstract packet(batch: MediaBatch, i: number, now: Ms): void;
}

export class PsReader extends OrderedReader {
  readonly #taker: UnitTaker;
  readonly #demuxer = new PsDemuxer();

  constructor(taker: UnitTaker) {
    super();
    this.#taker = taker;
  }

  protected missing(now: Ms): void {
    this.#tell(this.#demuxer.gap(), now);
    this.#taker.gap(now);
  }

  protected packet(batch: MediaBatch, i: number, now: Ms): void {
    const from = batch.payloadOffset[i]!;
    const endsPicture = batch.marker[i]! || (i + 1 < batch.count && batch.timestamp[i + 1] !== batch.timestamp[i]);
    const events = this.#demuxer.push(batch.memory[i]!.subarray(from, from + batch.payloadLength[i]!), endsPicture);
    if (events.length > 0) this.#tell(events, now);
  }

  #tell(events: readonly PsEvent[], now: Ms): void {
    for (const event of events) {
      if (event.type === 'unit') {
        this.#taker.take(event, now);
        continue;
      }
      const { streams } = event.map;
      const known = streams.filter(stream => codecOf(stream.streamType) !== 'unknown');
      this.#taker.promise({ video: known.some(stream => isVideoId(stream.streamId)), audio: known.some(stream => isAudioId(stream.streamId)) });
    }
  }
}

export class EsReader extends OrderedReader {
  readonly #taker: UnitTaker;
  readonly #depacketizer: Depacketizer;

  constructor(taker: UnitTaker, format: Exclude<MediaFormat, 'ps'>, formatParameters: string | undefined) {
    super();
    this.#taker = taker;
    const parameters = parametersOf(formatParameters);
    this.#depacketizer = openDepacketizer(format, parameters);
    const isVideo = format === 'h264' || format === 'h265';
    taker.promise({ video: isVideo, audio: !isVideo });
    if (isVideo && parameters.parameterSets.length > 0) taker.learn(format, parameters.parameterSets);
  }

  protected missing(now: Ms): void {
    this.#depacketizer.gap();
    this.#taker.gap(now);
  }

  protected packet(batch: MediaBatch, i: number, now: Ms): void {
    const from = batch.payloadOffset[i]!;
    const units = this.#depacketizer.push(batch.memory[i]!.subarray(from, from + batch.payloadLength[i]!), batch.marker[i]!, batch.timestamp[i]!);
    for (const unit of units) this.#taker.take(unit, now);
  }
}
