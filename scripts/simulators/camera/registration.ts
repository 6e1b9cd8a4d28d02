/**
 * Registration and keepalive of one device (gb28181.md 2.3, 2.4).
 *
 *   idle --start--> registering --200--> registered --80 % of expires--> registering (same Call-ID)
 *                     |  ^  \--401 once--> registering               |
 *                     |  |                    3 keepalives unanswered or refused --> registering (new Call-ID)
 *      other, timeout v  | retryS                                    |
 *                    waiting <--TCP connection lost-- registered     stop --> unregistering --any answer--> idle
 */
import { DigestClient } from '#core/sip/digest-client.ts';
import { parseChallenge } from '#core/sip/digest.ts';
import { type HeaderField, headerValues } from '#core/sip/message.ts';
import { buildKeepalive, MANSCDP_TYPE } from '#core/gb/manscdp-write.ts';
import { formatUri } from '#core/sip/uri.ts';
import { addMs } from '#core/units.ts';
import type { NewRequest, Outcome, SipEndpoint, Target } from '#kit/sip-endpoint.ts';
import { type Ambience, type Report, contact, recordOf, uriOf, versionHeaders } from '../common/names.ts';
import type { Quirks } from './quirks.ts';

export type RegistrationState = 'idle' | 'registering' | 'registered' | 'waiting' | 'unregistering';

export interface RegistrationOptions {
  readonly deviceId: string;
  readonly domain: string;
  readonly platformId: string;
  readonly platformDomain: string;
  readonly password: string | undefined;
  readonly transport: 'udp' | 'tcp';
  readonly version: '2016' | '2022';
  readonly expiresS: number;
  readonly keepaliveS: number;
  readonly retryS: number;
  readonly quirks: Quirks;
}

const KEEPALIVE_MISSES = 3;
const REFRESH_SHARE = 0.8;
const SHORT_EXPIRES_S = 30;

export class Registration {
  readonly #options: RegistrationOptions;
  readonly #endpoint: SipEndpoint;
  readonly #target: Target;
  readonly #ambience: Ambience;
  readonly #report: Report;
  readonly #encode: (xml: string) => Uint8Array;
  readonly #nextSn: () => number;
  readonly #timers = new Map<'refresh' | 'retry' | 'keepalive', Disposable>();
  #state: RegistrationState = 'idle';
  #callId = '';
  #cseq = 0;
  #tag = '';
  #misses = 0;
  #digest: { readonly realm: string; readonly client: DigestClient } | undefined;
  #waiting: (() => void)[] = [];
  readonly counters = { registers: 0, challenges: 0, accepted: 0, refused: 0, keepalives: 0, keepalivesLost: 0 };
  /** Final status of the last REGISTER; 0 when nobody answered. */
  lastStatus: number | undefined;

  constructor(options: RegistrationOptions, host: { endpoint: SipEndpoint; target: Target; ambience: Ambience; report: Report; encode: (xml: string) => Uint8Array; nextSn: () => number }) {
    this.#options = options;
    this.#endpoint = host.endpoint;
    this.#target = host.target;
    this.#ambience = host.ambience;
    this.#report = host.report;
    this.#encode = host.encode;
    this.#nextSn = host.nextSn;
  }

  get state(): RegistrationState {
    return this.#state;
  }

