/**
 * `sip:` and `sips:` URIs (RFC 3261 19.1). Nothing is unescaped: escapes stay as they came and are compared by meaning.
 */
import { bracketed, normalizeHost, parseIp } from '../ip.ts';
import { type ParseError, type Result, fail, ok } from '../result.ts';
import { isAlpha, parseDecimal } from './grammar.ts';

/** A `sip:` or `sips:` URI (RFC 3261 19.1), unescaped nowhere: escapes stay as they came and are compared by meaning. */
export interface SipUri {
  readonly scheme: 'sip' | 'sips';
  /** User part as it stood (escapes kept, `;params` inside it kept), without password. */
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Name, IPv4, or IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  readonly params: ReadonlyMap<string, string | null>;
  /** `?name=value` part. Kept, never honoured (RFC 3261 19.1.5, escruri). */
  readonly headers: string | undefined;
}

/** A URI of a scheme that we do not speak. */
export interface OtherUri {
  readonly scheme: string;
  /** The whole URI as it stood. */
  readonly text: string;
}

export const MAX_PORT = 65_535;
const MAX_HOST = 255;
const MAX_SCHEME = 32;

const NO_URI_PARAMS: ReadonlyMap<string, string | null> = new Map();

const USER = 1;
const PASSWORD = 2;
const PARAM = 4;
const HEADER = 8;
const HOST = 16;
const HEX = 32;
const SCHEME = 64;
const OPAQUE = 128;

const CLASS = classTable();

function classTable(): Uint8Array {
  const table = new Uint8Array(256);
  const add = (flags: number, characters: string): void => {
    for (const character of characters) table[character.charCodeAt(0)]! |= flags;
  };
  const alphanum = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  add(USER | PASSWORD | PARAM | HEADER, `${alphanum}-_.!~*'()`);
  add(USER, '&=+$,;?/');
  add(PASSWORD, '&=+$,');
  add(PARAM, '[]/:&+$');
  add(HEADER, '[]/?:+$=&');
  // The underscore is no host character by the RFC, but names with it are in use.
  add(HOST, `${alphanum}-._`);
  add(HEX, '0123456789abcdefABCDEF');
  add(SCHEME, `${alphanum}+-.`);
  for (let octet = 0x21; octet < 0x7f; octet++) if (octet !== 0x3c && octet !== 0x3e && octet !== 0x22) table[octet]! |= OPAQUE;
  return table;
}

/** Offset of the first character of text[from, to) that is neither of the class nor a whole escape; -1 when there is none. */
function stranger(text: string, flag: number, from: number, to: number): number {
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if ((CLASS[code]! & flag) !== 0) continue;
    const escape = code === 0x25 && i + 2 < to && (CLASS[text.charCodeAt(i + 1)]! & CLASS[text.charCodeAt(i + 2)]! & HEX) !== 0;
    if (!escape) return i;
    i += 2;
  }
  return -1;
}

/** A whole URI: `sip:`/`sips:` in parts, any other scheme as its text. No white space, no brackets around it. */
export function parseUri(text: string): Result<SipUri | OtherUri> {
  const colon = text.indexOf(':');
  if (colon < 1 || colon > MAX_SCHEME || !isAlpha(text.charCodeAt(0))) return fail(0, 'a URI without a scheme');
  const scheme = text.slice(0, colon).toLowerCase();
  if (scheme === 'sip' || scheme === 'sips') return parseSipUri(scheme, text, colon + 1);
  for (let i = 0; i < colon; i++) if ((CLASS[text.charCodeAt(i)]! & SCHEME) === 0) return fail(i, 'a URI scheme with a foreign character');
  if (text.length === colon + 1) return fail(colon, 'a URI of a scheme only');
  const bad = stranger(text, OPAQUE, colon + 1, text.length);
  return bad < 0 ? ok({ scheme, text }) : fail(bad, 'a foreign character in a URI');
}

