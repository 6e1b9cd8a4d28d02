/** Offer and answer (RFC 3264, RFC 4145) between GB/T 28181 parties: payload, TCP roles, SSRC (gb28181.md 6.1, 6.3, 6.5, 8.2). */
import type { ElementaryFormat } from '../rtp/elementary.ts';
import { type Result, ok } from '../result.ts';
import type { FLine } from './f-line.ts';
import type { GbMedia, GbSdp, Setup } from './gb-sdp.ts';
import { type SdpRefusal, refuse } from './sdp.ts';

/** Our role: active = we connect, passive = we listen. */
export type MediaTransport = 'udp' | 'tcp-active' | 'tcp-passive';

export interface Payload {
  readonly payloadType: number;
  readonly encoding: string;
  readonly clockRate: number;
}

export const PS_PAYLOAD: Payload = { payloadType: 96, encoding: 'PS', clockRate: 90000 };
/** Elementary streams, under the numbers that GB/T 28181-2022 suggests (gb28181.md 6.3). */
export const H264_PAYLOAD: Payload = { payloadType: 98, encoding: 'H264', clockRate: 90000 };
export const H265_PAYLOAD: Payload = { payloadType: 100, encoding: 'H265', clockRate: 90000 };

/** What a leg carries: everything in a program stream, or one elementary stream. */
export type StreamFormat = 'ps' | ElementaryFormat;

const FORMAT_OF: ReadonlyMap<string, StreamFormat> = new Map([
  ['PS', 'ps'],
  ['H264', 'h264'],
  ['H265', 'h265'],
  ['HEVC', 'h265'],
  ['PCMA', 'g711a'],
  ['PCMU', 'g711u'],
  ['AAC', 'aac'],
  ['MPEG4-GENERIC', 'aac'],
]);

/** Undefined for what we neither send nor take apart. */
export const formatOf = ({ encoding }: Payload): StreamFormat | undefined => FORMAT_OF.get(encoding);

/** Payload types that mean something without a=rtpmap (RFC 3551 6, gb28181.md 6.3). */
const STATIC_PAYLOADS: ReadonlyMap<number, Payload> = new Map(
  [
    PS_PAYLOAD,
    { payloadType: 0, encoding: 'PCMU', clockRate: 8000 },
    { payloadType: 4, encoding: 'G723', clockRate: 8000 },
    { payloadType: 8, encoding: 'PCMA', clockRate: 8000 },
    { payloadType: 9, encoding: 'G722', clockRate: 8000 },
    { payloadType: 18, encoding: 'G729', clockRate: 8000 },
    { payloadType: 20, encoding: 'SVACA', clockRate: 8000 },
  ].map(payload => [payload.payloadType, payload]),
);

/** What a payload type of this media means: its rtpmap, else the static table. Encoding in upper case. */
export function payloadOf(media: GbMedia, payloadType: number): Payload | undefined {
  const rtpmap = media.rtpmaps.get(payloadType);
  if (rtpmap !== undefined) return { payloadType, encoding: rtpmap.encoding.toUpperCase(), clockRate: rtpmap.clockRate };
  return STATIC_PAYLOADS.get(payloadType);
}

/** The first payload with one of the wanted encodings, in the order of `wanted`. A dynamic type without rtpmap is none (faults.md 34). */
export function choosePayload(media: GbMedia, wanted: readonly string[] = ['PS']): Result<Payload, SdpRefusal> {
  const offered = media.payloadTypes.flatMap(payloadType => payloadOf(media, payloadType) ?? []);
  for (const encoding of wanted) {
    const payload = offered.find(each => each.encoding === encoding);
    if (payload !== undefined) return ok(payload);
  }
  return refuse(0, `none of ${wanted.join(', ')} among the payload types ${media.payloadTypes.join(' ')}`);
}

/** What of an offer can be served, program streams first, else in the order of the offer. */
export function servablePayloads(media: GbMedia): Result<readonly Payload[], SdpRefusal> {
  const offered = media.payloadTypes.flatMap(payloadType => payloadOf(media, payloadType) ?? []).filter(payload => formatOf(payload) !== undefined);
  const isPs = (payload: Payload): boolean => formatOf(payload) === 'ps';
  if (offered.length === 0) return refuse(0, `nothing that can be sent among the payload types ${media.payloadTypes.join(' ')}`);
  return ok([...offered.filter(isPs), ...offered.filter(payload => !isPs(payload))]);
}

const F_VIDEO_FORMAT: ReadonlyMap<string, StreamFormat> = new Map([['2', 'h264'], ['5', 'h265']]);

/** Formats that a source can fill, as far as its answer says; undefined: anything may be in its program stream. */
export function formatsOf(format: StreamFormat, f: FLine | undefined): readonly StreamFormat[] | undefined {
  if (format !== 'ps') return [format];
  const video = F_VIDEO_FORMAT.get(f?.video.format ?? '');
  return video === undefined ? undefined : [video];
}

/**
 * One of `servablePayloads`: a program stream takes everything, an elementary stream must be of a format that the source has. Undefined:
 * none of them can be filled.
 */
export const pickPayload = (servable: readonly Payload[], formats: readonly (string | null)[]): Payload | undefined =>
  servable.find(payload => formatOf(payload) === 'ps' || formats.includes(formatOf(payload)!));

const isTcp = (media: GbMedia): boolean => media.protocol === 'TCP/RTP/AVP';

/** Our role in the answer: the reverse of the offer; without a=setup the offerer is taken as the listening receiver (gb28181.md 8.2). */
export function answerTransport(media: GbMedia): MediaTransport {
  if (!isTcp(media)) return 'udp';
  return media.setup === 'active' ? 'tcp-passive' : 'tcp-active';
}

export const setupOf = (transport: MediaTransport): Setup | undefined => (transport === 'udp' ? undefined : transport === 'tcp-active' ? 'active' : 'passive');

/** What we offered, as far as the answer must fit it. */
export interface SentOffer {
  readonly transport: MediaTransport;
  readonly ssrc: number;
  readonly payloads: readonly Payload[];
}

export interface Agreed {
  readonly address: string;
  readonly port: number;
  /** Of the answer; as asked when it names none (quirks 38, 39). */
  readonly ssrc: number;
  readonly payload: Payload;
}

/** Holds an answer against our offer: same transport, opposite role (faults.md 35), a payload type whose meaning is known. */
export function readAnswer(offer: SentOffer, answer: GbSdp): Result<Agreed, SdpRefusal> {
  const { media } = answer;
  if (isTcp(media) !== (offer.transport !== 'udp')) return refuse(0, `answered ${media.protocol} to an offer over ${offer.transport}`);
  const setup = setupOf(offer.transport);
  if (setup !== undefined && media.setup === setup) return refuse(0, `both sides want to be ${setup}`);
  const payloadType = media.payloadTypes[0]!;
  const payload = media.rtpmaps.has(payloadType) ? payloadOf(media, payloadType) : (offer.payloads.find(each => each.payloadType === payloadType) ?? payloadOf(media, payloadType));
  if (payload === undefined) return refuse(0, `payload type ${payloadType} without a=rtpmap`);
  return ok({ address: answer.connectionAddress, port: media.port, ssrc: answer.ssrc ?? offer.ssrc, payload });
}
