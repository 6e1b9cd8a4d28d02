/**
 * Asks for missing packets again, between two ViewLink gateways (RFC 4585; faults.md 2.1):
 *
 *   missing ──a moment, for packets that only changed places──► asked ──a round trip and some, nothing came──► asked again, twice a round ...
 *      └── came, or the jitter buffer gave it up ──► forgotten
 *
 * The missing numbers are the jitter buffer's, and its wait is the deadline; it is told how long several rounds take. How often a
 * number is asked for and how many numbers a second are bounded.
 */
import { type Ms, NEVER } from '../units.ts';
import type { JitterBuffer } from './jitter-buffer.ts';

/** As the jitter buffer's ring. */
const RING = 1024;
const RING_MASK = RING - 1;
const NONE = -1;
/** A packet that comes out of order comes within this. */
const REORDER_MS = 4;
/** Least time between two looks at what is missing. */
const LOOK_MS = 5;
const FIRST_ROUND_TRIP_MS = 60;
const LEAST_RETRY_MS = 15;
const RETRY_MARGIN = 1.15;
const RETRY_EXTRA_MS = 4;
/** Rounds that the jitter buffer is asked to wait for. */
const ROUNDS = 8;
const MAX_TRIES = 20;
/** What did not come after the first answer was due is hurried: requests and answers of one round are lost independently. */
const HURRIED_AFTER = 2;
/** Numbers asked for: a burst, and per second. */
const MAX_BURST = 600;
const PER_SECOND = 3000;

export class NackAsker {
  readonly #buffer: JitterBuffer;
  /** Index that the place of the ring is about, when it was asked for last, and how often. */
  readonly #index = new Float64Array(RING).fill(NONE);
  readonly #askedAt = new Float64Array(RING);
  readonly #tries = new Uint8Array(RING);
  #roundTripMs = FIRST_ROUND_TRIP_MS;
  #spreadMs = FIRST_ROUND_TRIP_MS / 4;
  #nextLook = 0;
  #budget = MAX_BURST;
  #budgetAt = 0;

  /** Requests for numbers, repeated ones included, and packets that came because of one. */
  asked = 0;
  repaired = 0;

  constructor(buffer: JitterBuffer) {
    this.#buffer = buffer;
    this.#setFloor();
  }

  get roundTripMs(): number {
    return this.#roundTripMs;
  }

  get #retryMs(): number {
    return Math.max(LEAST_RETRY_MS, this.#roundTripMs * RETRY_MARGIN + 2 * this.#spreadMs + RETRY_EXTRA_MS);
  }

  /** When to call `ask` next. */
  get deadline(): Ms {
    return this.#buffer.held > 0 ? (this.#nextLook as Ms) : NEVER;
  }

  /** A packet came that was not the next one: did we ask for it? */
  arrived(index: number, now: Ms): void {
    const place = index & RING_MASK;
    if (this.#index[place] !== index) return;
    this.#index[place] = NONE;
    this.repaired++;
    this.#learn(now - this.#askedAt[place]!, this.#tries[place]!);
  }

  /** Indices to be asked for now, ascending, appended to `into`. */
  ask(into: number[], now: Ms): void {
    const buffer = this.#buffer;
    if (buffer.held === 0 || now < this.#nextLook) return;
    this.#nextLook = now + LOOK_MS;
    this.#budget = Math.min(MAX_BURST, this.#budget + ((now - this.#budgetAt) * PER_SECOND) / 1000);
    this.#budgetAt = now;
    const retryMs = this.#retryMs;
    for (let index = buffer.next; index < buffer.end && this.#budget >= 1; index++) {
      if (!buffer.isMissing(index) || !this.#isDue(index, retryMs, now)) continue;
      this.#budget--;
      this.asked++;
      into.push(index);
    }
  }

  #isDue(index: number, retryMs: number, now: Ms): boolean {
    const place = index & RING_MASK;
    if (this.#index[place] !== index) {
      if (now - this.#buffer.missingSince(index) < REORDER_MS) return false;
      this.#index[place] = index;
      this.#tries[place] = 0;
    } else if (this.#tries[place]! >= MAX_TRIES || now - this.#askedAt[place]! < (this.#tries[place]! >= HURRIED_AFTER ? retryMs / 2 : retryMs)) return false;
    this.#askedAt[place] = now;
    this.#tries[place]!++;
    return true;
  }

  /** RFC 6298 2 and 3 on round trips. What comes right after a second request answers the first; of several nobody knows which. */
  #learn(sinceAskedMs: number, tries: number): void {
    if (tries > HURRIED_AFTER) return;
    const sample = tries > 1 && sinceAskedMs < this.#roundTripMs / 2 ? sinceAskedMs + this.#retryMs : sinceAskedMs;
    this.#spreadMs += (Math.abs(sample - this.#roundTripMs) - this.#spreadMs) / 8;
    this.#roundTripMs += (sample - this.#roundTripMs) / 8;
    this.#setFloor();
  }

  #setFloor(): void {
    this.#buffer.floorMs = ROUNDS * this.#retryMs + this.#roundTripMs;
  }
}
