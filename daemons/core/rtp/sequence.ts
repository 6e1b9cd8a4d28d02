/**
 * Sequence numbers of one source: 16 bits become one number that only ever grows on, across wraps and across restarts of
 * the camera, so that everything behind this door compares with `<` (RFC 3550 A.1, A.3, A.8).
 */
import type { Ms } from '../units.ts';

/** A forward step up to this is loss; a longer one is a restart (RFC 3550 A.1 MAX_DROPOUT). */
const MAX_DROPOUT = 3000;
/** Late packets up to this far behind are told from duplicates. Power of two. */
const WINDOW = 1024;
const WINDOW_MASK = WINDOW - 1;
const UNSEEN = -1;
/** A jump after this much silence is a restart at once; inside a flowing stream two in a row must agree (RFC 3550 A.1). */
const RESTART_QUIET_MS = 200;
const CLOCK_90K_PER_MS = 90;
/** Transit steps beyond this are a new timeline, not jitter. */
const MAX_TRANSIT_STEP = 5 * 90_000;
/** The spread is remembered longer than the mean. */
const SPREAD_PACKETS = 128;
const UINT32 = 0x1_0000_0000;

/**
 * `next`: newest so far; `late`: fills a gap; `restart`: first of a new run, and its index follows the last one.
 * `duplicate` and `stale` must not be forwarded: their number was used already or lies in no run.
 */
export type Arrival = 'next' | 'late' | 'restart' | 'duplicate' | 'stale';

export class SequenceTracker {
  /** Timestamp seen at each index of the window, UNSEEN where none came. */
  readonly #seen = new Float64Array(WINDOW).fill(UNSEEN);
  #started = false;
  #restartDue = false;
  #highest = 0;
  #highestSequence = 0;
  /** First index of the present run: what lies before belongs to another run. */
  #runStart = 0;
  #expectedAfterJump = -1;
  #lastAt = 0;
  /** NaN before the first packet of a run. */
  #lastTransit = NaN;
  #jitterTicks = 0;
  #jitterSquares = 0;
  #missing = 0;

  /** Number of the packet of the last `update`, one timeline over all runs. Meaningless after `duplicate` and `stale`. */
  index = 0;
  received = 0;
  reordered = 0;
  duplicates = 0;
  restarts = 0;

  /** Sequence numbers that never came so far. */
  get lost(): number {
    return this.#missing;
  }

  /** RFC 3550 6.4.1 interarrival jitter, on a 90 kHz clock. */
  get jitterMs(): number {
    return this.#jitterTicks / CLOCK_90K_PER_MS;
  }

