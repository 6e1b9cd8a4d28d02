/** Test footage as the stream of a bridge, in real time and round again: for outlets without a camera. */
import { parseAdts } from '#core/media/audio.ts';
import { isParameterSet, nalType, nalUnits } from '#core/media/h26x.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { addMs, type Ms } from '#core/units.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { UnitSeat, UnitSink, UnitStream } from '../../daemons/mediad/unit-stream.ts';
import type { LoadedFootage } from '../../scripts/media/footage.ts';

const PICTURE_MS = 40;

function tracksOf(footage: LoadedFootage): MediaTracks {
  const { videoCodec: codec, pictures, audioFrames, audioCodec } = footage;
  const first = pictures[0]!.bytes;
  const parameterSets = nalUnits(first).filter(({ at }) => isParameterSet(codec, nalType(codec, first[at]!))).map(({ at, end }) => first.subarray(at, end));
  const video = { codec, parameterSets, width: 768, height: 576 };
  if (audioCodec === undefined) return { video, audio: null };
  if (audioCodec === 'g711a') return { video, audio: { codec: 'g711a', sampleRateHz: 8000, channels: 1, config: new Uint8Array() } };
  const adts = parseAdts(audioFrames[0]!.bytes);
  if (!adts.ok) throw new Error(adts.error.why);
  const frequencyIndex = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000].indexOf(adts.value.sampleRateHz);
  const config = Uint8Array.of((2 << 3) | (frequencyIndex >> 1), ((frequencyIndex & 1) << 7) | (adts.value.channels << 3));
  return { video, audio: { codec: 'aac', sampleRateHz: adts.value.sampleRateHz, channels: adts.value.channels, config } };
}

export class FootageUnits implements UnitStream, Disposable {
  readonly #footage: LoadedFootage;
  readonly #sinks = new Set<UnitSink>();
  readonly #known: MediaTracks;
  readonly #startedAt: Ms;
  #sinceKey: MediaUnit[] = [];
  #picture = 0;
  #sound = 0;
  #timer: Disposable | undefined;
  tracks: MediaTracks | null = null;
  frozenSince: Ms | null = null;
  keyFramesWanted = 0;

  constructor(footage: LoadedFootage) {
    this.#footage = footage;
    this.#known = tracksOf(footage);
    this.#startedAt = clock.now();
    this.#next();
  }

  get joined(): number {
    return this.#sinks.size;
  }

  join(sink: UnitSink): UnitSeat {
    this.#sinks.add(sink);
    if (this.tracks !== null) sink.onTracks(this.tracks);
    for (const unit of this.#sinceKey) sink.onUnit(unit, clock.now());
    return { wantKeyFrame: () => void (this.keyFramesWanted += 1), [Symbol.dispose]: () => void this.#sinks.delete(sink) };
  }

  end(why: string): void {
    this[Symbol.dispose]();
    const sinks = [...this.#sinks];
    this.#sinks.clear();
    for (const sink of sinks) sink.onEnd(why);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #next(): void {
    const { pictures, ticksPerPicture90k, audioFrames, ticksPerAudioFrame90k, videoCodec, audioCodec } = this.#footage;
    const pts90k = this.#picture * ticksPerPicture90k;
    const { bytes, keyFrame } = pictures[this.#picture % pictures.length]!;
    this.#give({ kind: 'video', codec: videoCodec, pts90k, dts90k: pts90k, keyFrame, damaged: false, bytes });
    this.#picture += 1;
    for (; audioCodec !== undefined && this.#sound * ticksPerAudioFrame90k <= pts90k; this.#sound += 1) {
      const at = this.#sound * ticksPerAudioFrame90k;
      this.#give({ kind: 'audio', codec: audioCodec, pts90k: at, dts90k: at, keyFrame: false, damaged: false, bytes: audioFrames[this.#sound % audioFrames.length]!.bytes });
    }
    this.#timer = clock.schedule(addMs(this.#startedAt, this.#picture * PICTURE_MS), () => this.#next());
  }

  #give(unit: MediaUnit): void {
    if (this.tracks === null) {
      this.tracks = this.#known;
      for (const sink of this.#sinks) sink.onTracks(this.tracks);
    }
    if (unit.keyFrame) this.#sinceKey = [];
    this.#sinceKey.push(unit);
    for (const sink of [...this.#sinks]) sink.onUnit(unit, clock.now());
  }
}
