/** In a pair: where the numbers of the sinks stand, written down so often that another node can go on behind them (faults.md 1). */
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { MediaPool } from './media-pool.ts';
import type { SessionStore } from './session-store.ts';

const EVERY_MS = 500;

export class SinkMarks implements Disposable {
  readonly #media: MediaPool;
  readonly #store: SessionStore;
  readonly #clock: Clock;
  #timer: Disposable | undefined;

  constructor(media: MediaPool, store: SessionStore, clock: Clock) {
    this.#media = media;
    this.#store = store;
    this.#clock = clock;
  }

  start(): void {
    this.#timer = this.#clock.schedule(addMs(this.#clock.now(), EVERY_MS), () => {
      void this.#note();
      this.start();
    });
  }

  async #note(): Promise<void> {
    for (const { name, marks } of await this.#media.sinkMarks()) this.#store.putMarks(name, marks);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}
