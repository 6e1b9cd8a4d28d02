/**
 * The daemons, asked over RPC. Every second only the load of the media instances; every ten what they count, the summary of sipd and
 * the bridges. An answer that is late is left out of this round; a round that still runs is not begun a second time.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ApidRequests } from '#contracts/apid.ts';
import type { ConfigdRequests } from '#contracts/configd.ts';
import type { BridgeStats, MediadRequests } from '#contracts/mediad.ts';
import type { RaiseAlarmParams, SipdRequests } from '#contracts/sipd.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { measureApi } from '#core/health/measure/api.ts';
import { measureBridges, measureLoad, measureTranscoders, type BridgeOwner, type BridgeTotals } from '#core/health/measure/media.ts';
import { measureConfiguration } from '#core/health/measure/configuration.ts';
import { measureService } from '#core/health/measure/service.ts';
import { Gathering } from '#core/health/model.ts';
import { type Ms, addMs, ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { ParamsOf } from '#kit/rpc.ts';
import { type Counting, DaemonLink, type DaemonLinkOptions, type MeasuredDaemon } from './daemon-link.ts';
import type { Sysroot } from './sysroot.ts';
import type { Watch } from './watch.ts';

/** Series of one channel. */
const CHANNEL_METRICS = 3;
/** Daemons that a machine may do without: watched from when their socket is seen first. */
const OPTIONAL = ['clusterd', 'diagd'] as const;
/** Several changes at once are looked at once. */
const SETTLE_MS = 200;

interface Media {
  readonly instance: string;
  readonly link: DaemonLink<MediadRequests>;
  before: ReadonlyMap<string, BridgeTotals>;
  beforeAt: Ms;
  upstreamBps: ReadonlyMap<string, number>;
}

export interface DaemonCollectorOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly sysroot: Sysroot;
  readonly watch: Watch;
  readonly config: () => GatewayConfig;
  /** After each answer of sipd: it can be told something. */
  readonly onSipd: () => void;
}

export class DaemonCollector implements AsyncDisposable {
  readonly #options: DaemonCollectorOptions;
  readonly #sipd: DaemonLink<SipdRequests>;
  readonly #media: readonly Media[];
  #configd: DaemonLink<ConfigdRequests> | undefined;
  #apid: DaemonLink<ApidRequests> | undefined;
  readonly #others = new Map<string, MeasuredDaemon>();
  #owners: ReadonlyMap<string, BridgeOwner> = new Map();
  #running = false;
  #soon: Disposable | undefined;
  #closed = false;

  constructor(options: DaemonCollectorOptions) {
    this.#options = options;
    this.#sipd = this.#link<SipdRequests>('sipd', asCounted);
    this.#media = Array.from({ length: options.config().media.instances }, (_, i) => ({ instance: String(i + 1), link: this.#link<MediadRequests>(`mediad-${i + 1}`, asCounted), before: new Map(), beforeAt: ms(0), upstreamBps: new Map() }));
  }

