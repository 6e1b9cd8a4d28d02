/**
 * Digest access authentication: the words on the wire and the arithmetic (RFC 7616, RFC 2617, RFC 3261 22, gb28181.md 2.3).
 * Who may be believed is the matter of digest-guard (as registrar) and digest-client (as UAC).
 */
import { toByteString, utf8Encode } from '../bytes.ts';
import { type Result, fail, ok } from '../result.ts';
import { Cursor, isToken, quote } from './grammar.ts';

/** Longest header value that is looked at, and how many parameters of it. */
const MAX_VALUE = 4096;
const MAX_PARAMS = 32;
const MAX_NC = 0xffffffff;

/** Algorithms that we can compute, the stronger first. SM3 is not among them. */
export const DIGEST_ALGORITHMS = ['SHA-256', 'MD5'] as const;
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number];

/** Hash functions over byte strings, lower-case hex out. kit/hashes has them. */
export interface DigestHashes {
  md5(text: string): string;
  sha256(text: string): string;
  hmacSha256(key: Uint8Array, text: string): string;
}

/** WWW-Authenticate / Proxy-Authenticate of scheme Digest. Texts are byte strings without quotes. */
export interface DigestChallenge {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  /** Upper case, as it was given; undefined when absent, which means MD5. */
  readonly algorithm: string | undefined;
  /** Lower case. Empty when absent: the answer is then computed without nc and cnonce. */
  readonly qop: readonly string[];
  readonly stale: boolean;
}

/** Authorization / Proxy-Authorization of scheme Digest. */
export interface DigestCredentials {
  readonly username: string;
  readonly realm: string;
  readonly nonce: string;
  /** The digest-uri letter by letter: it goes into the hash, whatever the Request-URI is (gb28181.md 2.3). */
  readonly uri: string;
  readonly response: string;
  readonly algorithm: string | undefined;
  readonly opaque: string | undefined;
  /** Lower case. */
  readonly qop: string | undefined;
  /** As it stood; `ncValue` is its number. */
  readonly nc: string | undefined;
  readonly ncValue: number | undefined;
  readonly cnonce: string | undefined;
}

type AuthParams = ReadonlyMap<string, string>;

const COMMA = 0x2c;
const EQUAL = 0x3d;
const QUOTE = 0x22;

/** auth-scheme LWS 1#auth-param. Undefined for another scheme than Digest. */
function digestParams(value: string): Result<AuthParams> {
  if (value.length > MAX_VALUE) return fail(MAX_VALUE, 'credentials are too long');
  const cursor = new Cursor(value);
  cursor.skipLws();
  if (cursor.token().toLowerCase() !== 'digest') return fail(0, 'not the Digest scheme');
  const params = new Map<string, string>();
  do {
    cursor.skipLws();
    const name = cursor.token().toLowerCase();
    if (name === '' && (cursor.atEnd || cursor.is(COMMA))) continue;
    if (name === '' || !cursor.takeBetweenLws(EQUAL)) return fail(cursor.at, 'a parameter is name=value');
    const text = cursor.is(QUOTE) ? cursor.quoted() : cursor.bareValue();
    if (text === undefined) return fail(cursor.at, cursor.why);
    if (params.has(name)) return fail(cursor.at, `${name} came twice`);
    if (params.set(name, text).size > MAX_PARAMS) return fail(cursor.at, 'too many parameters');
  } while (cursor.takeBetweenLws(COMMA));
  return cursor.atEnd ? ok(params) : fail(cursor.at, 'something between two parameters');
}

export function parseChallenge(value: string): Result<DigestChallenge> {
  const parsed = digestParams(value);
  if (!parsed.ok) return parsed;
  const params = parsed.value;
  const realm = params.get('realm');
  const nonce = params.get('nonce');
  if (realm === undefined || nonce === undefined) return fail(0, 'a challenge has realm and nonce');
  const qop = (params.get('qop') ?? '').toLowerCase().split(/[\s,]+/).filter(word => word !== '');
  const stale = params.get('stale')?.toLowerCase() === 'true';
  return ok({ realm, nonce, opaque: params.get('opaque'), algorithm: params.get('algorithm')?.toUpperCase(), qop, stale });
}

