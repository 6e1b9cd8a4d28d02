/** Rules for the SDP of an INVITE and of its answer (GB/T 28181-2016 Annex F, 2022 Annex G; RFC 4566, 3264, 4145). */
import { toByteString } from '../bytes.ts';
import { isGbId } from '../gb/device-id.ts';
import { isIp, isUnspecified, sameIp } from '../ip.ts';
import { type GbSdp, parseGbSdp } from '../sdp/gb-sdp.ts';
import { type Sdp, parseSdp } from '../sdp/sdp.ts';
import type { Rule } from './rule.ts';

const GB_SDP = 'GB/T 28181-2016 Annex F';
const PS_PAYLOAD_TYPE = 96;
const FIRST_DYNAMIC = 96;
const KNOWN_NAMES = new Set(['Play', 'Playback', 'Download', 'Talk']);

export interface SdpSubject {
  /** Its octets as a byte string. */
  readonly text: string;
  readonly lines: Sdp;
  readonly sdp: GbSdp;
  readonly role: 'offer' | 'answer';
  /** What it answers; undefined for an offer, or when it was not seen. */
  readonly offer: GbSdp | undefined;
  /** Whom it came from on the wire; undefined for what we sent. */
  readonly from: string | undefined;
}

/** Undefined when it cannot be read: then `UNREADABLE_SDP` says why. */
export function sdpSubject(body: Uint8Array, rest: Omit<SdpSubject, 'text' | 'lines' | 'sdp'>): SdpSubject | undefined {
  const lines = parseSdp(body);
  const sdp = parseGbSdp(body);
  return lines.ok && sdp.ok ? { text: toByteString(body), lines: lines.value, sdp: sdp.value, ...rest } : undefined;
}

export const UNREADABLE_SDP: Rule<Uint8Array> = {
  id: 'sdp-unreadable',
  clause: `RFC 4566 5, ${GB_SDP}`,
  severity: 'wrong',
  says: 'SDP that cannot be used',
  broken: body => {
    const parsed = parseGbSdp(body);
    return parsed.ok ? undefined : parsed.error.why;
  },
};

const isTcp = ({ media }: GbSdp): boolean => media.protocol === 'TCP/RTP/AVP';
const lineOf = ({ lines }: SdpSubject, letter: string): string | undefined => lines.session.find(line => line.letter === letter)?.value;

function wrongClass({ sdp }: SdpSubject): string | undefined {
  const text = sdp.ssrcText;
  if (text === undefined || !/^\d{10}$/.test(text)) return undefined;
  const isHistory = sdp.sessionName === 'Playback' || sdp.sessionName === 'Download';
  const wanted = isHistory ? '1' : '0';
  return text.startsWith(wanted) ? undefined : `y=${text} for ${sdp.sessionName}: it begins with ${wanted}`;
}

function setupAgainst({ sdp, offer, role }: SdpSubject): string | undefined {
  if (role !== 'answer' || offer === undefined || !isTcp(sdp) || !isTcp(offer) || sdp.media.setup === undefined) return undefined;
  const asked = offer.media.setup ?? 'active';
  const fits = asked === 'active' ? sdp.media.setup === 'passive' : asked === 'passive' ? sdp.media.setup === 'active' : sdp.media.setup !== 'actpass';
  return fits ? undefined : `setup:${sdp.media.setup} to setup:${asked}`;
}

function badPort({ sdp }: SdpSubject): string | undefined {
  const { port, setup } = sdp.media;
  if (!isTcp(sdp)) return port % 2 === 1 ? `UDP port ${port} is odd` : undefined;
  return port === 9 && setup === 'passive' ? 'it listens, at port 9' : undefined;
}

function unnamedTypes({ sdp }: SdpSubject): string | undefined {
  const missing = sdp.media.payloadTypes.filter(type => type >= FIRST_DYNAMIC && !sdp.media.rtpmaps.has(type));
  return missing.length === 0 ? undefined : `payload type ${missing.join(', ')}`;
}

function otherType({ sdp }: SdpSubject): string | undefined {
  const other = [...sdp.media.rtpmaps].find(([type, { encoding }]) => encoding.toUpperCase() === 'PS' && type !== PS_PAYLOAD_TYPE);
  return other === undefined ? undefined : `PS under payload type ${other[0]}`;
}

function notOffered({ sdp, offer, role }: SdpSubject): string | undefined {
  if (role !== 'answer' || offer === undefined) return undefined;
  const nameOf = ({ media }: GbSdp, type: number): string => media.rtpmaps.get(type)?.encoding.toUpperCase() ?? String(type);
  const offered = new Set(offer.media.payloadTypes.flatMap(type => [nameOf(offer, type), String(type)]));
  const other = sdp.media.payloadTypes.find(type => !offered.has(nameOf(sdp, type)) && !offered.has(String(type)));
  return other === undefined ? undefined : `${other} ${nameOf(sdp, other)}`;
}

function wrongDirection({ sdp, role }: SdpSubject): string | undefined {
  const { direction } = sdp.media;
  if (direction === undefined || direction === 'sendrecv' || sdp.media.kind === 'audio') return undefined;
  const wanted = role === 'offer' ? 'recvonly' : 'sendonly';
  return direction === wanted ? undefined : `${role} is ${direction}`;
}

function foreignAddress({ sdp, from }: SdpSubject): string | undefined {
  if (from === undefined || !isIp(sdp.connectionAddress) || isUnspecified(sdp.connectionAddress)) return undefined;
  return sameIp(sdp.connectionAddress, from) ? undefined : `c= names ${sdp.connectionAddress}, it comes from ${from}`;
}

