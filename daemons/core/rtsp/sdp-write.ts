/** The tracks of a stream as a session description (RFC 4566; RFC 2326 C; payload formats RFC 6184, 7798, 3551, 3640). */
import { toBase64 } from '../base64.ts';
import { toHex } from '../bytes.ts';
import type { AudioCodec } from '../media/audio.ts';
import type { AudioTrack, MediaTracks, VideoTrack } from '../media/unit.ts';

export interface RtspTrack {
  readonly kind: 'video' | 'audio';
  readonly payloadType: number;
  readonly clockHz: number;
  /** a=rtpmap and a=fmtp. */
  readonly attributes: readonly string[];
}

const VIDEO_PAYLOAD_TYPE = 96;
const AAC_PAYLOAD_TYPE = 97;
const VIDEO_CLOCK_HZ = 90_000;

/** RFC 3551 table 4. */
const STATIC_AUDIO: Readonly<Partial<Record<AudioCodec, readonly [payloadType: number, name: string]>>> = {
  g711u: [0, 'PCMU/8000'],
  g711a: [8, 'PCMA/8000'],
};

/** What of a stream can go over RTSP, in the order of its track numbers. */
export function rtspTracks({ video, audio }: MediaTracks): RtspTrack[] {
  return [video === null ? undefined : videoTrack(video), audio === null ? undefined : audioTrack(audio)].filter(track => track !== undefined);
}

function videoTrack({ codec, parameterSets }: VideoTrack): RtspTrack | undefined {
  if (codec !== 'h264' && codec !== 'h265') return undefined;
  const fmtp = codec === 'h264' ? h264Parameters(parameterSets) : h265Parameters(parameterSets);
  const name = codec === 'h264' ? 'H264' : 'H265';
  const attributes = [`rtpmap:${VIDEO_PAYLOAD_TYPE} ${name}/${VIDEO_CLOCK_HZ}`, ...(fmtp === '' ? [] : [`fmtp:${VIDEO_PAYLOAD_TYPE} ${fmtp}`])];
  return { kind: 'video', payloadType: VIDEO_PAYLOAD_TYPE, clockHz: VIDEO_CLOCK_HZ, attributes };
}

/** RFC 6184 8.1: sprop-parameter-sets has SPS and PPS, profile-level-id the three octets behind the NAL header of the SPS. */
function h264Parameters(sets: readonly Uint8Array[]): string {
  const sps = sets.find(set => (set[0]! & 0x1f) === 7);
  const profile = sps === undefined || sps.length < 4 ? '' : `;profile-level-id=${toHex(sps.subarray(1, 4)).toUpperCase()}`;
  return `packetization-mode=1${profile}${sets.length === 0 ? '' : `;sprop-parameter-sets=${sets.map(toBase64).join(',')}`}`;
}

/** RFC 7798 7.1: NAL unit types 32 to 34. */
function h265Parameters(sets: readonly Uint8Array[]): string {
  const ofType = (name: string, type: number): string[] => {
    const texts = sets.filter(set => ((set[0]! >> 1) & 0x3f) === type).map(toBase64);
    return texts.length === 0 ? [] : [`${name}=${texts.join(',')}`];
  };
  return [...ofType('sprop-vps', 32), ...ofType('sprop-sps', 33), ...ofType('sprop-pps', 34)].join(';');
}

function audioTrack({ codec, sampleRateHz, channels, config }: AudioTrack): RtspTrack | undefined {
  if (codec === 'aac') {
    // RFC 3640 3.3.6, mode AAC-hbr.
    const fmtp = `streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=${toHex(config).toUpperCase()}`;
    return { kind: 'audio', payloadType: AAC_PAYLOAD_TYPE, clockHz: sampleRateHz, attributes: [`rtpmap:${AAC_PAYLOAD_TYPE} mpeg4-generic/${sampleRateHz}/${channels}`, `fmtp:${AAC_PAYLOAD_TYPE} ${fmtp}`] };
  }
  const known = STATIC_AUDIO[codec];
  return known === undefined ? undefined : { kind: 'audio', payloadType: known[0], clockHz: 8000, attributes: [`rtpmap:${known[0]} ${known[1]}`] };
}

export const controlOf = (track: number): string => `trackID=${track}`;

export interface DescriptionOptions {
  /** Our address. */
  readonly address: string;
  /** Digits. */
  readonly sessionId: string;
  readonly title: string;
}

export function describeTracks(tracks: readonly RtspTrack[], { address, sessionId, title }: DescriptionOptions): string {
  const family = address.includes(':') ? 'IP6' : 'IP4';
  const lines = ['v=0', `o=- ${sessionId} 1 IN ${family} ${address}`, `s=${title}`, `c=IN ${family} ${family === 'IP6' ? '::' : '0.0.0.0'}`, 't=0 0', 'a=control:*', 'a=range:npt=now-'];
  for (const [index, track] of tracks.entries()) {
    lines.push(`m=${track.kind} 0 RTP/AVP ${track.payloadType}`, ...track.attributes.map(attribute => `a=${attribute}`), `a=control:${controlOf(index)}`);
  }
  return `${lines.join('\r\n')}\r\n`;
}
