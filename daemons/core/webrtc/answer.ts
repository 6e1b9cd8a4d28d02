/** Our answer to a WHEP client: ICE lite with one host candidate, DTLS passive, everything bundled, we send and never receive. */
import type { OfferedMedia, OfferedPayload, WhepOffer } from './offer.ts';

export interface SentTrack {
  readonly mid: string;
  readonly kind: 'video' | 'audio';
  readonly payload: OfferedPayload;
  readonly ssrc: number;
}

export interface AnswerParts {
  readonly offer: WhepOffer;
  readonly tracks: readonly SentTrack[];
  readonly sessionId: string;
  readonly address: string;
  readonly port: number;
  readonly iceFragment: string;
  readonly icePassword: string;
  /** `sha-256 AA:BB...` of our certificate. */
  readonly fingerprint: string;
}

const CNAME = 'viewlink';
/** Of a host candidate, component 1, the only one (RFC 8445 5.1.2.1). */
const PRIORITY = 2_130_706_431;

export function buildWhepAnswer(parts: AnswerParts): string {
  const { offer, tracks, sessionId, address } = parts;
  const family = address.includes(':') ? 'IP6' : 'IP4';
  const lines = [
    'v=0',
    `o=- ${sessionId} 1 IN ${family} ${address}`,
    's=-',
    't=0 0',
    `a=group:BUNDLE ${tracks.map(({ mid }) => mid).join(' ')}`,
    'a=ice-lite',
    `a=msid-semantic: WMS ${CNAME}`,
    ...offer.media.flatMap(media => section(media, tracks.find(({ mid }) => mid === media.mid), parts, family)),
  ];
  return `${lines.join('\r\n')}\r\n`;
}

function section(media: OfferedMedia, track: SentTrack | undefined, { address, port, iceFragment, icePassword, fingerprint }: AnswerParts, family: string): string[] {
  if (track === undefined) return [`m=${media.name} 0 ${media.protocol} ${media.formats[0]!}`, `c=IN ${family} ${address}`, 'a=inactive', `a=mid:${media.mid}`];
  const { payload, ssrc, kind } = track;
  return [
    `m=${media.name} ${port} ${media.protocol} ${payload.type}`,
    `c=IN ${family} ${address}`,
    `a=mid:${media.mid}`,
    'a=sendonly',
    'a=rtcp-mux',
    `a=rtpmap:${payload.type} ${payload.name}/${payload.clockHz}`,
    ...(kind === 'video' ? videoLines(payload) : []),
    `a=ice-ufrag:${iceFragment}`,
    `a=ice-pwd:${icePassword}`,
    `a=fingerprint:${fingerprint}`,
    'a=setup:passive',
    `a=candidate:1 1 udp ${PRIORITY} ${address} ${port} typ host`,
    'a=end-of-candidates',
    `a=msid:${CNAME} ${kind}`,
    `a=ssrc:${ssrc} cname:${CNAME}`,
  ];
}

/** The profile is the client's own: both may send any level (RFC 6184 8.1). */
function videoLines({ type, parameters }: OfferedPayload): string[] {
  const profile = /^[0-9a-f]{6}$/i.exec(parameters.get('profile-level-id') ?? '')?.[0] ?? '42e01f';
  return [
    `a=fmtp:${type} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=${profile.toLowerCase()}`,
    `a=rtcp-fb:${type} nack`,
    `a=rtcp-fb:${type} nack pli`,
    `a=rtcp-fb:${type} ccm fir`,
  ];
}
