/**
 * Initialization segment of fragmented MP4: ftyp and moov (ISO/IEC 14496-12 8, 14496-14, 14496-15 5.4 and 8.4).
 *
 * Audio: AAC as mp4a. G.711 has the sample entries of QuickTime (`alaw`, `ulaw`), which ffmpeg and VLC play; no browser does, and one that
 * meets them gives up the picture too. So G.711 is left out unless the viewer asks for it (`?g711=keep`).
 */
import { concatBytes, fromByteString } from '../bytes.ts';
import { decoderConfig } from '../media/decoder-config.ts';
import type { AudioTrack, MediaTracks, VideoTrack } from '../media/unit.ts';
import { box, fullBox, uint16, uint32, zeros } from './box.ts';

export const VIDEO_TRACK_ID = 1;
export const AUDIO_TRACK_ID = 2;
export const VIDEO_TIMESCALE = 90000;

const MOVIE_TIMESCALE = 1000;
const UNITY_MATRIX = uint32(0x00010000, 0, 0, 0, 0x00010000, 0, 0, 0, 0x40000000);
const LANGUAGE_UNDETERMINED = 0x55c4;
const TRACK_ENABLED_IN_MOVIE = 3;

export interface Mp4Init {
  readonly bytes: Uint8Array;
  /** MIME type with codecs parameter (RFC 6381), as MediaSource wants it. */
  readonly mime: string;
  readonly hasVideo: boolean;
  readonly hasAudio: boolean;
}

interface Track {
  readonly moov: Uint8Array;
  readonly trackId: number;
  readonly codecs: string;
}

/** Undefined when no track can be carried. `keepG711`: see above. */
export function mp4Init({ video, audio }: MediaTracks, keepG711: boolean): Mp4Init | undefined {
  const picture = video === null ? undefined : videoTrack(video);
  const sound = audio === null ? undefined : audioTrack(audio, keepG711);
  // A picture that cannot be described must not be lost behind its sound.
  if (video !== null && picture === undefined) return undefined;
  const tracks = [picture, sound].filter(track => track !== undefined);
  if (tracks.length === 0) return undefined;
  const ftyp = box('ftyp', fromByteString('iso6'), uint32(1), ...['iso6', 'iso5', 'isom', 'mp41'].map(fromByteString));
  const mvhd = fullBox('mvhd', 0, 0, uint32(0, 0, MOVIE_TIMESCALE, 0, 0x00010000), uint16(0x0100), zeros(10), UNITY_MATRIX, zeros(24), uint32(AUDIO_TRACK_ID + 1));
  const mvex = box('mvex', ...tracks.map(({ trackId }) => fullBox('trex', 0, 0, uint32(trackId, 1, 0, 0, 0))));
  const bytes = concatBytes(ftyp, box('moov', mvhd, ...tracks.map(track => track.moov), mvex));
  return { bytes, mime: `${picture === undefined ? 'audio' : 'video'}/mp4; codecs="${tracks.map(track => track.codecs).join(',')}"`, hasVideo: picture !== undefined, hasAudio: sound !== undefined };
}

function videoTrack(video: VideoTrack): Track | undefined {
  if (video.codec !== 'h264' && video.codec !== 'h265') return undefined;
  const config = decoderConfig(video.codec, video.parameterSets);
  if (config === undefined) return undefined;
  const [entry, record] = video.codec === 'h264' ? ['avc1', 'avcC'] : ['hvc1', 'hvcC'];
  const { width, height } = video;
  // VisualSampleEntry, 12.1.3: 72 dpi, one frame a sample, no compressor name, 24 bits.
  const sample = box(entry, zeros(6), uint16(1), zeros(16), uint16(width, height), uint32(0x00480000, 0x00480000, 0), uint16(1), zeros(32), uint16(24, 0xffff), box(record, config.record));
  const size = uint32(width * 0x10000, height * 0x10000);
  return { moov: trak(VIDEO_TRACK_ID, size, 0, VIDEO_TIMESCALE, 'vide', fullBox('vmhd', 0, 1, zeros(8)), sample), trackId: VIDEO_TRACK_ID, codecs: config.codecs };
}

function audioTrack(audio: AudioTrack, keepG711: boolean): Track | undefined {
  const sample = audio.codec === 'aac' && audio.config.length >= 2 ? aacEntry(audio) : keepG711 ? g711Entry(audio) : undefined;
  if (sample === undefined) return undefined;
  const codecs = audio.codec === 'aac' ? `mp4a.40.${audio.config[0]! >> 3}` : audio.codec === 'g711a' ? 'alaw' : 'ulaw';
  return { moov: trak(AUDIO_TRACK_ID, uint32(0, 0), 0x0100, audio.sampleRateHz, 'soun', fullBox('smhd', 0, 0, zeros(4)), sample), trackId: AUDIO_TRACK_ID, codecs };
}

/** AudioSampleEntry, 12.2.3; the rate is 16.16. */
const audioEntry = (type: string, { channels, sampleRateHz }: AudioTrack, ...boxes: readonly Uint8Array[]): Uint8Array =>
  box(type, zeros(6), uint16(1), zeros(8), uint16(channels, 16), zeros(4), uint16(sampleRateHz & 0xffff, 0), ...boxes);

function g711Entry(audio: AudioTrack): Uint8Array | undefined {
  if (audio.codec !== 'g711a' && audio.codec !== 'g711u') return undefined;
  return audioEntry(audio.codec === 'g711a' ? 'alaw' : 'ulaw', audio);
}

/** ES_Descriptor with DecoderConfigDescriptor (audio of ISO/IEC 14496-3) and DecoderSpecificInfo (ISO/IEC 14496-1 7.2.6). */
function aacEntry(audio: AudioTrack): Uint8Array {
  const descriptor = (tag: number, ...content: readonly Uint8Array[]): Uint8Array => concatBytes(Uint8Array.of(tag, content.reduce((sum, part) => sum + part.length, 0)), ...content);
  const decoder = descriptor(4, Uint8Array.of(0x40, 0x15, 0, 0, 0), uint32(0, 0), descriptor(5, audio.config));
  return audioEntry('mp4a', audio, fullBox('esds', 0, 0, descriptor(3, Uint8Array.of(0, AUDIO_TRACK_ID, 0), decoder, descriptor(6, Uint8Array.of(2)))));
}

function trak(trackId: number, size: Uint8Array, volume: number, timescale: number, handler: string, mediaHeader: Uint8Array, sampleEntry: Uint8Array): Uint8Array {
  const tkhd = fullBox('tkhd', 0, TRACK_ENABLED_IN_MOVIE, uint32(0, 0, trackId, 0, 0), zeros(8), uint16(0, 0, volume, 0), UNITY_MATRIX, size);
  const mdhd = fullBox('mdhd', 0, 0, uint32(0, 0, timescale, 0), uint16(LANGUAGE_UNDETERMINED, 0));
  const hdlr = fullBox('hdlr', 0, 0, zeros(4), fromByteString(handler), zeros(12), fromByteString('ViewLink\0'));
  const dinf = box('dinf', fullBox('dref', 0, 0, uint32(1), fullBox('url ', 0, 1)));
  const none = (type: string, count: number): Uint8Array => fullBox(type, 0, 0, zeros(count));
  const stbl = box('stbl', fullBox('stsd', 0, 0, uint32(1), sampleEntry), none('stts', 4), none('stsc', 4), none('stsz', 8), none('stco', 4));
  return box('trak', tkhd, box('mdia', mdhd, hdlr, box('minf', mediaHeader, dinf, stbl)));
}
