/**
 * Alarms on their way to one platform: highest priority first, then in the order in which they came, one at a time, each until
 * it was accepted (faults.md 49).
 *
 *            put                 accepted, unwanted, refused 3 times: remove, next
 *   EMPTY ---------> SENDING(id) ------------------------------------------------> EMPTY or SENDING(next)
 *                      |     ^
 *          absent,     |     | pause over
 *   unanswered, refused v     |
 *                     PAUSING
 *
 * Beyond the limit the oldest of the lowest priority goes, never one of priority 1.
 */
import { NEVER, type Ms, addMs } from '../units.ts';

export const MAX_ALARMS = 10_000;
/** All of them of priority 1; then the door is closed, and devices keep what they have. */
export const MAX_URGENT = 50_000;
const PRIORITIES = [1, 2, 3, 4] as const;
const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;
const MAX_REFUSALS = 3;

/** `absent`: it was not even sent, because the platform is not there. */
export type OutboxOutcome = 'accepted' | 'unwanted' | 'refused' | 'unanswered' | 'absent';

export type OutboxOutput =
  /** Its outcome comes back through `settled`. */
  | { readonly type: 'send'; readonly id: number }
  | { readonly type: 'remove'; readonly id: number; readonly why: 'accepted' | 'unwanted' | 'refused' | 'overflow' };

export class AlarmOutbox {
  /** IDs by priority, each in the order in which they came; `from` are gone already. */
  readonly #queues = PRIORITIES.map(() => ({ ids: [] as number[], from: 0 }));
  #size = 0;
  #sending: number | undefined;
  /** Which one is to be sent again. */
  #again: number | undefined;
  #refusals = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #deadline: Ms = NEVER;

  get deadline(): Ms {
    return this.#deadline;
  }

  /** With the one under way. */
  get size(): number {
    return this.#size;
  }

  /** It cannot even take one of priority 1. */
  get isFull(): boolean {
    return this.#size >= MAX_URGENT;
  }

  /** `priority`: 1 to 4. */
  put(id: number, priority: number): OutboxOutput[] {
    this.#queueOf(priority).ids.push(id);
    this.#size++;
    return [...(this.#size > MAX_ALARMS ? this.#overflow() : []), ...this.#next()];
  }

  settled(id: number, outcome: OutboxOutcome, now: Ms): OutboxOutput[] {
    if (this.#sending !== id) return [];
    this.#sending = undefined;
    const isOver = outcome === 'accepted' || outcome === 'unwanted' || (outcome === 'refused' && ++this.#refusals >= MAX_REFUSALS);
    if (!isOver) {
      this.#again = id;
      this.#deadline = addMs(now, outcome === 'absent' ? FIRST_PAUSE_MS : this.#pauseMs);
      if (outcome !== 'absent') this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2);
      return [];
    }
    this.#refusals = 0;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#size--;
    return [{ type: 'remove', id, why: outcome }, ...this.#next()];
  }

  tick(now: Ms): OutboxOutput[] {
    if (now < this.#deadline) return [];
    this.#deadline = NEVER;
    return this.#next();
  }

  #next(): OutboxOutput[] {
    if (this.#sending !== undefined || this.#deadline !== NEVER) return [];
    const id = this.#again ?? this.#take();
    this.#again = undefined;
    if (id === undefined) return [];
    this.#sending = id;
    return [{ type: 'send', id }];
  }

  #take(): number | undefined {
    for (const queue of this.#queues) {
      if (queue.from < queue.ids.length) return takeFrom(queue);
    }
    return undefined;
  }

  #overflow(): OutboxOutput[] {
    const lowest = this.#queues.slice(1).findLast(({ ids, from }) => from < ids.length);
    if (lowest === undefined) return [];
    this.#size--;
    return [{ type: 'remove', id: takeFrom(lowest), why: 'overflow' }];
  }

  #queueOf(priority: number): { ids: number[]; from: number } {
    return this.#queues[priority - 1] ?? this.#queues[PRIORITIES.length - 1]!;
  }
}

/** An array that is shifted ten thousand times copies itself ten thousand times. */
function takeFrom(queue: { ids: number[]; from: number }): number {
  const id = queue.ids[queue.from++]!;
  if (queue.from >= 1024 && queue.from * 2 > queue.ids.length) {
    queue.ids = queue.ids.slice(queue.from);
    queue.from = 0;
  }
  return id;
}
