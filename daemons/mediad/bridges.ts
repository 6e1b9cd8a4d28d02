/**
 * All bridges of one mediad instance: the requests of contracts/mediad.ts. Requests of one bridge may overlap; what was closed
 * while it opened is closed again by whoever opened it.
 */
import type { BridgeStats, ConnectSourceParams, Endpoint, LegStats, MediadEvent, MediadLoad, MediadRequests, OpenSinkParams, OpenSourceParams, SourceTracks, StartSinkParams, StrainReport } from '#contracts/mediad.ts';
import { MAX_GOP_BYTES } from '#core/media/gop-cache.ts';
import { GatewayError } from '#core/result.ts';
import type { CapacityLimits } from '#core/rtp/capacity.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import { Bridge } from './bridge.ts';
import { Captures } from './captures.ts';
import { Flusher } from './flusher.ts';
import { InstanceCounters } from './leg-counters.ts';
import { LoadMeter } from './load-meter.ts';
import type { LossRules, Plane, Renderer } from './leg.ts';
import { MediaBatch } from './media-batch.ts';
import { packetStore } from './packet-memory.ts';
import type { MediaPorts } from './media-ports.ts';
import { tracksOf } from './source-tracks.ts';
import { sessionEndables } from './session-endables.ts';
import type { Endable, StrainWatch } from './strain-watch.ts';
import type { Strays } from './strays.ts';
import type { UnitSource, UnitSourceOptions } from './unit-source.ts';
import type { UnitStream } from './unit-stream.ts';

export interface BridgesOptions {
  readonly instance: string;
  readonly pid: number;
  readonly ports: MediaPorts;
  readonly strays: Strays;
  readonly capacity: CapacityLimits;
  readonly loss: LossRules;
  /** Default: MAX_GOP_BYTES. */
  readonly gopBytes?: number | undefined;
  /** Default: 0, none is kept. */
  readonly keyPictureBytes?: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onEvent: (event: MediadEvent) => void;
  /** Share of one core that this process used so far: CPU milliseconds since start. */
  readonly cpuMs: () => number;
  /** Without it there are no renditions. */
  readonly renderer?: Renderer | undefined;
  /** Default: never. */
  readonly strain?: Pick<StrainWatch, 'refusal' | 'report'> | undefined;
}

const CALM: StrainReport = { level: 0, says: null, ended: { 'preview': 0, 'transcode': 0, 'pass-through': 0 } };

export class Bridges implements AsyncDisposable {
  readonly #options: BridgesOptions;
  readonly #plane: Plane;
  readonly #bridges = new Map<string, Bridge>();
  readonly #load: LoadMeter;

  constructor(options: BridgesOptions) {
    this.#options = options;
    const { ports, clock, random, log, loss } = options;
    this.#plane = {
      ports,
      clock,
      random,
      log,
      counters: new InstanceCounters(),
      strays: options.strays,
      batch: new MediaBatch(),
      store: packetStore(),
      loss: { ...loss },
      gopBytes: options.gopBytes ?? MAX_GOP_BYTES,
      keyPictureBytes: options.keyPictureBytes ?? 0,
      flusher: new Flusher(),
      captures: new Captures(clock, bridgeId => this.#bridges.has(bridgeId)),
      emit: event => {
        this.#plane.counters.countEvent(event.type);
        options.onEvent(event);
      },
      renderer: options.renderer,
    };
    this.#load = new LoadMeter({ clock, counters: this.#plane.counters, cpuMs: options.cpuMs, limits: options.capacity, strained: () => options.strain?.refusal('pass-through') ?? null });
  }

  get size(): number {
    return this.#bridges.size;
  }

  set capacity(limits: CapacityLimits) {
    this.#load.limits = limits;
  }

  set gopBytes(limit: number) {
    this.#plane.gopBytes = limit;
  }

  set keyPictureBytes(limit: number) {
    this.#plane.keyPictureBytes = limit;
  }

