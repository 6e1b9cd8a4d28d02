/**
 * One source leg and its sink legs.
 *
 *   source:  opening ──openSource──► connecting ──first packet──► flowing ◄──► silent
 *                                        └──────────── peer closed, failed ──┴──► closed
 *   another: opening ──openSource(replaces)──► connecting ──key picture, or any packet when the first leg is quiet──► it is the source
 *                └── closeSource, or it fails: told, and the first leg goes on ──► closed
 *   sink:    opening ──startSink──► connecting ──first packet──► flowing ── peer closed, failed ──► closed
 *
 * A leg that closed by itself is told once and keeps its statistics until its owner closes it. A source that takes over goes on with
 * the numbers and timestamps of the one before it, so the sinks see one stream.
 */
import type { BridgeStats, ConnectSourceParams, Endpoint, LegStats, LegTransport, OpenSinkParams, OpenSourceParams } from '#contracts/mediad.ts';
import type { Rendition } from '#core/media/rendition.ts';
import { GatewayError } from '#core/result.ts';
import { beginsKeyPicture } from '#core/rtp/payload-probe.ts';
import type { Ms } from '#core/units.ts';
import { BridgeSource } from './bridge-source.ts';
import { sinkStats } from './bridge-stats.ts';
import { BridgeUnits } from './bridge-units.ts';
import { ConvertedSink } from './converted-sink.ts';
import { LegCounters } from './leg-counters.ts';
import type { Plane, SinkClosedWhy, SinkLeg, SinkLegOptions, SourceClosedWhy } from './leg.ts';
import type { MediaBatch } from './media-batch.ts';
import { CatchUp, OpeningHold } from './opening-hold.ts';
import { localAddressOf, Peer } from './peer-rule.ts';
import { openTcpActiveSink, openTcpPassiveSink } from './sink-tcp.ts';
import { openUdpSink } from './sink-udp.ts';
import { RenderedSink } from './rendered-sink.ts';
import { packerOf } from './unit-packer.ts';
import { UnitFeed, type UnitSource, type UnitSourceOptions } from './unit-source.ts';
import type { UnitStream } from './unit-stream.ts';

const OPEN_SINK: Readonly<Record<LegTransport, (options: SinkLegOptions) => Promise<SinkLeg>>> = {
  'udp': openUdpSink,
  'tcp-active': openTcpActiveSink,
  'tcp-passive': openTcpPassiveSink,
};

/** A leg that flows is left for another one at a key picture; not longer than this. */
const KEY_PICTURE_MS = 3000;
/** A leg that was quiet for so long is not waited for. */
const QUIET_MS = 500;

interface Sink {
  readonly params: OpenSinkParams;
  readonly counters: LegCounters;
  leg: SinkLeg | undefined;
  /** While it is behind the live stream. */
  catchUp: CatchUp | undefined;
  /** It takes units, no packets: its format is another than the source's. */
  converted: Disposable | undefined;
  state: LegStats['state'];
}

export class Bridge {
  readonly id: string;
  readonly #plane: Plane;
  readonly #openedAt: Ms;
  readonly #sinks = new Map<string, Sink>();
  readonly #hold = new OpeningHold();
  /** Somebody may start soon: the first sink, or one that was opened. */
  #holding = true;
  /** Sinks that take packets; replaced, never changed, so that a loop over it stays whole. */
  #receivers: readonly Sink[] = [];
  #source: BridgeSource;
  /** Is to take over. */
  #next: BridgeSource | undefined;
  /** In place of `#source`. */
  #feed: UnitFeed | undefined;
  #units: BridgeUnits | undefined;
  /** The same while somebody takes units. */
  #tap: BridgeUnits | undefined;
  /** The first packet of `#next`. */
  #nextSince: Ms | undefined;
  #closed = false;

  constructor(plane: Plane, params: OpenSourceParams) {
    this.id = params.bridgeId;
    this.#plane = plane;
    this.#openedAt = plane.clock.now();
    this.#source = this.#newSource(params);
  }

  get sinkCount(): number {
    return this.#sinks.size;
  }

