/** What GB/T 28181 says in SDP (gb28181.md 6.1-6.3): parsed once at the door into GbSdp. */
import { type Result, ok } from '../result.ts';
import { type FLine, parseFLine } from './f-line.ts';
import { type Sdp, type SdpLine, type SdpRefusal, type SdpSection, parseSdp, refuse } from './sdp.ts';

export const MAX_PAYLOAD_TYPES = 32;
/** 2100-01-01T00:00:00Z: nothing is recorded later than this. */
const MAX_TIME_S = 4_102_444_800;
const MAX_SSRC = 0xffff_ffff;
const MAX_DOWNLOAD_SPEED = 1024;

export type SessionName = 'Play' | 'Playback' | 'Download' | 'Talk';
export type Setup = 'active' | 'passive' | 'actpass';
export type Direction = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

export interface RtpMap {
  /** As written, e.g. `PS`. */
  readonly encoding: string;
  readonly clockRate: number;
  readonly channels: number | undefined;
}

export interface GbMedia {
  readonly kind: 'video' | 'audio';
  /** 0..65535; 0 is a rejected m-line. Whether media may go there is `checkMediaTarget`'s business. */
  readonly port: number;
  readonly protocol: 'RTP/AVP' | 'TCP/RTP/AVP';
  /** 0..127, in order of preference. */
  readonly payloadTypes: readonly number[];
  readonly rtpmaps: ReadonlyMap<number, RtpMap>;
  readonly fmtp: ReadonlyMap<number, string>;
  /** From the viewpoint of the sender of this SDP: active = it connects. The first one counts. */
  readonly setup: Setup | undefined;
  readonly connection: string | undefined;
  readonly direction: Direction | undefined;
  /** Download offers: multiple of real time. */
  readonly downloadSpeed: number | undefined;
  /** Download answers: bytes. */
  readonly fileSize: number | undefined;
  /** 0 main stream, 1 and 2 sub-streams; vendor spellings included. */
  readonly streamNumber: number | undefined;
  /** Lost packets may be asked for again, on the RTP port (RFC 4585, 5761): between gateways of ours. */
  readonly nack: boolean;
}

export interface GbSdp {
  /** 20-digit ID in o=, as the sender wrote it. */
  readonly originUser: string;
  /** A known name in its canonical case, else what s= said. */
  readonly sessionName: SessionName | (string & {});
  /** u=, e.g. `33010000001320000701:0`. */
  readonly uri: string | undefined;
  /** c= of the chosen media, else of the session, else the address of o=. Text: may be no address at all. */
  readonly connectionAddress: string;
  /** Unix seconds; 0 0 when live. */
  readonly time: { readonly startS: number; readonly stopS: number };
  /** The first video that is not rejected, else the first audio. */
  readonly media: GbMedia;
  /** Index of `media` among all m-lines. */
  readonly mediaIndex: number;
  /** Every m-line as it stood, for an answer that rejects the others (RFC 3264 6). */
  readonly mediaLines: readonly string[];
  /** y= as an integer: senders drop leading zeros. Undefined when absent or no 32-bit number (`null`, 11 digits). */
  readonly ssrc: number | undefined;
  readonly ssrcText: string | undefined;
  readonly f: FLine | undefined;
}

const SESSION_NAMES: ReadonlyMap<string, SessionName> = new Map([
  ['play', 'Play'],
  ['playback', 'Playback'],
  ['download', 'Download'],
  ['talk', 'Talk'],
]);

