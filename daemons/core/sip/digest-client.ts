/**
 * The UAC's side of digest: one of these for each registrar that we register with.
 *
 *     begin --401--> answered --401 stale=true--> answered again --401--> failed
 *                    answered --401-------------> failed
 *
 * Credentials leave only for the configured realm and only when the configured peer asked (faults.md 20).
 */
import { sameIp } from '../ip.ts';
import { type DigestAlgorithm, DIGEST_ALGORITHMS, type DigestChallenge, type DigestCredentials, type DigestHashes, type DigestSecret, algorithmOf, digestResponse, formatAuthorization, ha1Of, parseChallenge } from './digest.ts';
import { type HeaderField, type SipResponse, headerValues } from './message.ts';

const MAX_NC = 0xffffffff;

export interface DigestClientOptions {
  /** The only realms that are answered. */
  readonly realms: readonly string[];
  /** Address of the registrar: a challenge from elsewhere is not answered. */
  readonly peerAddress: string;
  readonly username: string;
  readonly secret: DigestSecret;
  readonly hashes: DigestHashes;
  /** Of another process: its nonce is used on. */
  readonly held?: HeldChallenge | undefined;
}

/** The request that is to carry credentials. `cnonce` is fresh randomness from the caller. */
export interface Protected {
  readonly method: string;
  /** The Request-URI as it will be written. */
  readonly uri: string;
  readonly cnonce: string;
}

export type DigestAnswer =
  /** Send the request again with this field, next CSeq, same Call-ID. */
  | { readonly type: 'authorize'; readonly field: HeaderField }
  | { readonly type: 'failed'; readonly why: 'foreign peer' | 'foreign realm' | 'no usable challenge' | 'wrong credentials' };

const failed = (why: Extract<DigestAnswer, { type: 'failed' }>['why']): DigestAnswer => ({ type: 'failed', why });

/** The challenge that was answered last, and how often. */
export interface HeldChallenge {
  readonly challenge: DigestChallenge;
  readonly algorithm: DigestAlgorithm;
  readonly field: 'Authorization' | 'Proxy-Authorization';
  nc: number;
}

export class DigestClient {
  readonly #options: DigestClientOptions;
  #held: HeldChallenge | undefined;
  /** Challenges answered since begin(). */
  #answers = 0;

  constructor(options: DigestClientOptions) {
    this.#options = options;
    this.#held = options.held;
  }

  get held(): HeldChallenge | undefined {
    return this.#held;
  }

  /** Starts a new attempt. With qop a nonce that was given before is used ahead of a challenge (RFC 7616 3.4.6). */
  begin(request: Protected): HeaderField | undefined {
    this.#answers = 0;
    const held = this.#held;
    if (held === undefined || !held.challenge.qop.includes('auth') || held.nc >= MAX_NC) return undefined;
    return this.#authorize(held, request);
  }

  /** Answers a 401 or 407 that came from `source` (address without port). */
  onChallenge(response: SipResponse, source: string, request: Protected): DigestAnswer {
    if (!sameIp(source, this.#options.peerAddress)) return failed('foreign peer');
    const proxy = response.status === 407;
    const offered = headerValues(response, proxy ? 'Proxy-Authenticate' : 'WWW-Authenticate').map(parseChallenge).flatMap(parsed => (parsed.ok ? [parsed.value] : []));
    const ours = offered.filter(challenge => this.#options.realms.includes(challenge.realm));
    if (ours.length === 0) return failed(offered.length > 0 ? 'foreign realm' : 'no usable challenge');
    const chosen = this.#choose(ours);
    if (chosen === undefined) return failed('no usable challenge');
    const { challenge } = chosen;
    const spent = this.#held?.challenge.nonce === challenge.nonce && !challenge.stale;
    const again = this.#answers > 0 && !(challenge.stale && this.#answers === 1);
    if (spent || again) {
      this.#held = undefined;
      return failed('wrong credentials');
    }
    this.#answers++;
    this.#held = { ...chosen, field: proxy ? 'Proxy-Authorization' : 'Authorization', nc: 0 };
    return { type: 'authorize', field: this.#authorize(this.#held, request) };
  }

  /** The strongest algorithm that both sides have. */
  #choose(challenges: readonly DigestChallenge[]): { challenge: DigestChallenge; algorithm: DigestAlgorithm } | undefined {
    for (const algorithm of DIGEST_ALGORITHMS) {
      const challenge = challenges.find(one => algorithmOf(one.algorithm) === algorithm && (one.qop.length === 0 || one.qop.includes('auth')));
      if (challenge !== undefined && this.#ha1(algorithm, challenge.realm) !== undefined) return { challenge, algorithm };
    }
    return undefined;
  }

  #ha1(algorithm: DigestAlgorithm, realm: string): string | undefined {
    const { secret, hashes, username } = this.#options;
    return ha1Of(hashes, secret, algorithm, username, realm);
  }

  #authorize(held: HeldChallenge, request: Protected): HeaderField {
    const { challenge, algorithm } = held;
    const counted = challenge.qop.includes('auth');
    const ncValue = counted ? ++held.nc : undefined;
    const parts = {
      nonce: challenge.nonce, uri: request.uri, qop: counted ? 'auth' : undefined,
      nc: ncValue?.toString(16).padStart(8, '0'), cnonce: counted ? request.cnonce : undefined,
    };
    const response = digestResponse(this.#options.hashes, algorithm, this.#ha1(algorithm, challenge.realm) ?? '', request.method, parts);
    const credentials: DigestCredentials = {
      ...parts, ncValue, username: this.#options.username, realm: challenge.realm, response, algorithm: challenge.algorithm, opaque: challenge.opaque,
    };
    return { name: held.field, value: formatAuthorization(credentials) };
  }
}
