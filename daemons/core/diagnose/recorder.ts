/**
 * The recorder of SIP: every message in and out, kept in memory alone. What strangers send has a small ring of its own, so that no flood
 * of theirs pushes out what our peers said.
 */
import { toByteString } from '../bytes.ts';
import type { Flow } from '../sip/flow.ts';
import { MessageRing, type RingEntry } from './message-ring.ts';

/** Of the memory, for those whom nobody vouches for. */
const STRANGERS_SHARE = 1 / 8;
/** Messages that one reading looks at, and octets that it answers: the daemon has other things to do. */
const LOOKED_AT_ONCE = 2000;
const READ_BYTES = 384 * 1024;

export type Recorded = RingEntry<Flow>;

export interface ReadFilter {
  /** Later than this one; -1: from the oldest. */
  readonly after: number;
  readonly sinceWallMs: number;
  /** One of these texts stands in it, or it went between us and one of these `address` or `address:port`. Both empty: all. */
  readonly needles: readonly string[];
  readonly peers: readonly string[];
}

export interface Reading {
  /** Copies. */
  readonly entries: readonly Recorded[];
  /** Where the next reading goes on. */
  readonly next: number;
  /** There is more to look at now. */
  readonly more: boolean;
  /** Some that are later than `after` were overwritten. */
  readonly lost: boolean;
}

export class SipRecorder {
  #peers: MessageRing<Flow>;
  #strangers: MessageRing<Flow>;
  #last = 0;
  #bytes: number;

  /** `bytes`: memory in all; 0: off. */
  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#strangers = new MessageRing(Math.floor(bytes * STRANGERS_SHARE));
    this.#peers = new MessageRing(bytes - Math.floor(bytes * STRANGERS_SHARE));
  }

  /** Another size begins anew. */
  resize(bytes: number): void {
    if (bytes === this.#bytes) return;
    this.#bytes = bytes;
    this.#strangers = new MessageRing(Math.floor(bytes * STRANGERS_SHARE));
    this.#peers = new MessageRing(bytes - Math.floor(bytes * STRANGERS_SHARE));
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#peers.count + this.#strangers.count;
  }

  record(isOut: boolean, bytes: Uint8Array, flow: Flow, trusted: boolean, atWallMs: number): void {
    (trusted ? this.#peers : this.#strangers).push(++this.#last, atWallMs, isOut, bytes, flow);
  }

  /** In order. Bounded: call again with `next` while there is more. */
  read({ after, sinceWallMs, needles, peers }: ReadFilter): Reading {
    const rings = [this.#peers, this.#strangers];
    const cursors = rings.map(ring => ring.indexAfter(after));
    const entries: Recorded[] = [];
    const lost = rings.some(ring => ring.overwritten > after);
    let next = after;
    let bytes = 0;
    for (let looked = 0; looked < LOOKED_AT_ONCE && bytes < READ_BYTES; looked++) {
      const heads = rings.map((ring, i) => ring.at(cursors[i]!));
      const which = (heads[0]?.sequence ?? Infinity) < (heads[1]?.sequence ?? Infinity) ? 0 : 1;
      const entry = heads[which];
      if (entry === undefined) return { entries, next, more: false, lost };
      cursors[which]! += 1;
      next = entry.sequence;
      if (entry.atWallMs < sinceWallMs || !fits(entry, needles, peers)) continue;
      entries.push({ ...entry, bytes: entry.bytes.slice() });
      bytes += entry.bytes.length;
    }
    return { entries, next, more: true, lost };
  }
}

function fits({ tag, bytes }: Recorded, needles: readonly string[], peers: readonly string[]): boolean {
  if (needles.length === 0 && peers.length === 0) return true;
  if (peers.some(peer => peer === tag.remoteAddress || peer === `${tag.remoteAddress}:${tag.remotePort}`)) return true;
  if (needles.length === 0) return false;
  const text = toByteString(bytes);
  return needles.some(needle => text.includes(needle));
}
