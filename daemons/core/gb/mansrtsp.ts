/**
 * MANSRTSP (gb28181.md 7, GB/T 28181 Annex B): how a recording that plays is steered, as the body of an INFO and of its 200.
 *
 *   PLAY [Range: npt=a-[b]] [Scale: s]     PAUSE [PauseTime: now]     TEARDOWN     RTSP/1.0 200 OK
 */
import { type Result, fail, ok } from '../result.ts';

export const MANSRTSP_TYPE = 'Application/MANSRTSP';
/** Bodies are a few lines. */
export const MAX_BODY_CHARS = 4096;
const MAX_LINES = 32;
const MAX_CSEQ = 0xffff_ffff;
/** A month of recordings in one session is the most that anybody asks for. */
const MAX_NPT_S = 31 * 86_400;
const MAX_SCALE = 256;

export type MansrtspMethod = 'PLAY' | 'PAUSE' | 'TEARDOWN';

/** Where to play, in seconds from the begin of the recording; `now` goes on where it stands. */
export interface NptRange {
  readonly from: number | 'now';
  readonly to: number | undefined;
}

export interface MansrtspRequest {
  readonly kind: 'request';
  readonly method: MansrtspMethod;
  /** Own counter, not that of SIP. 0 when it has none. */
  readonly cseq: number;
  readonly range: NptRange | undefined;
  /** Negative: backwards (2022). */
  readonly scale: number | undefined;
}

export interface MansrtspResponse {
  readonly kind: 'response';
  readonly status: number;
  readonly reason: string;
  readonly cseq: number;
  readonly range: NptRange | undefined;
  readonly scale: number | undefined;
  /** As it came, `seq=...;rtptime=...`: numbers of one leg mean nothing on another, so it is not passed on. */
  readonly rtpInfo: string | undefined;
}

export type Mansrtsp = MansrtspRequest | MansrtspResponse;

const REQUEST_LINE = /^(PLAY|PAUSE|TEARDOWN)(?:\s+\S{1,256})?\s+(?:MANS)?RTSP\/\d\.\d$/i;
const STATUS_LINE = /^(?:MANS)?RTSP\/\d\.\d\s+([1-5]\d{2})(?:\s+(.{0,128}))?$/i;

/** `body` as text of octets. Lines may end in LF alone, header names in any case; unknown headers are passed over. */
export function parseMansrtsp(body: string): Result<Mansrtsp> {
  if (body.length > MAX_BODY_CHARS) return fail(MAX_BODY_CHARS, 'body too long');
  const lines = body.split(/\r\n|\n|\r/);
  const first = lines.findIndex(line => line.trim() !== '');
  const startLine = lines[first]?.trim() ?? '';
  const request = REQUEST_LINE.exec(startLine);
  const status = request === null ? STATUS_LINE.exec(startLine) : null;
  if (request === null && status === null) return fail(0, 'no MANSRTSP start line');
  const headers = readHeaders(lines.slice(first + 1, first + 1 + MAX_LINES));
  const cseq = headers.get('cseq') ?? '0';
  if (!/^\d{1,10}$/.test(cseq) || Number(cseq) > MAX_CSEQ) return fail(0, 'CSeq is no number');
  const range = headers.has('range') ? parseRange(headers.get('range')!) : undefined;
  const scale = headers.has('scale') ? parseScale(headers.get('scale')!) : undefined;
  if (request === null) return ok({ kind: 'response', status: Number(status![1]), reason: status![2] ?? '', cseq: Number(cseq), range, scale, rtpInfo: headers.get('rtp-info') });
  if (headers.has('range') && range === undefined) return fail(0, 'Range cannot be read');
  if (headers.has('scale') && scale === undefined) return fail(0, 'Scale cannot be read');
  return ok({ kind: 'request', method: request[1]!.toUpperCase() as MansrtspMethod, cseq: Number(cseq), range, scale });
}

/** The first of each name counts; ends at the empty line. */
function readHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    if (line.trim() === '') break;
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon)).trim().toLowerCase();
    if (name !== '' && !headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
  return headers;
}

/** `npt=now-`, `npt=100-`, `npt=600-120` (backwards), `npt=0:01:40.5-`. */
function parseRange(text: string): NptRange | undefined {
  const match = /^npt\s*=\s*(now|[\d:.]{1,24})\s*-\s*([\d:.]{0,24})$/i.exec(text);
  if (match === null) return undefined;
  const from = match[1]!.toLowerCase() === 'now' ? 'now' : parseNpt(match[1]!);
  const to = match[2] === '' ? undefined : parseNpt(match[2]!);
  return from === undefined || (match[2] !== '' && to === undefined) ? undefined : { from, to };
}

/** Seconds, or hours:minutes:seconds (RFC 2326 3.6). */
function parseNpt(text: string): number | undefined {
  const match = /^(?:(\d{1,4}):([0-5]?\d):)?(\d{1,7}(?:\.\d{0,6})?)$/.exec(text);
  if (match === null) return undefined;
  const value = Number(match[1] ?? 0) * 3600 + Number(match[2] ?? 0) * 60 + Number(match[3]);
  return value <= MAX_NPT_S ? value : undefined;
}

function parseScale(text: string): number | undefined {
  const value = /^[+-]?\d{1,3}(?:\.\d{0,6})?$/.test(text) ? Number(text) : NaN;
  return value !== 0 && Math.abs(value) <= MAX_SCALE ? value : undefined;
}

const nptText = (at: number | 'now'): string => (at === 'now' ? at : String(Math.round(at * 1000) / 1000));
const rangeLine = (range: NptRange | undefined): string => (range === undefined ? '' : `Range: npt=${nptText(range.from)}-${range.to === undefined ? '' : nptText(range.to)}\r\n`);
/** `2.0`: some read no integer. */
const scaleLine = (scale: number | undefined): string => (scale === undefined ? '' : `Scale: ${Number.isInteger(scale) ? scale.toFixed(1) : String(scale)}\r\n`);

/** `protocol`: what Annex B says, or what the samples of 2016 print and some devices insist on. */
export function formatMansrtspRequest({ method, cseq, range, scale }: Omit<MansrtspRequest, 'kind'>, protocol: 'RTSP/1.0' | 'MANSRTSP/1.0' = 'RTSP/1.0'): string {
  const pause = method === 'PAUSE' ? 'PauseTime: now\r\n' : '';
  return `${method} ${protocol}\r\nCSeq: ${cseq}\r\n${pause}${rangeLine(range)}${scaleLine(scale)}\r\n`;
}

export function formatMansrtspResponse({ status, reason, cseq, range, scale }: Omit<MansrtspResponse, 'kind' | 'rtpInfo'>): string {
  return `RTSP/1.0 ${status} ${reason}\r\nCSeq: ${cseq}\r\n${rangeLine(range)}${scaleLine(scale)}\r\n`;
}