  start(): void {
    if (this.#state === 'idle' || this.#state === 'waiting') void this.#register(true);
  }

  /** The refresh that is due later, now; throws when it is refused. */
  async again(): Promise<void> {
    await this.#register(false);
    if (this.#state !== 'registered') throw new Error(`${this.#options.deviceId}: REGISTER was answered ${this.lastStatus}`);
  }

  /** Settles at the next 200, at once when registered already. */
  registered(): Promise<void> {
    return this.#state === 'registered' ? Promise.resolve() : new Promise(resolve => this.#waiting.push(resolve));
  }

  /** The TCP connection to the platform ended: we count as offline there ([22] 9.1.1) and come again after the usual pause. */
  connectionLost(): void {
    if (this.#state !== 'registered') return;
    this.#disarm();
    this.#state = 'waiting';
    this.#report('connection-lost', { device: this.#options.deviceId });
    this.#arm('retry', this.#options.retryS * 1000, () => void this.#register(true));
  }

  /** Stops; with `unregister`, after REGISTER with Expires 0 was answered. */
  async stop(unregister: boolean): Promise<void> {
    const wasRegistered = this.#state === 'registered';
    this.#disarm();
    this.#state = unregister && wasRegistered ? 'unregistering' : 'idle';
    if (this.#state === 'unregistering') await this.#exchange(0);
    this.#state = 'idle';
  }

  async #register(anew: boolean): Promise<void> {
    this.#disarm();
    this.#state = 'registering';
    if (anew || this.#callId === '') {
      this.#callId = `${this.#ambience.random.hex(8)}@${this.#endpoint.localAddressFor(this.#target).address}`;
      this.#cseq = 0;
    }
    const { expiresS, quirks } = this.#options;
    const outcome = await this.#exchange(quirks.has('short-expires') ? SHORT_EXPIRES_S : expiresS);
    if (this.#state !== 'registering') return;
    this.lastStatus = outcome.type === 'response' ? outcome.response.status : 0;
    if (outcome.type === 'response' && outcome.response.status === 200) this.#onAccepted(outcome.response.expires ?? expiresS);
    else this.#onRefused(outcome);
  }

  #onAccepted(grantedS: number): void {
    const { deviceId, keepaliveS, quirks } = this.#options;
    this.#state = 'registered';
    this.#misses = 0;
    this.counters.accepted += 1;
    this.#report('registered', { device: deviceId, expiresS: grantedS });
    if (!quirks.has('no-refresh') && !quirks.has('keepalive-only')) this.#arm('refresh', grantedS * 1000 * REFRESH_SHARE, () => void this.#register(false));
    if (!quirks.has('no-keepalive')) this.#arm('keepalive', keepaliveS * 1000, () => void this.#keepalive());
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #onRefused(outcome: Outcome): void {
    this.#state = 'waiting';
    this.counters.refused += 1;
    this.#report('register-failed', { device: this.#options.deviceId, why: describeOutcome(outcome) });
    this.#arm('retry', this.#options.retryS * 1000, () => void this.#register(true));
  }

  /** REGISTER, and once more with credentials when it is challenged. */
  async #exchange(expiresS: number): Promise<Outcome> {
    this.#tag = this.#ambience.random.hex(5);
    const outcome = await this.#send(expiresS, this.#digest?.client.begin(this.#protected()));
    const { password, quirks } = this.#options;
    if (outcome.type !== 'response' || outcome.response.status !== 401 || password === undefined || quirks.has('no-digest')) return outcome;
    this.counters.challenges += 1;
    const first = await this.#answer(outcome, expiresS);
    const isStale = first.type === 'response' && first.response.status === 401 && /stale\s*=\s*"?true/i.test(headerValues(first.response, 'WWW-Authenticate').join());
    return isStale ? this.#answer(first, expiresS) : first;
  }

  async #answer(outcome: Outcome & { type: 'response' }, expiresS: number): Promise<Outcome> {
    const { deviceId, password = '', quirks } = this.#options;
    const realm = headerValues(outcome.response, 'WWW-Authenticate').map(parseChallenge).find(each => each.ok)?.value.realm ?? '';
    if (this.#digest?.realm !== realm) {
      const username = quirks.has('other-username') ? 'admin' : deviceId;
      const client = new DigestClient({ realms: [realm], peerAddress: outcome.flow.remoteAddress, username, secret: { password }, hashes: this.#ambience.hashes });
      client.begin(this.#protected());
      this.#digest = { realm, client };
    }
    const answer = this.#digest.client.onChallenge(outcome.response, outcome.flow.remoteAddress, this.#protected());
    return answer.type === 'authorize' ? this.#send(expiresS, answer.field) : outcome;
  }

  #protected(): { method: string; uri: string; cnonce: string } {
    return { method: 'REGISTER', uri: formatUri(this.#platformUri()), cnonce: this.#ambience.random.hex(8) };
  }

  #platformUri(): NewRequest['uri'] {
    return uriOf(this.#options.platformId, this.#options.platformDomain);
  }

  #send(expiresS: number, authorization: HeaderField | undefined): Promise<Outcome> {
    const { deviceId, domain, transport, version } = this.#options;
    const local = this.#endpoint.localAddressFor(this.#target);
    this.counters.registers += 1;
    this.#cseq += 1;
    const request: NewRequest = {
      method: 'REGISTER', uri: this.#platformUri(), from: recordOf(deviceId, domain, this.#tag), to: recordOf(deviceId, domain), callId: this.#callId, cseq: this.#cseq,
      contact: contact(deviceId, local.address, local.port, transport), expires: expiresS,
      headers: [...versionHeaders(version), ...(authorization === undefined ? [] : [authorization])],
    };
    return this.#endpoint.request(request, this.#target);
  }

  async #keepalive(): Promise<void> {
    const { keepaliveS, quirks } = this.#options;
    this.#arm('keepalive', keepaliveS * 1000, () => void this.#keepalive());
    if (quirks.has('keepalive-twice')) void this.#sendKeepalive();
    const outcome = await this.#sendKeepalive();
    if (this.#state !== 'registered') return;
    const answered = outcome.type === 'response' && outcome.response.status === 200;
    this.#misses = answered ? 0 : this.#misses + 1;
    if (answered) return;
    this.counters.keepalivesLost += 1;
    this.#report('keepalive-lost', { device: this.#options.deviceId, misses: this.#misses, why: describeOutcome(outcome) });
    if (this.#misses >= KEEPALIVE_MISSES && !quirks.has('keepalive-only')) void this.#register(true);
  }

  #sendKeepalive(): Promise<Outcome> {
    const { deviceId, domain, platformId, platformDomain } = this.#options;
    this.counters.keepalives += 1;
    const body = this.#encode(buildKeepalive({ sn: this.#nextSn(), deviceId }));
    return this.#endpoint.request(
      { method: 'MESSAGE', uri: this.#platformUri(), from: recordOf(deviceId, domain), to: recordOf(platformId, platformDomain), contentType: MANSCDP_TYPE, body },
      this.#target,
    );
  }

  #arm(name: 'refresh' | 'retry' | 'keepalive', delayMs: number, task: () => void): void {
    this.#timers.get(name)?.[Symbol.dispose]();
    this.#timers.set(name, this.#ambience.clock.schedule(addMs(this.#ambience.clock.now(), delayMs), task));
  }

  #disarm(): void {
    for (const timer of this.#timers.values()) timer[Symbol.dispose]();
    this.#timers.clear();
  }
}

/** A few words for a status line. */
export function describeOutcome(outcome: Outcome): string {
  switch (outcome.type) {
    case 'response':
      return `${outcome.response.status} ${outcome.response.reason}`;
    case 'timeout':
      return 'no answer';
    case 'transport-error':
      return outcome.why;
  }
}
