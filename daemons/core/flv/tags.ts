/**
 * Bodies of FLV tags, which are the bodies of RTMP messages too (Adobe Flash Video File Format 10.1, E.4; Enhanced RTMP v1).
 *
 * H.265 has two forms. `enhanced`: FourCC `hvc1`, what is standard today. `legacy`: codec id 12 in the place of 7, never standardised,
 * which many players of the field know and nothing else. A viewer gets enhanced unless it asks for the other (`?hevc=legacy`, or a
 * `connect` of RTMP without a fourCcList that has it).
 */
import { concatBytes } from '../bytes.ts';
import { splitAdts, parseAdts } from '../media/audio.ts';
import type { Codec } from '../media/codec.ts';
import { decoderConfig } from '../media/decoder-config.ts';
import { sharedLengthPrefixed } from '../media/length-prefixed.ts';
import type { AudioTrack, MediaTracks, MediaUnit, VideoTrack } from '../media/unit.ts';
import { EcmaArray, writeAmf0 } from '../rtmp/amf0.ts';

export const AUDIO_TAG = 8;
export const VIDEO_TAG = 9;
export const SCRIPT_TAG = 18;

export type HevcForm = 'enhanced' | 'legacy';

export const FOURCC_HVC1 = 0x68766331;
export const FOURCC_AVC1 = 0x61766331;
export const CODEC_AVC = 7;
export const CODEC_HEVC_LEGACY = 12;
export const SOUND_AAC = 10;
export const SOUND_G711A = 7;
export const SOUND_G711U = 8;
/** PacketType of an enhanced video tag. */
export const SEQUENCE_START = 0;
export const CODED_FRAMES = 1;
export const CODED_FRAMES_X = 3;

const KEY_FRAME = 1;
const INTER_FRAME = 2;
const EXTENDED = 0x80;
/** AAC: rate, size and type are fixed and say nothing (E.4.2.1). */
const AAC_FLAGS = (SOUND_AAC << 4) | 0x0f;
/** 16 bit decoded, mono; the rate of G.711 is 8 kHz whatever these bits say. */
const G711_FLAGS = 0x02;
const TICKS_PER_MS = 90;

export interface FlvTag {
  readonly type: typeof AUDIO_TAG | typeof VIDEO_TAG | typeof SCRIPT_TAG;
  /** From the first unit, modulo 2^32. */
  readonly timestampMs: number;
  /** Shared by all viewers: nobody writes to it. */
  readonly body: Uint8Array;
}

interface AudioBody {
  readonly offset90k: number;
  readonly body: Uint8Array;
}

const videoBodies: Readonly<Record<HevcForm, WeakMap<MediaUnit, Uint8Array>>> = { enhanced: new WeakMap(), legacy: new WeakMap() };
const audioBodies = new WeakMap<MediaUnit, readonly AudioBody[]>();

/** Makes tags of units for one viewer; its time begins with 0. What FLV cannot carry is left out and counted. */
export class FlvPackager {
  readonly #form: HevcForm;
  #base90k: number | undefined;
  #lastMs = 0;
  #videoReady = false;
  leftOut = 0;

  constructor(form: HevcForm = 'enhanced') {
    this.#form = form;
  }

