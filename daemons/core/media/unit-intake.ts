/**
 * From what a source gives to what takers may rely on (core/media/unit.ts): one timeline, parameter sets before every key frame, whole
 * ADTS frames, nothing damaged, tracks that are known before the first unit.
 */
import { concatBytes } from '../bytes.ts';
import type { Ms } from '../units.ts';
import type { AudioCodec } from './audio.ts';
import { AdtsFramer, aacFrameTicks90k, audioTicks90k, audioTrackOf } from './audio-tracks.ts';
import type { Codec } from './codec.ts';
import { type VideoCodec, inspectAccessUnit, isVcl, nalType, nalUnits } from './h26x.ts';
import { ParameterSets, isSps } from './parameter-sets.ts';
import { type GatePicture, NO_ENTRY_MS, PictureGate } from './picture-gate.ts';
import { recoveryPictures } from './recovery-point.ts';
import { readPictureSize } from './sps.ts';
import { type Promised, TrackWatch } from './track-watch.ts';
import type { AudioTrack, MediaTracks, MediaUnit, VideoTrack } from './unit.ts';
import { UnitClock } from './unit-clock.ts';

/** Parameter sets and SEI that came without a picture. */
const MAX_FRONT_BYTES = 64 * 1024;
/** Units of another audio codec before it is believed (quirk 49). */
const AUDIO_CHANGE_UNITS = 3;

/** A unit as a demultiplexer, a depacketizer or a client gives it. `keyFrame` counts only for codecs that are not looked into. */
export interface RawUnit extends MediaUnit {
  /** Its time is a guess: the source gave none. */
  readonly ptsEstimated?: boolean;
}

export interface IntakeCounters {
  pictures: number;
  sounds: number;
  keyFrames: number;
  /** Sound that was dropped: damaged, or not what its codec says. */
  badSounds: number;
}

export class UnitIntake {
  readonly gate = new PictureGate();
  readonly clock = new UnitClock();
  readonly counters: IntakeCounters = { pictures: 0, sounds: 0, keyFrames: 0, badSounds: 0 };
  readonly #watch = new TrackWatch();
  readonly #framer = new AdtsFramer();
  #videoCodec: Codec | undefined;
  #sets: ParameterSets | undefined;
  #described: readonly Uint8Array[] | undefined;
  #videoTrack: VideoTrack | undefined;
  /** NAL units that wait for their picture. */
  #front: Uint8Array = new Uint8Array(0);
  #audioTrack: AudioTrack | undefined;
  #audioChanges = 0;
  #keyFrameAt: Ms | undefined;

  get tracks(): MediaTracks | null {
    return this.#watch.tracks;
  }

  promise(promised: Promised): void {
    this.#watch.promised = promised;
  }

  /** Parameter sets that came beside the stream (SDP sprop, avcC), without start codes. */
  learn(codec: VideoCodec, sets: readonly Uint8Array[]): void {
    this.#videoCodec = codec;
    this.#sets = new ParameterSets(codec, sets);
  }

  /** Bytes are missing before the next unit. */
  gap(now: Ms): void {
    this.gate.lost(now);
    this.#framer.reset();
    this.#front = NOTHING;
  }

  /** The unit as takers get it; undefined while it is held back or waits for more. */
  take(raw: RawUnit, now: Ms): MediaUnit | undefined {
    const unit = raw.kind === 'video' ? this.#video(raw, now) : this.#audio(raw, now);
    this.#watch.tick(raw.kind, now);
    return unit;
  }

  #video(raw: RawUnit, now: Ms): MediaUnit | undefined {
    if (raw.codec !== this.#videoCodec) this.#changeCodec(raw.codec, now);
    const sets = this.#sets;
    if (sets === undefined) return this.#pass(raw, raw.bytes, raw.keyFrame ? 'closed' : 'none', now);
    const codec = sets.codec;
    if (!raw.damaged && !inspectAccessUnit(codec, raw.bytes).hasPicture) {
      sets.learn(raw.bytes);
      if (this.#front.length + raw.bytes.length <= MAX_FRONT_BYTES) this.#front = concatBytes(this.#front, raw.bytes);
      return undefined;
    }
    const bytes = this.#front.length === 0 ? raw.bytes : concatBytes(this.#front, raw.bytes);
    this.#front = NOTHING;
    if (!raw.damaged) sets.learn(bytes);
    return this.#pass(raw, bytes, entryOf(codec, bytes), now);
  }

  #changeCodec(codec: Codec, now: Ms): void {
    const first = this.#videoCodec === undefined;
    this.#videoCodec = codec;
    this.#sets = codec === 'h264' || codec === 'h265' ? new ParameterSets(codec) : undefined;
    this.#front = NOTHING;
    if (!first) this.gate.lost(now);
  }

