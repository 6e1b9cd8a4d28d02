/**
 * What a stream has, told once it is known: takers that must name all tracks in a header (FLV, fMP4) should not have to begin twice.
 *
 *   unknown ──key frame and sound, or the source says there is no sound, or it did not come in time──► settled
 *   unknown ──sound alone for `AUDIO_ALONE_MS`──► settled without video (quirk 48: video may be late)
 */
import { sameBytes } from '../bytes.ts';
import type { Ms } from '../units.ts';
import type { AudioTrack, MediaTracks, VideoTrack } from './unit.ts';

const AUDIO_ALONE_MS = 2000;
/** Video was promised. */
const VIDEO_LATE_MS = 10_000;
/** Sound was promised: quirk 64 promises it and sends none. */
const AUDIO_PROMISED_MS = 250;
const AUDIO_UNKNOWN_MS = 100;
/** The same in pictures, for a source that sends faster than live. */
const AUDIO_PROMISED_PICTURES = 12;
const AUDIO_UNKNOWN_PICTURES = 5;

/** What the source says it sends: SDP, RTMP metadata, PSM. Undefined: it does not say. */
export interface Promised {
  readonly video?: boolean | undefined;
  readonly audio?: boolean | undefined;
}

export class TrackWatch {
  /** Null until settled; then a new object for every change. */
  tracks: MediaTracks | null = null;
  promised: Promised = {};
  #video: VideoTrack | null = null;
  #audio: AudioTrack | null = null;
  #videoAt: Ms | undefined;
  #pictures = 0;
  #audioAt: Ms | undefined;

  video(track: VideoTrack, now: Ms): void {
    this.#videoAt ??= now;
    if (this.#video !== null && sameVideo(this.#video, track)) return;
    this.#video = track;
    this.#change();
  }

  audio(track: AudioTrack, now: Ms): void {
    this.#audioAt ??= now;
    if (this.#audio !== null && sameAudio(this.#audio, track)) return;
    this.#audio = track;
    this.#change();
  }

  /** A unit passed. */
  tick(kind: 'video' | 'audio', now: Ms): void {
    if (kind === 'video' && this.#videoAt !== undefined) this.#pictures += 1;
    if (this.tracks === null && this.#isSettled(now)) this.tracks = { video: this.#video, audio: this.#audio };
  }

  #change(): void {
    if (this.tracks !== null) this.tracks = { video: this.#video, audio: this.#audio };
  }

  #isSettled(now: Ms): boolean {
    const { video, audio } = this.promised;
    if (this.#videoAt !== undefined) {
      if (this.#audioAt !== undefined || audio === false) return true;
      const [waitMs, pictures] = audio === true ? [AUDIO_PROMISED_MS, AUDIO_PROMISED_PICTURES] : [AUDIO_UNKNOWN_MS, AUDIO_UNKNOWN_PICTURES];
      return now - this.#videoAt >= waitMs || this.#pictures > pictures;
    }
    if (this.#audioAt === undefined) return false;
    return video === false || now - this.#audioAt >= (video === true ? VIDEO_LATE_MS : AUDIO_ALONE_MS);
  }
}

const sameVideo = (a: VideoTrack, b: VideoTrack): boolean =>
  a.codec === b.codec && (a.parameterSets === b.parameterSets || (a.parameterSets.length === b.parameterSets.length && a.parameterSets.every((set, index) => sameBytes(set, b.parameterSets[index]!))));

const sameAudio = (a: AudioTrack, b: AudioTrack): boolean => a.codec === b.codec && a.sampleRateHz === b.sampleRateHz && a.channels === b.channels && sameBytes(a.config, b.config);
