/**
 * What is known of the other node, from its heartbeats over all paths.
 *
 *   unknown --authentic, of a boot never seen--> unproven --it repeats what we sent a moment ago--> proven
 *                                                   a new boot of it begins as unproven; the old one is never believed again
 *
 * A recording of old datagrams passes the MAC, but cannot repeat a counter of ours that is younger than it: it stays unproven.
 * What is unproven is never taken for the peer's word; that somebody with our key says "active" is still reason enough not to
 * take the role from him.
 */
import { type Ms, NEVER } from '../units.ts';
import type { Heartbeat } from './heartbeat.ts';

/** Boots that are over; more than a peer has in its life between two starts of ours. */
const MAX_PAST_BOOTS = 64;
/** Our counters that an answer may repeat: the last so many. */
const FRESH_COUNTERS = 512;
/** On a path that keeps what it could not deliver: half a second of beats on all paths. */
const PROMPT_COUNTERS = 32;
const LAST_COUNTER = 0xffff_ffff;

export type BeatVerdict = 'taken' | 'unproven' | 'replayed' | 'late' | 'ours' | 'stranger';

export interface PathView {
  /** Null: nothing was ever heard here. */
  readonly ageMs: number | null;
  readonly alive: boolean;
  readonly beats: number;
}

export interface PeerView {
  /** A proven beat came over some path within the limit. */
  readonly alive: boolean;
  /** Somebody with our key says that he is active, proven or not. */
  readonly claimsActive: boolean;
  /** The last proven beat, however old. */
  readonly beat: Heartbeat | null;
  /** Age of the youngest proven beat. */
  readonly silentMs: number;
  /** It took a datagram of ours within the limit before its last beat. */
  readonly hearsUs: boolean;
  readonly paths: readonly PathView[];
}

export interface PeerWatchOptions {
  /** Asked at the start, and when all numbers of a boot are used up: that is after two years. */
  readonly newBoot: () => string;
  /** Default: what four octets can say. */
  readonly lastCounter?: number;
  readonly peerName: string;
  readonly paths: number;
  /** The one of them that keeps what it cannot deliver, and brings it later; undefined: none. */
  readonly streamPath?: number;
  /** A path without a beat for so long is dead. */
  readonly deadMs: number;
}

interface Path {
  at: Ms | undefined;
  beats: number;
  /** Of this boot: each path has its own order. */
  lastCounter: number;
}

export class PeerWatch {
  readonly #options: PeerWatchOptions;
  readonly #paths: Path[];
  readonly #pastBoots: string[] = [];
  #ownBoot: string;
  #boot: string | undefined;
  #lastCounter = -1;
  #beat: Heartbeat | null = null;
  #beatAt: Ms = -NEVER as Ms;
  #unprovenBoot: string | undefined;
  #unprovenCounter = -1;
  #unprovenActiveAt: Ms = -NEVER as Ms;
  /** Of our own datagrams. */
  #sent = 0;

  constructor(options: PeerWatchOptions) {
    this.#options = options;
    this.#ownBoot = options.newBoot();
    this.#paths = Array.from({ length: options.paths }, () => ({ at: undefined, beats: 0, lastCounter: -1 }));
  }

  /** Boot and counter of our next datagram. One that began its numbers anew would be taken for an old one; with another boot it is proven by what it has heard. */
  next(): Pick<Heartbeat, 'boot' | 'counter'> {
    const { newBoot, lastCounter = LAST_COUNTER } = this.#options;
    if (this.#sent >= lastCounter) {
      this.#ownBoot = newBoot();
      this.#sent = 0;
    }
    this.#sent += 1;
    return { boot: this.#ownBoot, counter: this.#sent };
  }

  /** What our next datagram says of the last one that we took. */
  heard(now: Ms): Heartbeat['heard'] {
    const boot = this.#boot ?? this.#unprovenBoot;
    if (boot === undefined) return null;
    const proven = boot === this.#boot;
    return { boot, counter: proven ? this.#lastCounter : this.#unprovenCounter, ageMs: proven ? now - this.#beatAt : 0 };
  }

  receive(beat: Heartbeat, now: Ms): BeatVerdict {
    if (beat.boot === this.#ownBoot) return 'ours';
    if (beat.name !== this.#options.peerName || beat.path >= this.#paths.length) return 'stranger';
    if (this.#pastBoots.includes(beat.boot)) return 'replayed';
    if (beat.boot !== this.#boot && !this.#proves(beat, FRESH_COUNTERS)) return this.#unproven(beat, now);
    const path = this.#paths[beat.path]!;
    if (beat.boot === this.#boot && beat.counter <= path.lastCounter) return 'replayed';
    if (beat.path === this.#options.streamPath && !this.#proves(beat, PROMPT_COUNTERS)) return 'late';
    if (beat.boot !== this.#boot) this.#changeBoot(beat.boot);
    path.lastCounter = beat.counter;
    path.at = now;
    path.beats += 1;
    this.#beatAt = now;
    // The slower path brings what the quicker one has outdated.
    if (beat.counter > this.#lastCounter) this.#beat = beat;
    this.#lastCounter = Math.max(this.#lastCounter, beat.counter);
    return 'taken';
  }

  view(now: Ms): PeerView {
    const { deadMs } = this.#options;
    const alive = now - this.#beatAt < deadMs;
    const heard = this.#beat?.heard;
    return {
      alive,
      claimsActive: (alive && this.#beat?.role === 'active') || now - this.#unprovenActiveAt < deadMs,
      beat: this.#beat,
      silentMs: now - this.#beatAt,
      hearsUs: alive && heard?.boot === this.#ownBoot && heard.ageMs < deadMs,
      paths: this.#paths.map(({ at, beats }) => ({ ageMs: at === undefined ? null : now - at, alive: at !== undefined && now - at < deadMs, beats })),
    };
  }

  /** Only who hears us now can know a counter that we gave out a moment ago. */
  #proves({ heard }: Heartbeat, within: number): boolean {
    return heard !== null && heard.boot === this.#ownBoot && heard.counter <= this.#sent && heard.counter > this.#sent - within;
  }

  #unproven(beat: Heartbeat, now: Ms): BeatVerdict {
    if (beat.boot === this.#unprovenBoot && beat.counter <= this.#unprovenCounter) return 'replayed';
    this.#unprovenBoot = beat.boot;
    this.#unprovenCounter = beat.counter;
    if (beat.role === 'active') this.#unprovenActiveAt = now;
    return 'unproven';
  }

  #changeBoot(boot: string): void {
    if (this.#boot !== undefined) this.#pastBoots.push(this.#boot);
    if (this.#pastBoots.length > MAX_PAST_BOOTS) this.#pastBoots.shift();
    this.#boot = boot;
    this.#lastCounter = -1;
    for (const path of this.#paths) path.lastCounter = -1;
    this.#unprovenBoot = undefined;
  }
}