function parseSipUri(scheme: 'sip' | 'sips', text: string, start: number): Result<SipUri> {
  const atSign = text.indexOf('@', start);
  const userinfo = atSign < 0 ? NO_USER : readUserinfo(text, start, atSign);
  if ('why' in userinfo) return { ok: false, error: userinfo };
  const hostAt = atSign < 0 ? start : atSign + 1;
  const question = text.indexOf('?', hostAt);
  const beforeHeaders = question < 0 ? text.length : question;
  if (question >= 0) {
    const bad = stranger(text, HEADER, question + 1, text.length);
    if (bad >= 0) return fail(bad, 'a foreign character in the headers of a URI');
  }
  const semicolon = text.indexOf(';', hostAt);
  const hostEnd = semicolon < 0 || semicolon > beforeHeaders ? beforeHeaders : semicolon;
  const hostPort = parseHostPort(text.slice(hostAt, hostEnd));
  if (hostPort === undefined) return fail(hostAt, 'host or port of a URI');
  const params = hostEnd === beforeHeaders ? NO_URI_PARAMS : readUriParams(text, hostEnd + 1, beforeHeaders);
  if ('why' in params) return { ok: false, error: params };
  const headers = question < 0 ? undefined : text.slice(question + 1);
  return ok({ scheme, ...userinfo, host: hostPort.host, port: hostPort.port, params, headers });
}

interface Userinfo {
  readonly user: string | undefined;
  readonly password: string | undefined;
}

const NO_USER: Userinfo = { user: undefined, password: undefined };

function readUserinfo(text: string, start: number, atSign: number): Userinfo | ParseError {
  const colon = text.indexOf(':', start);
  const userEnd = colon < 0 || colon > atSign ? atSign : colon;
  if (userEnd === start) return { at: start, why: 'an empty user part' };
  const badUser = stranger(text, USER, start, userEnd);
  if (badUser >= 0) return { at: badUser, why: 'a foreign character in the user part' };
  if (userEnd === atSign) return { user: text.slice(start, atSign), password: undefined };
  const badPassword = stranger(text, PASSWORD, userEnd + 1, atSign);
  if (badPassword >= 0) return { at: badPassword, why: 'a foreign character in the password' };
  return { user: text.slice(start, userEnd), password: text.slice(userEnd + 1, atSign) };
}

function readUriParams(text: string, start: number, end: number): ReadonlyMap<string, string | null> | ParseError {
  const params = new Map<string, string | null>();
  for (let from = start; from <= end; ) {
    const semicolon = text.indexOf(';', from);
    const to = semicolon < 0 || semicolon > end ? end : semicolon;
    let nameEnd = from;
    while (nameEnd < to && text.charCodeAt(nameEnd) !== 0x3d) nameEnd++;
    if (nameEnd === from) return { at: from, why: 'a URI parameter without a name' };
    const bad = Math.max(stranger(text, PARAM, from, nameEnd), nameEnd === to ? -1 : stranger(text, PARAM, nameEnd + 1, to));
    if (bad >= 0) return { at: bad, why: 'a foreign character in a URI parameter' };
    const name = text.slice(from, nameEnd).toLowerCase();
    if (!params.has(name)) params.set(name, nameEnd === to ? null : text.slice(nameEnd + 1, to));
    from = to + 1;
  }
  return params;
}

