/**
 * Media addresses, where each node has one of its own: what keepalived, the daemons and the other node say goes into the rules
 * (core/cluster/media-places.ts), what they say into the vetoes, into the next heartbeat and to sipd.
 */
import { existsSync } from 'node:fs';
import type { ClusterMediaRow } from '#contracts/clusterd.ts';
import type { PairWord } from '#contracts/sipd.ts';
import { type ClusterConfig, type ClusterNodeConfig, withoutPrefix } from '#core/config/cluster-schema.ts';
import type { ClusterFiles } from '#core/cluster/keepalived.ts';
import type { MediaWord } from '#core/cluster/heartbeat.ts';
import { type Guests, MEDIA_TIMING, type MediaFacts, type MediaOwners, MediaPlaces, type MediaVetoes } from '#core/cluster/media-places.ts';
import type { PeerView } from '#core/cluster/peer-watch.ts';
import { GatewayError } from '#core/result.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { KeepalivedLink, MovingPlace } from './keepalived-link.ts';
import type { SelfWatch } from './self-watch.ts';

/** Asked only while this node has the address of the other one. */
const GUESTS_EVERY_MS = 500;
const TELL_MS = 2000;

export interface MediaWatchOptions {
  readonly cluster: ClusterConfig;
  readonly own: ClusterNodeConfig;
  readonly peer: ClusterNodeConfig;
  readonly keepalived: KeepalivedLink;
  readonly self: SelfWatch;
  /** It stands on an interface of this node. */
  readonly hasAddress: (placed: string) => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** `hasAddress`: it stands on an interface of this node. Where the pipe is older than we, keepalived may run and says nothing before something changes. */
export const mediaPlaces = (own: ClusterNodeConfig, peer: ClusterNodeConfig, { mediaVeto, notify }: ClusterFiles, hasAddress: (placed: string) => boolean): readonly MovingPlace[] =>
  ([[own, mediaVeto.own], [peer, mediaVeto.other]] as const).map(([{ name, mediaAddress }, veto]) => ({ of: name, veto, state: hasAddress(mediaAddress) ? 'master' : existsSync(notify) ? 'backup' : 'stopped' }));

export class MediaWatch {
  readonly #options: MediaWatchOptions;
  readonly #places: MediaPlaces;
  readonly #quietUntil: Ms;
  #vetoes: MediaVetoes = { own: 'starting', other: 'starting' };
  #guests: Guests = 'bound';
  #guestsAt: number = -GUESTS_EVERY_MS;
  /** As it was told to sipd. */
  #told = '';
  #word: PairWord | undefined;

  constructor(options: MediaWatchOptions) {
    this.#options = options;
    const { cluster, own, peer, clock } = options;
    this.#places = new MediaPlaces({ name: own.name, peerName: peer.name, hasWitness: cluster.witness.address !== '', returnMs: cluster.holdDownS * 1000, timing: MEDIA_TIMING }, clock.now());
    this.#quietUntil = addMs(clock.now(), MEDIA_TIMING.settleMs);
    const { keepalived } = options;
    this.#vetoes = { own: keepalived.state(own.name) === 'master' ? null : 'starting', other: keepalived.state(peer.name) === 'master' ? null : 'starting' };
  }

  get word(): MediaWord {
    return this.#places.word;
  }

  rows(view: PeerView): readonly ClusterMediaRow[] {
    const { cluster, own } = this.#options;
    const owners = this.#places.owners(view);
    return cluster.nodes.map(({ name, mediaAddress }) => ({ node: name, address: mediaAddress, on: owners[name] ?? null, veto: name === own.name ? this.#vetoes.own : this.#vetoes.other }));
  }

  /** At every heartbeat, and when keepalived says something. True: others should hear of it at once. */
  look(view: PeerView, facts: Pick<MediaFacts, 'maintenance' | 'witness' | 'yielded'>): boolean {
    const { own, peer, keepalived, self, clock } = this.#options;
    const now = clock.now();
    const before = JSON.stringify(this.word);
    const other = keepalived.state(peer.name);
    this.#askGuests(other === 'master', now);
    const vetoes = this.#places.handle({ ...facts, lives: self.mediaLives, own: keepalived.state(own.name), other, guests: this.#guests }, view, now);
    this.#lay(own.name, this.#vetoes.own, vetoes.own);
    this.#lay(peer.name, this.#vetoes.other, vetoes.other);
    this.#vetoes = vetoes;
    // Who was started anew knows nothing of the other one yet.
    if (now >= this.#quietUntil) {
      this.#word = { peerAlive: view.alive, media: this.#arrived(view) };
      if (JSON.stringify(this.#word) !== this.#told) void this.tell();
    }
    return JSON.stringify(this.word) !== before;
  }

  /** keepalived says that it has an address a moment before the kernel has it. */
  #arrived(view: PeerView): MediaOwners {
    const { cluster, own, hasAddress } = this.#options;
    const owners = this.#places.owners(view);
    return Object.fromEntries(cluster.nodes.map(({ name, mediaAddress }) => [name, owners[name] === own.name && !hasAddress(mediaAddress) ? null : owners[name]!]));
  }

  /** sipd came, or is about to be made active: again, whatever it was told. */
  async tell(): Promise<void> {
    if (this.#word === undefined) return;
    const { self, log } = this.#options;
    const text = JSON.stringify(this.#word);
    this.#told = text;
    try {
      await self.sipd.call('pair', this.#word, { timeoutMs: TELL_MS });
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      log.debug({ why: error.message }, 'sipd.not-told');
      if (this.#told === text) this.#told = '';
    }
  }

  #lay(of: string, before: string | null, why: string | null): void {
    if ((before === null) === (why === null)) return;
    this.#options.log.info({ of, why }, why === null ? 'media-veto.lifted' : 'media-veto.laid');
    this.#options.keepalived.veto(of, why !== null);
  }

  #askGuests(isHost: boolean, now: Ms): void {
    const { self, peer } = this.#options;
    if (!isHost) this.#guests = 'bound';
    if (!isHost || now - this.#guestsAt < GUESTS_EVERY_MS) return;
    this.#guestsAt = now;
    void self.guestsOn(withoutPrefix(peer.mediaAddress)).then(guests => void (this.#guests = guests));
  }
}