export function parseGbSdp(body: Uint8Array): Result<GbSdp, SdpRefusal> {
  const sdp = parseSdp(body);
  if (!sdp.ok) return sdp;
  const chosen = chooseMedia(sdp.value);
  if (!chosen.ok) return chosen;
  const origin = (valueOf(sdp.value.session, 'o') ?? '').split(/\s+/);
  const sessionText = valueOf(sdp.value.session, 's') ?? '';
  const sessionName = SESSION_NAMES.get(sessionText.toLowerCase()) ?? sessionText;
  const time = readTime(sdp.value, sessionName);
  if (!time.ok) return time;
  const { media, index, section } = chosen.value;
  return ok({
    originUser: origin[0] ?? '',
    sessionName,
    uri: valueOf(sdp.value.session, 'u'),
    connectionAddress: connectionOf(section.lines) ?? connectionOf(sdp.value.session) ?? origin[5] ?? '',
    time: time.value,
    media,
    mediaIndex: index,
    mediaLines: sdp.value.media.map(each => each.media.value),
    ssrc: readSsrc(sdp.value.y?.value),
    ssrcText: sdp.value.y?.value,
    f: sdp.value.f && parseFLine(sdp.value.f.value),
  });
}

const valueOf = (lines: readonly SdpLine[], letter: string): string | undefined => lines.find(line => line.letter === letter)?.value;

/** `IN IP4 192.0.2.71`, a TTL behind a slash left out. */
function connectionOf(lines: readonly SdpLine[]): string | undefined {
  return valueOf(lines, 'c')?.split(/\s+/)[2]?.split('/')[0];
}

/** Digits only, and within 32 bits (gb28181.md 6.1: compare as integers; quirk 40: `null`). */
export function readSsrc(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const ssrc = Number(text);
  return ssrc > MAX_SSRC ? undefined : ssrc;
}

/** Only history sessions have a time; a live one is 0 0 whatever it says (faults.md 36). */
function readTime(sdp: Sdp, sessionName: string): Result<GbSdp['time'], SdpRefusal> {
  const live = { startS: 0, stopS: 0 };
  if (sessionName !== 'Playback' && sessionName !== 'Download') return ok(live);
  const line = sdp.session.find(each => each.letter === 't');
  const match = /^(\d{1,10})\s+(\d{1,10})$/.exec(line?.value ?? '');
  if (match === null) return refuse(line?.at ?? 0, 't= is not two times in Unix seconds', 400);
  const startS = Number(match[1]);
  const stopS = Number(match[2]);
  // Vendors ask for a whole file by u= alone and leave 0 0.
  if (startS === 0 && stopS === 0) return ok(live);
  if (startS === 0 || stopS > MAX_TIME_S || startS >= stopS) return refuse(line!.at, `t= from ${startS} to ${stopS}`, 400);
  return ok({ startS, stopS });
}

interface Chosen {
  readonly media: GbMedia;
  readonly index: number;
  readonly section: SdpSection;
}

/** The first video that is not rejected, else the first audio. */
function chooseMedia(sdp: Sdp): Result<Chosen, SdpRefusal> {
  let refusal: SdpRefusal = { at: sdp.media[0]?.media.at ?? 0, why: sdp.media.length === 0 ? 'no media' : 'no usable media', status: 488 };
  let audio: Chosen | undefined;
  for (const [index, section] of sdp.media.entries()) {
    const media = readMedia(section);
    if (!media.ok) refusal = media.error;
    else if (media.value.port === 0) refusal = { at: section.media.at, why: 'media rejected (port 0)', status: 488 };
    else if (media.value.kind === 'video') return ok({ media: media.value, index, section });
    else audio ??= { media: media.value, index, section };
  }
  return audio === undefined ? { ok: false, error: refusal } : ok(audio);
}

function readMedia({ media, lines }: SdpSection): Result<GbMedia, SdpRefusal> {
  const [kind = '', portText = '', protocol = '', ...formats] = media.value.split(/\s+/);
  const proto = protocol.toUpperCase();
  if (kind !== 'video' && kind !== 'audio') return refuse(media.at, `media ${kind} unknown`);
  if (proto !== 'RTP/AVP' && proto !== 'TCP/RTP/AVP') return refuse(media.at, `protocol ${protocol} unknown`);
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : -1;
  if (port < 0 || port > 65535) return refuse(media.at, `port ${portText}`);
  if (formats.length === 0 || formats.length > MAX_PAYLOAD_TYPES) return refuse(media.at, `${formats.length} payload types`);
  const bad = formats.find(format => !/^\d{1,3}$/.test(format) || Number(format) > 127);
  if (bad !== undefined) return refuse(media.at, `payload type ${bad}`);
  return ok({ kind, port, protocol: proto, payloadTypes: formats.map(Number), ...readAttributes(lines) });
}