export interface HostPort {
  /** Name, IPv4, or IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

/** `host`, `host:port`, `[v6]`, `[v6]:port` with nothing around. In `[2001:db8::10:5070]` the last group is no port (RFC 5118 4.3). */
export function parseHostPort(text: string): HostPort | undefined {
  const bracket = text.startsWith('[') ? text.indexOf(']') : -1;
  if (text.startsWith('[') && bracket < 0) return undefined;
  const colon = text.indexOf(':', bracket + 1);
  const hostEnd = colon < 0 ? text.length : colon;
  const host = bracket < 0 ? text.slice(0, hostEnd) : text.slice(1, bracket);
  if (bracket < 0 ? !isHostName(host) : bracket + 1 !== hostEnd || !host.includes(':') || parseIp(host) === undefined) return undefined;
  if (colon < 0) return { host, port: undefined };
  const port = parseDecimal(text.slice(colon + 1), MAX_PORT);
  return port === undefined ? undefined : { host, port };
}

function isHostName(host: string): boolean {
  if (host.length === 0 || host.length > MAX_HOST) return false;
  for (let i = 0; i < host.length; i++) if ((CLASS[host.charCodeAt(i)]! & HOST) === 0) return false;
  return true;
}

export const formatHostPort = (host: string, port: number | undefined): string => (port === undefined ? bracketed(host) : `${bracketed(host)}:${port}`);

export function formatUri(uri: SipUri | OtherUri): string {
  if (!('host' in uri)) return uri.text;
  let text = `${uri.scheme}:`;
  if (uri.user !== undefined) text += uri.password === undefined ? `${uri.user}@` : `${uri.user}:${uri.password}@`;
  text += formatHostPort(uri.host, uri.port);
  for (const [name, value] of uri.params) text += value === null ? `;${name}` : `;${name}=${value}`;
  return uri.headers === undefined ? text : `${text}?${uri.headers}`;
}

/** A `sip:` URI of ours. `params` are written as given, names in lower case. */
export function sipUri(user: string | undefined, host: string, port?: number, params: Readonly<Record<string, string | null>> = {}): SipUri {
  return { scheme: 'sip', user, password: undefined, host, port, params: new Map(Object.entries(params)), headers: undefined };
}

/** Parameters that must be on both sides or on none (RFC 3261 19.1.4). */
const DECISIVE = ['transport', 'user', 'ttl', 'method', 'maddr'];

/** Whether two URIs mean the same resource (RFC 3261 19.1.4). Not transitive, by the RFC. */
export function sameUri(a: SipUri | OtherUri, b: SipUri | OtherUri): boolean {
  if (!('host' in a) || !('host' in b)) return !('host' in a) && !('host' in b) && a.text === b.text;
  if (a.scheme !== b.scheme || a.port !== b.port || normalizeHost(a.host) !== normalizeHost(b.host)) return false;
  if (meaning(a.user) !== meaning(b.user) || meaning(a.password) !== meaning(b.password)) return false;
  return sameParams(a.params, b.params) && sameHeaders(a.headers, b.headers);
}

function sameParams(a: SipUri['params'], b: SipUri['params']): boolean {
  const left = decoded(a);
  const right = decoded(b);
  if (DECISIVE.some(name => left.has(name) !== right.has(name))) return false;
  for (const [name, value] of left) if (right.has(name) && right.get(name) !== value) return false;
  return true;
}

const decoded = (params: SipUri['params']): Map<string, string | undefined> =>
  new Map([...params].map(([name, value]) => [meaning(name)!.toLowerCase(), meaning(value ?? undefined)?.toLowerCase()]));

/** Header components are never ignored; their order is. */
function sameHeaders(a: string | undefined, b: string | undefined): boolean {
  const parts = (headers: string | undefined): string =>
    (headers ?? '').split('&').map(part => meaning(part)!).map(part => part.replace(/^[^=]*/, name => name.toLowerCase())).sort().join('&');
  return parts(a) === parts(b);
}

/** Escapes of unreserved characters resolved, the others in upper case: the form in which two spellings of one thing are equal. */
function meaning(text: string | undefined): string | undefined {
  if (text === undefined || !text.includes('%')) return text;
  return text.replace(/%([0-9a-fA-F]{2})/g, (escape: string, hex: string) => {
    const character = String.fromCharCode(parseInt(hex, 16));
    return /[a-zA-Z0-9\-_.!~*'()]/.test(character) ? character : escape.toUpperCase();
  });
}
