/**
 * The header fields that have a place of their own in a message (RFC 3261 20): read from an unfolded byte string, written back.
 * The readers with a Cursor are the parser's; the functions that answer Result are for everybody.
 */
import { parseIp } from '../ip.ts';
import { type Result, fail, ok } from '../result.ts';
import { Cursor, formatParams, isLwsCode, isToken, parseDecimal, quote, readParams, trimLws } from './grammar.ts';
import type { NameAddr, Params, Via } from './message.ts';
import { MAX_PORT, type OtherUri, type SipUri, formatHostPort, formatUri, parseHostPort, parseUri } from './uri.ts';

/** RFC 3261 8.1.1.5: below 2^31. */
export const MAX_CSEQ = 2 ** 31 - 1;

const COMMA = 0x2c;
const COLON = 0x3a;
const SLASH = 0x2f;
const QUOTE = 0x22;
const LESS = 0x3c;
const GREATER = 0x3e;
const BRACKET = 0x5b;

/** Compact forms (RFC 3261 7.3.3, 20 and the IANA table of header fields). */
const COMPACT: Readonly<Record<string, string>> = {
  a: 'Accept-Contact', b: 'Referred-By', c: 'Content-Type', d: 'Request-Disposition', e: 'Content-Encoding', f: 'From', i: 'Call-ID',
  j: 'Reject-Contact', k: 'Supported', l: 'Content-Length', m: 'Contact', n: 'Identity-Info', o: 'Event', r: 'Refer-To', s: 'Subject',
  t: 'To', u: 'Allow-Events', v: 'Via', x: 'Session-Expires', y: 'Identity',
};

const expanded = new Map(Object.entries(COMPACT));

/** `s` -> `Subject`; a long name stays as it came. */
export const longName = (name: string): string => (name.length === 1 ? (expanded.get(name.toLowerCase()) ?? name) : name);

/** Runs one reader over a whole value: something left behind is a failure. */
function whole<T>(text: string, read: (cursor: Cursor) => T | undefined): Result<T> {
  const cursor = new Cursor(text);
  const value = read(cursor);
  cursor.skipLws();
  if (value === undefined) return fail(cursor.at, cursor.why);
  return cursor.atEnd ? ok(value) : fail(cursor.at, 'something behind the value');
}

export const parseNameAddr = (text: string): Result<NameAddr> => whole(text, readNameAddr);
export const parseVia = (text: string): Result<Via> => whole(text, readVia);
/** 1#via-parm / 1#name-addr: at least one, separated by commas. */
export const parseViaList = (text: string): Result<Via[]> => whole(text, cursor => readList(cursor, readVia));
export const parseNameAddrList = (text: string): Result<NameAddr[]> => whole(text, cursor => readList(cursor, readNameAddr));

export function readList<T>(cursor: Cursor, read: (cursor: Cursor) => T | undefined): T[] | undefined {
  const list: T[] = [];
  do {
    const item = read(cursor);
    if (item === undefined) return undefined;
    list.push(item);
  } while (cursor.takeBetweenLws(COMMA));
  return list;
}

/** ( name-addr / addr-spec ) *( SEMI generic-param ). */
export function readNameAddr(cursor: Cursor): NameAddr | undefined {
  cursor.skipLws();
  const start = cursor.at;
  let displayName: string | undefined;
  if (cursor.is(QUOTE)) {
    displayName = cursor.quoted();
    if (displayName === undefined) return undefined;
    cursor.skipLws();
    if (!cursor.is(LESS)) return cursor.refuse('no < after the display name');
  } else {
    displayName = trimLws(cursor.displayName());
    if (!cursor.is(LESS)) {
      if (!cursor.is(COLON)) return cursor.refuse('neither name-addr nor addr-spec');
      cursor.at = start;
      return readAddrSpec(cursor);
    }
    if (displayName === '') displayName = undefined;
  }
  cursor.at++;
  const text = cursor.until(GREATER);
  if (text === undefined) return cursor.refuse('no > after the URI');
  // RFC 4475 3.1.2.14: spaces inside the brackets say nothing; they are taken off.
  const uri = readUri(cursor, trimLws(text));
  cursor.at++;
  const params = uri && readParams(cursor);
  return uri && params && { displayName, uri, params };
}

/** Without brackets every `;` starts a header parameter, and a `?` or `,` is not allowed (RFC 3261 20.10, RFC 4475 3.1.2.13). */
function readAddrSpec(cursor: Cursor): NameAddr | undefined {
  const start = cursor.at;
  while (!cursor.atEnd && !isLwsCode(cursor.code) && !cursor.is(0x3b) && !cursor.is(COMMA)) {
    if (cursor.is(0x3f)) return cursor.refuse('a URI with headers needs < and >');
    cursor.at++;
  }
  const uri = readUri(cursor, cursor.text.slice(start, cursor.at));
  const params = uri && readParams(cursor);
  return uri && params && { displayName: undefined, uri, params };
}

