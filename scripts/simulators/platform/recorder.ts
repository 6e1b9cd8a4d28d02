/** What came, as files: the program stream as it was, and the elementary streams taken out of it. Without a path only counts are kept. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { RawUnit } from '#core/media/unit-intake.ts';
import { PsDemuxer, type PsEvent, type PsUnit } from '#core/ps/demux.ts';
import { PsMuxer } from '#core/ps/mux.ts';
import { type Depacketizer, type ElementaryFormat, openDepacketizer } from '#core/rtp/elementary.ts';
import type { Codec } from '#core/ps/stream-types.ts';

const EXTENSION: Readonly<Partial<Record<Codec, string>>> = { h264: 'h264', h265: 'h265', g711a: 'alaw', g711u: 'mulaw', aac: 'aac' };

export interface RecordedFiles {
  /** Program stream, byte for byte; ffprobe and ffmpeg read it. */
  ps?: string;
  video?: string;
  audio?: string;
}

export class Recorder {
  readonly #base: string | undefined;
  readonly #demuxer = new PsDemuxer();
  #depacketizer: Depacketizer | undefined;
  #muxer = new PsMuxer({});
  readonly #open = new Map<string, number>();
  readonly files: RecordedFiles = {};
  readonly #onFrame: (unit: PsUnit) => void;
  #psBytes = 0;
  /** Up to the last picture that the sender marked as ended. */
  #wholeBytes = 0;
  frames = 0;
  keyFrames = 0;
  damaged = 0;
  audioFrames = 0;
  maps = 0;
  mapsWithWrongCrc = 0;
  videoCodec: Codec | undefined;
  audioCodec: Codec | undefined;

  /** `base`: path without extension. */
  constructor(base: string | undefined, onFrame: (unit: PsUnit) => void) {
    this.#base = base;
    this.#onFrame = onFrame;
  }

  get psCounters(): PsDemuxer['counters'] {
    return this.#demuxer.counters;
  }

  /** It is an elementary stream: recorded as the program stream that it would have been. */
  expect(format: ElementaryFormat): void {
    this.#depacketizer = openDepacketizer(format);
    this.#muxer = new PsMuxer(format === 'h264' || format === 'h265' ? { video: format } : { audio: format });
  }

  payload(bytes: Uint8Array, timestamp: number, endsPicture: boolean): void {
    if (this.#depacketizer === undefined) this.#stream(bytes, endsPicture);
    else for (const unit of this.#depacketizer.push(bytes, endsPicture, timestamp)) this.#picture(unit);
  }

  #picture(unit: RawUnit): void {
    if (unit.damaged) this.damaged += 1;
    else if (unit.kind === 'video') this.#stream(this.#muxer.video({ bytes: unit.bytes, pts90k: unit.pts90k, keyFrame: unit.keyFrame }), true);
    else this.#stream(this.#muxer.audio({ bytes: unit.bytes, pts90k: unit.pts90k, ownPack: true }), true);
  }

  #stream(bytes: Uint8Array, endsPicture: boolean): void {
    if (this.#base !== undefined) {
      this.files.ps = `${this.#base}.ps`;
      this.#write(this.files.ps, bytes);
      this.#psBytes += bytes.length;
      if (endsPicture) this.#wholeBytes = this.#psBytes;
    }
    this.#take(this.#demuxer.push(bytes, endsPicture));
  }

  gap(): void {
    this.#depacketizer?.gap();
    this.#take(this.#demuxer.gap());
  }

  /** The last picture comes out only now. When our BYE cut it in two it is left out, of the file too: that is no damage. */
  finish(): void {
    this.#take(this.#demuxer.flush().filter(event => event.type === 'map' || !event.damaged));
    const ps = this.files.ps === undefined ? undefined : this.#open.get(this.files.ps);
    if (ps !== undefined && this.#wholeBytes > 0) ftruncateSync(ps, this.#wholeBytes);
    for (const file of this.#open.values()) closeSync(file);
    this.#open.clear();
  }

  #take(events: readonly PsEvent[]): void {
    for (const event of events) {
      if (event.type === 'unit') this.#unit(event);
      else {
        this.maps += 1;
        if (!event.map.crcOk) this.mapsWithWrongCrc += 1;
      }
    }
  }

  #unit(unit: PsUnit): void {
    if (unit.kind === 'audio') {
      this.audioFrames += 1;
      this.audioCodec = unit.codec;
    } else {
      this.frames += 1;
      this.videoCodec = unit.codec;
      if (unit.keyFrame) this.keyFrames += 1;
      if (unit.damaged) this.damaged += 1;
    }
    const extension = EXTENSION[unit.codec];
    if (this.#base !== undefined && extension !== undefined) {
      this.files[unit.kind] = `${this.#base}.${extension}`;
      this.#write(`${this.#base}.${extension}`, unit.bytes);
    }
    this.#onFrame(unit);
  }

  #write(path: string, bytes: Uint8Array): void {
    let file = this.#open.get(path);
    if (file === undefined) {
      file = openSync(path, 'w');
      this.#open.set(path, file);
    }
    writeSync(file, bytes);
  }
}
