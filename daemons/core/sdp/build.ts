/** SDP that we send: lines in the order of gb28181.md 6.1 and 6.2, `y=` and `f=` last. */
import { fromByteString, toByteString } from '../bytes.ts';
import { type FLine, formatFLine } from './f-line.ts';
import type { Direction, GbSdp, SessionName } from './gb-sdp.ts';
import { type MediaTransport, type Payload, PS_PAYLOAD, setupOf } from './negotiate.ts';

/** Content-Type of SDP, as peers in this field write it. */
export const SDP_TYPE = 'APPLICATION/SDP';

interface CommonParts {
  /** The sender of this SDP: our platform ID in an offer, the channel ID in an answer. */
  readonly originUser: string;
  /** Our media address, without brackets. */
  readonly address: string;
  readonly port: number;
  /** Our role. */
  readonly transport: MediaTransport;
  readonly ssrc: number;
  readonly f?: FLine | undefined;
  /** Lost packets may be asked for again: only toward a gateway of ours. */
  readonly nack?: boolean | undefined;
}

export interface OfferParts extends CommonParts {
  readonly sessionName: SessionName;
  /** u=, for history and for cameras that want it. */
  readonly uri?: string | undefined;
  /** Unix seconds; live when absent. */
  readonly time?: { readonly startS: number; readonly stopS: number };
  readonly kind?: 'video' | 'audio';
  readonly payloads?: readonly Payload[];
  readonly direction?: Direction;
  readonly downloadSpeed?: number | undefined;
  readonly streamNumber?: number | undefined;
  /** How the receiver wants to be asked for it; default: the standard's. */
  readonly streamAttribute?: 'streamnumber' | 'streamprofile' | 'streamMode' | 'stream' | undefined;
}

export interface AnswerParts extends CommonParts {
  readonly payload: Payload;
  readonly direction?: Direction;
  /** Bytes, in the answer to a Download. */
  readonly fileSize?: number | undefined;
}

/** SSRC as y= writes it: ten digits. */
export const formatSsrc = (ssrc: number): string => String(ssrc).padStart(10, '0');

export function buildOffer(parts: OfferParts): Uint8Array {
  const { payloads = [PS_PAYLOAD], kind = 'video', direction = 'recvonly' } = parts;
  return encode([
    ...sessionLines(parts, parts.sessionName, parts.uri, parts.time),
    mediaLine(kind, parts, payloads),
    ...payloads.map(rtpmapLine),
    `a=${direction}`,
    ...setupLines(parts.transport),
    ...nackLines(parts),
    ...(parts.downloadSpeed === undefined ? [] : [`a=downloadspeed:${parts.downloadSpeed}`]),
    ...(parts.streamNumber === undefined ? [] : [streamLine(parts.streamNumber, parts.streamAttribute)]),
    ...tailLines(parts),
  ]);
}

/** Mirrors the offer's session name, u= and t=; its other m-lines are rejected with port 0 (RFC 3264 6). */
export function buildAnswer(offer: GbSdp, parts: AnswerParts): Uint8Array {
  const chosen = [mediaLine(offer.media.kind, parts, [parts.payload]), rtpmapLine(parts.payload), `a=${parts.direction ?? 'sendonly'}`, ...setupLines(parts.transport), ...nackLines(parts)];
  if (parts.fileSize !== undefined) chosen.push(`a=filesize:${parts.fileSize}`);
  return encode([
    ...sessionLines(parts, offer.sessionName || 'Play', offer.uri, offer.time),
    ...offer.mediaLines.flatMap((line, index) => (index === offer.mediaIndex ? chosen : [`m=${rejectedLine(line)}`])),
    ...tailLines(parts),
  ]);
}

/** The same SDP offered once more: o= has the next version (RFC 3264 8). */
export const withNextVersion = (sdp: Uint8Array): Uint8Array => fromByteString(toByteString(sdp).replace(/^(o=\S+ \S+ )(\d{1,9})(?= )/m, (_, head: string, version: string) => `${head}${Number(version) + 1}`));

function sessionLines(parts: CommonParts, sessionName: string, uri: string | undefined, time = { startS: 0, stopS: 0 }): string[] {
  const family = parts.address.includes(':') ? 'IP6' : 'IP4';
  return [
    'v=0',
    `o=${parts.originUser} 0 0 IN ${family} ${parts.address}`,
    `s=${sessionName}`,
    ...(uri === undefined ? [] : [`u=${uri}`]),
    `c=IN ${family} ${parts.address}`,
    `t=${time.startS} ${time.stopS}`,
  ];
}

/** gb28181.md 6.1: the standard's attribute and those of some makers. */
const streamLine = (number: number, attribute: OfferParts['streamAttribute'] = 'streamnumber'): string => `a=${attribute}:${attribute === 'streamMode' ? (number === 0 ? 'main' : 'sub') : number}`;

function mediaLine(kind: string, { port, transport }: CommonParts, payloads: readonly Payload[]): string {
  const protocol = transport === 'udp' ? 'RTP/AVP' : 'TCP/RTP/AVP';
  return `m=${kind} ${port} ${protocol} ${payloads.map(payload => payload.payloadType).join(' ')}`;
}

const rejectedLine = (line: string): string => line.replace(/^(\S+)\s+\S+/, '$1 0');
const rtpmapLine = ({ payloadType, encoding, clockRate }: Payload): string => `a=rtpmap:${payloadType} ${encoding}/${clockRate}`;

function setupLines(transport: MediaTransport): string[] {
  const setup = setupOf(transport);
  return setup === undefined ? [] : [`a=setup:${setup}`, 'a=connection:new'];
}

/** RFC 4585 4.2, RFC 5761 5.1.1, RFC 5506 5. */
const nackLines = ({ nack, transport }: CommonParts): string[] => (nack === true && transport === 'udp' ? ['a=rtcp-mux', 'a=rtcp-rsize', 'a=rtcp-fb:* nack'] : []);

const tailLines = ({ ssrc, f }: CommonParts): string[] => [`y=${formatSsrc(ssrc)}`, ...(f === undefined ? [] : [`f=${formatFLine(f)}`])];

const encode = (lines: readonly string[]): Uint8Array => fromByteString(lines.map(line => `${line}\r\n`).join(''));
