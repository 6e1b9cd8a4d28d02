/** What this process moves and costs, sampled once a second, and whether another stream fits (core/rtp/capacity). */
import { GatewayError } from '#core/result.ts';
import { Capacity, type CapacityLimits } from '#core/rtp/capacity.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { InstanceCounters } from './leg-counters.ts';

const WINDOW_MS = 1000;

export interface LoadMeterOptions {
  readonly clock: Clock;
  readonly counters: InstanceCounters;
  /** CPU milliseconds of this process since it started. */
  readonly cpuMs: () => number;
  readonly limits: CapacityLimits;
  /** Why it is too much already, whatever the figures say; null: it is not. */
  readonly strained?: (() => string | null) | undefined;
}

interface Sample {
  readonly at: Ms;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly cpuMs: number;
}

export class LoadMeter implements Disposable {
  readonly #options: LoadMeterOptions;
  readonly #capacity: Capacity;
  #previous: Sample;
  #latest: Sample;
  #sampling: Disposable | undefined;
  /** Bytes that went out beside the legs, since the start: to viewers of outlets. */
  besideBytesOut: () => number = () => 0;

  constructor(options: LoadMeterOptions) {
    this.#options = options;
    this.#capacity = new Capacity(options.limits);
    this.#previous = this.#latest = this.#sample();
    this.#schedule();
  }

  set limits(limits: CapacityLimits) {
    this.#capacity.limits = limits;
  }

  /** Over the last second. */
  get now(): { readonly bitrateInBps: number; readonly bitrateOutBps: number; readonly cpu: number } {
    const [from, to] = [this.#previous, this.#latest];
    const seconds = Math.max(1, to.at - from.at) / 1000;
    return {
      bitrateInBps: Math.round((8 * (to.bytesIn - from.bytesIn)) / seconds),
      bitrateOutBps: Math.round((8 * (to.bytesOut - from.bytesOut)) / seconds),
      cpu: Math.round(((to.cpuMs - from.cpuMs) / seconds / 1000) * 1000) / 1000,
    };
  }

  /** Why a new source is refused now; null when it is not. */
  refusal(bridges: number): string | null {
    const { bitrateInBps, bitrateOutBps } = this.now;
    return this.#options.strained?.() ?? this.#capacity.refusal({ bridges, bitrateBps: bitrateInBps + bitrateOutBps }, this.#options.clock.now());
  }

  /** Lets one more source in, or throws CAPACITY_EXHAUSTED. */
  admit(bridges: number): void {
    const why = this.refusal(bridges);
    if (why !== null) throw new GatewayError('CAPACITY_EXHAUSTED', { why });
    this.#capacity.admitted(this.#options.clock.now());
  }

  [Symbol.dispose](): void {
    this.#sampling?.[Symbol.dispose]();
  }

  #sample(): Sample {
    const { clock, counters, cpuMs } = this.#options;
    return { at: clock.now(), bytesIn: counters.bytesIn, bytesOut: counters.bytesOut + this.besideBytesOut(), cpuMs: cpuMs() };
  }

  #schedule(): void {
    this.#sampling = this.#options.clock.schedule(addMs(this.#latest.at, WINDOW_MS), () => {
      this.#previous = this.#latest;
      this.#latest = this.#sample();
      this.#capacity.measured(this.now.cpu);
      this.#schedule();
    });
  }
}