export function parseAuthorization(value: string): Result<DigestCredentials> {
  const parsed = digestParams(value);
  if (!parsed.ok) return parsed;
  const params = parsed.value;
  const [username, realm, nonce, uri, response] = ['username', 'realm', 'nonce', 'uri', 'response'].map(name => params.get(name));
  if (username === undefined || realm === undefined || nonce === undefined || uri === undefined || response === undefined) {
    return fail(0, 'credentials have username, realm, nonce, uri and response');
  }
  const nc = params.get('nc');
  const ncValue = nc !== undefined && /^[0-9a-fA-F]{1,8}$/.test(nc) ? parseInt(nc, 16) : undefined;
  const qop = params.get('qop')?.toLowerCase();
  const cnonce = params.get('cnonce');
  if (qop !== undefined && (ncValue === undefined || ncValue > MAX_NC || cnonce === undefined)) return fail(0, 'qop needs nc and cnonce');
  return ok({ username, realm, nonce, uri, response: response.toLowerCase(), algorithm: params.get('algorithm')?.toUpperCase(), opaque: params.get('opaque'), qop, nc, ncValue, cnonce });
}

/** `Digest realm="…",nonce="…",algorithm=MD5,qop="auth"`. */
export function formatChallenge(challenge: DigestChallenge): string {
  return `Digest ${[
    `realm=${quote(challenge.realm)}`,
    `nonce=${quote(challenge.nonce)}`,
    ...(challenge.opaque === undefined ? [] : [`opaque=${quote(challenge.opaque)}`]),
    ...(challenge.algorithm === undefined ? [] : [`algorithm=${challenge.algorithm}`]),
    ...(challenge.qop.length === 0 ? [] : [`qop=${quote(challenge.qop.join(','))}`]),
    ...(challenge.stale ? ['stale=true'] : []),
  ].join(',')}`;
}

export function formatAuthorization(credentials: DigestCredentials): string {
  const quoted = ['username', 'realm', 'nonce', 'uri', 'response'] as const;
  return `Digest ${[
    ...quoted.map(name => `${name}=${quote(credentials[name])}`),
    ...(credentials.algorithm === undefined ? [] : [`algorithm=${credentials.algorithm}`]),
    ...(credentials.qop === undefined ? [] : [`qop=${credentials.qop}`, `nc=${credentials.nc ?? ''}`, `cnonce=${quote(credentials.cnonce ?? '')}`]),
    ...(credentials.opaque === undefined ? [] : [`opaque=${quote(credentials.opaque)}`]),
  ].join(',')}`;
}

/** The algorithm that a parameter names; absent means MD5 (RFC 7616 3.3). Undefined when we cannot compute it. */
export function algorithmOf(name: string | undefined): DigestAlgorithm | undefined {
  if (name === undefined) return 'MD5';
  return isToken(name) ? DIGEST_ALGORITHMS.find(algorithm => algorithm === name) : undefined;
}

export const digest = (hashes: DigestHashes, algorithm: DigestAlgorithm, text: string): string => (algorithm === 'MD5' ? hashes.md5(text) : hashes.sha256(text));

/** HA1 = H(username:realm:password), texts as UTF-8: what may be stored in place of the password. */
export function digestHa1(hashes: DigestHashes, algorithm: DigestAlgorithm, username: string, realm: string, password: string): string {
  return digest(hashes, algorithm, toByteString(utf8Encode(`${username}:${realm}:${password}`)));
}

/** A password serves every realm and algorithm; a stored HA1 only the ones it was made for. */
export type DigestSecret = { readonly password: string } | { readonly ha1: string };

/** HA1 of a user, or undefined when only one for another algorithm is stored: 32 hex digits are MD5, 64 SHA-256. */
export function ha1Of(hashes: DigestHashes, secret: DigestSecret, algorithm: DigestAlgorithm, username: string, realm: string): string | undefined {
  if ('password' in secret) return digestHa1(hashes, algorithm, username, realm, secret.password);
  return secret.ha1.length === (algorithm === 'MD5' ? 32 : 64) ? secret.ha1 : undefined;
}

/** The parts of a digest that are not in HA1. */
export type DigestParts = Pick<DigestCredentials, 'nonce' | 'uri' | 'qop' | 'nc' | 'cnonce'>;

/** KD(HA1, …) with HA2 = H(method:digest-uri): the full form with and without qop, and no other (faults.md 4). */
export function digestResponse(hashes: DigestHashes, algorithm: DigestAlgorithm, ha1: string, method: string, parts: DigestParts): string {
  const ha2 = digest(hashes, algorithm, `${method}:${parts.uri}`);
  const middle = parts.qop === undefined ? parts.nonce : `${parts.nonce}:${parts.nc ?? ''}:${parts.cnonce ?? ''}:${parts.qop}`;
  return digest(hashes, algorithm, `${ha1.toLowerCase()}:${middle}:${ha2}`);
}

/** Compares in a time that does not tell where the difference is. */
export function sameSecret(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= a.charCodeAt(i % Math.max(a.length, 1)) ^ b.charCodeAt(i);
  return difference === 0;
}