function readUri(cursor: Cursor, text: string): SipUri | OtherUri | undefined {
  const uri = parseUri(text);
  return uri.ok ? uri.value : cursor.refuse(uri.error.why);
}

export function formatNameAddr(address: NameAddr): string {
  const name = address.displayName === undefined ? '' : `${quote(address.displayName)} `;
  return `${name}<${formatUri(address.uri)}>${formatParams(address.params)}`;
}

/** A From, To, Contact or Route value of ours. */
export function nameAddr(uri: SipUri | OtherUri, params: Readonly<Record<string, string | null>> = {}, displayName?: string): NameAddr {
  return { displayName, uri, params: new Map(Object.entries(params)) };
}

/** The same address with one parameter set; how tags are put on (RFC 3261 8.2.6.2). */
export function withParam(address: NameAddr, name: string, value: string | null): NameAddr {
  return { ...address, params: new Map(address.params).set(name, value) };
}

/** sent-protocol LWS sent-by *( SEMI via-params ). */
export function readVia(cursor: Cursor): Via | undefined {
  cursor.skipLws();
  const protocol = cursor.token();
  const version = cursor.takeBetweenLws(SLASH) ? cursor.token() : '';
  const transport = cursor.takeBetweenLws(SLASH) ? cursor.token() : '';
  if (protocol.toUpperCase() !== 'SIP' || version !== '2.0' || transport === '') return cursor.refuse('sent-protocol of a Via');
  if (!isLwsCode(cursor.code)) return cursor.refuse('no space after the sent-protocol of a Via');
  cursor.skipLws();
  const sentBy = readSentBy(cursor);
  const params = sentBy && readParams(cursor);
  return sentBy && params && { transport: transport.toUpperCase(), host: sentBy.host, port: sentBy.port, params: plainReceived(params) };
}

function readSentBy(cursor: Cursor): { host: string; port: number | undefined } | undefined {
  const start = cursor.at;
  if (cursor.is(BRACKET)) {
    if (cursor.until(0x5d) === undefined) return cursor.refuse('an IPv6 reference that does not end');
    cursor.at++;
  } else {
    // Token characters are a superset of those of a host name; parseHostPort looks closer.
    cursor.token();
  }
  const parsed = parseHostPort(cursor.text.slice(start, cursor.at));
  if (parsed === undefined) return cursor.refuse('host of a Via');
  if (!cursor.takeBetweenLws(COLON)) return parsed;
  const port = parseDecimal(cursor.digits(), MAX_PORT);
  return port === undefined ? cursor.refuse('port of a Via') : { host: parsed.host, port };
}

/** `received=[2001:db8::1]` is written with and without brackets; the grammar has none (RFC 5118 4.5). */
function plainReceived(params: Params): Params {
  const received = params.get('received');
  if (!received?.startsWith('[') || parseIp(received) === undefined) return params;
  return new Map(params).set('received', received.slice(1, -1));
}

export function formatVia(via: Via): string {
  return `SIP/2.0/${via.transport} ${formatHostPort(via.host, via.port)}${formatParams(via.params)}`;
}

export interface CSeq {
  readonly seq: number;
  readonly method: string;
}

export function parseCSeq(text: string): Result<CSeq> {
  return whole(text, cursor => {
    cursor.skipLws();
    const seq = parseDecimal(cursor.digits(), MAX_CSEQ);
    if (seq === undefined) return cursor.refuse('a CSeq number is below 2^31');
    if (!isLwsCode(cursor.code)) return cursor.refuse('no space after the CSeq number');
    cursor.skipLws();
    const method = cursor.token();
    return method === '' ? cursor.refuse('a CSeq without a method') : { seq, method };
  });
}

export interface MediaType {
  /** Lower case, `type/subtype`. */
  readonly type: string;
  readonly params: Params;
}

/** m-type SLASH m-subtype *( SEMI m-parameter ) (RFC 3261 20.15); also the ranges of Accept. */
export const parseMediaType = (text: string): Result<MediaType> => whole(text, readMediaType);

export function readMediaType(cursor: Cursor): MediaType | undefined {
  cursor.skipLws();
  const type = cursor.token();
  const subtype = cursor.takeBetweenLws(SLASH) ? cursor.token() : '';
  if (type === '' || subtype === '') return cursor.refuse('a media type is type/subtype');
  const params = readParams(cursor);
  return params && { type: `${type}/${subtype}`.toLowerCase(), params };
}

/** Comma-separated tokens of Require, Supported, Allow ...; what is no token is left out. */
export function tokenList(values: readonly string[]): string[] {
  return values.flatMap(value => value.split(',').map(trimLws)).filter(isToken);
}

