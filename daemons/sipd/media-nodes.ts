/**
 * Which node a mediad instance is on, where each node has a media address of its own (design.md 8). One that stands alone, or carries media
 * on its active node only, has no nodes: its instances are called by their number, elsewhere `NODE/NUMBER`, so that what is stored
 * means the same on both.
 */
import type { PairWord } from '#contracts/sipd.ts';
import { bothCarryMedia, pairOf, withoutPrefix } from '#core/config/cluster-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { mediadSocket } from '#kit/mediad-socket.ts';

export interface MediaPlace {
  readonly name: string;
  readonly socket: string;
  /** Undefined: there are no nodes. */
  readonly node: string | undefined;
  /** On this machine. */
  readonly isHere: boolean;
}

export const LOOPBACK = '127.0.0.1';

const nodeOf = (instance: string): string => instance.slice(0, Math.max(0, instance.indexOf('/')));

export class MediaNodes {
  /** By name; empty: there are no nodes. */
  readonly #addresses: ReadonlyMap<string, string>;
  readonly #own: string;
  readonly #directory: string;
  readonly #instances: number;
  #word: PairWord | undefined;

  constructor({ cluster, node, rpc, media }: Pick<GatewayConfig, 'cluster' | 'node' | 'rpc' | 'media'>) {
    this.#directory = rpc.directory;
    this.#instances = media.instances;
    const pair = bothCarryMedia(cluster) ? pairOf({ cluster, node }) : undefined;
    this.#own = node.name;
    // Its own first: at equal load that is nearer.
    this.#addresses = new Map(pair === undefined ? [] : [pair.own, pair.peer].map(({ name, mediaAddress }) => [name, withoutPrefix(mediaAddress)]));
  }

  get areTwo(): boolean {
    return this.#addresses.size > 0;
  }

  get addresses(): readonly string[] {
    return [...this.#addresses.values()];
  }

  places(): readonly MediaPlace[] {
    const numbers = Array.from({ length: this.#instances }, (_, index) => String(index + 1));
    const place = (name: string, node: string | undefined): MediaPlace => ({ name, socket: mediadSocket(this.#directory, this.shown(name)), node, isHere: node === undefined || node === this.#own });
    return this.areTwo ? [...this.#addresses.keys()].flatMap(node => numbers.map(number => place(`${node}/${number}`, node))) : numbers.map(number => place(number, undefined));
  }

  /** As clusterd said it last. */
  heard(word: PairWord): void {
    this.#word = word;
  }

  get peerIsAlive(): boolean {
    return this.#word?.peerAlive !== false;
  }

  /** The address of its node, for legs in it; undefined: as the configuration says. */
  addressOf(instance: string): string | undefined {
    return this.#addresses.get(nodeOf(instance));
  }

  /** Addresses over which two instances send to each other. */
  between(one: string, other: string): readonly [string, string] {
    return nodeOf(one) === nodeOf(other) ? [LOOPBACK, LOOPBACK] : [this.addressOf(one)!, this.addressOf(other)!];
  }

  /** The node that has the address of this node now; its own until something else is known. */
  ownerOf(node: string): string | null {
    return this.#word === undefined ? node : (this.#word.media[node] ?? null);
  }

  nodeWith(address: string): string | undefined {
    return [...this.#addresses].find(([, each]) => each === address)?.[0];
  }

  /** The same number on another node: the ports of its share are those of the other one. */
  counterpart(instance: string, node: string): string {
    return `${node}${instance.slice(instance.indexOf('/'))}`;
  }

  /** For people, commands and other daemons of this node: its own by their number. */
  shown(instance: string): string {
    return nodeOf(instance) === this.#own && this.areTwo ? instance.slice(this.#own.length + 1) : instance;
  }

  /** Of what a daemon of this node calls by number. */
  named(shown: string): string {
    return this.areTwo && !shown.includes('/') ? `${this.#own}/${shown}` : shown;
  }

  /** For people; null: there are no nodes. */
  nodeNamed(instance: string): string | null {
    return this.areTwo ? nodeOf(instance) : null;
  }
}
