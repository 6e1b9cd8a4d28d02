/**
 * Puts the packets of one source in order and waits for missing ones, but not long (design.md 7).
 *
 *   opening ──first packet begins a picture, a key picture begins, or the wait is over──► in order
 *   in order ◄──── missing packets came, or each was waited for long enough ────► waiting
 *
 * A packet that is next while nothing waits passes: no copy, no delay. The others are copied into slots of the store. Indices are
 * those of SequenceTracker, so wraps and duplicates are behind us. How long is adaptive: mean jitter and four sigma, or what
 * late packets were seen to need, between the limits.
 */
import { type Ms, NEVER, addMs } from '../units.ts';
import type { PacketTaker } from './packet-columns.ts';
import type { PacketStore } from './packet-store.ts';

/** Packets from the first missing one to the newest. Power of two. */
const RING = 1024;
const RING_MASK = RING - 1;
const EMPTY = -1;
/** What a late packet needed is asked for with a margin, and forgotten by half in this time. */
const MARGIN = 1.5;
const MARGIN_MS = 20;
const HALF_LIFE_MS = 30_000;
/** Until so many packets came nobody knows the jitter: half of the longest wait. */
const LEARNING_PACKETS = 256;

export interface WaitLimits {
  readonly minWaitMs: number;
  readonly maxWaitMs: number;
}

export class JitterBuffer {
  readonly #store: PacketStore;
  limits: WaitLimits;
  /** Slot at each index of the ring, EMPTY where none is. Made when something first waits. */
  #slots = new Int32Array(0);
  /** When the packet of the ring came, or was seen to be missing. */
  #at = new Float64Array(0);
  /** What is given on next; NaN before the first packet. */
  #next = NaN;
  /** Behind the newest packet. */
  #end = NaN;
  #opening = true;
  #openedAt: Ms = NEVER;
  #held = 0;
  #neededMs = 0;
  #neededAt = 0;
  #passed = 0;
  /** A repair that asks again needs so long; no shorter wait then. */
  floorMs = 0;
  /** Jitter: mean and four sigma (SequenceTracker). */
  boundMs = 0;

  /** Came after it was given up. */
  late = 0;
  /** Numbers that were waited for in vain. */
  abandoned = 0;
  /** Longest that packets waited for one missing. */
  longestMs = 0;

  constructor(store: PacketStore, limits: WaitLimits) {
    this.#store = store;
    this.limits = limits;
  }

  /** Packets that wait now. */
  get held(): number {
    return this.#held;
  }

  get opening(): boolean {
    return this.#opening;
  }

  /** The first number that is missing, while something waits for it. */
  get next(): number {
    return this.#next;
  }

  get end(): number {
    return this.#end;
  }

