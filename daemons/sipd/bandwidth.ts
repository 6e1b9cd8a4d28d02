/** What the sessions of each upstream carry, read from mediad while some upstream has a limit of Mbit/s; and whether one more fits. */
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import { StreamRates, judgeQuota } from '#core/gb/stream-quota.ts';
import { addMs } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { ChannelRef } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { MediaPool } from './media-pool.ts';
import { type Refused, refusal } from './relay-plan.ts';

const SAMPLE_MS = 2_000;

export interface Stream {
  readonly upstream: string;
  readonly sinkId: string;
  readonly channel: ChannelRef;
}

export interface BandwidthDeps {
  readonly clock: Clock;
  readonly media: MediaPool;
  readonly counters: Counters;
  config(): GatewayConfig;
  streams(): readonly Stream[];
}

export class Bandwidth implements Disposable {
  readonly #deps: BandwidthDeps;
  readonly #rates = new StreamRates();
  readonly #timer: Alarm;
  #running = false;

  constructor(deps: BandwidthDeps) {
    this.#deps = deps;
    this.#timer = new Alarm(deps.clock, () => void this.#sample());
  }

  /** After a change of the configuration. */
  configure(): void {
    if (this.#deps.config().upstreams.some(({ view }) => view.quota.mbps > 0)) this.#arm();
    else this.#timer[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  /** Null: one more stream of this channel is within what this upstream may have. */
  overQuota({ name, view: { quota } }: Pick<UpstreamConfig, 'name' | 'view'>, { deviceId, channelId }: ChannelRef): Refused | null {
    const streams = this.#deps.streams();
    const known = streams.find(({ channel, sinkId }) => channel.deviceId === deviceId && channel.channelId === channelId && this.#rates.rateOf(sinkId) !== undefined);
    const verdict = judgeQuota(quota, streams.filter(({ upstream }) => upstream === name).map(({ sinkId }) => this.#rates.rateOf(sinkId)), known && this.#rates.rateOf(known.sinkId));
    if (verdict === null) return null;
    this.#deps.counters.add(`relay.over-quota.${verdict.status === 486 ? 'streams' : 'mbps'}`);
    return refusal(verdict.status, `${name}: ${verdict.why}`);
  }

  /** Of all its sessions; null while none is measured. */
  bitrateOf(name: string): number | null {
    const rates = this.#deps.streams().flatMap(({ upstream, sinkId }) => (upstream === name ? (this.#rates.rateOf(sinkId) ?? []) : []));
    return rates.length === 0 ? null : Math.round(rates.reduce((sum, bps) => sum + bps, 0));
  }

  #arm(): void {
    const { clock } = this.#deps;
    this.#timer.arm(addMs(clock.now(), SAMPLE_MS));
  }

  async #sample(): Promise<void> {
    this.#arm();
    if (this.#running || this.#deps.streams().length === 0) return;
    this.#running = true;
    try {
      const { bridges } = await this.#deps.media.list();
      this.#rates.sample(bridges.flatMap(({ sinks }) => sinks.map(({ sinkId, bytes }) => [sinkId, bytes] as const)), this.#deps.clock.now());
    } finally {
      this.#running = false;
    }
  }
}
