import { readFileSync } from 'node:fs';
import { type Ms, type WallMs, NEVER } from '#core/units.ts';

/** The only caller of time. `now` never steps back; `wall` may. */
export interface Clock {
  now(): Ms;
  wall(): WallMs;
  /** Runs `task` once at or after `at`; a far deadline is split, NEVER is never. Disposing cancels. */
  schedule(at: Ms, task: () => void): Disposable;
}

/** setTimeout overflows past 2^31 - 1 ms and then fires at once. */
const LONGEST_TIMEOUT_MS = 0x7fffffff;

export const systemClock: Clock = {
  now: () => performance.now() as Ms,
  wall: () => Date.now() as WallMs,
  schedule(at, task) {
    let timer: NodeJS.Timeout | undefined;
    const arm = (): void => {
      const wait = at - performance.now();
      timer = wait > LONGEST_TIMEOUT_MS ? setTimeout(arm, LONGEST_TIMEOUT_MS) : setTimeout(task, Math.max(0, Math.ceil(wait)));
    };
    if (at !== NEVER) arm();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** As `systemClock`, for what a process need not stay for: it ends although a task is to come. */
export const idleClock: Clock = {
  ...systemClock,
  schedule(at, task) {
    const timer = setTimeout(task, Math.min(LONGEST_TIMEOUT_MS, Math.max(0, Math.ceil(at - performance.now())))).unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/**
 * Keeps one wakeup for an automaton: call `arm(deadline)` after every input; `wake` runs when it is due. A deadline that moves
 * away leaves the timer where it is: most of them move with every message and never come.
 */
export class Alarm implements Disposable {
  readonly #clock: Clock;
  readonly #wake: () => void;
  #wanted: Ms = NEVER;
  /** Of the timer; never later than what is wanted. */
  #pendingAt: Ms = NEVER;
  #pending: Disposable | undefined;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  arm(deadline: Ms): void {
    this.#wanted = deadline;
    if (deadline === NEVER) this.#cancel();
    else if (this.#pending === undefined || deadline < this.#pendingAt) this.#schedule(deadline);
  }

  [Symbol.dispose](): void {
    this.arm(NEVER);
  }

  #schedule(at: Ms): void {
    this.#cancel();
    this.#pendingAt = at;
    this.#pending = this.#clock.schedule(at, () => this.#onDue());
  }

  #onDue(): void {
    this.#pending = undefined;
    if (this.#clock.now() < this.#wanted) return this.#schedule(this.#wanted);
    this.#wanted = NEVER;
    this.#wake();
  }

  #cancel(): void {
    this.#pending?.[Symbol.dispose]();
    this.#pending = undefined;
  }
}

/** Milliseconds since this machine was started, and which start that was; '' where the system does not say. */
export function bootTime(): { readonly bootMs: number; readonly bootId: string } {
  bootId ??= readBootId();
  return { bootMs: Number(process.hrtime.bigint() / 1_000_000n), bootId };
}
let bootId: string | undefined;

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
