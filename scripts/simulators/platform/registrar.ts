/** Who registered with the simulated platform, and from where. */
import { type DigestAlgorithm, digestHa1, digestResponse, formatChallenge, parseAuthorization, sameSecret } from '#core/sip/digest.ts';
import { formatGbTime } from '#core/gb/gb-time.ts';
import { type HeaderField, header, userOf } from '#core/sip/message.ts';
import type { Flow, IncomingRequest, Target } from '#kit/sip-endpoint.ts';
import { type Ambience, type Report, versionHeaders } from '../common/names.ts';
import { Conditions } from '../common/waiting.ts';
import type { Mischiefs } from './mischief.ts';

export interface Peer {
  readonly id: string;
  /** Observed source of the last REGISTER. */
  readonly flow: Flow;
  readonly callId: string;
  readonly expiresS: number;
  readonly userAgent: string | undefined;
  /** X-GB-Ver. */
  readonly version: string | undefined;
  registers: number;
  keepalives: number;
  /** Monotonic ms of the last keepalive. */
  lastKeepaliveAt: number | undefined;
}

export interface RegistrarOptions {
  readonly realm: string;
  /** Undefined: everybody is let in without a challenge. */
  readonly password: string | undefined;
  readonly algorithms: readonly DigestAlgorithm[];
  readonly qop: boolean;
  readonly version: '2016' | '2022';
  readonly mischief: Mischiefs;
  readonly ambience: Ambience;
  readonly report: Report;
}

const SHORT_EXPIRES_S = 30;
const DEFAULT_EXPIRES_S = 3600;

export class PlatformRegistrar {
  readonly #options: RegistrarOptions;
  readonly peers = new Map<string, Peer>();
  readonly changed = new Conditions();
  readonly counters = { registers: 0, challenged: 0, wrongDigest: 0, accepted: 0, unregistered: 0, keepalives: 0, strangeKeepalives: 0 };
  readonly #nonces = new Set<string>();
  #staleSaid = false;

  constructor(options: RegistrarOptions) {
    this.#options = options;
  }

  onRegister(incoming: IncomingRequest): void {
    const { mischief, password } = this.#options;
    this.counters.registers += 1;
    this.changed.check();
    if (mischief.has('ignore-register')) return incoming.drop();
    if (mischief.has('reject-register')) return incoming.respond(403, { headers: this.#versionHeaders() });
    const verdict = password === undefined ? 'right' : this.#judge(incoming, password);
    if (verdict === 'wrong') {
      this.counters.wrongDigest += 1;
      this.#options.report('wrong-digest', { id: userOf(incoming.request.from) });
      return incoming.respond(403, { headers: this.#versionHeaders() });
    }
    if (verdict !== 'right') return this.#challenge(incoming, verdict === 'stale');
    this.#bind(incoming);
  }

  #judge(incoming: IncomingRequest, password: string): 'right' | 'wrong' | 'none' | 'stale' {
    const { ambience, mischief } = this.#options;
    const field = header(incoming.request, 'Authorization');
    const parsed = field === undefined ? undefined : parseAuthorization(field);
    if (parsed?.ok !== true) return 'none';
    const given = parsed.value;
    if (!this.#nonces.has(given.nonce)) return 'stale';
    const algorithm: DigestAlgorithm = given.algorithm === 'SHA-256' ? 'SHA-256' : 'MD5';
    const ha1 = digestHa1(ambience.hashes, algorithm, given.username, given.realm, password);
    if (!sameSecret(digestResponse(ambience.hashes, algorithm, ha1, 'REGISTER', given), given.response)) return 'wrong';
    if (!mischief.has('stale-nonce') || this.#staleSaid) return 'right';
    this.#staleSaid = true;
    return 'stale';
  }

  #challenge(incoming: IncomingRequest, stale: boolean): void {
    const { realm, algorithms, qop, ambience, mischief } = this.#options;
    this.counters.challenged += 1;
    const headers = algorithms.map((algorithm): HeaderField => {
      const nonce = ambience.random.hex(12);
      this.#nonces.add(nonce);
      const said = mischief.has('foreign-realm') ? 'elsewhere.example' : realm;
      return { name: 'WWW-Authenticate', value: formatChallenge({ realm: said, nonce, opaque: undefined, algorithm, qop: qop ? ['auth'] : [], stale }) };
    });
    incoming.respond(401, { headers: [...headers, ...this.#versionHeaders()] });
  }

  #bind(incoming: IncomingRequest): void {
    const { mischief, report } = this.#options;
    const { request, flow } = incoming;
    const id = userOf(request.from);
    const asked = request.expires ?? DEFAULT_EXPIRES_S;
    const expiresS = asked > 0 && mischief.has('short-expires') ? SHORT_EXPIRES_S : asked;
    if (expiresS === 0) {
      this.peers.delete(id);
      this.counters.unregistered += 1;
      report('unregistered', { id });
    } else {
      const before = this.peers.get(id);
      this.counters.accepted += 1;
      this.peers.set(id, {
        id, flow, callId: request.callId, expiresS, userAgent: header(request, 'User-Agent'), version: header(request, 'X-GB-Ver'),
        registers: (before?.registers ?? 0) + 1, keepalives: before?.keepalives ?? 0, lastKeepaliveAt: before?.lastKeepaliveAt,
      });
      report('registered', { id, from: `${flow.remoteAddress}:${flow.remotePort}`, transport: flow.transport, expiresS });
    }
    incoming.respond(200, { expires: expiresS, headers: [...this.#dateHeaders(), ...this.#versionHeaders()], ...(request.contact === '*' || request.contact[0] === undefined ? {} : { contact: request.contact[0] }) });
    this.changed.check();
  }

  #dateHeaders(): HeaderField[] {
    return this.#options.mischief.has('no-date') ? [] : [{ name: 'Date', value: formatGbTime(this.#options.ambience.clock.wall(), true) }];
  }

  #versionHeaders(): HeaderField[] {
    return versionHeaders(this.#options.version);
  }

  onKeepalive(incoming: IncomingRequest, id: string): void {
    const { mischief, ambience } = this.#options;
    const peer = this.peers.get(id);
    this.counters.keepalives += 1;
    if (peer === undefined) {
      this.counters.strangeKeepalives += 1;
      return incoming.respond(404);
    }
    peer.keepalives += 1;
    peer.lastKeepaliveAt = ambience.clock.now();
    if (mischief.has('ignore-keepalive')) incoming.drop();
    else incoming.respond(mischief.has('reject-keepalive') ? 403 : 200);
    this.changed.check();
  }

  targetOf(id: string): Target | undefined {
    const flow = this.peers.get(id)?.flow;
    return flow && { transport: flow.transport, address: flow.remoteAddress, port: flow.remotePort, connectionId: flow.connectionId };
  }
}
