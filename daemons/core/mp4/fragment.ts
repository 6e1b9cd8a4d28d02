/**
 * Media segments of fragmented MP4: one moof and mdat for each picture and for each piece of sound (ISO/IEC 14496-12 8.8).
 *
 * A picture lasts until the next one, so each waits for its successor: one picture of delay, and exact durations for it. Sound knows
 * its own length; its time follows its samples and comes back to the source's clock when the two are apart.
 */
import { concatBytes } from '../bytes.ts';
import { parseAdts, splitAdts } from '../media/audio.ts';
import { sharedLengthPrefixed } from '../media/length-prefixed.ts';
import type { MediaTracks, MediaUnit } from '../media/unit.ts';
import { box, boxHeader, fullBox, uint32, uint64 } from './box.ts';
import { AUDIO_TRACK_ID, type Mp4Init, VIDEO_TIMESCALE, VIDEO_TRACK_ID, mp4Init } from './init.ts';

const CLOCK_HZ = 90000;
/** A longer pause is a fault of the source: the picture before it is not stretched. */
const MAX_PICTURE_TICKS = 10 * CLOCK_HZ;
/** Of a picture whose successor never comes, when no other is known: 25 a second. */
const USUAL_PICTURE_TICKS = 3600;
/** Beyond what rounding and jitter of a source's stamps do, and below what lips show. */
const MAX_AUDIO_DRIFT_S = 0.06;

const DEFAULT_BASE_IS_MOOF = 0x020000;
/** trun: data offset, then duration, size, flags and composition offset of each sample. */
const TRUN_FLAGS = 0x000f01;
/** sample_depends_on 2: on nothing. */
const SYNC_SAMPLE = 0x02000000;
/** sample_depends_on 1, sample_is_non_sync_sample. */
const OTHER_SAMPLE = 0x01010000;

export interface Mp4Fragment {
  readonly kind: 'video' | 'audio';
  readonly keyFrame: boolean;
  /** From the first picture or sound of the viewer, on the clock of both. */
  readonly at90k: number;
  readonly duration90k: number;
  /** moof with the header of mdat, then its content, shared by all viewers. */
  readonly bytes: readonly [Uint8Array, ...Uint8Array[]];
}

interface Sample {
  readonly size: number;
  readonly duration: number;
  readonly flags: number;
  readonly compositionOffset: number;
}

/** For one viewer, or for the segments of all of them. */
export class Mp4Fragmenter {
  readonly #keepG711: boolean;
  #init: Mp4Init | undefined;
  #audioRateHz = 0;
  #base90k: number | undefined;
  #sequence = 0;
  #held: MediaUnit | undefined;
  #usualTicks = USUAL_PICTURE_TICKS;
  #audioSamples: number | undefined;
  /** Units that could not be carried. */
  leftOut = 0;

  constructor({ keepG711 = false }: { readonly keepG711?: boolean } = {}) {
    this.#keepG711 = keepG711;
  }

  /** What fragments follow the new description with; undefined when nothing can be carried. Call `flush` before. */
  tracks(tracks: MediaTracks): Mp4Init | undefined {
    this.#init = mp4Init(tracks, this.#keepG711);
    this.#audioRateHz = tracks.audio?.sampleRateHz ?? 0;
    this.#audioSamples = undefined;
    return this.#init;
  }

  unit(unit: MediaUnit): Mp4Fragment[] {
    const carried = unit.kind === 'video' ? this.#init?.hasVideo === true : this.#init?.hasAudio === true;
    if (!carried) {
      this.leftOut += 1;
      return [];
    }
    this.#base90k ??= unit.dts90k;
    if (unit.kind === 'audio') return this.#audio(unit);
    const held = this.#held;
    this.#held = unit;
    if (held === undefined) return [];
    const ticks = unit.dts90k - held.dts90k;
    if (ticks > 0 && ticks <= MAX_PICTURE_TICKS) this.#usualTicks = ticks;
    return this.#video(held, this.#usualTicks);
  }

