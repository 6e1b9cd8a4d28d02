/**
 * The registrar's side of digest: gives out nonces and believes answers to them, each as often as RFC 7616 allows.
 *
 *     no or foreign credentials ------------------------------------> challenge
 *     our nonce, wrong hash --(5 in 5 min)--> locked 300 s; before that: refused
 *     our nonce, right hash --expired, replayed, other Call-ID------> challenge stale=true
 *     our nonce, right hash ----------------------------------------> accepted
 *
 * A nonce is `time . MAC(time, source) . MAC(time, source, Call-ID)`: nothing is kept for those that were given out, so a flood of
 * spoofed sources costs no memory. Only answers to a nonce that reached its source leave a row: an attacker who cannot receive at
 * an address can neither lock it out nor fill a table (faults.md 17-19, 24).
 */
import type { Ms } from '../units.ts';
import { type DigestAlgorithm, type DigestChallenge, type DigestCredentials, type DigestHashes, algorithmOf, digestResponse, formatChallenge, parseAuthorization, sameSecret } from './digest.ts';
import { type HeaderField, type NameAddr, headerValues, userOf } from './message.ts';

const NONCE_TTL_MS = 120_000;
/** Nodes that share a secret may differ so much. */
const MAX_SKEW_MS = 5000;
const LOCK_AFTER_FAILURES = 5;
const FAILURE_WINDOW_MS = 300_000;
const LOCK_MS = 300_000;
/** Rows kept of successes and of failures. 10,000 devices that all register within one nonce lifetime fit. */
const MAX_ROWS = 16_384;
/** How far behind the highest nc a late request may be: UDP reorders. */
const NC_WINDOW = 32;
/** Hex digits of each MAC in a nonce: 64 bits, checked online only. */
const MAC_DIGITS = 16;
const TIME_DIGITS = 12;
/** Longest part of an ID that tells one lock-out from another: a row has a bounded size. */
const MAX_ID = 64;
const NO_HA1 = '0'.repeat(32);

export interface DigestGuardOptions {
  readonly realm: string;
  /** Offered in this order; one WWW-Authenticate each. */
  readonly algorithms: readonly DigestAlgorithm[];
  /** Offer qop="auth". Devices that answer without it are served all the same. Default true. */
  readonly qop?: boolean;
  /** Key of the nonce MACs, 32 random octets. Shared by the nodes of a pair. */
  readonly secret: Uint8Array;
  readonly hashes: DigestHashes;
  readonly nonceTtlMs?: number;
  /** Between the clock of the caller and the one that nodes with the same secret share: what one of them gave out, the others believe. */
  readonly clockOffsetMs?: number;
}

/** HA1 in hex of a user, or undefined when there is no such user or none for this algorithm. */
export type Ha1Lookup = (username: string, realm: string, algorithm: DigestAlgorithm) => string | undefined;

export type DigestVerdict =
  /** `username` as the header had it: whether it may speak for the From is the caller's policy. */
  | { readonly type: 'accepted'; readonly username: string }
  /** 401 with these fields. */
  | { readonly type: 'challenge'; readonly stale: boolean; readonly headers: readonly HeaderField[] }
  /** Wrong user or password: 403, or 401 with these fields. */
  | { readonly type: 'refused'; readonly username: string; readonly headers: readonly HeaderField[] }
  /** 400: credentials of scheme Digest that are none. */
  | { readonly type: 'malformed'; readonly why: string }
  /** No answer at all. */
  | { readonly type: 'locked' };

/** What is judged of a request: of SIP, or of another protocol with the same credentials (RFC 7616). */
export interface GuardedRequest {
  readonly method: string;
  readonly headers: readonly HeaderField[];
  /** Empty where a protocol has none: an answer without qop is then believed once a nonce. */
  readonly callId: string;
  readonly to?: NameAddr;
}

interface Attempt {
  readonly request: GuardedRequest;
  readonly source: string;
  readonly id: string;
  readonly lockKey: string;
  readonly lookup: Ha1Lookup;
  readonly now: Ms;
}

interface Failures {
  count: number;
  readonly since: number;
  lockedUntil: number;
}

