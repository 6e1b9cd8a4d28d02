/** The node that has the code: opens a window, lets one other node in, and nobody else (core/cluster/pairing.ts). */
import { type KeyObject, createPublicKey, timingSafeEqual } from 'node:crypto';
import type { PairTermsAsked, PairingReport } from '#contracts/clusterd.ts';
import type { Author } from '#contracts/configd.ts';
import { type ClusterNodeConfig, pairOf } from '#core/config/cluster-schema.ts';
import { SCHEMA_VERSION } from '#core/config/migrate.ts';
import { SECRET_DIGITS, fingerprintDigits, formatPairingCode, secretDigits } from '#core/cluster/pairing-code.ts';
import { type PairTerms, pairSteps } from '#core/cluster/pairing-config.ts';
import { MAX_HELLO, type PairingHello, type PairingWelcome, formatLine, helloSchema, misfit, parseLine, proofText, readySchema, refusedLine } from '#core/cluster/pairing-lines.ts';
import { type PairingInput, type PairingVerdict, PairingWindow } from '#core/cluster/pairing.ts';
import { inNetwork } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Counters } from '#kit/counters.ts';
import { systemHashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import { newPairKey } from '#kit/pair-keys.ts';
import { type PairTrust, fingerprintOf, keyPem, newAuthority, newKeys, newOneself } from '#kit/pair-trust.ts';
import type { Random } from '#kit/random.ts';
import type { LineChannel } from './line-channel.ts';
import { PairingDoor } from './pairing-door.ts';
import { type Place, deviceOf } from './pairing-place.ts';

const HELLO_MS = 5000;
/** The new node asks its own daemons. */
const READY_MS = 60_000;
const BASE_32 = 32;

const SAYS: Readonly<Record<Exclude<PairingVerdict, 'right'>, string>> = {
  wrong: 'wrong code',
  busy: 'another node is being let in with this code just now',
  expired: 'this code has expired; make another one there with vlink cluster pair',
  locked: 'five wrong codes closed the window; make another one there with vlink cluster pair',
};

export interface PairingHostOptions {
  readonly place: Place;
  readonly release: string;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** On the disk when it returns. */
  readonly keep: (trust: PairTrust) => void;
  /** The window is shut, and the other node knows. */
  readonly onTrust: (trust: PairTrust) => Promise<void>;
}

interface Opened {
  readonly door: PairingDoor;
  readonly secret: Uint8Array;
  readonly author: Author;
  /** Null: the configuration says who the two are. */
  readonly terms: PairTerms | null;
}

export class PairingHost implements AsyncDisposable {
  readonly #options: PairingHostOptions;
  readonly #window = new PairingWindow();
  readonly #alarm: Alarm;
  #opened: Opened | undefined;
  /** How the last one ended. */
  last: string | null = null;

  constructor(options: PairingHostOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock, () => this.#handle({ type: 'tick' }));
  }

  get report(): PairingReport['window'] {
    const { clock } = this.#options;
    const { state, wrong, expires } = this.#window;
    return state === 'closed' ? null : { state, wrong, leftMs: Math.max(0, Math.round(expires - clock.now())) };
  }

  /** BAD_REQUEST: it is not known how this node stands in the pair. */
  async open(minutes: number, asked: PairTermsAsked, author: Author): Promise<{ readonly code: string; readonly address: string; readonly port: number }> {
    const { place, clock, random } = this.#options;
    const { cluster } = place.config;
    const terms = pairOf(place.config) === undefined ? this.#termsOf(asked) : this.#noTerms(asked);
    await this.close();
    const digits = secretDigits(Array.from({ length: SECRET_DIGITS }, () => random.int(BASE_32)));
    const oneself = newOneself('viewlink-pairing', random);
    const address = terms?.own.link ?? pairOf(place.config)!.own.link;
    const door = await PairingDoor.open({ address, port: cluster.gatePort, ...oneself, clock, onKnock: (channel, exporter) => this.#knocked(channel, exporter) });
    this.#opened = { door, secret: Buffer.from(digits, 'latin1'), author, terms };
    this.last = null;
    this.#handle({ type: 'open', lifeMs: minutes * 60_000 });
    return { code: formatPairingCode({ secret: digits, fingerprint: fingerprintDigits(fingerprintOf(oneself.cert)) }), address, port: cluster.gatePort };
  }

  async close(): Promise<void> {
    this.#handle({ type: 'close' });
    const { door } = this.#opened ?? {};
    this.#opened = undefined;
    await door?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    this.#alarm[Symbol.dispose]();
  }

  #termsOf({ name, link, lan, address, media }: PairTermsAsked): PairTerms {
    const { node, cluster, host } = this.#options.place.config;
    const sipAddress = address ?? cluster.sipAddress;
    const missing = [link === null && '--link (the address of this node on the link)', lan === null && '--lan (its address on the service network)', sipAddress === '' && '--address (the SIP address of the pair with its prefix)'].filter(word => word !== false);
    if (link === null || lan === null || missing.length > 0) throw new GatewayError('BAD_REQUEST', { why: `this gateway stands alone: say ${missing.join(', ')}` });
    for (const one of [link, lan]) if (deviceOf(one) === undefined) throw new GatewayError('BAD_REQUEST', { why: `${one} is no address of this machine` });
    if (host.firewall && !cluster.pairFrom.some(network => inNetwork(link, network))) throw new GatewayError('BAD_REQUEST', { why: `host.firewall lets nobody in to port ${cluster.gatePort}: set cluster.pairFrom to the network of the link, commit, then pair` });
    return { own: { name: name ?? node.name, link, lan, mediaAddress: media ?? '' }, sipAddress, interface: deviceOf(lan)! };
  }

  #noTerms(asked: PairTermsAsked): null {
    if (Object.values(asked).some(value => value !== null)) throw new GatewayError('BAD_REQUEST', { why: 'cluster.nodes says already who the two nodes are: pair without further words' });
    return null;
  }

  #handle(input: PairingInput): PairingVerdict | undefined {
    const before = this.#window.state;
    const outputs = this.#window.handle(input, this.#options.clock.now());
    this.#alarm.arm(this.#window.deadline);
    if (this.#window.state !== before) this.#options.log.info({ from: before, to: this.#window.state }, 'pairing.window');
    let verdict: PairingVerdict | undefined;
    for (const output of outputs) {
      if (output.type === 'verdict') verdict = output.verdict;
      if (output.type === 'shut') void this.#shut();
    }
    return verdict;
  }

  async #shut(): Promise<void> {
    const { door } = this.#opened ?? {};
    this.#opened = undefined;
    await door?.[Symbol.asyncDispose]();
  }

  async #knocked(channel: LineChannel, exporter: string): Promise<void> {
    const { counters } = this.#options;
    const opened = this.#opened;
    try {
      const hello = parseLine(helloSchema, await channel.read(MAX_HELLO, HELLO_MS));
      if (!hello.ok || opened === undefined) return counters.add('pairing.nonsense');
      const verdict = this.#handle({ type: 'proof', right: sameProof(hello.value.proof, opened.secret, proofText('new node', exporter)) });
      counters.add(`pairing.${verdict ?? 'closed'}`);
      if (verdict === 'right') await this.#letIn(channel, hello.value, exporter, opened);
      else if (verdict !== undefined) channel.write(refusedLine(SAYS[verdict]));
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      counters.add('pairing.failed');
    }
  }

  async #letIn(channel: LineChannel, hello: PairingHello, exporter: string, opened: Opened): Promise<void> {
    const { log, keep } = this.#options;
    const attempt = this.#window.attempt!;
    let trust: PairTrust;
    try {
      const made = await this.#welcome(hello, exporter, opened);
      trust = made.trust;
      channel.write(formatLine(made.welcome));
      const answer = await channel.read(MAX_HELLO, READY_MS);
      if (!parseLine(readySchema, answer).ok) throw new GatewayError('CONFIG_INVALID', { why: `the new node: ${answer.slice(0, MAX_HELLO)}` });
      if (this.#window.attempt !== attempt) throw new GatewayError('CONFLICT', { why: 'it took too long: join again' });
      keep(trust);
      channel.write(formatLine({ ready: true }));
    } catch (error) {
      this.#handle({ type: 'not-joined', attempt });
      if (!(error instanceof GatewayError)) throw error;
      this.last = String(error.detail['why'] ?? error.message);
      log.warn({ why: this.last }, 'pairing.refused');
      channel.write(refusedLine(this.last));
      return;
    }
    this.#handle({ type: 'joined', attempt });
    await this.#joined(trust, opened);
  }

  async #joined(trust: PairTrust, { author, terms }: Opened): Promise<void> {
    const { log, onTrust, place } = this.#options;
    await this.close();
    await onTrust(trust);
    log.info({ peer: trust.peer }, 'pairing.joined');
    await place.audit(author, 'cluster.pair', trust.peer, 'done');
    this.last = terms === null ? null : await place.commit(author, `paired with ${trust.peer}`);
    if (this.last !== null) log.error({ why: this.last }, 'pairing.not-committed');
  }

  /** What the new node gets; whether all of it fits was seen before. */
  async #welcome(hello: PairingHello, exporter: string, { secret, author, terms }: Opened): Promise<{ readonly welcome: PairingWelcome; readonly trust: PairTrust }> {
    const { place, clock, random, release } = this.#options;
    const unfit = misfit(hello, { wallMs: clock.wall(), schemaVersion: SCHEMA_VERSION, release });
    if (unfit !== null) throw new GatewayError('CONFLICT', { why: unfit });
    const own = terms?.own ?? pairOf(place.config)!.own;
    const node = terms === null ? this.#awaited(hello) : newcomer(hello);
    const steps = terms === null ? [] : pairSteps(place.config, terms, node, newPairKey(random));
    const problem = terms === null ? null : await place.tried(author, steps);
    if (problem !== null) throw new GatewayError('CONFIG_INVALID', { why: `the configuration of ${own.name} as one of a pair: ${problem}` });
    const authority = newAuthority(random);
    const keys = newKeys();
    return {
      trust: { own: own.name, peer: node.name, authority: authority.certificate, certificate: authority.issue(own.name, keys.publicKey), key: keyPem(keys) },
      welcome: { proof: proofOf(secret, proofText('node with the code', exporter)), own: node.name, peer: own.name, authority: authority.certificate, certificate: authority.issue(node.name, publicKeyOf(hello)), text: await place.opened(steps) },
    };
  }

  /** The configuration knows the other node: it has to be that one. */
  #awaited({ wishes }: PairingHello): ClusterNodeConfig {
    const { peer } = pairOf(this.#options.place.config)!;
    const asked = [[wishes.name, peer.name], [wishes.link, peer.link], [wishes.lan, peer.lan], [wishes.media, peer.mediaAddress]] as const;
    const other = asked.find(([wish, known]) => wish !== null && wish !== known);
    if (other !== undefined) throw new GatewayError('CONFLICT', { why: `cluster.nodes says ${other[1] === '' ? 'nothing' : other[1]} where the new node says ${other[0]}: join without it, or change cluster.nodes` });
    return peer;
  }
}

function newcomer({ wishes, localAddress }: PairingHello): ClusterNodeConfig {
  const { name, lan, link, media } = wishes;
  if (name === null || lan === null) throw new GatewayError('BAD_REQUEST', { why: 'a new pair: say --name and --lan (its address on the service network) of the new node' });
  return { name, lan, link: link ?? localAddress, mediaAddress: media ?? '' };
}

function publicKeyOf({ publicKey }: PairingHello): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  } catch {
    throw new GatewayError('BAD_REQUEST', { why: 'what the new node sent is no key' });
  }
}

export const proofOf = (secret: Uint8Array, text: string): string => systemHashes.hmacSha256(secret, text);
export const sameProof = (given: string, secret: Uint8Array, text: string): boolean => timingSafeEqual(Buffer.from(given, 'hex'), Buffer.from(proofOf(secret, text), 'hex'));
