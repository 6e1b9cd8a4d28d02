/**
 * Which node has which media address, of those two that each have one of their own. As with the SIP address keepalived moves them and
 * this lays vetoes: on both nodes, one on its own address and one on that of the other. Of one address:
 *
 *            its node is dead, or says that it is not fit: the guest lifts its veto, keepalived takes it (0.3 s)
 *   AT HOME -----------------------------------------------------------------------------------------------------> GUEST
 *      ^                                                                                                            |
 *      +----- home lifts its veto <--- nobody has it <--- home is fit again, and no bridge of the guest runs on it -+
 *                                                         (or all of them can be moved, and returnMs have passed)
 *
 * Who comes back finds running sessions on its address, elsewhere. They are not broken for a better balance: a leg over TCP keeps
 * the address where it is until it ends. What goes over UDP is moved back like it came, with a gap of less than a second, but only
 * after returnMs, so that a node that dies again and again takes nothing with it; else half of the pair would stay idle for as long
 * as a video wall looks at one camera.
 */
import { type Ms, NEVER } from '../units.ts';
import type { MediaWord } from './heartbeat.ts';
import type { PeerView } from './peer-watch.ts';
import type { VrrpState } from './role-facts.ts';

export interface MediaTiming {
  /** After the start: the other node is listened for so long first. */
  readonly settleMs: number;
  /** A mediad that is started anew is back within this. */
  readonly awayMs: number;
  /** Who has taken an address keeps it at least so long: bridges on it have yet to be opened. */
  readonly guestMs: number;
  /** Whose other node has been silent for so long is alone: nobody is about to take anything from it ... */
  readonly loneMs: number;
  /** ... and it goes on for so long without the witness. */
  readonly patienceMs: number;
}

export const MEDIA_TIMING: MediaTiming = { settleMs: 500, awayMs: 2000, guestMs: 3000, loneMs: 5000, patienceMs: 2000 };

export interface MediaOptions {
  readonly name: string;
  readonly peerName: string;
  readonly hasWitness: boolean;
  /** Bridges that can be moved are moved home when home has been fit for so long. */
  readonly returnMs: number;
  readonly timing: MediaTiming;
}

/** Bridges of this node on the address of the other one. `bound`: some could not be moved without an end. */
export type Guests = 'none' | 'movable' | 'bound';

export interface MediaFacts {
  /** A mediad of this node answers. */
  readonly lives: boolean;
  readonly maintenance: boolean;
  readonly witness: boolean;
  /** The SIP address was left to the other node, which is not heard: it has taken ours as well (role.ts). */
  readonly yielded: boolean;
  /** What keepalived says of the address of this node, and of that of the other one. */
  readonly own: VrrpState;
  readonly other: VrrpState;
  readonly guests: Guests;
}

/** Why keepalived must not have them; null: it may. */
export interface MediaVetoes {
  readonly own: string | null;
  readonly other: string | null;
}

/** By name of node: who has its media address; null: nobody, or somebody who is not heard. */
export type MediaOwners = Readonly<Record<string, string | null>>;

export class MediaPlaces {
  readonly #options: MediaOptions;
  readonly #settledAt: number;
  #facts: MediaFacts = { lives: false, maintenance: false, witness: false, yielded: false, own: 'stopped', other: 'stopped', guests: 'none' };
  #livedAt: Ms = -NEVER as Ms;
  #witnessedAt: Ms = -NEVER as Ms;
  #guestSince: Ms | undefined;
  #homeFitSince: Ms | undefined;
  #unfit: string | null = 'starting';

  constructor(options: MediaOptions, now: Ms) {
    this.#options = options;
    this.#settledAt = now + options.timing.settleMs;
  }

  /** For the next heartbeat. */
  get word(): MediaWord {
    return { fit: this.#unfit === null, own: this.#facts.own === 'master', other: this.#facts.other === 'master' };
  }

  /** Again at every heartbeat; there is no other deadline. */
  handle(facts: MediaFacts, peer: PeerView, now: Ms): MediaVetoes {
    this.#facts = facts;
    if (facts.lives) this.#livedAt = now;
    if (facts.witness) this.#witnessedAt = now;
    const homeIsFit = peer.alive && peer.beat!.media.fit;
    this.#homeFitSince = homeIsFit ? (this.#homeFitSince ?? now) : undefined;
    this.#guestSince = facts.other === 'master' ? (this.#guestSince ?? now) : undefined;
    this.#unfit = this.#whyUnfit(facts.own, peer, now);
    return { own: this.#whyNotOwn(peer), other: this.#whyUnfit(facts.other, peer, now) ?? this.#whyNotOther(peer, now) };
  }

  owners(peer: PeerView): MediaOwners {
    const { name, peerName } = this.#options;
    const { own, other } = this.#facts;
    const theirs = peer.alive ? peer.beat!.media : undefined;
    const ownerOf = (here: VrrpState, there: boolean | undefined): string | null => (here === 'master' ? name : there === true ? peerName : null);
    return { [name]: ownerOf(own, theirs?.other), [peerName]: ownerOf(other, theirs?.own) };
  }

  /** What keeps this node from carrying media on either address. One that is here already is not given up for the start of clusterd. */
  #whyUnfit(vrrp: VrrpState, peer: PeerView, now: Ms): string | null {
    const { hasWitness, timing } = this.#options;
    const { maintenance, yielded } = this.#facts;
    if (maintenance) return 'maintenance';
    if (yielded) return 'the other node has the address of the pair and is not heard';
    if (vrrp === 'stopped') return 'keepalived is gone';
    if (now < this.#settledAt) return vrrp === 'master' ? null : 'starting';
    if (now - this.#livedAt >= timing.awayMs) return 'no mediad answers';
    const patienceMs = peer.silentMs >= timing.loneMs ? timing.patienceMs : 0;
    return hasWitness && !peer.alive && now - this.#witnessedAt > patienceMs ? 'neither the other node nor the witness answers' : null;
  }

  /** Who has it gives it back first. */
  #whyNotOwn(peer: PeerView): string | null {
    if (this.#unfit !== null || this.#facts.own === 'master') return this.#unfit;
    return peer.alive && peer.beat!.media.other ? `${this.#options.peerName} has it` : null;
  }

  #whyNotOther(peer: PeerView, now: Ms): string | null {
    const { peerName, returnMs, timing } = this.#options;
    const { guests } = this.#facts;
    if (!peer.alive) return null;
    const { fit, own } = peer.beat!.media;
    if (own) return `${peerName} has it`;
    if (!fit) return null;
    if (this.#guestSince === undefined) return `${peerName} takes it`;
    if (now - this.#guestSince < timing.guestMs || guests === 'bound') return null;
    return guests === 'none' || now - this.#homeFitSince! >= returnMs ? `${peerName} is back` : null;
  }
}
