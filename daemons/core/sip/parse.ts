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
import { Cursor, NO_PARAMS, isLwsCode, isToken, isVisible, parseDecimal, trimLws, unfold } from './grammar.ts';
import { type CSeq, longName, parseCSeq, parseMediaType, parseVia, readList, readNameAddr, readVia } from './headers.ts';
import { type HeaderField, NO_BODY, type NameAddr, type Params, type SipMessage, type Via } from './message.ts';
import { type OtherUri, type SipUri, parseUri } from './uri.ts';

/** Start line and header fields together. */
export const MAX_HEAD_OCTETS = 16 * 1024;
/** An IPv4 datagram that carries this much is as large as one can be: nobody knows whether it was cut (faults.md 6). */
export const MAX_DATAGRAM_OCTETS = 65_507;
/** RFC 3261 20.19: 2^32-1 seconds. */
export const MAX_DELTA_S = 2 ** 32 - 1;
const MAX_FORWARDS = 255;
const MAX_CONTENT_LENGTH = 2 ** 31 - 1;

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

type StartLine =
  | { readonly method: string; readonly uri: SipUri | OtherUri }
  | { readonly status: number; readonly reason: string };

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

/** Fields as they are read; becomes a message when all mandatory ones came. */
class Draft {
  via: Via[] = [];
  from: NameAddr | undefined;
  to: NameAddr | undefined;
  callId: string | undefined;
  cseq: CSeq | undefined;
  contact: NameAddr[] | '*' = [];
  route: NameAddr[] = [];
  recordRoute: NameAddr[] = [];
  expires: number | undefined;
  hasExpires = false;
  contentType: string | undefined;
  contentTypeParams: Params = NO_PARAMS;
  contentLength: number | undefined;
  maxForwards: number | undefined;
  headers: HeaderField[] = [];

  missing(): ParseError | undefined {
    const name = this.via.length === 0 ? 'Via' : !this.from ? 'From' : !this.to ? 'To' : this.callId === undefined ? 'Call-ID' : !this.cseq ? 'CSeq' : undefined;
    return name === undefined ? undefined : { at: 0, why: `no ${name}` };
  }

  finish(startLine: StartLine, body: Uint8Array): SipMessage {
    const common = {
      via: this.via, from: this.from!, to: this.to!, callId: this.callId!, cseq: this.cseq!, contact: this.contact, route: this.route,
      recordRoute: this.recordRoute, expires: this.expires, contentType: this.contentType, contentTypeParams: this.contentTypeParams,
      headers: this.headers, body,
    };
    if ('method' in startLine) return { type: 'request', method: startLine.method, uri: startLine.uri, maxForwards: this.maxForwards, ...common };
    return { type: 'response', status: startLine.status, reason: startLine.reason, ...common };
  }
}

/** Reads one value into the draft; answers why not. */
type FieldReader = (draft: Draft, value: string) => string | undefined;

/** A field that may come once (RFC 4475 3.3.8, 3.3.9). */
function once<T>(read: (value: string) => Result<T>, has: (draft: Draft) => boolean, put: (draft: Draft, value: T) => void): FieldReader {
  return (draft, value) => {
    if (has(draft)) return 'came twice';
    const result = read(value);
    if (!result.ok) return result.error.why;
    put(draft, result.value);
    return undefined;
  };
}

/** A field that holds a list and may come again. */
function listOf<T>(read: (cursor: Cursor) => T | undefined, put: (draft: Draft, values: T[]) => string | undefined): FieldReader {
  return (draft, value) => {
    const cursor = new Cursor(value);
    const values = readList(cursor, read);
    if (values === undefined) return cursor.why;
    return cursor.atEnd ? put(draft, values) : 'something behind the value';
  };
}

const one = <T>(value: T | undefined, why: string): Result<T> => (value === undefined ? { ok: false, error: { at: 0, why } } : { ok: true, value });

const appendTo = <T>(list: (draft: Draft) => T[]) => (draft: Draft, values: T[]): undefined => {
  for (const value of values) list(draft).push(value);
};

const singleNameAddr = (value: string): Result<NameAddr> => {
  const cursor = new Cursor(value);
  const address = readNameAddr(cursor);
  if (address === undefined) return one<NameAddr>(undefined, cursor.why);
  return one(cursor.atEnd ? address : undefined, 'something behind the address');
};

const readContacts = listOf(readNameAddr, (draft, values) => {
  if (draft.contact === '*') return 'an address beside *';
  draft.contact.push(...values);
  return undefined;
});

