/**
 * The way between the daemons of two nodes: `peer/NAME.sock` here is `NAME.sock` there, over mutual TLS on the link. One TLS
 * connection for each local one: a daemon that reads slowly holds up nobody else's, and what one says stays in order.
 *
 *   unpaired --trust--> silent --heartbeats on the link--> open
 *      ^                  ^  |                              |
 *      +---- no trust ----+  +--- SILENT_MS without one ----+   everything that is carried ends at once
 *
 * Unpaired nothing listens on the link. Silent, it does: who comes has the certificate of the other node, or is nobody.
 */
import { peerTargets } from '#core/cluster/peer-target.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { Counters } from '#kit/counters.ts';
import type { Log } from '#kit/log.ts';
import { type PairTrust, readTrust, trustPath } from '#kit/pair-trust.ts';
import { PeerDoor } from './peer-door.ts';
import { PeerSockets } from './peer-sockets.ts';

/** Longer than a takeover waits: a link that loses a third of all packets is still one. */
const SILENT_MS = 700;

export interface PeerGateOptions {
  readonly runDirectory: string;
  readonly instances: number;
  /** Address on the link. */
  readonly own: string;
  readonly peer: string;
  readonly port: number;
  readonly clock: Clock;
  readonly log: Log;
}

export class PeerGate implements AsyncDisposable {
  readonly #options: PeerGateOptions;
  readonly #targets: readonly string[];
  readonly #sockets: PeerSockets;
  readonly #counters = new Counters();
  #trust: PairTrust | undefined;
  #door: PeerDoor | undefined;
  #heard = false;

  constructor(options: PeerGateOptions, trust: PairTrust | undefined) {
    this.#options = options;
    const { instances, own, peer, port } = options;
    this.#targets = peerTargets(instances);
    this.#sockets = new PeerSockets({ ...options, targets: this.#targets, place: { host: peer, port, localAddress: own }, counters: this.#counters });
    this.#use(trust);
  }

  get state(): 'unpaired' | 'silent' | 'open' {
    if (this.#trust === undefined) return 'unpaired';
    return this.#heard ? 'open' : 'silent';
  }

  get listening(): boolean {
    return this.#door?.listening ?? false;
  }

  counters(): Record<string, number> {
    return { ...this.#counters.snapshot(), 'gate.carried': this.#sockets.carried + (this.#door?.carried ?? 0) };
  }

  /** Settles when our daemons are served, or refused. `ageMs`: of the last heartbeat on the link; null: none was ever heard. */
  heard(ageMs: number | null): Promise<void> {
    const heard = ageMs !== null && ageMs < SILENT_MS;
    if (heard === this.#heard) return Promise.resolve();
    this.#heard = heard;
    this.#options.log.info({ state: this.state, ageMs }, 'gate.state');
    if (!heard) this.#door?.drop();
    return this.#sockets.reach(heard ? (this.#trust ?? null) : null);
  }

  /** Another pair, or none: what was carried under the old one ends. */
  async renew(trust: PairTrust | undefined): Promise<void> {
    const before = this.#door;
    this.#door = undefined;
    await Promise.all([before?.[Symbol.asyncDispose](), this.#sockets.reach(null)]);
    this.#use(trust);
    await this.#sockets.reach(this.#heard ? (trust ?? null) : null);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sockets[Symbol.asyncDispose]();
    await this.#door?.[Symbol.asyncDispose]();
  }

  #use(trust: PairTrust | undefined): void {
    const { runDirectory, own, peer, port, clock, log } = this.#options;
    this.#trust = trust;
    if (trust !== undefined) this.#door = new PeerDoor({ runDirectory, targets: this.#targets, address: own, port, peerAddress: peer, trust, counters: this.#counters, clock, log });
  }
}

/** Of this pair, or undefined. What cannot be used is told of and keeps no node from its work. */
export function trustOf(stateDirectory: string, own: string, peer: string, log: Log): PairTrust | undefined {
  try {
    const trust = readTrust(trustPath(stateDirectory));
    if (trust === undefined || (trust.own === own && trust.peer === peer)) return trust;
    log.error({ own: trust.own, peer: trust.peer, why: 'paired under other names' }, 'gate.not-trusted');
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    log.error({ why: error.message }, 'gate.not-trusted');
  }
  return undefined;
}
