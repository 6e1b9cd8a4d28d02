/**
 * Tag bodies of a publisher as neutral units (Adobe Flash Video File Format 10.1, E.4; Enhanced RTMP v1). Total: what cannot be read
 * is counted and left out; a sequence header that cannot be read leaves the last good one.
 */
import { concatBytes, sameBytes } from '../bytes.ts';
import { adtsHeader, audioSpecificConfig, readAudioSpecificConfig } from '../media/audio-tracks.ts';
import { parseDecoderConfig } from '../media/decoder-config.ts';
import { type VideoCodec, inspectAccessUnit } from '../media/h26x.ts';
import { splitLengthPrefixed } from '../media/length-prefixed.ts';
import { isSps, withStartCodes } from '../media/parameter-sets.ts';
import { readPictureSize } from '../media/sps.ts';
import type { AudioTrack, MediaTracks, MediaUnit, VideoTrack } from '../media/unit.ts';
import { AUDIO_TAG, CODEC_AVC, CODEC_HEVC_LEGACY, CODED_FRAMES, CODED_FRAMES_X, FOURCC_AVC1, FOURCC_HVC1, SEQUENCE_START, SOUND_AAC, SOUND_G711A, SOUND_G711U, VIDEO_TAG } from './tags.ts';

const TICKS_PER_MS = 90;
const WRAP_MS = 2 ** 32;
const G711_RATE_HZ = 8000;
const AAC_LC = 2;
const HE_AAC = [5, 29];
/** aac_frame_length of ADTS has 13 bits, header included. */
const MAX_AAC_BYTES = 8184;
/** A composition offset beyond this is no display order but a broken encoder. */
const MAX_COMPOSITION_MS = 10_000;

export interface DemuxedTags {
  /** A new object when something changed with this tag. */
  readonly tracks: MediaTracks | undefined;
  readonly units: readonly MediaUnit[];
}

interface VideoConfig {
  readonly codec: VideoCodec;
  readonly parameterSets: readonly Uint8Array[];
  readonly lengthBytes: number;
}

type AacConfig = NonNullable<ReturnType<typeof readAudioSpecificConfig>>;

interface VideoTag {
  readonly codec: VideoCodec;
  readonly isHeader: boolean;
  readonly compositionMs: number;
  readonly data: Uint8Array;
}

const NOTHING: DemuxedTags = { tracks: undefined, units: [] };

export class FlvTagDemuxer {
  #video: VideoConfig | undefined;
  #aac: AacConfig | undefined;
  #tracks: MediaTracks = { video: null, audio: null };
  #previousMs: number | undefined;
  #timeMs = 0;
  /** Tags that could not be read or carried. */
  leftOut = 0;

  /** One tag, or message of RTMP. Bodies are kept as views. */
  push(type: number, timestampMs: number, body: Uint8Array): DemuxedTags {
    if (type !== AUDIO_TAG && type !== VIDEO_TAG) return NOTHING;
    const result = body.length === 0 ? undefined : type === VIDEO_TAG ? this.#pushVideo(timestampMs, body) : this.#pushAudio(timestampMs, body);
    if (result === undefined) this.leftOut += 1;
    return result ?? NOTHING;
  }

