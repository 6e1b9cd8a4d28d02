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

/** Keeps one wakeup for an automaton: call `arm(deadline)` after every input; `wake` runs when it is due. */
export class Alarm implements Disposable {
  readonly #clock: Clock;
  readonly #wake: () => void;
  #armedFor: Ms = NEVER;
  #pending: Disposable | undefined;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  arm(deadline: Ms): void {
    if (deadline === this.#armedFor) return;
    this.#pending?.[Symbol.dispose]();
    this.#armedFor = deadline;
    this.#pending = this.#clock.schedule(deadline, () => {
      this.#armedFor = NEVER;
      this.#wake();
    });
  }

  [Symbol.dispose](): void {
    this.#pending?.[Symbol.dispose]();
    this.#armedFor = NEVER;
  }
}
