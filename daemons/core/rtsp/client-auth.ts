/** The client's side of RTSP authentication: digest where it is offered (RFC 7616, RFC 2617), else basic (RFC 7617). */
import { toBase64 } from '../base64.ts';
import { utf8Encode } from '../bytes.ts';
import { DIGEST_ALGORITHMS, type DigestAlgorithm, type DigestChallenge, type DigestHashes, algorithmOf, digestHa1, digestResponse, formatAuthorization, parseChallenge } from '../sip/digest.ts';
import { type HeaderField, type RtspResponse, headersOf } from './message.ts';

export interface ClientAuthOptions {
  readonly username: string;
  readonly password: string;
  readonly hashes: DigestHashes;
  /** Fresh randomness for each request. */
  readonly cnonce: () => string;
}

export class ClientAuth {
  readonly #options: ClientAuthOptions;
  #held: { readonly challenge: DigestChallenge; readonly algorithm: DigestAlgorithm } | 'basic' | undefined;
  #nc = 0;

  constructor(options: ClientAuthOptions) {
    this.#options = options;
  }

  /** True: ask again with credentials. False: they were refused, or there is no way that we can go. */
  challenged(response: RtspResponse): boolean {
    const offered = headersOf(response, 'www-authenticate');
    const before = this.#held;
    const challenges = offered.map(parseChallenge).flatMap(parsed => (parsed.ok ? [parsed.value] : []));
    for (const algorithm of DIGEST_ALGORITHMS) {
      const challenge = challenges.find(one => algorithmOf(one.algorithm) === algorithm && (one.qop.length === 0 || one.qop.includes('auth')));
      if (challenge === undefined) continue;
      const isNew = before === undefined || before === 'basic' || before.challenge.nonce !== challenge.nonce;
      // Wrong credentials are answered with a new nonce that is not called stale.
      if (!isNew || (before !== undefined && before !== 'basic' && !challenge.stale)) return false;
      this.#held = { challenge, algorithm };
      this.#nc = 0;
      return true;
    }
    if (before !== undefined || !offered.some(value => /^\s*basic\b/i.test(value))) return false;
    this.#held = 'basic';
    return true;
  }

  fieldFor(method: string, uri: string): HeaderField[] {
    const held = this.#held;
    const { username, password, hashes, cnonce } = this.#options;
    if (held === undefined) return [];
    if (held === 'basic') return [{ name: 'Authorization', value: `Basic ${toBase64(utf8Encode(`${username}:${password}`))}` }];
    const { challenge, algorithm } = held;
    const counted = challenge.qop.includes('auth');
    const ncValue = counted ? (this.#nc += 1) : undefined;
    const parts = { nonce: challenge.nonce, uri, qop: counted ? 'auth' : undefined, nc: ncValue?.toString(16).padStart(8, '0'), cnonce: counted ? cnonce() : undefined };
    const ha1 = digestHa1(hashes, algorithm, username, challenge.realm, password);
    const response = digestResponse(hashes, algorithm, ha1, method, parts);
    return [{ name: 'Authorization', value: formatAuthorization({ ...parts, ncValue, username, realm: challenge.realm, response, algorithm: challenge.algorithm, opaque: challenge.opaque }) }];
  }
}
