/**
 * Who may have a channel over HTTP: the bearer of a token in the URL or the header, or a user by digest (RFC 7616). Nobody else, and who is not told
 * to be nobody for want of which.
 */
import type { IncomingMessage } from 'node:http';
import { type OutletPath, parseOutletPath } from '#core/outlets/outlet-path.ts';
import { parseAuthorization } from '#core/sip/digest.ts';
import { DigestGuard } from '#core/sip/digest-guard.ts';
import type { Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Random } from '#kit/random.ts';
import { type HttpFailure, failureOf } from './http-route.ts';
import { OUTLET_REALM, type OutletDoor } from './outlet-door.ts';

const SECRET_BYTES = 32;
/** Longest that a lock-out lasts (core/sip/digest-guard). */
const LOCKED_S = '300';
/** RFC 6750 2.1: the same token as in URLs. */
const BEARER = /^Bearer ([\x21-\x7e]{1,64})$/i;
/** Old clients write a password into the query: it would stand in every log on the way (fault 90). */
const PASSWORD_NAMES = new Set(['password', 'passwd', 'pwd', 'pass', 'user', 'username']);

/** `user`: by digest; undefined: by a token. */
export type AccessVerdict = { readonly granted: true; readonly user: string | undefined } | { readonly granted: false; readonly why: string; readonly failure: HttpFailure };

export const carriesPassword = (query: URLSearchParams): boolean => [...query.keys()].some(name => PASSWORD_NAMES.has(name.toLowerCase()));

export class HttpAccess {
  readonly #door: OutletDoor;
  readonly #clock: Clock;
  readonly #guard: DigestGuard;

  constructor(door: OutletDoor, { clock, hashes, random }: { readonly clock: Clock; readonly hashes: Hashes; readonly random: Random }) {
    this.#door = door;
    this.#clock = clock;
    this.#guard = new DigestGuard({ realm: OUTLET_REALM, algorithms: ['MD5'], secret: random.bytes(SECRET_BYTES), hashes });
  }

  check(request: IncomingMessage, path: OutletPath, address: string): AccessVerdict {
    const authorization = request.headers.authorization;
    const token = path.token ?? BEARER.exec(authorization ?? '')?.[1] ?? null;
    if (token !== null) return this.#door.tokenFits({ ...path, token }) ? { granted: true, user: undefined } : this.#denied('token', {});
    const headers = authorization === undefined ? [] : [{ name: 'Authorization', value: authorization }];
    const lookup = (name: string): string | undefined => this.#door.user(name, path)?.ha1;
    const verdict = this.#guard.check({ method: request.method ?? '', callId: '', headers }, address, lookup, this.#clock.now());
    if (verdict.type === 'accepted') return isForChannel(authorization!, path) ? { granted: true, user: verdict.username } : { granted: false, why: 'uri', failure: failureOf('BAD_REQUEST') };
    if (verdict.type === 'malformed') return { granted: false, why: 'malformed', failure: failureOf('BAD_REQUEST') };
    if (verdict.type === 'locked') return { granted: false, why: 'locked', failure: failureOf('NOT_PERMITTED', 429, { 'Retry-After': LOCKED_S }) };
    return this.#denied(verdict.type, { 'WWW-Authenticate': verdict.headers.map(field => field.value) });
  }

  #denied(why: string, headers: HttpFailure['headers']): AccessVerdict {
    return { granted: false, why, failure: failureOf('NOT_PERMITTED', 401, headers) };
  }
}

/** Credentials for one URL do not serve another (RFC 7616 3.4.6). */
function isForChannel(authorization: string, path: OutletPath): boolean {
  const credentials = parseAuthorization(authorization);
  if (!credentials.ok) return false;
  const { uri } = credentials.value;
  const named = parseOutletPath(uri.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/^\/[a-z]+\//, '/live/'));
  return named.ok && named.value.channel === path.channel && named.value.file === path.file;
}
