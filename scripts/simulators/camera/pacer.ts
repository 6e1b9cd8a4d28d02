/** One clock for all sessions of a process: every tick hands out what is due. Nothing runs while nobody plays. */
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

const TICK_MS = 5;

export interface Paced {
  /** `now`: monotonic ms. */
  tick(now: number): void;
}

export class Pacer implements Disposable {
  readonly #clock: Clock;
  readonly #paced = new Set<Paced>();
  #next: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(paced: Paced): void {
    this.#paced.add(paced);
    this.#next ??= this.#arm();
  }

  remove(paced: Paced): void {
    this.#paced.delete(paced);
  }

  #arm(): Disposable {
    return this.#clock.schedule(addMs(this.#clock.now(), TICK_MS), () => {
      const now = this.#clock.now();
      for (const paced of this.#paced) paced.tick(now);
      this.#next = this.#paced.size > 0 ? this.#arm() : undefined;
    });
  }

  [Symbol.dispose](): void {
    this.#next?.[Symbol.dispose]();
    this.#next = undefined;
    this.#paced.clear();
  }
}