  /** Mean and four standard deviations of what the jitter is made of: hardly any packet is later than this. */
  get jitterBoundMs(): number {
    return (this.#jitterTicks + 4 * Math.sqrt(this.#jitterSquares)) / CLOCK_90K_PER_MS;
  }

  /** The 16 bits of an index of the present run. */
  sequenceOf(index: number): number {
    return (this.#highestSequence - (this.#highest - index)) & 0xffff;
  }

  /** The next packet begins a new run whatever its number is: the SSRC changed. */
  expectRestart(): void {
    this.#restartDue = this.#started;
  }

  update(sequence: number, timestamp: number, now: Ms): Arrival {
    const arrival = this.#place(sequence, timestamp, now);
    if (arrival === 'duplicate') this.duplicates++;
    if (arrival === 'duplicate' || arrival === 'stale') return arrival;
    this.received++;
    this.#seen[this.index & WINDOW_MASK] = timestamp;
    this.#expectedAfterJump = -1;
    this.#lastAt = now;
    this.#measureJitter(timestamp, now, arrival);
    return arrival;
  }

  #place(sequence: number, timestamp: number, now: Ms): Arrival {
    if (!this.#started) return this.#begin(sequence);
    if (this.#restartDue) return this.#restart(sequence);
    const step = ((sequence - this.#highestSequence) << 16) >> 16;
    if (step > 0 && step <= MAX_DROPOUT) return this.#advance(sequence, step);
    if (step > -WINDOW && step <= 0) {
      const index = this.#highest + step;
      const seen = this.#seen[index & WINDOW_MASK]!;
      if (index >= this.#runStart && seen === UNSEEN) return this.#fill(index);
      if (index >= this.#runStart && seen === timestamp) return 'duplicate';
      if (index < this.#runStart && this.restarts === 0) return this.#prepend(index);
    }
    return this.#jump(sequence, now);
  }

  #begin(sequence: number): Arrival {
    this.#started = true;
    this.#highestSequence = sequence;
    this.index = this.#highest;
    return 'next';
  }

  #advance(sequence: number, step: number): Arrival {
    for (let skipped = 1; skipped < Math.min(step, WINDOW); skipped++) this.#seen[(this.#highest + skipped) & WINDOW_MASK] = UNSEEN;
    this.#missing += step - 1;
    this.#highest += step;
    this.#highestSequence = sequence;
    this.index = this.#highest;
    return 'next';
  }

  #fill(index: number): Arrival {
    this.index = index;
    this.#missing--;
    this.reordered++;
    return 'late';
  }

  /** The very first packets came out of order: the run began earlier than we knew. */
  #prepend(index: number): Arrival {
    this.index = index;
    this.#missing += this.#runStart - index - 1;
    this.#runStart = index;
    this.reordered++;
    return 'late';
  }

  #jump(sequence: number, now: Ms): Arrival {
    if (sequence === this.#expectedAfterJump || now - this.#lastAt >= RESTART_QUIET_MS) return this.#restart(sequence);
    this.#expectedAfterJump = (sequence + 1) & 0xffff;
    return 'stale';
  }

  #restart(sequence: number): Arrival {
    this.#restartDue = false;
    this.restarts++;
    this.#seen.fill(UNSEEN);
    this.#highest += 1;
    this.#runStart = this.#highest;
    this.#highestSequence = sequence;
    this.#lastTransit = NaN;
    this.index = this.#highest;
    return 'restart';
  }

  #measureJitter(timestamp: number, now: Ms, arrival: Arrival): void {
    const transit = (now * CLOCK_90K_PER_MS - timestamp) % UINT32;
    if (!Number.isNaN(this.#lastTransit) && arrival !== 'restart') {
      let difference = Math.abs(transit - this.#lastTransit);
      if (difference > UINT32 / 2) difference = Math.abs(difference - UINT32);
      if (difference <= MAX_TRANSIT_STEP) this.#addJitter(difference);
    }
    this.#lastTransit = transit;
  }

  #addJitter(difference: number): void {
    const deviation = difference - this.#jitterTicks;
    this.#jitterTicks += deviation / 16;
    this.#jitterSquares += (deviation * deviation - this.#jitterSquares) / SPREAD_PACKETS;
  }
}

/**
 * Sequence numbers of one sink: grow with the source's index, so gaps and order of the source stay visible, restarts do not,
 * and pieces that we add push everything behind them on.
 */
export class SinkNumbering {
  readonly #first: number;
  #offset: number | undefined;
  #last = 0;

  /** `first`: number of the first packet sent. */
  constructor(first: number) {
    this.#first = first;
  }

  /** Number of the packet with this index. */
  sequenceOf(index: number): number {
    this.#offset ??= this.#first - index;
    return (this.#last = (index + this.#offset) & 0xffff);
  }

  /** Behind the last one; undefined before the first. */
  get next(): number | undefined {
    return this.#offset === undefined ? undefined : (this.#last + 1) & 0xffff;
  }

  /** One packet went out as `extra + 1`; -1: it did not, and nobody is to see that. */
  insert(extra: number): void {
    if (this.#offset !== undefined) this.#offset += extra;
  }
}
