/**
 * Events on their way to one webhook, in order, one at a time, again and again until it takes them:
 *
 *     IDLE --put--> SENDING --2xx--> the next, or IDLE
 *                     | 4xx four times, 5xx twelve times: it will never take this one: dropped, the next
 *                     v 4xx, 5xx; no answer, 408, 425, 429, however often: it is away, or busy
 *                   WAITING --1 s, 2 s, ... 5 min--> SENDING
 *
 * It begins WAITING with what an earlier process left, until its first tick.
 * Bounded: with a full queue the oldest that is not under way is dropped, and counted.
 */
import { type Ms, NEVER, addMs } from '../units.ts';

export const MAX_QUEUED = 10_000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 300_000;
/** 7 seconds: it may have been in the middle of a change. */
const REFUSED_TRIES = 4;
/** Half an hour: one event that it stumbles over does not keep the others from it. */
const FAILED_TRIES = 12;
const TOO_EARLY: ReadonlySet<number> = new Set([408, 425, 429]);

/** Undefined status: no answer. */
export type WebhookInput<Item> = { readonly type: 'put'; readonly item: Item } | { readonly type: 'answer'; readonly status: number | undefined } | { readonly type: 'tick' };
export type WebhookOutput<Item> = { readonly type: 'send'; readonly item: Item; readonly attempt: number } | { readonly type: 'dropped'; readonly why: 'overflow' | 'refused'; readonly item: Item };

export class WebhookLine<Item> {
  readonly #queue: Item[];
  #phase: 'idle' | 'sending' | 'waiting';
  #attempt = 0;
  /** Of the attempts those that were answered, in vain. */
  #refusals = 0;
  #deadline: Ms;

  /** `left`: in order; `now`: when they may go on. */
  constructor(left: readonly Item[] = [], now: Ms = NEVER) {
    this.#queue = [...left];
    this.#phase = left.length > 0 ? 'waiting' : 'idle';
    this.#deadline = left.length > 0 ? now : NEVER;
  }

  get deadline(): Ms {
    return this.#deadline;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Of the one at the head, since it was tried first. */
  get failures(): number {
    return Math.max(0, this.#attempt - (this.#phase === 'sending' ? 1 : 0));
  }

  handle(input: WebhookInput<Item>, now: Ms): WebhookOutput<Item>[] {
    switch (input.type) {
      case 'put':
        return this.#put(input.item);
      case 'answer':
        return this.#phase === 'sending' ? this.#answered(input.status, now) : [];
      case 'tick':
        return this.#phase === 'waiting' && now >= this.#deadline ? this.#send() : [];
    }
  }

  #put(item: Item): WebhookOutput<Item>[] {
    this.#queue.push(item);
    if (this.#phase === 'idle') return this.#send();
    return this.#queue.length > MAX_QUEUED ? [{ type: 'dropped', why: 'overflow', item: this.#queue.splice(1, 1)[0]! }] : [];
  }

  #answered(status: number | undefined, now: Ms): WebhookOutput<Item>[] {
    if (status !== undefined && status >= 200 && status < 300) return this.#next();
    if (status !== undefined && !TOO_EARLY.has(status)) {
      this.#refusals += 1;
      if (this.#refusals >= (status < 500 ? REFUSED_TRIES : FAILED_TRIES)) return [{ type: 'dropped', why: 'refused', item: this.#queue[0]! }, ...this.#next()];
    }
    this.#phase = 'waiting';
    this.#deadline = addMs(now, Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(20, this.#attempt - 1)));
    return [];
  }

  #next(): WebhookOutput<Item>[] {
    this.#queue.shift();
    this.#attempt = 0;
    this.#refusals = 0;
    this.#phase = 'idle';
    this.#deadline = NEVER;
    return this.#queue.length === 0 ? [] : this.#send();
  }

  #send(): WebhookOutput<Item>[] {
    this.#phase = 'sending';
    this.#deadline = NEVER;
    this.#attempt += 1;
    return [{ type: 'send', item: this.#queue[0]!, attempt: this.#attempt }];
  }
}
