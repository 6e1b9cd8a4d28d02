/**
 * The door of SIP: octets become a message once, or an error that says what to answer (RFC 3261 7, 18.3; RFC 4475).
 *
 * What is taken liberally, because RFC 4475 leaves the choice or devices need it (faults.md 3, gb28181.md 2.1, 11):
 * lone LF as line end; spaces inside `< >` (badaspec); a bad Date is kept as text (baddate); no tag, branch or Max-Forwards (inv2543);
 * any octets in an unquoted display name but `, ; : " \`. What is refused where a choice exists: more than one space in the
 * start line (lwsstart, trws), a comma in an unquoted display name (baddn), `?` in a URI without `< >` (regbadct).
 */
import { toByteString } from '../bytes.ts';
import type { ParseError, Result } from '../result.ts';
import { Draft, type StartLine, endOfField, readFields } from './fields.ts';
import { isToken, parseDecimal, trimLws, unfold } from './grammar.ts';
import { longName, parseVia } from './headers.ts';
import { NO_BODY, type SipMessage, type Via } from './message.ts';
import { parseUri } from './uri.ts';

export { parseDeltaSeconds } from './fields.ts';

/** Start line and header fields together. */
export const MAX_HEAD_OCTETS = 16 * 1024;
/** An IPv4 datagram that carries this much is as large as one can be: nobody knows whether it was cut (faults.md 6). */
export const MAX_DATAGRAM_OCTETS = 65_507;

/** `datagram`: the octets of one datagram. `stream-frame`: one message that StreamFramer cut out. */
export type ParseMode = 'datagram' | 'stream-frame';

export interface ParseOptions {
  /** Peer whose Content-Length is known to be wrong: a datagram counts as it arrived (gb28181.md 11 #2, 12.1). Default false. */
  readonly lenientLength?: boolean;
}

/** What could be read of a message that is broken, for an answer to it. Texts are unfolded byte strings as they came. */
export interface PartialMessage {
  readonly method: string;
  /** The top Via, then one text for each further Via field. */
  readonly via: readonly string[];
  /** The top Via if it can be read. */
  readonly topVia: Via | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly callId: string | undefined;
  readonly cseq: string | undefined;
}

export interface SipParseError extends ParseError {
  /** What to answer; null: drop in silence (a response, an ACK, or nothing that looks like SIP). */
  readonly status: number | null;
  /** Set exactly when `status` is. */
  readonly partial: PartialMessage | null;
}

type Parsed = Result<SipMessage, SipParseError>;

export function parseMessage(bytes: Uint8Array, mode: ParseMode, options: ParseOptions = {}): Parsed {
  const start = skipLineEnds(bytes);
  if (start === bytes.length) return dropped(start, 'nothing but line ends');
  const headEnd = findHeadEnd(bytes, start);
  const end = headEnd < 0 ? bytes.length : headEnd;
  if (mode === 'datagram' && bytes.length >= MAX_DATAGRAM_OCTETS) return refused(bytes, start, end, MAX_DATAGRAM_OCTETS, 'a datagram of the largest size', 513);
  if (end - start > MAX_HEAD_OCTETS) return refused(bytes, start, end, MAX_HEAD_OCTETS, 'the header fields are too long', 513);
  if (headEnd < 0) return refused(bytes, start, end, end, 'the header fields do not end');
  const text = toByteString(bytes, start, end);
  const lineEnd = text.indexOf('\n');
  const startLine = parseStartLine(withoutCr(text, 0, lineEnd));
  if ('why' in startLine) return refused(bytes, start, end, start, startLine.why, startLine.status);
  const draft = new Draft();
  const bad = readFields(text, lineEnd + 1, draft) ?? draft.missing();
  if (bad !== undefined) return refused(bytes, start, end, start + bad.at, bad.why);
  const body = readBody(bytes.subarray(end), draft, mode, options);
  if ('why' in body) return refused(bytes, start, end, end, body.why);
  return { ok: true, value: draft.finish(startLine, body) };
}

function skipLineEnds(bytes: Uint8Array): number {
  let at = 0;
  while (bytes[at] === 0x0d || bytes[at] === 0x0a) at++;
  return at;
}

/** Offset behind the empty line, -1 when there is none. CRLF and lone LF end a line alike. */
function findHeadEnd(bytes: Uint8Array, start: number): number {
  for (let at = bytes.indexOf(0x0a, start); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
    if (bytes[at + 1] === 0x0a) return at + 2;
    if (bytes[at + 1] === 0x0d && bytes[at + 2] === 0x0a) return at + 3;
  }
  return -1;
}

const withoutCr = (text: string, from: number, to: number): string => text.slice(from, to > from && text.charCodeAt(to - 1) === 0x0d ? to - 1 : to);

function parseStartLine(line: string): StartLine | { readonly why: string; readonly status: number } {
  if (line.includes('\r')) return { why: 'a lone CR in the start line', status: 400 };
  if (isResponseLine(line)) return parseStatusLine(line);
  const first = line.indexOf(' ');
  const last = line.lastIndexOf(' ');
  const method = line.slice(0, Math.max(first, 0));
  const version = line.slice(last + 1).toUpperCase();
  if (first === last || !isToken(method)) return { why: 'the request line is not Method SP Request-URI SP SIP-Version', status: 400 };
  if (version !== 'SIP/2.0') {
    return /^SIP\/\d{1,9}\.\d{1,9}$/.test(version) ? { why: 'not SIP/2.0', status: 505 } : { why: 'no SIP version at the end of the request line', status: 400 };
  }
  const uri = parseUri(line.slice(first + 1, last));
  return uri.ok ? { method, uri: uri.value } : { why: `Request-URI: ${uri.error.why}`, status: 400 };
}

