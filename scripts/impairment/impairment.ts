/**
 * One direction of a bad network: datagrams in, what is left of them out, in virtual time. Each datagram takes the same number of
 * throws whatever becomes of it, so one seed loses the same ones of every stream, however late they come.
 */
import { NEVER, type Ms, addMs } from '#core/units.ts';
import { Dice } from '../lib/dice.ts';
import type { ImpairmentRules } from './rules.ts';

/** A copy that took another way. */
const DUPLICATE_LAG_MS = 20;
/** Jitter that keeps the order changes this seldom: a queue somewhere grows and drains. */
const DATAGRAMS_PER_DELAY = 8;

export interface ImpairmentCounters {
  taken: number;
  lost: number;
  delivered: number;
  duplicated: number;
  corrupted: number;
  reordered: number;
}

interface Leaving {
  readonly at: Ms;
  readonly datagram: Uint8Array;
}

interface Held {
  /** So many later ones still have to pass. */
  passes: number;
  readonly until: Ms;
  readonly datagram: Uint8Array;
}

export class Impairment {
  readonly counters: ImpairmentCounters = { taken: 0, lost: 0, delivered: 0, duplicated: 0, corrupted: 0, reordered: 0 };
  readonly #rules: ImpairmentRules;
  readonly #dice: Dice;
  /** By time. */
  readonly #leaving: Leaving[] = [];
  #held: Held[] = [];
  #inBurst = false;
  #jitterMs = 0;
  #lastAt = -Infinity;

  constructor(rules: ImpairmentRules) {
    this.#rules = rules;
    this.#dice = new Dice(rules.seed);
    this.#jitterMs = this.#dice.share() * rules.jitterMs;
  }

  /** When `takeDue` has something; NEVER while nothing is under way. */
  get deadline(): Ms {
    return this.#held.reduce((first, { until }) => (until < first ? until : first), this.#leaving[0]?.at ?? NEVER);
  }

  /** Takes one datagram over; its memory is ours from now on. */
  push(datagram: Uint8Array, now: Ms): void {
    const { rules, dice } = { rules: this.#rules, dice: this.#dice };
    this.counters.taken += 1;
    const isLost = this.#loses(dice.share());
    const jitterMs = this.#jitter(dice.share(), dice.share());
    const isHeld = dice.hits(rules.reorderPercent / 100) && rules.reorderDepth > 0;
    const passes = 1 + dice.below(Math.max(1, rules.reorderDepth));
    const isDoubled = dice.hits(rules.duplicatePercent / 100);
    const lagMs = dice.share() * DUPLICATE_LAG_MS;
    const isCorrupt = dice.hits(rules.corruptPercent / 100);
    const bit = dice.share();
    if (isLost) {
      this.counters.lost += 1;
      return;
    }
    const carried = isCorrupt ? this.#corrupt(datagram, bit) : datagram;
    const at = this.#timeOf(now, jitterMs);
    if (!isHeld) this.#leave(at, carried);
    this.#passed(at);
    if (isHeld) {
      this.counters.reordered += 1;
      this.#held.push({ passes, until: addMs(at, rules.reorderHoldMs), datagram: carried });
    }
    if (!isDoubled) return;
    this.counters.duplicated += 1;
    this.#leave(addMs(at, lagMs), carried);
  }

  /** What leaves by `now`, in order. */
  takeDue(now: Ms): Uint8Array[] {
    for (const held of this.#held.filter(({ until }) => until <= now)) this.#release(held, held.until);
    const due: Uint8Array[] = [];
    while (this.#leaving.length > 0 && this.#leaving[0]!.at <= now) due.push(this.#leaving.shift()!.datagram);
    this.counters.delivered += due.length;
    return due;
  }

  /** Gilbert: a run begins as often as the mean loss wants, and ends with 1 / burst. */
  #loses(share: number): boolean {
    const { lossPercent, burst } = this.#rules;
    const loss = lossPercent / 100;
    if (burst <= 1 || loss >= 1) return share < loss;
    const begins = loss / ((1 - loss) * burst);
    this.#inBurst = this.#inBurst ? share >= 1 / burst : share < begins;
    return this.#inBurst;
  }

  #jitter(share: number, change: number): number {
    const { jitterMs, jitterReorders } = this.#rules;
    if (jitterReorders || change < 1 / DATAGRAMS_PER_DELAY) this.#jitterMs = share * jitterMs;
    return this.#jitterMs;
  }

  #timeOf(now: Ms, jitterMs: number): Ms {
    const at = addMs(now, this.#rules.delayMs + jitterMs);
    if (this.#rules.jitterReorders) return at;
    this.#lastAt = Math.max(at, this.#lastAt);
    return this.#lastAt as Ms;
  }

  #corrupt(datagram: Uint8Array, share: number): Uint8Array {
    if (datagram.length === 0) return datagram;
    this.counters.corrupted += 1;
    const bit = Math.floor(share * datagram.length * 8);
    const wrong = datagram.slice();
    wrong[bit >> 3]! ^= 1 << (bit & 7);
    return wrong;
  }

  #passed(at: Ms): void {
    for (const held of this.#held) held.passes -= 1;
    for (const held of this.#held.filter(({ passes }) => passes <= 0)) this.#release(held, at);
  }

  #release(held: Held, at: Ms): void {
    this.#held = this.#held.filter(each => each !== held);
    this.#leave(at, held.datagram);
  }

  /** Behind those that leave at the same time. */
  #leave(at: Ms, datagram: Uint8Array): void {
    let index = this.#leaving.length;
    while (index > 0 && this.#leaving[index - 1]!.at > at) index -= 1;
    this.#leaving.splice(index, 0, { at, datagram });
  }
}
