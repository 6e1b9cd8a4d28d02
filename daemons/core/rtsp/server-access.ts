/**
 * Who may have a channel over one RTSP connection: the bearer of its token, or a user by digest (RFC 2617; without qop, as players
 * answer). The nonce belongs to the connection, so that what somebody overheard serves nowhere else.
 *
 *   no or unreadable credentials, foreign nonce ──► challenge
 *   wrong user, password or channel ─────────────► challenge, counted as a failure
 *   right ───────────────────────────────────────► granted, for this channel as long as the connection lives
 */
import type { OutletPath } from '../outlets/outlet-path.ts';
import { parseOutletPath } from '../outlets/outlet-path.ts';
import { type DigestHashes, digestResponse, formatChallenge, parseAuthorization, sameSecret } from '../sip/digest.ts';
import { type HeaderField, type RtspRequest, headersOf } from './message.ts';
import { parseRtspUrl, splitTrack } from './url.ts';

export interface AccessRules {
  tokenFits(path: OutletPath): boolean;
  /** HA1 of a user who may see the channel; undefined: there is no such user, or it may not. */
  ha1(name: string, path: OutletPath): string | undefined;
}

export interface AccessOptions {
  readonly realm: string;
  /** Random, of this connection. */
  readonly nonce: string;
  readonly hashes: DigestHashes;
  readonly rules: AccessRules;
}

export type AccessVerdict = { readonly type: 'granted' } | { readonly type: 'challenge'; readonly headers: readonly HeaderField[]; readonly failed: boolean };

/** Takes as long for a user that does not exist. */
const NO_HA1 = '0'.repeat(32);

export class ConnectionAccess {
  readonly #options: AccessOptions;
  /** By channel: its user; undefined: a token. */
  readonly #granted = new Map<string, string | undefined>();

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  check(request: RtspRequest, path: OutletPath): AccessVerdict {
    if (this.#granted.has(path.channel)) return { type: 'granted' };
    const { rules } = this.#options;
    if (rules.tokenFits(path)) return this.#grant(path, undefined);
    for (const value of headersOf(request, 'authorization')) {
      const verdict = this.#judge(request, path, value);
      if (typeof verdict === 'object') return this.#grant(path, verdict.user);
      if (verdict === 'wrong') return this.#challenge(true);
    }
    return this.#challenge(false);
  }

  #judge(request: RtspRequest, path: OutletPath, value: string): { readonly user: string } | 'wrong' | 'other' {
    const { realm, nonce, hashes, rules } = this.#options;
    const parsed = parseAuthorization(value);
    if (!parsed.ok || parsed.value.realm !== realm || parsed.value.nonce !== nonce) return 'other';
    const credentials = parsed.value;
    if ((credentials.algorithm ?? 'MD5') !== 'MD5') return 'other';
    const ha1 = rules.ha1(credentials.username, path);
    const wanted = digestResponse(hashes, 'MD5', ha1 ?? NO_HA1, request.method, credentials);
    return sameSecret(credentials.response, wanted) && ha1 !== undefined && namesChannel(credentials.uri, path) ? { user: credentials.username } : 'wrong';
  }

  /** Who was granted this channel by name; undefined: nobody, or the bearer of a token. */
  userOf({ channel }: OutletPath): string | undefined {
    return this.#granted.get(channel);
  }

  #grant(path: OutletPath, user: string | undefined): AccessVerdict {
    this.#granted.set(path.channel, user);
    return { type: 'granted' };
  }

  #challenge(failed: boolean): AccessVerdict {
    const { realm, nonce } = this.#options;
    return { type: 'challenge', failed, headers: [{ name: 'WWW-Authenticate', value: formatChallenge({ realm, nonce, opaque: undefined, algorithm: undefined, qop: [], stale: false }) }] };
  }
}

/** Players write the digest-uri of a track or of the whole, with query or without. */
function namesChannel(uri: string, path: OutletPath): boolean {
  const url = parseRtspUrl(uri);
  const named = parseOutletPath(splitTrack(url.ok ? url.value.path : uri).path);
  return named.ok && named.value.channel === path.channel;
}
