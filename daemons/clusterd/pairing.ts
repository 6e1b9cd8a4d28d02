/** Pairing as vlink asks for it, the same on a node that stands alone and on one of a pair. */
import { existsSync } from 'node:fs';
import type { ClusterdRequests, PairingReport } from '#contracts/clusterd.ts';
import type { Author } from '#contracts/configd.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { Counters } from '#kit/counters.ts';
import type { Log } from '#kit/log.ts';
import { type PairTrust, forgetTrust, readTrust, trustPath, writeTrust } from '#kit/pair-trust.ts';
import type { Random } from '#kit/random.ts';
import type { RpcHandlers } from '#kit/rpc.ts';
import { newPairKey, pairKeyId } from '#kit/pair-keys.ts';
import { type Joined, isPairThere, joinPair } from './pairing-guest.ts';
import { PairingHost } from './pairing-host.ts';
import { PairingPlace } from './pairing-place.ts';

export type PairingRequests = Pick<ClusterdRequests, 'pair' | 'pairing' | 'join' | 'forget'>;

export interface PairingOptions {
  readonly configPath: string;
  readonly config: () => GatewayConfig;
  readonly release: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The trust that is in force from now on. */
  readonly onTrust: (trust: PairTrust | undefined) => Promise<void>;
  /** Heartbeats of the other node are heard. */
  readonly peerAlive: () => boolean;
}

export class Pairing implements AsyncDisposable {
  readonly #options: PairingOptions;
  readonly #place: PairingPlace;
  readonly #host: PairingHost;
  readonly counters = new Counters();
  #joining = false;
  /** Why what was to come into force has not. */
  #ended: string | null = null;

  constructor(options: PairingOptions) {
    this.#options = options;
    this.#place = new PairingPlace(options.configPath, options.config);
    this.#host = new PairingHost({ ...options, place: this.#place, counters: this.counters, keep: trust => writeTrust(this.#path, trust) });
  }

  handlers(): RpcHandlers<PairingRequests> {
    return {
      pairing: () => this.#report(),
      pair: async ({ minutes, terms, author }) => {
        this.#mustBeUnpaired();
        const who = actor(author);
        const opened = await this.#host.open(minutes, terms, who);
        await this.#place.audit(who, 'cluster.pair.open', `${minutes} minutes`, 'done');
        return opened;
      },
      join: ({ author, ...asked }) => this.#join(asked, actor(author)),
      forget: ({ node, force, author }) => this.#forget(node, force, actor(author)),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#host[Symbol.asyncDispose]();
  }

  get #path(): string {
    return trustPath(this.#options.config().state.directory);
  }

  #report(): PairingReport {
    const config = this.#options.config();
    return { node: config.node.name, alone: pairOf(config) === undefined, keyId: config.cluster.key === undefined ? null : pairKeyId(config.cluster.key), paired: this.#trust()?.peer ?? null, window: this.#host.report, last: this.#host.last ?? this.#ended };
  }

  /** What cannot be used counts as none: whoever pairs anew replaces it. */
  #trust(): PairTrust | undefined {
    try {
      return readTrust(this.#path);
    } catch (error) {
      if (error instanceof GatewayError) return undefined;
      throw error;
    }
  }

  #mustBeUnpaired(): void {
    const trust = this.#trust();
    if (trust !== undefined) throw new GatewayError('CONFLICT', { why: `this node is paired with ${trust.peer}: vlink cluster forget ${trust.peer} comes first` });
  }

  async #join(asked: Parameters<typeof joinPair>[0], author: Author): Promise<{ readonly node: string; readonly peer: string }> {
    this.#mustBeUnpaired();
    if (this.#joining) throw new GatewayError('CONFLICT', { why: 'this node is joining a pair just now' });
    this.#joining = true;
    this.#ended = null;
    try {
      await this.#host.close();
      const joined = await joinPair(asked, author, { ...this.#options, place: this.#place });
      const { trust } = joined;
      writeTrust(this.#path, trust);
      await this.#options.onTrust(trust);
      await this.#place.audit(author, 'cluster.join', trust.peer, 'done');
      // Whoever asked has his answer before daemons start anew, this one too.
      if (joined.tried !== 'nothing') setImmediate(() => void this.#inForce(author, joined));
      return { node: trust.own, peer: trust.peer };
    } catch (error) {
      this.counters.add('pairing.join-failed');
      throw error;
    } finally {
      this.#joining = false;
    }
  }

  async #inForce(author: Author, joined: Joined): Promise<void> {
    const { clock } = this.#options;
    const { peer } = joined.trust;
    await this.#ends(async () => ((await isPairThere(joined, clock)) ? await this.#place.commit(author, `joined ${peer}`, joined.tried === 'key' ? 'local' : undefined) : `${peer} is not one of a pair yet: vlink cluster show there says why`));
  }

  /** `commit`: null, or why it came to nothing. */
  async #ends(commit: () => Promise<string | null>): Promise<void> {
    try {
      this.#ended = await commit();
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#ended = error.message;
    }
    if (this.#ended !== null) this.#options.log.error({ why: this.#ended }, 'pairing.not-committed');
  }

  async #forget(node: string, force: boolean, author: Author): Promise<{ readonly keyId: string | null }> {
    const config = this.#options.config();
    // Once more where the new key has not come into force: by then nobody's certificate is here.
    const known = this.#trust()?.peer ?? (existsSync(this.#path) ? node : pairOf(config)?.peer.name);
    if (known === undefined) throw new GatewayError('BAD_REQUEST', { why: 'this node is paired with nobody' });
    if (known !== node) throw new GatewayError('BAD_REQUEST', { why: `this node is paired with ${known}, not with ${node}` });
    if (!force && this.#options.peerAlive()) throw new GatewayError('CONFLICT', { why: `${node} is alive: switch it off first, or forget it with --force` });
    await this.#host.close();
    forgetTrust(this.#path);
    await this.#options.onTrust(undefined);
    await this.#place.audit(author, 'cluster.forget', node, 'done');
    return { keyId: pairOf(config) === undefined ? null : await this.#newKey(author, node) };
  }

  /** What it has of the pair is not on its disk alone, but the key is: it signs heartbeats and opens the state. */
  async #newKey(author: Author, node: string): Promise<string> {
    const { random } = this.#options;
    const key = newPairKey(random);
    const problem = await this.#place.tried(author, [{ op: 'set', path: 'cluster.key', value: key }]);
    if (problem !== null) throw new GatewayError('CONFLICT', { why: `the certificate of ${node} is worth nothing any more, but it has the key of the pair, and a new one cannot come into force: ${problem}; mend that, then forget ${node} again` });
    this.#ended = null;
    // Whoever asked has his answer before daemons start anew, this one too.
    setImmediate(() => void this.#ends(() => this.#place.commit(author, `${node} is forgotten: another key of the pair`, 'local')));
    return pairKeyId(key);
  }
}

/** His candidate of the configuration is another one. */
const actor = ({ user, address }: Author): Author => ({ user, via: 'system', address });