  set loss(rules: LossRules) {
    Object.assign(this.#plane.loss, rules);
  }

  async openSource(params: OpenSourceParams): Promise<{ readonly local: Endpoint }> {
    const { bridgeId } = params;
    if (params.replaces === true) return { local: await this.#bridge(bridgeId).openReplacement(params) };
    if (this.#bridges.has(bridgeId)) throw new GatewayError('BAD_REQUEST', { bridgeId, why: 'bridge exists' });
    // What another node carried runs already: who takes it over refuses none of it.
    if (params.localPort === undefined) this.#load.admit(this.#bridges.size);
    const bridge = new Bridge(this.#plane, params);
    this.#bridges.set(bridgeId, bridge);
    try {
      return { local: await bridge.openSource() };
    } catch (error) {
      if (this.#bridges.get(bridgeId) === bridge) this.#bridges.delete(bridgeId);
      throw error;
    }
  }

  /** A bridge whose source is no RTP leg (unit-source.ts). Closed like any other, or by its owner with closeBridge. */
  openUnitBridge(options: UnitSourceOptions): UnitSource {
    const { bridgeId, label, transport } = options;
    if (this.#bridges.has(bridgeId)) throw new GatewayError('BAD_REQUEST', { bridgeId, why: 'bridge exists' });
    if (options.reopened !== true) this.#load.admit(this.#bridges.size);
    const bridge = new Bridge(this.#plane, { bridgeId, label, transport, localAddress: options.local?.address ?? '127.0.0.1', ssrc: 0, peer: { allowed: [], latch: 'strict' }, silenceMs: options.silenceMs });
    this.#bridges.set(bridgeId, bridge);
    return bridge.openFeed(options);
  }

  /** Pictures and sounds of a bridge (unit-stream.ts). Throws BRIDGE_UNKNOWN. */
  units(bridgeId: string): UnitStream {
    return this.#bridge(bridgeId).units();
  }

  connectSource(params: ConnectSourceParams): null {
    this.#bridge(params.bridgeId).connectSource(params);
    return null;
  }

  async closeSource({ bridgeId, legId }: { readonly bridgeId: string; readonly legId: string }): Promise<null> {
    await this.#bridges.get(bridgeId)?.closeSource(legId);
    return null;
  }

  async openSink(params: OpenSinkParams): Promise<{ readonly local: Endpoint }> {
    return { local: await this.#bridge(params.bridgeId).openSink(params) };
  }

  startSink(params: StartSinkParams): null {
    this.#bridge(params.bridgeId).startSink(params);
    return null;
  }

  sourceTracks({ bridgeId, withinMs }: { readonly bridgeId: string; readonly withinMs: number }): Promise<SourceTracks> {
    return tracksOf(this.units(bridgeId), this.#plane.clock, withinMs);
  }

  sinkMarks(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#bridges.values()].flatMap(bridge => bridge.sinkMarks()));
  }

  bridgesOn({ address }: { readonly address: string }): { readonly bridges: number; readonly movable: number } {
    const all = [...this.#bridges.values()].map(bridge => legsOf(bridge.stats())).filter(legs => legs.some(({ local }) => local.address === address));
    return { bridges: all.length, movable: all.filter(legs => legs.every(({ transport }) => transport === 'udp')).length };
  }

  async closeSink({ bridgeId, sinkId }: { readonly bridgeId: string; readonly sinkId: string }): Promise<null> {
    await this.#bridges.get(bridgeId)?.closeSink(sinkId);
    return null;
  }

  async closeBridge({ bridgeId }: { readonly bridgeId: string }): Promise<null> {
    const bridge = this.#bridges.get(bridgeId);
    this.#bridges.delete(bridgeId);
    await bridge?.close();
    return null;
  }

  listBridges(): ReturnType<MediadRequests['listBridges']> {
    return { bridges: [...this.#bridges.values()].map(bridge => bridge.stats()), strays: this.#plane.strays.report() };
  }

  get captures(): Captures {
    return this.#plane.captures;
  }

  /** What goes out to viewers of outlets counts as load too. */
  set outletBytes(sent: () => number) {
    this.#load.besideBytesOut = sent;
  }

  load(): MediadLoad {
    return {
      instance: this.#options.instance,
      pid: this.#options.pid,
      bridges: this.#bridges.size,
      sinks: [...this.#bridges.values()].reduce((sum, bridge) => sum + bridge.sinkCount, 0),
      ...this.#load.now,
      refuses: this.#load.refusal(this.#bridges.size),
      portsFree: this.#plane.ports.free,
      strain: this.#options.strain?.report() ?? CALM,
    };
  }

  /** Sessions that may be ended under strain. */
  endables(): readonly Endable[] {
    return [...this.#bridges.values()].flatMap(bridge => sessionEndables(bridge.sessions()));
  }

  counters(): Readonly<Record<string, number>> {
    const keptBytes = [...this.#bridges.values()].reduce((sum, bridge) => sum + bridge.keptBytes, 0);
    return { ...this.#plane.counters.snapshot(), 'strays': this.#plane.strays.total, 'pictures.kept-bytes': keptBytes };
  }

  /** Closes bridges that nobody owns any more: without a packet for `quietMs`. Answers how many. */
  closeQuiet(quietMs: number): number {
    const now = this.#plane.clock.now();
    const quiet = [...this.#bridges.values()].filter(bridge => bridge.quietMs(now) >= quietMs);
    for (const bridge of quiet) void this.closeBridge({ bridgeId: bridge.id });
    return quiet.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#load[Symbol.dispose]();
    this.#plane.captures[Symbol.dispose]();
    await Promise.all([...this.#bridges.keys()].map(bridgeId => this.closeBridge({ bridgeId })));
    await this.#plane.ports.close();
  }

  #bridge(bridgeId: string): Bridge {
    const bridge = this.#bridges.get(bridgeId);
    if (bridge === undefined) throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId });
    return bridge;
  }
}

const legsOf = ({ source, replacement, sinks }: BridgeStats): readonly LegStats[] => [source, ...(replacement === null ? [] : [replacement]), ...sinks];
