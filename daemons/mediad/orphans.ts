/**
 * Bridges whose owner never comes back. They go on without it (a crash of sipd costs no packet), but once nobody was
 * connected for the limit, those that also are silent for as long are closed, so that a dead owner leaks nothing.
 */
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';

const LOOK_EVERY_MS = 1000;

export interface OrphanWatchOptions {
  readonly bridges: { closeQuiet(quietMs: number): number };
  readonly clock: Clock;
  readonly log: Log;
  readonly limitMs: number;
  /** RPC clients connected now. */
  readonly clients: () => number;
}

export class OrphanWatch implements Disposable {
  readonly #options: OrphanWatchOptions;
  #aloneSince: Ms;
  #timer: Disposable | undefined;
  limitMs: number;

  constructor(options: OrphanWatchOptions) {
    this.#options = options;
    this.limitMs = options.limitMs;
    this.#aloneSince = options.clock.now();
    this.#schedule();
  }

  #schedule(): void {
    const { clock } = this.#options;
    this.#timer = clock.schedule(addMs(clock.now(), LOOK_EVERY_MS), () => {
      this.#look(clock.now());
      this.#schedule();
    });
  }

  #look(now: Ms): void {
    const { bridges, clients, log } = this.#options;
    if (clients() > 0) this.#aloneSince = now;
    if (now - this.#aloneSince < this.limitMs) return;
    const closed = bridges.closeQuiet(this.limitMs);
    if (closed > 0) log.warn({ closed, limitMs: this.limitMs }, 'bridges.orphaned');
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}
