/**
 * Our registration at one platform above us: IO around core/gb/registration. Credentials leave for its realm and its
 * addresses only, and it may redirect us to no other ones (faults.md 20).
 */
import type { UpstreamConfig } from '#core/config/schema.ts';
import { DIALECTS, type Dialect } from '#core/gb/dialect.ts';
import { MANSCDP_TYPE, buildKeepalive } from '#core/gb/manscdp-write.ts';
import { Registration } from '#core/gb/registration.ts';
import { type IpAddress, type Network, contains, parseIp, parseNetwork } from '#core/ip.ts';
import type { Challenge, RedirectTarget, RegistrationInput, RegistrationOutput, RegistrationView } from '#core/gb/registration-io.ts';
import { parseAuthorization } from '#core/sip/digest.ts';
import { DigestClient, type Protected } from '#core/sip/digest-client.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { type HeaderField, type NameAddr, type SipResponse, header, isSipUri } from '#core/sip/message.ts';
import { parseDeltaSeconds } from '#core/sip/parse.ts';
import { type SipUri, formatUri, sipUri } from '#core/sip/uri.ts';
import { encodeBody } from '#kit/charset.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { Outcome, SipEndpoint, Target } from '#kit/sip-endpoint.ts';
import type { KeptLink } from './registration-store.ts';

export interface UpstreamLinkDeps {
  readonly endpoint: SipEndpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
  /** What another process left of it. */
  readonly kept?: KeptLink | undefined;
  /** Something of that is another thing now. */
  keep?(kept: KeptLink): void;
  onState(state: RegistrationView['state'], reason: string | null): void;
}

/** A challenge that the digest client answered; `field` is spent by the next REGISTER. */
interface Answered extends Challenge {
  field: HeaderField | undefined;
}

export class UpstreamLink implements Disposable {
  readonly dialect: Dialect;
  readonly #deps: UpstreamLinkDeps;
  readonly #registration: Registration<Answered>;
  readonly #digest: DigestClient;
  readonly #alarm: Alarm;
  readonly #callId: string;
  readonly #fromTag: string;
  #config: UpstreamConfig;
  #addresses: readonly Network[];
  #nonce = '';
  /** Nothing that is still under way counts any more. */
  #retired = false;

