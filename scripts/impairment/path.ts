/** An impairment on the real clock: what is pushed leaves through `send` when its time has come. */
import type { Ms } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import { Impairment, type ImpairmentCounters } from './impairment.ts';
import type { ImpairmentRules } from './rules.ts';

export class ImpairedPath implements Disposable {
  readonly #clock: Clock;
  readonly #impairment: Impairment;
  readonly #alarm: Alarm;
  readonly #send: (datagram: Uint8Array) => void;

  constructor(clock: Clock, rules: ImpairmentRules, send: (datagram: Uint8Array) => void) {
    this.#clock = clock;
    this.#impairment = new Impairment(rules);
    this.#alarm = new Alarm(clock, () => this.#drain(clock.now()));
    this.#send = send;
  }

  get counters(): Readonly<ImpairmentCounters> {
    return this.#impairment.counters;
  }

  /** Takes the memory over. */
  push(datagram: Uint8Array): void {
    const now = this.#clock.now();
    this.#impairment.push(datagram, now);
    this.#drain(now);
  }

  #drain(now: Ms): void {
    for (const datagram of this.#impairment.takeDue(now)) this.#send(datagram);
    this.#alarm.arm(this.#impairment.deadline);
  }

  /** What is under way is lost. */
  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }
}