/** Use of one nonce: highest nc, and which of the NC_WINDOW below it were used (bit i: highest - i). */
interface NonceUse {
  readonly issuedAt: number;
  highest: number;
  seen: number;
}

export class DigestGuard {
  readonly #options: DigestGuardOptions;
  readonly #ttlMs: number;
  readonly #offsetMs: number;
  readonly #skewMs: number;
  /** Oldest first. */
  readonly #uses = new Map<string, NonceUse>();
  readonly #failures = new Map<string, Failures>();
  /** Nonces issued up to here are stale: a row of one of them had to go. */
  #floor = -1;

  constructor(options: DigestGuardOptions) {
    this.#options = options;
    this.#ttlMs = options.nonceTtlMs ?? NONCE_TTL_MS;
    this.#offsetMs = options.clockOffsetMs ?? 0;
    this.#skewMs = options.clockOffsetMs === undefined ? 0 : MAX_SKEW_MS;
  }

  /** Rows kept: nonces used, and source+id pairs with failures. */
  get rows(): { readonly uses: number; readonly failures: number } {
    return { uses: this.#uses.size, failures: this.#failures.size };
  }

  /** Judges a request. `source` is the address it came from, without port: devices change it. `id` defaults to the user of To. */
  check(request: GuardedRequest, source: string, lookup: Ha1Lookup, now: Ms, id: string = request.to === undefined ? '' : userOf(request.to)): DigestVerdict {
    const attempt: Attempt = { request, source, id, lockKey: `${source} ${id.slice(0, MAX_ID)}`, lookup, now };
    const failures = this.#failures.get(attempt.lockKey);
    if (failures !== undefined && failures.lockedUntil > now) return { type: 'locked' };
    let malformed: string | undefined;
    for (const value of headerValues(request, 'Authorization')) {
      if (!/^[ \t]*digest[ \t]/i.test(value)) continue;
      const credentials = parseAuthorization(value);
      if (!credentials.ok) malformed = credentials.error.why;
      else if (credentials.value.realm === this.#options.realm) return this.#judge(attempt, credentials.value);
    }
    return malformed === undefined ? this.#challenge(attempt, false) : { type: 'malformed', why: malformed };
  }

  #judge(attempt: Attempt, credentials: DigestCredentials): DigestVerdict {
    if (credentials.qop !== undefined && credentials.qop !== 'auth') return { type: 'malformed', why: 'only qop=auth is offered' };
    const algorithm = algorithmOf(credentials.algorithm);
    const issuedAt = this.#issuedAt(credentials.nonce, attempt.source);
    if (algorithm === undefined || !this.#options.algorithms.includes(algorithm) || issuedAt === undefined) return this.#challenge(attempt, false);
    const ha1 = attempt.lookup(credentials.username, credentials.realm, algorithm);
    const wanted = digestResponse(this.#options.hashes, algorithm, ha1 ?? NO_HA1, attempt.request.method, credentials);
    if (!sameSecret(credentials.response, wanted) || ha1 === undefined) return this.#refuse(attempt, credentials.username);
    this.#failures.delete(attempt.lockKey);
    const expired = issuedAt > attempt.now + this.#skewMs || attempt.now - issuedAt > this.#ttlMs || issuedAt <= this.#floor;
    const fresh = !expired && this.#isForCall(credentials, attempt) && this.#use(credentials, issuedAt, attempt.now);
    return fresh ? { type: 'accepted', username: credentials.username } : this.#challenge(attempt, true);
  }

  #challenge(attempt: Attempt, stale: boolean): DigestVerdict {
    return { type: 'challenge', stale, headers: this.#fields(attempt, stale) };
  }

  #fields(attempt: Attempt, stale: boolean): HeaderField[] {
    const nonce = this.#issue(attempt);
    const qop = this.#options.qop === false ? [] : ['auth'];
    return this.#offered(attempt).map(algorithm => {
      const challenge: DigestChallenge = { realm: this.#options.realm, nonce, opaque: undefined, algorithm, qop, stale };
      return { name: 'WWW-Authenticate', value: formatChallenge(challenge) };
    });
  }

  /** Only what we could check: for a device whose HA1 is stored, the algorithm of that HA1. */
  #offered({ id, lookup }: Attempt): readonly DigestAlgorithm[] {
    const { algorithms, realm } = this.#options;
    const known = algorithms.filter(algorithm => lookup(id, realm, algorithm) !== undefined);
    return known.length > 0 ? known : algorithms;
  }