  constructor(config: UpstreamConfig, deps: UpstreamLinkDeps) {
    this.#config = config;
    this.#addresses = addressesOf(config);
    this.dialect = DIALECTS[config.version];
    this.#deps = deps;
    const { kept } = deps;
    this.#callId = kept?.callId ?? `${deps.random.hex(12)}@${config.localId}`;
    this.#fromTag = kept?.fromTag ?? deps.random.hex(6);
    this.#nonce = kept?.held?.challenge.nonce ?? '';
    this.#registration = new Registration<Answered>({ ...config, followsRedirect: this.dialect.followsRedirect, dice: () => deps.random.int(1000) / 1000 }, kept?.registration);
    const domain = domainOf(config);
    this.#digest = new DigestClient({
      realms: config.realm === '' ? [...new Set([domain, config.id, config.id.slice(0, 10)])] : [config.realm],
      peerAddress: config.address,
      username: config.username || config.localId,
      secret: config.ha1 === undefined ? { password: config.password ?? '' } : { ha1: config.ha1 },
      hashes: deps.hashes,
      held: kept?.held,
    });
    this.#alarm = new Alarm(deps.clock, () => this.feed({ type: 'tick' }));
  }

  get config(): UpstreamConfig {
    return this.#config;
  }

  /** When only what does not concern the registration changed. */
  set config(config: UpstreamConfig) {
    this.#config = config;
    this.#addresses = addressesOf(config);
  }

  /** Whether its requests may come from here: its own address, or one of its networks. */
  owns(address: IpAddress): boolean {
    return this.#addresses.some(network => contains(network, address));
  }

  get view(): RegistrationView {
    return this.#registration.view;
  }

  /** Where requests to it go: where it registered us, else as configured. */
  get target(): Target {
    return this.#targetAt(this.#registration.view.target);
  }

  /** From of requests that we start, To of the answers to its queries. */
  get own(): NameAddr {
    return nameAddr(sipUri(this.config.localId, this.config.localId.slice(0, 10)));
  }

  get peerUri(): SipUri {
    return sipUri(this.config.id, domainOf(this.config));
  }

  /** Twice is once. */
  start(): void {
    if (this.config.enabled && this.view.state === 'disabled') this.feed({ type: 'enable' });
  }

  /** Unregisters if it was registered; returns at once. */
  stop(): void {
    this.feed({ type: 'disable' });
  }

  flowLost(): void {
    this.feed({ type: 'flow-lost' });
  }

  /** Leaves the registration as it is: it runs out, or another link to the same platform takes it over. */
  [Symbol.dispose](): void {
    this.#retired = true;
    this.#alarm[Symbol.dispose]();
  }

  /** One MESSAGE with this XML to the platform; its final status, undefined when none came. `transport`: another one than usual, at the same place. */
  async message(xml: string, transport = this.target.transport): Promise<number | undefined> {
    const outcome = await this.#deps.endpoint.request(
      { method: 'MESSAGE', uri: this.peerUri, from: this.own, to: nameAddr(this.peerUri), contentType: MANSCDP_TYPE, body: encodeBody(xml, this.config.charset) },
      { ...this.target, transport },
    );
    return outcome.type === 'response' ? outcome.response.status : undefined;
  }

  feed(input: RegistrationInput<Answered>): void {
    if (this.#retired) return;
    for (const output of this.#registration.handle(input, this.#deps.clock.now())) this.#carryOut(output);
    this.#alarm.arm(this.#registration.deadline);
    const { memory } = this.#registration;
    this.#deps.keep?.({ callId: this.#callId, fromTag: this.#fromTag, registration: memory, held: this.#digest.held });
  }

  #carryOut(output: RegistrationOutput<Answered>): void {
    switch (output.type) {
      case 'send-register':
        void this.#register(output);
        return;
      case 'send-keepalive':
        void this.message(buildKeepalive({ sn: output.sn, deviceId: this.config.localId })).then(status => this.feed({ type: 'keepalive-answer', sn: output.sn, status }));
        return;
      case 'state':
        this.#deps.log.info({ upstream: this.config.name, state: output.state, reason: output.reason }, 'upstream.state');
        return this.#deps.onState(output.state, output.reason);
    }
  }

  async #register({ attempt, cseq, expiresS, challenge, target }: RegistrationOutput<Answered> & { type: 'send-register' }): Promise<void> {
    const { endpoint } = this.#deps;
    const to = this.#targetAt(target);
    const here = endpoint.localAddressFor(to);
    const authorization = challenge?.field ?? this.#digest.begin(this.#protected());
    if (challenge !== undefined) challenge.field = undefined;
    const outcome = await endpoint.request(
      {
        method: 'REGISTER',
        uri: this.peerUri,
        from: nameAddr(sipUri(this.config.localId, this.config.localId.slice(0, 10)), { tag: this.#fromTag }),
        to: this.own,
        callId: this.#callId,
        cseq,
        contact: nameAddr(sipUri(this.config.localId, here.address, here.port, to.transport === 'TCP' ? { transport: 'tcp' } : {})),
        expires: expiresS,
        headers: [...(authorization === undefined ? [] : [authorization]), ...(this.dialect.versionHeader === undefined ? [] : [{ name: 'X-GB-Ver', value: this.dialect.versionHeader }])],
      },
      to,
    );
    this.feed(this.#read(outcome, attempt));
  }

  #read(outcome: Outcome, attempt: number): RegistrationInput<Answered> {
    if (outcome.type !== 'response') return { type: 'register-failed', attempt, why: outcome.type === 'timeout' ? 'no answer' : outcome.why };
    const { response, flow } = outcome;
    const asked = response.status === 302 ? redirectOf(response) : undefined;
    const redirect = asked !== undefined && this.#ownsText(asked.address) ? asked : undefined;
    return {
      type: 'register-answer',
      attempt,
      status: response.status,
      reason: asked === redirect ? response.reason : `moved to ${asked?.address ?? ''}, which is none of its addresses and networks`,
      challenge: response.status === 401 ? this.#challenge(response, flow.remoteAddress) : undefined,
      expiresS: grantedOf(response),
      minExpiresS: deltaOf(response, 'Min-Expires'),
      retryAfterS: deltaOf(response, 'Retry-After'),
      redirect,
    };
  }

  #ownsText(address: string): boolean {
    const ip = parseIp(address);
    return ip !== undefined && this.owns(ip);
  }

  /** The digest client judges realm and source; wrong credentials show as the same nonce once more. */
  #challenge(response: SipResponse, source: string): Answered | undefined {
    const answer = this.#digest.onChallenge(response, this.#ownsText(source) ? this.config.address : source, this.#protected());
    if (answer.type === 'failed') return answer.why === 'wrong credentials' ? { nonce: this.#nonce, stale: false, field: undefined } : undefined;
    const credentials = parseAuthorization(answer.field.value);
    const nonce = credentials.ok ? credentials.value.nonce : '';
    const stale = nonce === this.#nonce;
    this.#nonce = nonce;
    return { nonce, stale, field: answer.field };
  }

  #protected(): Protected {
    return { method: 'REGISTER', uri: formatUri(this.peerUri), cnonce: this.#deps.random.hex(8) };
  }

  #targetAt(redirect: RedirectTarget | undefined): Target {
    const { address, port, transport, localAddress } = this.config;
    return { transport: transport === 'tcp' ? 'TCP' : 'UDP', address: redirect?.address ?? address, port: redirect?.port ?? port, ...(localAddress !== '' && { localAddress }) };
  }
}

const addressesOf = ({ address, networks }: UpstreamConfig): readonly Network[] => [address, ...networks].flatMap(network => parseNetwork(network) ?? []);

export const domainOf = ({ domain, id }: UpstreamConfig): string => domain || id.slice(0, 10);

function grantedOf(response: SipResponse): number | undefined {
  const contact = response.contact === '*' ? undefined : response.contact[0];
  const own = contact?.params.get('expires');
  return (own === undefined || own === null ? undefined : parseDeltaSeconds(own)) ?? response.expires;
}

function deltaOf(response: SipResponse, name: string): number | undefined {
  const value = header(response, name);
  return value === undefined ? undefined : parseDeltaSeconds(value.trim());
}

function redirectOf(response: SipResponse): RedirectTarget | undefined {
  const uri = response.contact === '*' ? undefined : response.contact[0]?.uri;
  return uri !== undefined && isSipUri(uri) ? { address: uri.host, port: uri.port ?? 5060 } : undefined;
}
