/** What an RTSP server's description offers us: at most one video and one audio track that we can take (RFC 4566, RFC 2326 C). */
import type { ElementaryFormat } from '../rtp/elementary.ts';
import { type Result, fail, ok } from '../result.ts';
import { parseDecimal } from '../sip/grammar.ts';
import { type SdpLine, type SdpSection, parseSdp } from '../sdp/sdp.ts';

export interface OfferedTrack {
  readonly kind: 'video' | 'audio';
  readonly format: ElementaryFormat;
  readonly payloadType: number;
  readonly clockHz: number;
  /** Value of a=fmtp behind the payload type. */
  readonly fmtp: string | undefined;
  /** As written; empty: the presentation itself. */
  readonly control: string;
}

export interface Offer {
  readonly tracks: readonly OfferedTrack[];
  /** Session-level a=control, `*` and nothing left out. */
  readonly base: string | undefined;
  /** Media that we cannot take, e.g. `JPEG`. */
  readonly passedOver: readonly string[];
}

const STATIC: Readonly<Record<number, readonly [ElementaryFormat, number]>> = { 0: ['g711u', 8000], 8: ['g711a', 8000] };
const FORMATS: Readonly<Record<string, ElementaryFormat>> = { 'h264': 'h264', 'h265': 'h265', 'hevc': 'h265', 'pcma': 'g711a', 'pcmu': 'g711u', 'mpeg4-generic': 'aac' };
const MAX_CLOCK_HZ = 192_000;

const attribute = (lines: readonly SdpLine[], name: string): string | undefined => lines.find(({ letter, value }) => letter === 'a' && value.startsWith(`${name}:`))?.value.slice(name.length + 1).trim();

export function readOffer(body: Uint8Array): Result<Offer> {
  const sdp = parseSdp(body);
  if (!sdp.ok) return sdp;
  const tracks: OfferedTrack[] = [];
  const passedOver: string[] = [];
  for (const section of sdp.value.media) {
    const track = readTrack(section);
    if (typeof track === 'string') passedOver.push(track);
    else if (tracks.every(({ kind }) => kind !== track.kind)) tracks.push(track);
  }
  if (tracks.length === 0) return fail(0, passedOver.length === 0 ? 'no media is offered' : `no media that can be taken: ${passedOver.join(', ')}`);
  const base = attribute(sdp.value.session, 'control');
  return ok({ tracks, base: base === '*' || base === '' ? undefined : base, passedOver });
}

/** The first payload type that we know, or what it is instead. */
function readTrack({ media, lines }: SdpSection): OfferedTrack | string {
  const [kind = '', , , ...payloadTypes] = media.value.split(/\s+/);
  if (kind !== 'video' && kind !== 'audio') return kind.slice(0, 32);
  // The way back to the camera (ONVIF Streaming Specification 5.3).
  if (lines.some(({ letter, value }) => letter === 'a' && value === 'sendonly')) return 'backchannel';
  let seen = kind as string;
  for (const text of payloadTypes) {
    const payloadType = parseDecimal(text, 127);
    if (payloadType === undefined) continue;
    const found = formatOf(payloadType, lines);
    if (typeof found === 'string') seen = found;
    else if ((found.format === 'h264' || found.format === 'h265') === (kind === 'video')) return { kind, payloadType, ...found, control: attribute(lines, 'control') ?? '' };
  }
  return seen;
}

function formatOf(payloadType: number, lines: readonly SdpLine[]): Pick<OfferedTrack, 'format' | 'clockHz' | 'fmtp'> | string {
  const behind = (name: string): string | undefined =>
    lines.filter(({ letter, value }) => letter === 'a' && value.startsWith(`${name}:`)).map(({ value }) => /^(\d{1,3})\s+(.*)$/.exec(value.slice(name.length + 1).trim())).find(form => Number(form?.[1]) === payloadType)?.[2];
  const fmtp = behind('fmtp');
  const [name = '', rate = ''] = (behind('rtpmap') ?? '').split('/');
  const known = FORMATS[name.toLowerCase()];
  const fixed = STATIC[payloadType];
  if (known === undefined) return name === '' && fixed !== undefined ? { format: fixed[0], clockHz: fixed[1], fmtp } : (name.slice(0, 32) || `payload type ${payloadType}`);
  const clockHz = parseDecimal(rate, MAX_CLOCK_HZ);
  if (clockHz === undefined || clockHz === 0) return `${name.slice(0, 32)} without a clock`;
  if (known === 'aac' && fmtp !== undefined && !/mode\s*=\s*AAC-(hbr|lbr)/i.test(fmtp)) return 'mpeg4-generic of another mode';
  return { format: known, clockHz, fmtp };
}