  #pushVideo(timestampMs: number, body: Uint8Array): DemuxedTags | undefined {
    const tag = readVideoTag(body);
    if (tag === undefined) return undefined;
    if (tag.isHeader) return this.#videoHeader(tag);
    const config = this.#video;
    if (config === undefined || config.codec !== tag.codec) return undefined;
    const split = splitLengthPrefixed(tag.data, config.lengthBytes);
    if (!split.ok || split.value.length === 0) return undefined;
    const picture = withStartCodes(split.value);
    const facts = inspectAccessUnit(config.codec, picture);
    if (!facts.hasPicture) return undefined;
    const bytes = facts.keyFrame && !facts.hasParameterSets ? concatBytes(withStartCodes(config.parameterSets), picture) : picture;
    const dts90k = this.#time90k(timestampMs);
    return { tracks: undefined, units: [{ kind: 'video', codec: config.codec, dts90k, pts90k: dts90k + tag.compositionMs * TICKS_PER_MS, keyFrame: facts.keyFrame, damaged: false, bytes }] };
  }

  #videoHeader({ codec, data }: VideoTag): DemuxedTags | undefined {
    const parsed = parseDecoderConfig(codec, data);
    if (!parsed.ok) return undefined;
    const { parameterSets } = parsed.value;
    const known = this.#video;
    this.#video = { codec, ...parsed.value };
    if (known?.codec === codec && known.parameterSets.length === parameterSets.length && known.parameterSets.every((set, i) => sameBytes(set, parameterSets[i]!))) return NOTHING;
    const size = readPictureSize(codec, parameterSets.find(set => isSps(codec, set))!);
    return this.#changed({ video: { codec, parameterSets, ...(size.ok ? size.value : { width: 0, height: 0 }) } });
  }

  #pushAudio(timestampMs: number, body: Uint8Array): DemuxedTags | undefined {
    const sound = body[0]! >> 4;
    if (sound === SOUND_AAC) return body[1] === 0 ? this.#aacHeader(body.subarray(2)) : this.#aacFrame(timestampMs, body.subarray(2));
    const codec = sound === SOUND_G711A ? 'g711a' : sound === SOUND_G711U ? 'g711u' : undefined;
    if (codec === undefined || body.length < 2) return undefined;
    const known = this.#tracks.audio?.codec === codec;
    const tracks = known ? undefined : this.#changed({ audio: { codec, sampleRateHz: G711_RATE_HZ, channels: 1, config: new Uint8Array(0) } }).tracks;
    return { tracks, units: [this.#sound(codec, timestampMs, body.subarray(1))] };
  }

  #aacHeader(data: Uint8Array): DemuxedTags | undefined {
    const aac = readAudioSpecificConfig(asCore(data));
    if (aac === undefined || aac.channels === 0) return undefined;
    this.#aac = aac;
    const config = audioSpecificConfig(aac.objectType, aac.sampleRateHz, aac.channels);
    const known = this.#tracks.audio;
    if (known?.codec === 'aac' && sameBytes(known.config, config)) return NOTHING;
    return this.#changed({ audio: { codec: 'aac', sampleRateHz: aac.sampleRateHz, channels: aac.channels, config } });
  }

  #aacFrame(timestampMs: number, raw: Uint8Array): DemuxedTags | undefined {
    if (this.#aac === undefined || raw.length === 0 || raw.length > MAX_AAC_BYTES) return undefined;
    const { objectType, sampleRateHz, channels } = this.#aac;
    return { tracks: undefined, units: [this.#sound('aac', timestampMs, concatBytes(adtsHeader(objectType, sampleRateHz, channels, raw.length), raw))] };
  }

  #sound(codec: AudioTrack['codec'], timestampMs: number, bytes: Uint8Array): MediaUnit {
    const at90k = this.#time90k(timestampMs);
    return { kind: 'audio', codec, pts90k: at90k, dts90k: at90k, keyFrame: false, damaged: false, bytes };
  }

  #changed(part: { readonly video: VideoTrack } | { readonly audio: AudioTrack }): DemuxedTags {
    this.#tracks = { ...this.#tracks, ...part };
    return { tracks: this.#tracks, units: [] };
  }

  /** The 32-bit milliseconds of both kinds, unwrapped on one line. */
  #time90k(timestampMs: number): number {
    const step = this.#previousMs === undefined ? timestampMs : ((timestampMs - this.#previousMs + WRAP_MS * 1.5) % WRAP_MS) - WRAP_MS / 2;
    this.#previousMs = timestampMs;
    this.#timeMs += step;
    return this.#timeMs * TICKS_PER_MS;
  }
}

/** HE-AAC declares itself by its extension; its core is AAC LC at the rate that is said first, and decoders find the rest. */
function asCore(config: Uint8Array): Uint8Array {
  const isExtension = config.length >= 2 && HE_AAC.includes(config[0]! >> 3);
  return isExtension ? Uint8Array.of((AAC_LC << 3) | (config[0]! & 7), config[1]!) : config;
}

const uint24 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;

function readVideoTag(body: Uint8Array): VideoTag | undefined {
  if (body.length < 5) return undefined;
  if ((body[0]! & 0x80) !== 0) return readEnhancedTag(body);
  const codec = (body[0]! & 0x0f) === CODEC_AVC ? 'h264' : (body[0]! & 0x0f) === CODEC_HEVC_LEGACY ? 'h265' : undefined;
  if (codec === undefined || body[1]! > 1) return undefined;
  return { codec, isHeader: body[1] === 0, compositionMs: compositionAt(body, 2), data: body.subarray(5) };
}

function readEnhancedTag(body: Uint8Array): VideoTag | undefined {
  const fourCc = uint24(body, 1) * 256 + body[4]!;
  const codec = fourCc === FOURCC_HVC1 ? 'h265' : fourCc === FOURCC_AVC1 ? 'h264' : undefined;
  if (codec === undefined) return undefined;
  const packetType = body[0]! & 0x0f;
  if (packetType === SEQUENCE_START) return { codec, isHeader: true, compositionMs: 0, data: body.subarray(5) };
  if (packetType === CODED_FRAMES_X) return { codec, isHeader: false, compositionMs: 0, data: body.subarray(5) };
  if (packetType !== CODED_FRAMES || body.length < 8) return undefined;
  return { codec, isHeader: false, compositionMs: compositionAt(body, 5), data: body.subarray(8) };
}

function compositionAt(body: Uint8Array, at: number): number {
  const offset = (uint24(body, at) << 8) >> 8;
  return offset < 0 || offset > MAX_COMPOSITION_MS ? 0 : offset;
}
