/** The SDP offer of a WHEP client (RFC 8866, RFC 8829): what we need of it, total and bounded. */
import { type Result, fail, ok } from '../result.ts';

export const MAX_OFFER_BYTES = 64 * 1024;
const MAX_LINES = 2000;
const MAX_SECTIONS = 8;
const MAX_PAYLOADS = 128;

export interface OfferedPayload {
  readonly type: number;
  /** Upper case: H264, PCMA ... */
  readonly name: string;
  readonly clockHz: number;
  /** Of a=fmtp, names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

export interface OfferedMedia {
  readonly kind: 'video' | 'audio' | 'other';
  /** `video`, `audio`, `application`. */
  readonly name: string;
  /** `UDP/TLS/RTP/SAVPF`, `UDP/DTLS/SCTP`. */
  readonly protocol: string;
  readonly mid: string;
  /** It takes what we send. */
  readonly receives: boolean;
  readonly payloads: readonly OfferedPayload[];
  /** Formats of the m= line as they are. */
  readonly formats: readonly string[];
}

export interface WhepOffer {
  readonly iceFragment: string;
  /** Of the certificate that it will show: lower-case algorithm, upper-case hex with colons. */
  readonly fingerprints: readonly { readonly algorithm: string; readonly value: string }[];
  readonly media: readonly OfferedMedia[];
}

interface Section {
  readonly m: readonly string[];
  readonly attributes: (readonly [name: string, value: string])[];
}

export function parseWhepOffer(text: string): Result<WhepOffer> {
  if (text.length > MAX_OFFER_BYTES) return fail(MAX_OFFER_BYTES, 'offer too long');
  const lines = text.split(/\r?\n/);
  if (lines.length > MAX_LINES) return fail(0, 'too many lines');
  if (lines[0] !== 'v=0') return fail(0, 'not SDP');
  const session: Section = { m: [], attributes: [] };
  const sections: Section[] = [];
  for (const line of lines) {
    const value = line.slice(2);
    if (line.startsWith('m=')) sections.push({ m: value.split(' '), attributes: [] });
    else if (line.startsWith('a=')) (sections.at(-1) ?? session).attributes.push(cut(value));
  }
  if (sections.length === 0 || sections.length > MAX_SECTIONS) return fail(0, 'expected 1 to 8 media sections');
  const all = [...session.attributes, ...sections.flatMap(({ attributes }) => attributes)];
  const iceFragment = all.find(([name]) => name === 'ice-ufrag')?.[1] ?? '';
  if (!/^[A-Za-z0-9+/]{4,256}$/.test(iceFragment)) return fail(0, 'a=ice-ufrag is missing or not one');
  const fingerprints = [...new Map(all.filter(([name]) => name === 'fingerprint').map(([, value]) => [value, fingerprintOf(value)])).values()].filter(one => one !== undefined);
  if (fingerprints.length === 0) return fail(0, 'a=fingerprint is missing or not one');
  if (all.some(([name, value]) => name === 'setup' && value !== 'actpass' && value !== 'active')) return fail(0, 'a=setup must let us be the DTLS server');
  const media: OfferedMedia[] = [];
  for (const section of sections) {
    const read = readMedia(section);
    if (!read.ok) return read;
    media.push(read.value);
  }
  if (new Set(media.map(({ mid }) => mid)).size !== media.length) return fail(0, 'a=mid twice');
  return ok({ iceFragment, fingerprints, media });
}

function cut(value: string): readonly [string, string] {
  const at = value.indexOf(':');
  return at < 0 ? [value, ''] : [value.slice(0, at), value.slice(at + 1)];
}

function fingerprintOf(value: string): { readonly algorithm: string; readonly value: string } | undefined {
  const form = /^(sha-(?:256|384|512)) ((?:[0-9a-f]{2}:){31,63}[0-9a-f]{2})$/i.exec(value);
  return form === null ? undefined : { algorithm: form[1]!.toLowerCase(), value: form[2]!.toUpperCase() };
}

function readMedia({ m, attributes }: Section): Result<OfferedMedia> {
  const [name = '', , protocol = '', ...formats] = m;
  const find = (wanted: string): string | undefined => attributes.find(([each]) => each === wanted)?.[1];
  const mid = find('mid') ?? '';
  if (!/^[A-Za-z0-9_+.-]{1,32}$/.test(mid)) return fail(0, 'a=mid is missing or not one');
  if (!/^[a-z]{1,16}$/.test(name) || !/^[A-Za-z0-9/]{1,32}$/.test(protocol)) return fail(0, 'm= cannot be read');
  if (formats.length === 0 || formats.length > MAX_PAYLOADS || !formats.every(format => /^[A-Za-z0-9-]{1,32}$/.test(format))) return fail(0, 'formats of m= cannot be read');
  const isRtp = /RTP\/SAVPF?$/.test(protocol);
  const kind = isRtp && (name === 'video' || name === 'audio') ? name : 'other';
  if (kind !== 'other' && find('rtcp-mux') === undefined) return fail(0, 'a=rtcp-mux is missing');
  const receives = !attributes.some(([each]) => each === 'sendonly' || each === 'inactive');
  return ok({ kind, name, protocol, mid, receives, payloads: kind === 'other' ? [] : payloadsOf(formats, attributes), formats });
}

/** Static types need no a=rtpmap (RFC 3551 6). */
const STATIC: Readonly<Record<number, readonly [string, number]>> = { 0: ['PCMU', 8000], 8: ['PCMA', 8000] };

function payloadsOf(formats: readonly string[], attributes: Section['attributes']): OfferedPayload[] {
  const maps = new Map<number, readonly [string, number]>(Object.entries(STATIC).map(([type, value]) => [Number(type), value]));
  const parameters = new Map<number, ReadonlyMap<string, string>>();
  for (const [name, value] of attributes) {
    const form = /^(\d{1,3}) (.{1,512})$/.exec(value);
    if (form === null) continue;
    const map = name === 'rtpmap' ? /^([A-Za-z0-9-]{1,32})\/(\d{1,6})/.exec(form[2]!) : null;
    if (map !== null) maps.set(Number(form[1]), [map[1]!.toUpperCase(), Number(map[2])]);
    if (name === 'fmtp') parameters.set(Number(form[1]), readParameters(form[2]!));
  }
  return formats.flatMap(format => {
    const type = Number(format);
    const map = maps.get(type);
    return map === undefined || !(type >= 0 && type <= 127) ? [] : [{ type, name: map[0], clockHz: map[1], parameters: parameters.get(type) ?? new Map<string, string>() }];
  });
}

function readParameters(text: string): ReadonlyMap<string, string> {
  return new Map(text.split(';', 32).map(part => part.trim().split('=', 2)).map(([name = '', value = '']) => [name.toLowerCase(), value]));
}

/** The H.264 payload type in packetization mode 1 whose profile is that of the stream, else the first one in that mode (RFC 6184 8.2.2). */
export function pickH264({ payloads }: OfferedMedia, profileIdc: number): OfferedPayload | undefined {
  const usable = payloads.filter(({ name, clockHz, parameters }) => name === 'H264' && clockHz === 90_000 && parameters.get('packetization-mode') === '1');
  return usable.find(({ parameters }) => parseInt(parameters.get('profile-level-id')?.slice(0, 2) ?? '', 16) === profileIdc) ?? usable[0];
}

export const pickAudio = ({ payloads }: OfferedMedia, codec: 'g711a' | 'g711u'): OfferedPayload | undefined =>
  payloads.find(({ name, clockHz }) => name === (codec === 'g711a' ? 'PCMA' : 'PCMU') && clockHz === 8000);
