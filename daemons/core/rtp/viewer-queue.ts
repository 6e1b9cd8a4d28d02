/**
 * What a slow reader may hold up (fault 64): at most 2 s or 8 MiB wait for one viewer; then its packets are dropped until the queue
 * has drained and a picture begins that can be shown by itself. Nobody else notices.
 *
 *   flowing ──oldest byte older than MAX_AGE_MS, or MAX_BYTES wait──► dropping
 *   dropping ──queue nearly empty and a key picture (after PATIENCE_MS any picture, unless whole ones are wanted; after twice that anything)──► flowing
 *   dropping ──no byte taken for STALL_MS──► stalled (the connection is dead in all but name)
 */
import type { Ms } from '../units.ts';
import { beginsKeyPicture, beginsPicture, type PayloadKind } from './payload-probe.ts';

const MAX_BYTES = 8 * 1024 * 1024;
const MAX_AGE_MS = 2000;
const DRAINED_BYTES = 64 * 1024;
/** Streams without system header and PSM have no key picture that we could see. */
const PATIENCE_MS = 10_000;
const STALL_MS = 30_000;
/** Marks in the byte stream with the time they were queued: one per MARK_MS, more than MAX_AGE_MS of them. */
const MARK_MS = 100;
const MARKS = 32;

export type QueueState = 'flowing' | 'dropping' | 'stalled';

export class ViewerQueue {
  readonly #markPosition = new Float64Array(MARKS);
  readonly #markAt = new Float64Array(MARKS);
  #firstMark = 0;
  #nextMark = 0;
  #droppingSince = 0;
  #progressAt = 0;
  #sentThen = 0;
  readonly #whole: boolean;
  state: QueueState = 'flowing';

  /** `whole`: what is built on a picture that was dropped is dropped too. */
  constructor(whole = false) {
    this.#whole = whole;
  }

  /**
   * May this payload be queued? `position`: bytes ever queued, `waiting`: how many of them the peer has not taken.
   */
  admit(kind: PayloadKind | null, memory: Uint8Array, offset: number, length: number, position: number, waiting: number, now: Ms): boolean {
    if (waiting === 0 && this.state === 'flowing') {
      this.#firstMark = this.#nextMark;
      return true;
    }
    const sent = position - waiting;
    if (this.state === 'flowing') {
      if (waiting <= MAX_BYTES && this.#ageMs(sent, position, now) <= MAX_AGE_MS) return true;
      this.state = 'dropping';
      this.#droppingSince = this.#progressAt = now;
      this.#sentThen = sent;
      return false;
    }
    if (waiting > 0) this.#watchProgress(sent, now);
    if (waiting > DRAINED_BYTES || !this.#mayResume(kind, memory, offset, length, now)) return false;
    this.state = 'flowing';
    this.#firstMark = this.#nextMark;
    return true;
  }

  #mayResume(kind: PayloadKind | null, memory: Uint8Array, offset: number, length: number, now: Ms): boolean {
    const droppedMs = now - this.#droppingSince;
    if (droppedMs < (this.#whole ? 2 * PATIENCE_MS : PATIENCE_MS)) return beginsKeyPicture(kind, memory, offset, length);
    return droppedMs >= 2 * PATIENCE_MS || beginsPicture(kind, memory, offset, length);
  }

  #watchProgress(sent: number, now: Ms): void {
    if (sent !== this.#sentThen) {
      this.#sentThen = sent;
      this.#progressAt = now;
    } else if (now - this.#progressAt >= STALL_MS) this.state = 'stalled';
  }

  /** Age of the oldest byte that waits, to MARK_MS. */
  #ageMs(sent: number, position: number, now: Ms): number {
    const newest = (this.#nextMark - 1) % MARKS;
    if (this.#nextMark === this.#firstMark || now - this.#markAt[newest]! >= MARK_MS) {
      if (this.#nextMark - this.#firstMark === MARKS) this.#firstMark++;
      this.#markPosition[this.#nextMark % MARKS] = position;
      this.#markAt[this.#nextMark % MARKS] = now;
      this.#nextMark++;
    }
    while (this.#firstMark + 1 < this.#nextMark && this.#markPosition[(this.#firstMark + 1) % MARKS]! <= sent) this.#firstMark++;
    return now - this.#markAt[this.#firstMark % MARKS]!;
  }
}