const isResponseLine = (line: string): boolean => line.slice(0, 4).toUpperCase() === 'SIP/';

/** SIP-Version SP 3DIGIT SP Reason-Phrase; a missing last space is forgiven. */
function parseStatusLine(line: string): StartLine | { readonly why: string; readonly status: number } {
  const status = parseDecimal(line.slice(8, 11), 699);
  const separated = line.length === 11 || line.charCodeAt(11) === 0x20;
  if (line.slice(0, 8).toUpperCase() !== 'SIP/2.0 ' || status === undefined || status < 100 || !separated) return { why: 'a status line', status: 400 };
  return { status, reason: line.slice(12) };
}

/** RFC 3261 18.3 with the quirks of gb28181.md 11 #2: only a datagram may contradict its Content-Length. */
function readBody(rest: Uint8Array, draft: Draft, mode: ParseMode, options: ParseOptions): Uint8Array | { readonly why: string } {
  const declared = draft.contentLength;
  if (mode === 'stream-frame') {
    if (declared === undefined) return { why: 'no Content-Length on a stream' };
    if (declared !== rest.length) return { why: 'Content-Length and frame differ' };
  }
  if (rest.length === 0 && (declared === undefined || declared === 0)) return NO_BODY;
  if (declared === undefined || declared === rest.length) return rest;
  if (declared > rest.length) return options.lenientLength === true ? rest : { why: 'the body is shorter than Content-Length' };
  const disowned = declared === 0 || options.lenientLength === true;
  return disowned && looksLikeBody(rest, draft.contentType) ? rest : rest.subarray(0, declared);
}

/** First words of the bodies that GB/T 28181 carries: XML and SDP by themselves, MANSRTSP when the media type says so. */
const MANSRTSP_WORDS = ['PLAY', 'PAUS', 'TEAR', 'RTSP', 'MANS'];

function looksLikeBody(rest: Uint8Array, contentType: string | undefined): boolean {
  let at = rest[0] === 0xef && rest[1] === 0xbb && rest[2] === 0xbf ? 3 : 0;
  while (rest[at] === 0x0d || rest[at] === 0x0a || rest[at] === 0x20 || rest[at] === 0x09) at++;
  const word = toByteString(rest, at, Math.min(at + 4, rest.length)).toUpperCase();
  return word.startsWith('<') || word.startsWith('V=') || (contentType === 'application/mansrtsp' && MANSRTSP_WORDS.includes(word));
}

const dropped = (at: number, why: string): Parsed => ({ ok: false, error: { at, why, status: null, partial: null } });

/** Says what to answer, if anything: a request that names a method and SIP, but never an ACK (RFC 3261 17, 8.2.6). */
function refused(bytes: Uint8Array, start: number, end: number, at: number, why: string, status = 400): Parsed {
  const partial = salvage(toByteString(bytes, start, Math.min(end, start + MAX_HEAD_OCTETS)));
  return partial === null ? dropped(at, why) : { ok: false, error: { at, why, status, partial } };
}

function salvage(text: string): PartialMessage | null {
  const lineEnd = text.indexOf('\n');
  const line = withoutCr(text, 0, lineEnd < 0 ? text.length : lineEnd);
  const method = line.slice(0, Math.max(line.indexOf(' '), 0));
  if (lineEnd < 0 || !isToken(method) || method === 'ACK' || !/ SIP\/\d/i.test(line)) return null;
  const via: string[] = [];
  const found = new Map<string, string>();
  for (let at = lineEnd + 1; at < text.length; at = endOfField(text, at) + 1) {
    const field = text.slice(at, endOfField(text, at));
    const colon = field.indexOf(':');
    const name = longName(trimLws(field.slice(0, Math.max(colon, 0)))).toLowerCase();
    const value = unfold(trimLws(field.slice(colon + 1))).replace(/[\r\n\0]/g, ' ');
    if (name === 'via') via.push(...(via.length === 0 ? topViaApart(value) : [value]));
    else if (!found.has(name)) found.set(name, value);
  }
  const topVia = via[0] === undefined ? undefined : parseVia(via[0]);
  return {
    method, via, topVia: topVia?.ok === true ? topVia.value : undefined,
    from: found.get('from'), to: found.get('to'), callId: found.get('call-id'), cseq: found.get('cseq'),
  };
}

/** The first Via of a field and the text of the others; a field that does not begin with a Via stays whole. */
function topViaApart(value: string): string[] {
  let quoted = false;
  for (let i = 0; i < value.length; i++) {
    const character = value.charAt(i);
    if (character === '\\' && quoted) i++;
    else if (character === '"') quoted = !quoted;
    else if (character === ',' && !quoted) {
      const top = trimLws(value.slice(0, i));
      return parseVia(top).ok ? [top, trimLws(value.slice(i + 1))] : [value];
    }
  }
  return [value];
}
