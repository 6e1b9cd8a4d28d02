/**
 * Controls of one channel leave one after the other, so that a movement which is retransmitted cannot come after its stop:
 *
 *     IDLE --put--> BUSY --answered, or 2 s--> BUSY with the next that waits, or IDLE
 *
 * While one is under way, a newer motion takes the place of an older one of its kind, and a stop stands before all others. A
 * movement behind a stop leaves the stop where it is: two taps do not become one long movement.
 */
import type { Motion } from './control-policy.ts';
import { type Ms, NEVER, addMs } from '../units.ts';

/** A device that answers no MESSAGE is not waited for. */
const ANSWER_MS = 2_000;
const MAX_WAITING = 32;

export interface LineItem<T> {
  readonly motion: Motion | undefined;
  readonly stop: boolean;
  readonly value: T;
}

/** `ticket` comes back with `answered`. */
export interface Departure<T> {
  readonly ticket: number;
  readonly value: T;
}

export class ControlLine<T> {
  #waiting: LineItem<T>[] = [];
  #ticket = 0;
  #busy = false;
  #deadline: Ms = NEVER;

  get deadline(): Ms {
    return this.#deadline;
  }

  get idle(): boolean {
    return !this.#busy;
  }

  /** What leaves now; undefined while another is under way. */
  put(item: LineItem<T>, now: Ms): Departure<T> | undefined {
    if (!this.#busy) return this.#depart(item, now);
    if (item.motion !== undefined) this.#waiting = this.#waiting.filter(({ motion, stop }) => motion !== item.motion || (stop && !item.stop));
    if (item.stop) this.#waiting.unshift(item);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(item);
    return undefined;
  }

  answered(ticket: number, now: Ms): Departure<T> | undefined {
    return this.#busy && ticket === this.#ticket ? this.#next(now) : undefined;
  }

  tick(now: Ms): Departure<T> | undefined {
    return now >= this.#deadline ? this.#next(now) : undefined;
  }

  #next(now: Ms): Departure<T> | undefined {
    const item = this.#waiting.shift();
    this.#busy = false;
    this.#deadline = NEVER;
    return item && this.#depart(item, now);
  }

  #depart({ value }: LineItem<T>, now: Ms): Departure<T> {
    this.#busy = true;
    this.#deadline = addMs(now, ANSWER_MS);
    return { ticket: ++this.#ticket, value };
  }
}
