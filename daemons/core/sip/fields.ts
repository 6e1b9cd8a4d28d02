/**
 * The header fields of a message in the making: each known one has a reader in FIELDS, the others are kept as text.
 */
import type { ParseError, Result } from '../result.ts';
import { Cursor, NO_PARAMS, isLwsCode, isToken, isVisible, parseDecimal, trimLws, unfold } from './grammar.ts';
import { type CSeq, longName, parseCSeq, parseMediaType, parseNameAddr, readList, readNameAddr, readVia } from './headers.ts';
import type { HeaderField, NameAddr, Params, SipMessage, Via } from './message.ts';
import type { OtherUri, SipUri } from './uri.ts';

/** RFC 3261 20.19: 2^32-1 seconds. */
const MAX_DELTA_S = 2 ** 32 - 1;
const MAX_FORWARDS = 255;
const MAX_CONTENT_LENGTH = 2 ** 31 - 1;

export type StartLine =
  | { readonly method: string; readonly uri: SipUri | OtherUri }
  | { readonly status: number; readonly reason: string };

/** Fields as they are read; becomes a message when all mandatory ones came. */
export class Draft {
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

const readContacts = listOf(readNameAddr, (draft, values) => {
  if (draft.contact === '*') return 'an address beside *';
  draft.contact.push(...values);
  return undefined;
});

const FIELDS = new Map<string, FieldReader>([
  ['via', listOf(readVia, appendTo(draft => draft.via))],
  ['from', once(parseNameAddr, draft => draft.from !== undefined, (draft, value) => (draft.from = value))],
  ['to', once(parseNameAddr, draft => draft.to !== undefined, (draft, value) => (draft.to = value))],
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
export function readFields(text: string, start: number, draft: Draft): ParseError | undefined {
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