  async start(): Promise<void> {
    await Promise.all([this.#sipd, ...this.#media.map(({ link }) => link)].map(link => link.start()));
  }

  everySecond(): void {
    for (const media of this.#media) void this.#takeLoad(media);
  }

  everyTenSeconds(): void {
    this.#meetOthers();
    void this.#round();
  }

  /** False: sipd did not take it. */
  async raiseAlarm(params: RaiseAlarmParams): Promise<boolean> {
    return (await this.#sipd.ask('raiseAlarm', params)) !== null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#soon?.[Symbol.dispose]();
    for (const link of this.#all) await link[Symbol.asyncDispose]();
  }

  get #all(): readonly MeasuredDaemon[] {
    return [this.#sipd, ...this.#media.map(({ link }) => link), ...[this.#configd, this.#apid].filter(link => link !== undefined), ...this.#others.values()];
  }

  #link<Requests>(name: string, count: DaemonLinkOptions<Requests>['count']): DaemonLink<Requests> {
    const { clock, log, sysroot, config } = this.#options;
    return new DaemonLink<Requests>({ name, socket: join(config().rpc.directory, `${name}.sock`), clock, log, sysroot, count, onChange: () => this.#lookSoon() });
  }

  /** A daemon that dies is known at once, not in ten seconds. */
  #lookSoon(): void {
    const { clock } = this.#options;
    this.#soon ??= clock.schedule(addMs(clock.now(), SETTLE_MS), () => {
      this.#soon = undefined;
      void this.#round();
    });
  }

  #meetOthers(): void {
    const { config } = this.#options;
    const there = (name: string): boolean => existsSync(join(config().rpc.directory, `${name}.sock`));
    if (this.#configd === undefined && there('configd')) void (this.#configd = this.#link<ConfigdRequests>('configd', asCounted)).start();
    if (this.#apid === undefined && there('apid')) void (this.#apid = this.#link<ApidRequests>('apid', asCounted)).start();
    for (const name of OPTIONAL) {
      if (this.#others.has(name) || !there(name)) continue;
      const link = this.#link<Counting>(name, asCounted);
      this.#others.set(name, link);
      void link.start();
    }
  }

  async #round(): Promise<void> {
    if (this.#running || this.#closed) return;
    this.#running = true;
    try {
      await Promise.all([this.#takeService(), ...this.#all.map(link => this.#takeDaemon(link)), this.#takeConfiguration(), this.#takeApi()]);
      await Promise.all(this.#media.map(media => this.#takeBridges(media)));
      this.#takeUpstreams();
    } finally {
      this.#running = false;
    }
  }

  async #takeDaemon(link: MeasuredDaemon): Promise<void> {
    const { watch } = this.#options;
    const { figures, events } = await link.measure();
    watch.take(`daemon ${link.name}`, figures);
    watch.take(`events ${link.name}`, events, { recorded: false });
  }

  async #takeService(): Promise<void> {
    const { watch, clock, onSipd } = this.#options;
    const summary = await this.#sipd.ask('summary', {});
    if (summary === null) return watch.drop('service');
    this.#owners = new Map(summary.sources.map(source => [source.bridgeId, source]));
    watch.take('service', measureService(summary, clock.wall()));
    onSipd();
  }

  async #takeConfiguration(): Promise<void> {
    const { watch, clock, config } = this.#options;
    if (this.#configd === undefined) return;
    const status = await this.#configd.ask('status', {});
    if (status === null) return watch.drop('configuration');
    const pair = pairOf(config()) === undefined ? null : await this.#configd.ask('pair', {});
    watch.take('configuration', measureConfiguration(status, pair, clock.wall()));
  }

  async #takeApi(): Promise<void> {
    const { watch, clock } = this.#options;
    if (this.#apid === undefined) return;
    const status = await this.#apid.ask('status', {});
    if (status === null) watch.drop('api');
    else watch.take('api', measureApi(status, clock.wall()));
  }

  async #takeLoad({ instance, link }: Media): Promise<void> {
    const { watch, config } = this.#options;
    const load = link.up ? await link.ask('load', {}) : null;
    if (load === null) return watch.drop(`load ${instance}`);
    const { mode, first, last } = config().media.ports;
    const ports = mode === 'range' ? Math.floor((last - first + 1) / config().media.instances) : null;
    watch.take(`load ${instance}`, measureLoad({ ...load, ports }));
  }

  async #takeBridges(media: Media): Promise<void> {
    const { watch, clock, config } = this.#options;
    const { instance, link } = media;
    const [answer, jobs] = await Promise.all([link.ask('listBridges', {}), link.ask('listTranscoders', {})]);
    if (answer === null || jobs === null) return watch.drop(`media ${instance}`);
    const now = clock.now();
    const totals = answer.bridges.map(totalsOf);
    const traffic = measureBridges({ instance, now: totals, before: media.before, owners: this.#owners, elapsedS: (now - media.beforeAt) / 1000 }, Math.floor(config().health.channelSeries / CHANNEL_METRICS / this.#media.length));
    media.before = new Map(totals.map(bridge => [bridge.bridgeId, bridge]));
    media.beforeAt = now;
    media.upstreamBps = traffic.upstreamBps;
    const found = new Gathering();
    found.add(traffic);
    found.add(measureTranscoders(instance, jobs));
    watch.take(`media ${instance}`, found);
  }

  #takeUpstreams(): void {
    const found = new Gathering();
    const sums = new Map<string, number>();
    for (const { upstreamBps } of this.#media) for (const [name, bps] of upstreamBps) sums.set(name, (sums.get(name) ?? 0) + bps);
    for (const { name } of this.#options.config().upstreams) found.sample('viewlink_upstream_bits_per_second', { upstream: name }, Math.round(sums.get(name) ?? 0));
    this.#options.watch.take('upstreams', found);
  }
}

async function asCounted<Requests extends Counting>(link: DaemonLink<Requests>): Promise<Readonly<Record<string, number>> | null> {
  return (await link.ask('counters', {} as ParamsOf<Requests, 'counters'>)) as Readonly<Record<string, number>> | null;
}

function totalsOf({ bridgeId, source: { packets, lost, bytes }, units, gate, sinks }: BridgeStats): BridgeTotals {
  const pictures = gate ?? units;
  return { bridgeId, packets, lost, bytes, frozenMs: pictures?.frozenMs ?? null, frozenNow: (pictures?.frozenForMs ?? null) !== null, sinks: sinks.map(sink => ({ sinkId: sink.sinkId, bytes: sink.bytes })) };
}