  /** True for the packet that everybody waits for while nobody waits: it goes on as it is. */
  passes(index: number): boolean {
    if (index !== this.#next || this.#held !== 0) return false;
    this.#next = this.#end = index + 1;
    this.#passed++;
    return true;
  }

  /** How long a missing packet is waited for, now. */
  waitMs(now: Ms): number {
    const { minWaitMs, maxWaitMs } = this.limits;
    const needed = this.#neededMs === 0 ? 0 : this.#neededMs * 2 ** ((this.#neededAt - now) / HALF_LIFE_MS);
    const learning = this.#passed < LEARNING_PACKETS ? maxWaitMs / 2 : 0;
    return Math.min(maxWaitMs, Math.max(minWaitMs, learning, this.floorMs, this.boundMs, needed));
  }

  /** When `expire` has something to give. */
  deadline(now: Ms): Ms {
    if (this.#held === 0) return NEVER;
    return addMs(this.#opening ? this.#openedAt : (this.#at[this.#next & RING_MASK] as Ms), this.waitMs(now));
  }

  isMissing(index: number): boolean {
    return this.#held > 0 && index >= this.#next && index < this.#end && this.#slots[index & RING_MASK] === EMPTY;
  }

  /** Of a missing number: when that was noticed. */
  missingSince(index: number): Ms {
    return this.#at[index & RING_MASK] as Ms;
  }

  /** A packet that did not pass; whatever is in order then goes to `out`. `begins`: of a picture; `key`: of a key picture. */
  take(memory: Uint8Array, offset: number, length: number, marker: boolean, timestamp: number, index: number, now: Ms, out: PacketTaker, begins: boolean, key: boolean): void {
    if (this.#opening && this.#held === 0) {
      if (begins) {
        this.#opening = false;
        this.#next = this.#end = index + 1;
        return out.add(memory, offset, length, marker, timestamp, index);
      }
      this.#openedAt = now;
      this.#next = this.#end = index;
    }
    if (index < this.#next && !(this.#opening && this.#end - index <= RING)) return this.#tooLate(index, now);
    if (index < this.#end && this.#held > 0 && index >= this.#next && this.#slots[index & RING_MASK] !== EMPTY) return;
    this.#hold(this.#store.put(memory, offset, length, marker, timestamp, index), index, now, out);
    if (this.#opening && key) this.#openingEnds();
    this.expire(now, out);
  }

  /** Gives what is in order, and gives up what was waited for long enough. */
  expire(now: Ms, out: PacketTaker): void {
    if (this.#opening) {
      if (this.#held === 0 || now < this.deadline(now)) return;
      this.#openingEnds();
    }
    const waitMs = this.waitMs(now);
    while (this.#held > 0) {
      const place = this.#next & RING_MASK;
      if (this.#slots[place] !== EMPTY) this.#give(place, out, now);
      else if (now < this.#at[place]! + waitMs) return;
      else this.#abandon();
    }
  }

  /** A new run begins with this index: nothing of the old one is worth waiting for. */
  restart(index: number, now: Ms, out: PacketTaker): void {
    this.#opening = false;
    this.#flush(now, out);
    this.#next = this.#end = index;
  }

  /** The bridge closes. */
  clear(): void {
    for (; this.#held > 0; this.#next++) {
      const place = this.#next & RING_MASK;
      if (this.#slots[place] === EMPTY) continue;
      this.#store.drop(this.#slots[place]!);
      this.#slots[place] = EMPTY;
      this.#held--;
    }
  }

  #hold(slot: number, index: number, now: Ms, out: PacketTaker): void {
    if (this.#slots.length === 0) {
      this.#slots = new Int32Array(RING).fill(EMPTY);
      this.#at = new Float64Array(RING);
    }
    while (index - this.#next >= RING && this.#held > 0) this.#advance(now, out);
    if (index - this.#next >= RING) this.#skipTo(index - RING + 1);
    for (let missing = Math.max(this.#end, this.#next); missing < index; missing++) this.#miss(missing, now);
    for (let missing = index + 1; missing < this.#next; missing++) this.#miss(missing, now);
    const place = index & RING_MASK;
    if (index < this.#end && !this.#opening) this.#need(now - this.#at[place]!, now);
    this.#next = Math.min(this.#next, index);
    this.#end = Math.max(this.#end, index + 1);
    this.#slots[place] = slot;
    this.#at[place] = now;
    this.#held++;
  }

  #miss(index: number, now: Ms): void {
    this.#slots[index & RING_MASK] = EMPTY;
    this.#at[index & RING_MASK] = now;
  }

  #openingEnds(): void {
    this.#opening = false;
    while (this.#slots[this.#next & RING_MASK] === EMPTY) this.#next++;
  }

  #give(place: number, out: PacketTaker, now: Ms): void {
    const slot = this.#slots[place]!;
    this.longestMs = Math.max(this.longestMs, now - this.#at[place]!);
    this.#slots[place] = EMPTY;
    this.#at[place] = -Infinity;
    this.#held--;
    this.#store.give(slot, out, this.#next++);
    this.#passed++;
  }

  /** Its place keeps the time from which it was missing: should it come, that tells how long would have been enough. */
  #abandon(): void {
    this.abandoned++;
    this.#next++;
  }

  #skipTo(index: number): void {
    this.abandoned += index - this.#next;
    this.#next = this.#end = index;
  }

  #advance(now: Ms, out: PacketTaker): void {
    const place = this.#next & RING_MASK;
    if (this.#slots[place] === EMPTY) this.#abandon();
    else this.#give(place, out, now);
  }

  #flush(now: Ms, out: PacketTaker): void {
    while (this.#held > 0) this.#advance(now, out);
  }

  #tooLate(index: number, now: Ms): void {
    this.late++;
    if (this.#slots.length > 0 && this.#next - index < RING) this.#need(now - this.#at[index & RING_MASK]!, now);
  }

  /** A packet came so long after it was missed. One asked for again says nothing about the jitter. */
  #need(waitedMs: number, now: Ms): void {
    if (this.floorMs > 0 || !(waitedMs <= 2 * this.limits.maxWaitMs)) return;
    const neededMs = waitedMs * MARGIN + MARGIN_MS;
    if (neededMs < this.#neededMs * 2 ** ((this.#neededAt - now) / HALF_LIFE_MS)) return;
    this.#neededMs = neededMs;
    this.#neededAt = now;
  }
}