  /** Metadata and sequence headers: at the begin, and again whenever tracks change. */
  tracks(tracks: MediaTracks): FlvTag[] {
    const bodies: [FlvTag['type'], Uint8Array][] = [[SCRIPT_TAG, metadataBody(tracks, this.#form)]];
    const video = tracks.video === null ? undefined : sequenceHeader(tracks.video, this.#form);
    this.#videoReady = video !== undefined;
    if (video !== undefined) bodies.push([VIDEO_TAG, video]);
    if (tracks.audio?.codec === 'aac' && tracks.audio.config.length > 0) bodies.push([AUDIO_TAG, concatBytes(Uint8Array.of(AAC_FLAGS, 0), tracks.audio.config)]);
    return bodies.map(([type, body]) => ({ type, timestampMs: this.#lastMs, body }));
  }

  unit(unit: MediaUnit): FlvTag[] {
    this.#base90k ??= unit.dts90k;
    if (unit.kind === 'audio') return this.#audio(unit);
    if (!this.#videoReady) return this.#leaveOut();
    let body = videoBodies[this.#form].get(unit);
    if (body === undefined) videoBodies[this.#form].set(unit, (body = videoBody(unit, this.#form)));
    return body.length === 0 ? this.#leaveOut() : [this.#tag(VIDEO_TAG, unit.dts90k, body)];
  }

  #audio(unit: MediaUnit): FlvTag[] {
    let bodies = audioBodies.get(unit);
    if (bodies === undefined) audioBodies.set(unit, (bodies = makeAudioBodies(unit)));
    return bodies.length === 0 ? this.#leaveOut() : bodies.map(({ offset90k, body }) => this.#tag(AUDIO_TAG, unit.dts90k + offset90k, body));
  }

  #leaveOut(): FlvTag[] {
    this.leftOut += 1;
    return [];
  }

  /** Counted from the first unit and not from tag to tag, so that rounding does not add up. */
  #tag(type: FlvTag['type'], at90k: number, body: Uint8Array): FlvTag {
    this.#lastMs = Math.max(0, Math.floor((at90k - this.#base90k!) / TICKS_PER_MS)) % 2 ** 32;
    return { type, timestampMs: this.#lastMs, body };
  }
}

/** Codecs that a tag can hold. */
export const flvCarries = (codec: Codec): boolean => codec === 'h264' || codec === 'h265' || codec === 'aac' || codec === 'g711a' || codec === 'g711u';

const isH265 = (video: Pick<VideoTrack, 'codec'>): boolean => video.codec === 'h265';

function videoHead(codec: VideoTrack['codec'], keyFrame: boolean, form: HevcForm, isHeader: boolean, composition90k: number): Uint8Array {
  const frame = keyFrame ? KEY_FRAME : INTER_FRAME;
  const offsetMs = Math.round(composition90k / TICKS_PER_MS);
  const offset = [offsetMs >> 16, offsetMs >> 8, offsetMs];
  if (codec === 'h265' && form === 'enhanced') {
    const fourCc = [FOURCC_HVC1 >>> 24, FOURCC_HVC1 >>> 16, FOURCC_HVC1 >>> 8, FOURCC_HVC1];
    if (isHeader) return Uint8Array.of(EXTENDED | (frame << 4) | SEQUENCE_START, ...fourCc);
    return offsetMs === 0 ? Uint8Array.of(EXTENDED | (frame << 4) | CODED_FRAMES_X, ...fourCc) : Uint8Array.of(EXTENDED | (frame << 4) | CODED_FRAMES, ...fourCc, ...offset);
  }
  return Uint8Array.of((frame << 4) | (codec === 'h265' ? CODEC_HEVC_LEGACY : CODEC_AVC), isHeader ? 0 : 1, ...(isHeader ? [0, 0, 0] : offset));
}

function sequenceHeader(video: VideoTrack, form: HevcForm): Uint8Array | undefined {
  if (video.codec !== 'h264' && video.codec !== 'h265') return undefined;
  const config = decoderConfig(video.codec, video.parameterSets);
  return config === undefined ? undefined : concatBytes(videoHead(video.codec, true, form, true, 0), config.record);
}

function videoBody(unit: MediaUnit, form: HevcForm): Uint8Array {
  if (unit.codec !== 'h264' && unit.codec !== 'h265') return new Uint8Array(0);
  const units = sharedLengthPrefixed(unit.codec, unit.bytes);
  return units.length === 0 ? units : concatBytes(videoHead(unit.codec, unit.keyFrame, form, false, unit.pts90k - unit.dts90k), units);
}

/** One tag for each AAC frame; G.711 as it comes. */
function makeAudioBodies({ codec, bytes }: MediaUnit): readonly AudioBody[] {
  if (codec === 'g711a' || codec === 'g711u') return [{ offset90k: 0, body: concatBytes(Uint8Array.of(((codec === 'g711a' ? SOUND_G711A : SOUND_G711U) << 4) | G711_FLAGS), bytes) }];
  if (codec !== 'aac') return [];
  let offset90k = 0;
  return splitAdts(bytes).frames.flatMap(frame => {
    const header = parseAdts(frame);
    if (!header.ok) return [];
    const body = concatBytes(Uint8Array.of(AAC_FLAGS, 1), frame.subarray(header.value.headerBytes));
    offset90k += (header.value.samples * 90000) / header.value.sampleRateHz;
    return [{ offset90k: offset90k - (header.value.samples * 90000) / header.value.sampleRateHz, body }];
  });
}

const SOUND_IDS: Partial<Readonly<Record<AudioTrack['codec'], number>>> = { aac: SOUND_AAC, g711a: SOUND_G711A, g711u: SOUND_G711U };

function metadataBody({ video, audio }: MediaTracks, form: HevcForm): Uint8Array {
  const data = new EcmaArray();
  if (video !== null && (video.codec === 'h264' || video.codec === 'h265')) {
    if (video.width > 0) data.set('width', video.width).set('height', video.height);
    data.set('videocodecid', !isH265(video) ? CODEC_AVC : form === 'legacy' ? CODEC_HEVC_LEGACY : FOURCC_HVC1);
  }
  const sound = audio === null ? undefined : SOUND_IDS[audio.codec];
  if (audio !== null && sound !== undefined) data.set('audiocodecid', sound).set('audiosamplerate', audio.sampleRateHz).set('stereo', audio.channels === 2);
  return writeAmf0('onMetaData', data.set('encoder', 'ViewLink Gateway'));
}