  #issue({ request, source, now }: Attempt): string {
    const time = Math.trunc(now + this.#offsetMs).toString(16).padStart(TIME_DIGITS, '0');
    return time + this.#mac(`${time} ${source}`) + this.#mac(`${time} ${source} ${request.callId}`);
  }

  #mac(text: string): string {
    return this.#options.hashes.hmacSha256(this.#options.secret, text).slice(0, MAC_DIGITS);
  }

  /** When we gave this nonce to this source; undefined when we did not. */
  #issuedAt(nonce: string, source: string): number | undefined {
    if (nonce.length !== TIME_DIGITS + 2 * MAC_DIGITS) return undefined;
    const time = nonce.slice(0, TIME_DIGITS);
    const ours = sameSecret(nonce.slice(TIME_DIGITS, TIME_DIGITS + MAC_DIGITS), this.#mac(`${time} ${source}`));
    return ours ? parseInt(time, 16) - this.#offsetMs : undefined;
  }

  /** Without qop there is no nc to count, so the nonce serves one Call-ID, once (faults.md 4). */
  #isForCall(credentials: DigestCredentials, { request, source }: Attempt): boolean {
    if (credentials.qop !== undefined) return true;
    const time = credentials.nonce.slice(0, TIME_DIGITS);
    return sameSecret(credentials.nonce.slice(TIME_DIGITS + MAC_DIGITS), this.#mac(`${time} ${source} ${request.callId}`));
  }

  /** Notes the use of a nonce, after the hash was found right and not before (faults.md 19). False: it was used already. */
  #use(credentials: DigestCredentials, issuedAt: number, now: number): boolean {
    const nc = credentials.qop === undefined ? 0 : credentials.ncValue!;
    const use = this.#uses.get(credentials.nonce);
    if (use === undefined) {
      this.#makeRoom(now);
      this.#uses.set(credentials.nonce, { issuedAt, highest: nc, seen: 1 });
      return true;
    }
    if (credentials.qop === undefined || use.highest === 0) return false;
    const behind = use.highest - nc;
    if (behind < 0) {
      use.seen = behind <= -NC_WINDOW ? 1 : ((use.seen << -behind) | 1) >>> 0;
      use.highest = nc;
      return true;
    }
    if (behind >= NC_WINDOW || ((use.seen >>> behind) & 1) === 1) return false;
    use.seen = (use.seen | (1 << behind)) >>> 0;
    return true;
  }

  #makeRoom(now: number): void {
    for (const [nonce, use] of this.#uses) {
      const expired = now - use.issuedAt > this.#ttlMs;
      if (!expired && this.#uses.size < MAX_ROWS) return;
      if (!expired) this.#floor = Math.max(this.#floor, use.issuedAt);
      this.#uses.delete(nonce);
    }
  }

  #refuse(attempt: Attempt, username: string): DigestVerdict {
    const { lockKey, now } = attempt;
    let failures = this.#failures.get(lockKey);
    if (failures === undefined || now - failures.since > FAILURE_WINDOW_MS) {
      failures = { count: 0, since: now, lockedUntil: 0 };
      this.#failures.delete(lockKey);
      this.#forgetFailures(now);
      this.#failures.set(lockKey, failures);
    }
    failures.count++;
    if (failures.count >= LOCK_AFTER_FAILURES) {
      failures.lockedUntil = now + LOCK_MS;
      failures.count = 0;
    }
    return { type: 'refused', username, headers: this.#fields(attempt, false) };
  }

  #forgetFailures(now: number): void {
    for (const [key, failures] of this.#failures) {
      const over = now - failures.since > FAILURE_WINDOW_MS && failures.lockedUntil <= now;
      if (!over && this.#failures.size < MAX_ROWS) return;
      this.#failures.delete(key);
    }
  }
}