  #pass(raw: RawUnit, bytes: Uint8Array, entry: GatePicture['entry'], now: Ms): MediaUnit | undefined {
    const stamp = this.clock.stamp('video', { pts90k: raw.pts90k, dts90k: raw.dts90k, estimated: raw.ptsEstimated === true, ticks: undefined }, now);
    if (this.#sets?.isComplete === false) {
      this.gate.heldPictures += 1;
      return undefined;
    }
    const wasShut = this.gate.state === 'waiting' || this.gate.state === 'frozen';
    if (!this.gate.take({ entry, damaged: raw.damaged, pts90k: stamp.pts90k }, now)) return undefined;
    const keyFrame = wasShut || entry === 'closed' || entry === 'open' || this.#standsForKeyFrame(entry, now);
    this.counters.pictures += 1;
    if (keyFrame) {
      this.counters.keyFrames += 1;
      this.#keyFrameAt = now;
      this.#describe(now);
    }
    return { kind: 'video', codec: raw.codec, pts90k: stamp.pts90k, dts90k: stamp.dts90k, keyFrame, damaged: false, bytes: keyFrame ? (this.#sets?.complete(bytes) ?? bytes) : bytes };
  }

  /** Somebody must be able to join a stream without key frames, too. */
  #standsForKeyFrame(entry: GatePicture['entry'], now: Ms): boolean {
    return this.gate.state === 'flowing-without-entry' && (entry === 'gradual' || now - (this.#keyFrameAt ?? now) >= NO_ENTRY_MS);
  }

  #describe(now: Ms): void {
    const sets = this.#sets?.sets ?? NO_SETS;
    if (this.#videoTrack?.codec !== this.#videoCodec || this.#described !== sets) {
      const sps = this.#sets === undefined ? undefined : sets.find(set => isSps(this.#sets!.codec, set));
      const size = sps === undefined ? undefined : readPictureSize(this.#sets!.codec, sps);
      this.#videoTrack = { codec: this.#videoCodec!, parameterSets: sets, width: size?.ok === true ? size.value.width : 0, height: size?.ok === true ? size.value.height : 0 };
      this.#described = sets;
    }
    this.#watch.video(this.#videoTrack!, now);
  }

  #audio(raw: RawUnit, now: Ms): MediaUnit | undefined {
    const codec = raw.codec as AudioCodec;
    if (raw.damaged) {
      this.#framer.reset();
      this.counters.badSounds += 1;
      return undefined;
    }
    const whole = codec === 'aac' ? this.#framer.take(raw.bytes) : { bytes: raw.bytes, carried: false, skippedBytes: 0 };
    if (whole.skippedBytes > 0) this.counters.badSounds += 1;
    const track = whole.bytes === undefined || whole.bytes.length === 0 || !isAudioCodec(raw.codec) ? undefined : audioTrackOf(codec, whole.bytes);
    if (track === undefined || !this.#keepsTrack(track)) return undefined;
    const early = whole.carried ? Math.round(aacFrameTicks90k(track.sampleRateHz)) : 0;
    const ticks = audioTicks90k(codec, whole.bytes!);
    const stamp = this.clock.stamp('audio', { pts90k: raw.pts90k - early, dts90k: raw.pts90k - early, estimated: raw.ptsEstimated === true, ticks: ticks === 0 ? undefined : ticks }, now);
    this.counters.sounds += 1;
    this.#watch.audio(track, now);
    return { kind: 'audio', codec, ...stamp, keyFrame: false, damaged: false, bytes: whole.bytes! };
  }

  /** False while another codec than before is not believed yet. */
  #keepsTrack(track: AudioTrack): boolean {
    const same = this.#audioTrack === undefined || this.#audioTrack.codec === track.codec;
    this.#audioChanges = same ? 0 : this.#audioChanges + 1;
    if (!same && this.#audioChanges < AUDIO_CHANGE_UNITS) {
      this.counters.badSounds += 1;
      return false;
    }
    this.#audioTrack = track;
    return true;
  }
}

const NOTHING: Uint8Array = new Uint8Array(0);
const NO_SETS: readonly Uint8Array[] = [];

const isAudioCodec = (codec: Codec): codec is AudioCodec => codec !== 'h264' && codec !== 'h265' && codec !== 'mpeg4' && codec !== 'svac' && codec !== 'unknown';

/** IDR stands alone; pictures around a CRA or BLA, or around a recovery point, may need what came before (H.265 8.1.3). */
function entryOf(codec: VideoCodec, bytes: Uint8Array): GatePicture['entry'] {
  for (const { at } of nalUnits(bytes)) {
    const type = nalType(codec, bytes[at]!);
    if (!isVcl(codec, type)) continue;
    if (codec === 'h264' ? type === 5 : type === 19 || type === 20) return 'closed';
    if (codec === 'h265' && type >= 16 && type <= 23) return 'open';
    break;
  }
  const recovery = recoveryPictures(codec, bytes);
  return recovery === undefined ? 'none' : recovery === 0 ? 'open' : 'gradual';
}