  /** Nothing came for this long: counted from the last packet, else from opening. */
  quietMs(now: Ms): number {
    if (this.#feed !== undefined) return this.#feed.quietMs(now);
    return Math.min(this.#source.quietMs(now), this.#next?.quietMs(now) ?? Infinity);
  }

  openSource(): Promise<Endpoint> {
    return this.#source.open();
  }

  /** Instead of `openSource`. */
  openFeed(options: UnitSourceOptions): UnitSource {
    return (this.#feed = new UnitFeed(this.#plane, options));
  }

  /** Costs nothing before somebody joins. */
  units(): UnitStream {
    return (this.#feed ?? this.#makeUnits()).hub;
  }

  #makeUnits(): BridgeUnits {
    if (this.#units !== undefined) return this.#units;
    const units = new BridgeUnits({
      plane: this.#plane,
      bridgeId: this.id,
      held: now => this.#hold.batch(now),
      onTaken: taken => {
        this.#tap = taken ? units : undefined;
        this.#updateHolding();
      },
    });
    units.setFormat(this.#source);
    return (this.#units = units);
  }

  /** A second leg beside the running one. */
  async openReplacement(params: OpenSourceParams): Promise<Endpoint> {
    if (this.#next !== undefined) throw new GatewayError('BAD_REQUEST', { bridgeId: this.id, why: 'a source is being replaced already' });
    const source = this.#newSource(params);
    if (source.legId === this.#source.legId) throw new GatewayError('BAD_REQUEST', { bridgeId: this.id, legId: source.legId, why: 'leg exists' });
    this.#next = source;
    this.#nextSince = undefined;
    try {
      return await source.open();
    } catch (error) {
      if (this.#next === source) this.#next = undefined;
      throw error;
    }
  }

  connectSource(params: ConnectSourceParams): void {
    const source = params.legId === undefined ? this.#source : this.#leg(params.legId);
    if (source === undefined) throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.id, legId: params.legId!, why: 'no such leg' });
    source.connect(params);
    if (source === this.#source) this.#onFormat();
  }

  /** Gives one leg up: the replacement, or the running one, whose sinks then wait for another. */
  async closeSource(legId: string): Promise<void> {
    const source = this.#leg(legId);
    if (source !== undefined && source === this.#next) this.#next = undefined;
    await source?.close();
  }

  #leg(legId: string): BridgeSource | undefined {
    return [this.#source, this.#next].find(source => source?.legId === legId);
  }

  #newSource(params: OpenSourceParams): BridgeSource {
    return new BridgeSource({
      plane: this.#plane,
      params,
      onPackets: (source, batch, now) => (source === this.#source ? this.#onPackets(batch, now) : this.#onNextPackets(source, batch, now)),
      onFlowing: source => {
        if (source === this.#source) this.#tellFlowing();
      },
      onSilent: ({ legId }, silentMs) => this.#plane.emit({ type: 'source-silent', bridgeId: this.id, legId, silentMs }),
      onClosed: (source, why) => this.#onSourceClosed(source, why),
    });
  }

  async openSink(params: OpenSinkParams): Promise<Endpoint> {
    if (params.rendition !== undefined) await this.#admitRendition(params.rendition);
    if (this.#sinks.has(params.sinkId)) throw new GatewayError('BAD_REQUEST', { sinkId: params.sinkId, why: 'sink exists' });
    const localAddress = localAddressOf(params.localAddress);
    const peer = new Peer(params.peer);
    const remote = peer.target(params.remote, localAddress, params.transport !== 'tcp-passive');
    const sink: Sink = { params, counters: new LegCounters(this.#plane.counters), leg: undefined, catchUp: undefined, converted: undefined, state: 'opening' };
    this.#sinks.set(params.sinkId, sink);
    this.#updateHolding();
    try {
      const { transport, ssrc, payloadType, connectTimeoutMs } = params;
      const leg = await OPEN_SINK[transport]({
        plane: this.#plane,
        bridgeId: this.id,
        transport,
        localAddress,
        remote,
        ssrc,
        payloadType,
        peer,
        connectTimeoutMs,
        counters: sink.counters,
        onReady: () => this.#onSinkReady(sink),
        onClosed: why => this.#onSinkClosed(sink, why),
      });
      if (this.#sinks.get(params.sinkId) === sink) return (sink.leg = leg).local;
      await leg.close();
    } catch (error) {
      if (this.#sinks.get(params.sinkId) === sink) this.#sinks.delete(params.sinkId);
      this.#updateHolding();
      throw error;
    }
    throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.id, sinkId: params.sinkId, why: 'closed while it opened' });
  }

  async #admitRendition(rendition: Rendition): Promise<void> {
    if (this.#plane.renderer === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { bridgeId: this.id, why: 'nothing is transcoded here' });
    await this.#plane.renderer.admit(this.units(), rendition);
    if (this.#closed) throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.id, why: 'closed while a sink opened' });
  }

  startSink(sinkId: string): void {
    const sink = this.#sinks.get(sinkId);
    if (sink?.leg === undefined) throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.id, sinkId, why: 'no such sink' });
    if (sink.state !== 'opening') return;
    sink.state = 'connecting';
    sink.counters.start(this.#plane.clock.now());
    sink.leg.start();
  }

  async closeSink(sinkId: string): Promise<void> {
    const sink = this.#sinks.get(sinkId);
    if (sink === undefined) return;
    this.#sinks.delete(sinkId);
    this.#receivers = this.#receivers.filter(other => other !== sink);
    sink.state = 'closed';
    sink.converted?.[Symbol.dispose]();
    this.#updateHolding();
    await sink.leg?.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#feed?.close();
    this.#units?.hub.end('closed');
    await Promise.all([...[...this.#sinks.keys()].map(sinkId => this.closeSink(sinkId)), this.#source.close(), this.#next?.close()]);
  }

  /** The hot path's only loop over sinks; packets come in order. False: somebody still reads the memory of the batch. */
  #relay(batch: MediaBatch, now: Ms): boolean {
    let mayReuse = true;
    this.#tap?.read(batch, now);
    if (this.#holding) this.#hold.take(batch, now);
    const receivers = this.#receivers;
    for (let i = 0; i < receivers.length; i++) {
      const sink = receivers[i]!;
      if (sink.catchUp !== undefined) {
        this.#deliverBehind(sink, sink.catchUp, batch, now);
        continue;
      }
      const mayRewrite = sink.leg!.deliver(batch, now);
      mayReuse &&= mayRewrite;
      if (sink.state === 'connecting') this.#onSinkFlowing(sink);
      if (!mayRewrite && i + 1 < receivers.length) batch.detach();
    }
    return mayReuse;
  }

  #deliverBehind(sink: Sink, catchUp: CatchUp, live: MediaBatch, now: Ms): void {
    sink.leg!.deliver(catchUp.next(live), now);
    if (catchUp.done) sink.catchUp = undefined;
  }

  #onPackets(batch: MediaBatch, now: Ms): boolean {
    this.#source.place(batch);
    return this.#relay(batch, now);
  }

  /** Takes over where a decoder can begin, or at once when there is nothing to lose. */
  #onNextPackets(source: BridgeSource, batch: MediaBatch, now: Ms): boolean {
    if (source !== this.#next) return true;
    this.#nextSince ??= now;
    const mayWait = this.#source.quietMs(now) < QUIET_MS && now - this.#nextSince < KEY_PICTURE_MS;
    const begin = mayWait ? firstKeyPicture(batch) : 0;
    if (begin < 0) return true;
    batch.dropFirst(begin);
    if (batch.count === 0) return true;
    const before = this.#source;
    source.follow(before, batch, now);
    this.#source = source;
    this.#next = undefined;
    void before.close();
    this.#onFormat();
    this.#tellFlowing();
    batch.restartAt = batch.index[0]!;
    return this.#onPackets(batch, now);
  }

  #tellFlowing(): void {
    const { legId, intake } = this.#source;
    const { ssrc, address, port } = intake.gate;
    this.#plane.emit({ type: 'source-flowing', bridgeId: this.id, legId, ssrc, remote: { address, port } });
  }

  #onSourceClosed({ legId }: BridgeSource, why: SourceClosedWhy): void {
    if (this.#closed) return;
    this.#plane.emit({ type: 'source-closed', bridgeId: this.id, legId, why });
  }

  #onSinkReady(sink: Sink): void {
    if (sink.state !== 'connecting' || this.#receivers.includes(sink)) return;
    if (this.#needsUnits(sink)) return this.#convert(sink);
    const now = this.#plane.clock.now();
    const held = this.#hold.batch(now);
    if (held.count > 0) {
      const catchUp = new CatchUp(held);
      // What is sent writes its headers into this memory: another sink that waits gets its own.
      held.detach();
      sink.leg!.deliver(sink.params.transport === 'udp' ? catchUp.first() : catchUp.all(), now);
      if (!catchUp.done) sink.catchUp = catchUp;
      this.#onSinkFlowing(sink);
    }
    this.#receivers = [...this.#receivers, sink];
    this.#updateHolding();
  }

  #needsUnits({ params }: Sink): boolean {
    return this.#feed !== undefined || params.rendition !== undefined || (params.format ?? 'ps') !== this.#source.format;
  }

  #convert(sink: Sink): void {
    const { transport, format = 'ps' } = sink.params;
    const onFlowing = (): void => {
      if (sink.state === 'connecting') this.#onSinkFlowing(sink);
    };
    const convert = (stream: UnitStream, onEnd?: (why: string) => void): ConvertedSink =>
      new ConvertedSink({ stream, packer: packerOf(format, this.#source.nextIndex), transport, leg: sink.leg!, clock: this.#plane.clock, onFlowing, onEnd });
    const { rendition } = sink.params;
    if (rendition === undefined) sink.converted ??= convert(this.units());
    else sink.converted ??= new RenderedSink({ render: () => this.#plane.renderer!.render(this.units(), rendition, sink.params.label), convert, onFailed: () => this.#onSinkClosed(sink, 'transcode-failed') });
  }

  /** The source's payloads mean something else than before: sinks that took them as they came take units from now on. */
  #onFormat(): void {
    this.#units?.setFormat(this.#source);
    const others = this.#receivers.filter(sink => this.#needsUnits(sink));
    if (others.length === 0) return;
    this.#receivers = this.#receivers.filter(sink => !others.includes(sink));
    for (const sink of others) this.#convert(sink);
  }

  #updateHolding(): void {
    const waits = ({ state }: Sink): boolean => state === 'opening' || state === 'connecting';
    this.#holding = (this.#receivers.length === 0 && this.#tap === undefined) || [...this.#sinks.values()].some(sink => waits(sink) && !this.#receivers.includes(sink));
    if (!this.#holding) this.#hold.clear();
  }

  #onSinkFlowing(sink: Sink): void {
    sink.state = 'flowing';
    this.#plane.emit({ type: 'sink-flowing', bridgeId: this.id, sinkId: sink.params.sinkId, remote: sink.leg!.remote ?? sink.params.remote });
  }

  #onSinkClosed(sink: Sink, why: SinkClosedWhy): void {
    if (sink.state === 'closed') return;
    sink.state = 'closed';
    sink.converted?.[Symbol.dispose]();
    this.#receivers = this.#receivers.filter(other => other !== sink);
    this.#updateHolding();
    this.#plane.emit({ type: 'sink-closed', bridgeId: this.id, sinkId: sink.params.sinkId, why });
  }

  stats(): BridgeStats {
    const now = this.#plane.clock.now();
    return {
      bridgeId: this.id,
      label: (this.#feed ?? this.#source).label,
      ageMs: Math.round(now - this.#openedAt),
      source: (this.#feed ?? this.#source).stats(now),
      replacement: this.#next?.stats(now) ?? null,
      units: (this.#feed ?? this.#tap)?.hub.stats(now) ?? null,
      gate: null,
      sinks: [...this.#sinks.values()].map(({ params, leg, state, counters }) => sinkStats(params, leg, state, counters, now)),
    };
  }
}

/** -1 when there is none. */
function firstKeyPicture(batch: MediaBatch): number {
  for (let i = 0; i < batch.count; i++) if (beginsKeyPicture(batch.kind, batch.memory[i]!, batch.payloadOffset[i]!, batch.payloadLength[i]!)) return i;
  return -1;
}