const FIELDS = new Map<string, FieldReader>([
  ['via', listOf(readVia, appendTo(draft => draft.via))],
  ['from', once(singleNameAddr, draft => draft.from !== undefined, (draft, value) => (draft.from = value))],
  ['to', once(singleNameAddr, draft => draft.to !== undefined, (draft, value) => (draft.to = value))],
  ['call-id', once(value => one(isVisible(value) ? value : undefined, 'not a word'), draft => draft.callId !== undefined, (draft, value) => (draft.callId = value))],
  ['cseq', once(parseCSeq, draft => draft.cseq !== undefined, (draft, value) => (draft.cseq = value))],
  ['route', listOf(readNameAddr, appendTo(draft => draft.route))],
  ['record-route', listOf(readNameAddr, appendTo(draft => draft.recordRoute))],
  ['max-forwards', once(value => one(parseDecimal(value, MAX_FORWARDS), 'not 0..255'), draft => draft.maxForwards !== undefined, (draft, value) => (draft.maxForwards = value))],
  ['content-length', once(value => one(parseDecimal(value, MAX_CONTENT_LENGTH), 'not a length'), draft => draft.contentLength !== undefined, (draft, value) => (draft.contentLength = value))],
  ['contact', (draft, value) => {
    if (value !== '*') return readContacts(draft, value);
    if (draft.contact.length > 0) return '* beside an address';
    draft.contact = '*';
    return undefined;
  }],
  ['content-type', once(parseMediaType, draft => draft.contentType !== undefined, (draft, value) => {
    draft.contentType = value.type;
    draft.contentTypeParams = value.params;
  })],
  ['expires', (draft, value) => {
    if (draft.hasExpires) return 'came twice';
    draft.hasExpires = true;
    draft.expires = parseDeltaSeconds(value);
    return undefined;
  }],
]);

/**
 * delta-seconds of Expires and of a Contact's `expires`: capped at 2^32-1; undefined when malformed, which counts as absent
 * (RFC 3261 10.2.1.1, 20.10). Whether the span is granted is for the registrar or notifier to say.
 */
export function parseDeltaSeconds(text: string): number | undefined {
  const digits = trimLws(text);
  return /^\d{1,64}$/.test(digits) ? Math.min(Number(digits), MAX_DELTA_S) : undefined;
}

/** Header fields that we or our peers read; their folds are taken out. Others keep theirs, so that they can be relayed as they came (RFC 4475 3.1.1.1). */
const READ_UNFOLDED = new Set([
  'accept', 'accept-encoding', 'accept-language', 'alert-info', 'allow', 'allow-events', 'authentication-info', 'authorization', 'call-info',
  'content-disposition', 'content-encoding', 'content-language', 'date', 'error-info', 'event', 'in-reply-to', 'min-expires', 'mime-version',
  'monitor-user-identity', 'note', 'organization', 'priority', 'proxy-authenticate', 'proxy-authorization', 'proxy-require', 'reason', 'refer-to',
  'referred-by', 'replaces', 'reply-to', 'require', 'retry-after', 'server', 'session-expires', 'subject', 'subscription-state', 'supported',
  'timestamp', 'unsupported', 'user-agent', 'warning', 'www-authenticate', 'x-gb-ver',
]);

/** Reads text[at, end) line by line; answers the first failure. */
function readFields(text: string, start: number, draft: Draft): ParseError | undefined {
  for (let at = start; at < text.length; ) {
    const lineEnd = endOfField(text, at);
    if (lineEnd - at <= 1 && trimLws(text.slice(at, lineEnd)) === '') return undefined;
    const colon = text.indexOf(':', at);
    const name = colon < 0 || colon > lineEnd || isLwsCode(text.charCodeAt(at)) ? '' : longName(trimLws(text.slice(at, colon)));
    if (!isToken(name)) return { at, why: 'a header line without a name' };
    const why = readField(draft, name, trimLws(text.slice(colon + 1, lineEnd)));
    if (why !== undefined) return { at, why: `${name}: ${why}` };
    at = lineEnd + 1;
  }
  return undefined;
}

/** Offset of the LF that ends the field at `at`: the first one that no white space follows. The end of the text when there is none. */
export function endOfField(text: string, at: number): number {
  let lineFeed = text.indexOf('\n', at);
  while (lineFeed >= 0 && (text.charCodeAt(lineFeed + 1) === 0x20 || text.charCodeAt(lineFeed + 1) === 0x09)) lineFeed = text.indexOf('\n', lineFeed + 1);
  return lineFeed < 0 ? text.length : lineFeed;
}

function readField(draft: Draft, name: string, value: string): string | undefined {
  // A CR that ends no line would end one for somebody else.
  if (value.includes('\r') && /\r(?!\n)/.test(value)) return 'a lone CR';
  const key = name.toLowerCase();
  const read = FIELDS.get(key);
  if (read !== undefined) return read(draft, unfold(value));
  draft.headers.push({ name, value: READ_UNFOLDED.has(key) ? unfold(value) : value });
  return undefined;
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