type Attributes = Omit<GbMedia, 'kind' | 'port' | 'protocol' | 'payloadTypes'>;
type Writable<T> = { -readonly [K in keyof T]: T[K] };

const SETUPS: ReadonlyMap<string, Setup> = new Map([['active', 'active'], ['passive', 'passive'], ['actpass', 'actpass']]);
const STREAM_NUMBERS: ReadonlyMap<string, number> = new Map([['main', 0], ['sub', 1], ['0', 0], ['1', 1], ['2', 2]]);

function readAttributes(lines: readonly SdpLine[]): Attributes {
  const rtpmaps = new Map<number, RtpMap>();
  const fmtp = new Map<number, string>();
  const read: Writable<Attributes> = { rtpmaps, fmtp, setup: undefined, connection: undefined, direction: undefined, downloadSpeed: undefined, fileSize: undefined, streamNumber: undefined, nack: false };
  let mux = false;
  for (const line of lines) {
    if (line.letter !== 'a') continue;
    const colon = line.value.indexOf(':');
    const name = (colon < 0 ? line.value : line.value.slice(0, colon)).toLowerCase();
    const value = colon < 0 ? '' : line.value.slice(colon + 1).trim();
    if (name === 'rtcp-mux') mux = true;
    readAttribute(read, rtpmaps, fmtp, name, value);
  }
  read.nack &&= mux;
  return read;
}

/** The first of each counts. */
function readAttribute(read: Writable<Attributes>, rtpmaps: Map<number, RtpMap>, fmtp: Map<number, string>, name: string, value: string): void {
  switch (name) {
    case 'rtpmap':
      return readRtpMap(rtpmaps, value);
    case 'fmtp':
      return readFmtp(fmtp, value);
    case 'setup':
      read.setup ??= SETUPS.get(value.toLowerCase());
      return;
    case 'rtcp-fb':
      read.nack ||= /^(\*|\d{1,3})\s+nack$/i.test(value);
      return;
    case 'connection':
      read.connection ??= value.toLowerCase();
      return;
    case 'sendrecv':
    case 'sendonly':
    case 'recvonly':
    case 'inactive':
      read.direction ??= name;
      return;
    case 'downloadspeed':
      read.downloadSpeed ??= readCount(value, MAX_DOWNLOAD_SPEED);
      return;
    case 'filesize':
      read.fileSize ??= readCount(value, Number.MAX_SAFE_INTEGER);
      return;
    case 'streamnumber':
    case 'stream':
    case 'streamprofile':
    case 'streammode':
      read.streamNumber ??= STREAM_NUMBERS.get(value.toLowerCase());
      return;
  }
}

function readRtpMap(rtpmaps: Map<number, RtpMap>, value: string): void {
  const match = /^(\d{1,3})\s+([^\s/]{1,32})\/(\d{1,9})(?:\/(\d{1,3}))?/.exec(value);
  if (match === null) return;
  rtpmaps.set(Number(match[1]), { encoding: match[2]!, clockRate: Number(match[3]), channels: match[4] === undefined ? undefined : Number(match[4]) });
}

function readFmtp(fmtp: Map<number, string>, value: string): void {
  const match = /^(\d{1,3})\s+(.+)$/.exec(value);
  if (match !== null) fmtp.set(Number(match[1]), match[2]!);
}

function readCount(text: string, max: number): number | undefined {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  return value <= max ? value : undefined;
}
