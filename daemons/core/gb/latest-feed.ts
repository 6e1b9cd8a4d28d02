/**
 * What one subscriber is told of values that keep changing: only the newest of each key, each at most once an interval, and the
 * next message only when the one before was answered. Who is slow hears less often, never late.
 *
 *   idle ──put──► due (at once, or an interval after the key was told) ──deadline──► sending ──settled──► idle or due
 */
import { type Ms, NEVER, addMs } from '../units.ts';

/** Keys that one subscriber hears of: a fleet. What is beyond waits until it is told of others. */
export const MAX_KEYS = 10_000;

interface Slot<T> {
  value: T | undefined;
  toldAt: Ms | undefined;
}

export class LatestFeed<T> {
  readonly #intervalMs: number;
  readonly #atOnce: number;
  readonly #slots = new Map<string, Slot<T>>();
  /** Keys with a value to tell, oldest first. */
  readonly #due = new Map<string, Ms>();
  #sending = false;
  /** Values that nobody had room for. */
  dropped = 0;

  /** `atOnce`: keys that go into one message. */
  constructor(intervalMs: number, atOnce: number) {
    this.#intervalMs = intervalMs;
    this.#atOnce = atOnce;
  }

  get deadline(): Ms {
    if (this.#sending) return NEVER;
    let first = NEVER;
    for (const at of this.#due.values()) if (at < first) first = at;
    return first;
  }

  /** Replaces what waits under this key. What is due now is to be asked for with `take`. */
  put(key: string, value: T, now: Ms): void {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      if (this.#slots.size >= MAX_KEYS) {
        this.dropped += 1;
        return;
      }
      this.#slots.set(key, (slot = { value: undefined, toldAt: undefined }));
    }
    slot.value = value;
    if (!this.#due.has(key)) this.#due.set(key, slot.toldAt === undefined ? now : (Math.max(now, addMs(slot.toldAt, this.#intervalMs)) as Ms));
  }

  /** The values of the next message, none when nothing is due or one is under way; `settled` must follow them. */
  take(now: Ms): T[] {
    if (this.#sending) return [];
    const values: T[] = [];
    for (const [key, at] of this.#due) {
      if (at > now) continue;
      const slot = this.#slots.get(key)!;
      this.#due.delete(key);
      slot.toldAt = now;
      values.push(slot.value!);
      slot.value = undefined;
      if (values.length >= this.#atOnce) break;
    }
    this.#sending = values.length > 0;
    return values;
  }

  settled(): void {
    this.#sending = false;
  }
}
