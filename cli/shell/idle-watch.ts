/** Nobody has pressed a key for too long: an open session at an empty desk ends. */
import { addMs, NEVER } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';

export class IdleWatch implements Disposable {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #alarm: Alarm;
  readonly #over = Promise.withResolvers<void>();

  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#alarm = new Alarm(clock, () => this.#over.resolve());
    this.touch();
  }

  /** Resolves once, when it was too long. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  touch(): void {
    this.#alarm.arm(this.#limitMs > 0 ? addMs(this.#clock.now(), this.#limitMs) : NEVER);
  }

  /** While a command runs nobody is expected to type. */
  rest(): void {
    this.#alarm.arm(NEVER);
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }
}