  /** The picture that waits, as long as the one before it. */
  flush(): Mp4Fragment[] {
    const held = this.#held;
    this.#held = undefined;
    return held === undefined ? [] : this.#video(held, this.#usualTicks);
  }

  #video(unit: MediaUnit, duration90k: number): Mp4Fragment[] {
    const payload = unit.codec === 'h264' || unit.codec === 'h265' ? sharedLengthPrefixed(unit.codec, unit.bytes) : new Uint8Array(0);
    if (payload.length === 0) {
      this.leftOut += 1;
      return [];
    }
    const at90k = Math.max(0, unit.dts90k - this.#base90k!);
    const sample = { size: payload.length, duration: duration90k, flags: unit.keyFrame ? SYNC_SAMPLE : OTHER_SAMPLE, compositionOffset: Math.max(0, unit.pts90k - unit.dts90k) };
    const head = this.#head(VIDEO_TRACK_ID, Math.round((at90k * VIDEO_TIMESCALE) / CLOCK_HZ), [sample]);
    return [{ kind: 'video', keyFrame: unit.keyFrame, at90k, duration90k, bytes: [head, payload] }];
  }

  #audio(unit: MediaUnit): Mp4Fragment[] {
    const rate = this.#audioRateHz;
    const pieces = unit.codec === 'aac' ? aacPieces(unit.bytes) : [{ bytes: unit.bytes, samples: unit.bytes.length }];
    if (pieces.length === 0) {
      this.leftOut += 1;
      return [];
    }
    const stamped = Math.max(0, Math.round(((unit.dts90k - this.#base90k!) * rate) / CLOCK_HZ));
    const at = this.#audioSamples !== undefined && Math.abs(stamped - this.#audioSamples) < MAX_AUDIO_DRIFT_S * rate ? this.#audioSamples : stamped;
    const samples = pieces.map(piece => ({ size: piece.bytes.length, duration: piece.samples, flags: SYNC_SAMPLE, compositionOffset: 0 }));
    const duration = samples.reduce((sum, sample) => sum + sample.duration, 0);
    this.#audioSamples = at + duration;
    const head = this.#head(AUDIO_TRACK_ID, at, samples);
    return [{ kind: 'audio', keyFrame: false, at90k: (at * CLOCK_HZ) / rate, duration90k: (duration * CLOCK_HZ) / rate, bytes: [head, ...pieces.map(piece => piece.bytes)] }];
  }

  /** The data offset counts from the moof to the content of mdat (8.8.8). */
  #head(trackId: number, decodeTime: number, samples: readonly Sample[]): Uint8Array {
    this.#sequence += 1;
    const size = samples.reduce((sum, sample) => sum + sample.size, 0);
    const moof = (dataOffset: number): Uint8Array =>
      box(
        'moof',
        fullBox('mfhd', 0, 0, uint32(this.#sequence)),
        box(
          'traf',
          fullBox('tfhd', 0, DEFAULT_BASE_IS_MOOF, uint32(trackId)),
          fullBox('tfdt', 1, 0, uint64(decodeTime)),
          fullBox('trun', 0, TRUN_FLAGS, uint32(samples.length, dataOffset, ...samples.flatMap(sample => [sample.duration, sample.size, sample.flags, sample.compositionOffset]))),
        ),
      );
    const mdat = boxHeader('mdat', size);
    return concatBytes(moof(moof(0).length + mdat.length), mdat);
  }
}

function aacPieces(bytes: Uint8Array): { readonly bytes: Uint8Array; readonly samples: number }[] {
  return splitAdts(bytes).frames.flatMap(frame => {
    const header = parseAdts(frame);
    return header.ok ? [{ bytes: frame.subarray(header.value.headerBytes), samples: header.value.samples }] : [];
  });
}