function wrongTime(subject: SdpSubject): string | undefined {
  const { sdp } = subject;
  const time = lineOf(subject, 't');
  if (time === undefined) return 'no t=';
  const isLive = sdp.sessionName === 'Play' || sdp.sessionName === 'Talk';
  if (isLive) return /^0\s+0$/.test(time) ? undefined : `t=${time} for ${sdp.sessionName}`;
  return subject.role === 'offer' && sdp.time.startS === 0 && KNOWN_NAMES.has(sdp.sessionName) ? `t=${time} for ${sdp.sessionName}` : undefined;
}

export const SDP_RULES: readonly Rule<SdpSubject>[] = [
  { id: 'no-y', clause: `${GB_SDP} (y field)`, severity: 'wrong', says: 'no y=', broken: ({ sdp, role }) => (sdp.ssrcText === undefined ? `${role} has no y=` : undefined) },
  { id: 'y-digits', clause: `${GB_SDP} (y field)`, severity: 'wrong', says: 'y= is not ten digits', broken: ({ sdp }) => (sdp.ssrcText === undefined || /^\d{10}$/.test(sdp.ssrcText) ? undefined : `y=${sdp.ssrcText}`) },
  { id: 'y-class', clause: `${GB_SDP} (y field)`, severity: 'wrong', says: 'y= begins with 0 for live, with 1 for history', broken: wrongClass },
  { id: 'y-differs', clause: `${GB_SDP} (y field)`, severity: 'loose', says: 'the answer has another y= than the offer', broken: ({ sdp, offer, role }) => (role === 'answer' && offer?.ssrc !== undefined && sdp.ssrc !== undefined && offer.ssrc !== sdp.ssrc ? `asked y=${offer.ssrcText}, answered y=${sdp.ssrcText}` : undefined) },
  { id: 'f-form', clause: `${GB_SDP} (f field)`, severity: 'wrong', says: 'f= does not follow its grammar', broken: ({ sdp, lines }) => (lines.f !== undefined && lines.f.value !== '' && sdp.f === undefined ? `f=${lines.f.value}` : undefined) },
  { id: 'session-name', clause: `${GB_SDP} (s field)`, severity: 'wrong', says: 's= is none of Play, Playback, Download, Talk', broken: subject => (KNOWN_NAMES.has(subject.sdp.sessionName) ? undefined : `s=${lineOf(subject, 's') ?? ' missing'}`) },
  { id: 'session-differs', clause: GB_SDP, severity: 'loose', says: 'the answer has another s= than the offer', broken: ({ sdp, offer, role }) => (role === 'answer' && offer !== undefined && KNOWN_NAMES.has(sdp.sessionName) && offer.sessionName !== sdp.sessionName ? `asked ${offer.sessionName}, answered ${sdp.sessionName}` : undefined) },
  { id: 'owner', clause: `${GB_SDP} (o field)`, severity: 'loose', says: 'o= is no 20-digit ID', broken: ({ sdp }) => (isGbId(sdp.originUser) ? undefined : `o=${sdp.originUser}`) },
  { id: 'times', clause: `${GB_SDP} (t field)`, severity: 'wrong', says: 't= is 0 0 for live, two Unix times for history', broken: wrongTime },
  { id: 'no-rtpmap', clause: `RFC 3551 3, ${GB_SDP}`, severity: 'wrong', says: 'dynamic payload type without a=rtpmap', broken: unnamedTypes },
  { id: 'ps-payload-type', clause: 'GB/T 28181-2016 Annex C, F', severity: 'loose', says: 'PS under another payload type than 96', broken: otherType },
  { id: 'not-offered', clause: 'RFC 3264 6.1', severity: 'wrong', says: 'the answer chooses what was not offered', broken: notOffered },
  { id: 'protocol-differs', clause: 'RFC 3264 6', severity: 'wrong', says: 'the answer has another transport than the offer', broken: ({ sdp, offer, role }) => (role === 'answer' && offer !== undefined && sdp.media.protocol !== offer.media.protocol ? `${sdp.media.protocol} to ${offer.media.protocol}` : undefined) },
  { id: 'direction', clause: 'RFC 3264 6.1', severity: 'loose', says: 'who is asked sends, who asks receives', broken: wrongDirection },
  { id: 'no-setup', clause: 'RFC 4145 4, GB/T 28181-2016 Annex L', severity: 'wrong', says: 'TCP without a=setup', broken: ({ sdp }) => (isTcp(sdp) && sdp.media.setup === undefined ? sdp.media.protocol : undefined) },
  { id: 'setup-on-udp', clause: 'RFC 4145 4', severity: 'loose', says: 'a=setup although the transport is UDP', broken: ({ sdp }) => (!isTcp(sdp) && sdp.media.setup !== undefined ? `setup:${sdp.media.setup}` : undefined) },
  { id: 'setup-answer', clause: 'RFC 4145 4.1', severity: 'wrong', says: 'a=setup of the answer does not fit that of the offer', broken: setupAgainst },
  { id: 'media-port', clause: 'RFC 3550 11, RFC 4145 4', severity: 'loose', says: 'a port that media cannot use, or should not', broken: badPort },
  { id: 'connection-address', clause: 'RFC 4566 5.7', severity: 'wrong', says: 'c= is no address to send to', broken: ({ sdp }) => (!isIp(sdp.connectionAddress) || isUnspecified(sdp.connectionAddress) ? `c= ${sdp.connectionAddress || 'missing'}` : undefined) },
  { id: 'connection-foreign', clause: `${GB_SDP} (c field)`, severity: 'loose', says: 'media has another address than signalling', broken: foreignAddress },
  { id: 'sdp-line-ends', clause: 'RFC 4566 5', severity: 'loose', says: 'SDP lines that do not end with CRLF', broken: ({ text }) => (/(^|[^\r])\n/.test(text) ? 'a lone LF' : undefined) },
];
