/**
 * The sink legs of one bridge: those that take packets as they come, those that want whole pictures (core/rtp/packet-gate), and those whose
 * format is another than the source's (converted-sink.ts).
 */
import type { BridgeStats, Endpoint, GateStats, LegTransport, OpenSinkParams, StartSinkParams } from '#contracts/mediad.ts';
import { type Rendition, renditionKey } from '#core/media/rendition.ts';
import { GatewayError } from '#core/result.ts';
import { type GateState, PacketGate } from '#core/rtp/packet-gate.ts';
import type { Ms } from '#core/units.ts';
import { gateStats, sinkStats } from './bridge-stats.ts';
import { ConvertedSink } from './converted-sink.ts';
import { FanOut, type PacketSink } from './fan-out.ts';
import { LegCounters } from './leg-counters.ts';
import type { Plane, SinkClosedWhy, SinkLeg, SinkLegOptions } from './leg.ts';
import { MediaBatch } from './media-batch.ts';
import { localAddressOf, Peer } from './peer-rule.ts';
import { RenderedSink } from './rendered-sink.ts';
import { openTcpActiveSink, openTcpPassiveSink } from './sink-tcp.ts';
import { openUdpSink } from './sink-udp.ts';
import { packerOf } from './unit-packer.ts';
import type { UnitStream } from './unit-stream.ts';
import type { BridgeSource } from './bridge-source.ts';

const OPEN_SINK: Readonly<Record<LegTransport, (options: SinkLegOptions) => Promise<SinkLeg>>> = {
  'udp': openUdpSink,
  'tcp-active': openTcpActiveSink,
  'tcp-passive': openTcpPassiveSink,
};

/** Their start codes mean something else: key pictures are told by the headers in front of them. */
const OPAQUE: ReadonlySet<string> = new Set(['svac', 'mpeg4']);

interface Sink extends PacketSink {
  readonly since: Ms;
  /** It takes units, no packets: its format is another than the source's. */
  converted: Disposable | undefined;
}

/** A sink of a session that may be ended under strain (strain-watch.ts). */
export interface SinkSession {
  readonly priority: number;
  readonly since: Ms;
  /** What a process makes for it, the same text for the same; null: it gets what the source sends. */
  readonly rendition: string | null;
  end(): void;
}

export interface BridgeSinksOptions {
  readonly plane: Plane;
  readonly bridgeId: string;
  readonly source: () => BridgeSource;
  readonly units: () => UnitStream;
  /** The source has no packets. */
  readonly needsUnits: () => boolean;
  /** Somebody takes its packets beside the sinks. */
  readonly tapped: () => boolean;
  readonly onKeyPictureWanted: (why: 'loss' | 'join') => void;
}

/** What left the gate; one for all bridges: filled and delivered before another packet is received. */
const whole = new MediaBatch();

export class BridgeSinks {
  readonly #options: BridgeSinksOptions;
  readonly #plane: Plane;
  readonly #bridgeId: string;
  readonly #sinks = new Map<string, Sink>();
  readonly #asReceived: FanOut<Sink>;
  readonly #whole: FanOut<Sink>;
  #gate: PacketGate | undefined;
  #closed = false;

  constructor(options: BridgeSinksOptions) {
    this.#options = options;
    this.#plane = options.plane;
    this.#bridgeId = options.bridgeId;
    this.#asReceived = new FanOut<Sink>(false, sink => this.#onFlowing(sink));
    this.#whole = new FanOut<Sink>(true, sink => this.#onFlowing(sink));
    this.updateHolding();
  }

  get size(): number {
    return this.#sinks.size;
  }

  /** Packets since the last key picture, as far as they were kept. */
  held(now: Ms): MediaBatch {
    return this.#asReceived.hold.batch(now);
  }

  async open(params: OpenSinkParams): Promise<Endpoint> {
    if (params.rendition !== undefined) await this.#admitRendition(params.rendition);
    if (this.#sinks.has(params.sinkId)) throw new GatewayError('BAD_REQUEST', { sinkId: params.sinkId, why: 'sink exists' });
    const localAddress = localAddressOf(params.localAddress);
    const peer = new Peer(params.peer);
    const remote = peer.target(params.remote, localAddress, params.transport !== 'tcp-passive');
    const sink: Sink = { params, counters: new LegCounters(this.#plane.counters), leg: undefined, catchUp: undefined, fresh: false, converted: undefined, state: 'opening', since: this.#plane.clock.now() };
    this.#sinks.set(params.sinkId, sink);
    this.#admit(sink);
    try {
      const { transport, localPort, formerPort, firstSequence, ssrc, payloadType, connectTimeoutMs } = params;
      const leg = await OPEN_SINK[transport]({
        plane: this.#plane,
        bridgeId: this.#bridgeId,
        transport,
        localAddress,
        localPort,
        formerPort,
        firstSequence,
        remote,
        ssrc,
        payloadType,
        peer,
        connectTimeoutMs,
        whole: params.pictures === 'whole',
        nack: params.nack === true,
        counters: sink.counters,
        onReady: () => this.#onReady(sink),
        onClosed: why => this.#onClosed(sink, why),
      });
      if (this.#sinks.get(params.sinkId) === sink) return (sink.leg = leg).local;
      await leg.close();
    } catch (error) {
      if (this.#sinks.get(params.sinkId) === sink) this.#forget(sink);
      throw error;
    }
    throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.#bridgeId, sinkId: params.sinkId, why: 'closed while it opened' });
  }

  async #admitRendition(rendition: Rendition): Promise<void> {
    if (this.#plane.renderer === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { bridgeId: this.#bridgeId, why: 'nothing is transcoded here' });
    await this.#plane.renderer.admit(this.#options.units(), rendition);
    if (this.#closed) throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.#bridgeId, why: 'closed while a sink opened' });
  }

  /** With what was agreed on since it was opened. */
  start(sinkId: string, { payloadType, format, rendition }: Omit<StartSinkParams, 'bridgeId' | 'sinkId'> = {}): void {
    const sink = this.#sinks.get(sinkId);
    if (sink?.leg === undefined) throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.#bridgeId, sinkId, why: 'no such sink' });
    if (sink.state !== 'opening') return;
    sink.params = { ...sink.params, payloadType: payloadType ?? sink.params.payloadType, format: format ?? sink.params.format, rendition: rendition ?? sink.params.rendition };
    sink.leg.payloadType = sink.params.payloadType;
    sink.state = 'connecting';
    sink.counters.start(this.#plane.clock.now());
    sink.leg.start();
  }

  async closeSink(sinkId: string): Promise<void> {
    const sink = this.#sinks.get(sinkId);
    if (sink === undefined) return;
    sink.state = 'closed';
    sink.converted?.[Symbol.dispose]();
    this.#forget(sink);
    await sink.leg?.close();
  }

  /** Sessions that may be ended; what nothing has to be made for passes through, whatever was asked for. */
  sessions(): readonly SinkSession[] {
    const { renderer } = this.#plane;
    return [...this.#sinks.values()].flatMap(sink => {
      const { priority, rendition } = sink.params;
      if (priority === undefined || sink.state === 'closed') return [];
      const isMade = rendition !== undefined && renderer?.passes(this.#options.units(), rendition) !== true;
      return [{ priority, since: sink.since, rendition: isMade ? renditionKey(rendition) : null, end: () => this.#onClosed(sink, 'strained') }];
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#sinks.keys()].map(sinkId => this.closeSink(sinkId)));
    this.#gate?.stop(this.#plane.clock.now());
  }

  /** Packets in order. False: somebody still reads the memory of the batch. */
  relay(batch: MediaBatch, now: Ms): boolean {
    const mayReuse = this.#asReceived.idle || this.#asReceived.relay(batch, now, 0, this.#whole.size === 0);
    if (this.#whole.size === 0) return mayReuse;
    if (!mayReuse) batch.detach();
    return this.#relayWhole(batch, now) && mayReuse;
  }

  #relayWhole(batch: MediaBatch, now: Ms): boolean {
    const gate = this.#gate!;
    whole.begin();
    whole.kind = batch.kind;
    whole.datagramPayloadBytes = batch.datagramPayloadBytes;
    gate.opaque = this.#options.source().intake.probe.codecs.some(codec => OPAQUE.has(codec));
    const { state, picturesDropped } = gate;
    gate.take(batch, whole, now);
    if (gate.picturesDropped !== picturesDropped) this.#plane.counters.countEvent('pictures.dropped', gate.picturesDropped - picturesDropped);
    if (gate.state !== state) this.#onGate(state, now);
    if (gate.wantsKeyPicture) this.#options.onKeyPictureWanted('loss');
    return whole.count === 0 || this.#whole.relay(whole, now, gate.keyAt, true);
  }

  #onGate(before: GateState, now: Ms): void {
    const { state, freezes } = this.#gate!;
    this.#plane.counters.countEvent(`pictures.${state}`);
    // A lossy camera changes it many times a minute: each freeze is for who looks closely.
    this.#plane.log.debug({ bridgeId: this.#bridgeId, before, state, freezes, frozenMs: Math.round(this.#gate!.frozenMs(now)) }, 'pictures.state');
  }

  /** The first that wants whole pictures: what is held already goes through the gate for it. */
  #admit(sink: Sink): void {
    const fanOut = this.#fanOutOf(sink);
    fanOut.add(sink);
    if (fanOut === this.#whole && fanOut.size === 1) {
      this.#gate ??= new PacketGate(this.#plane.store);
      this.#whole.updateHolding(false);
      const now = this.#plane.clock.now();
      this.#relayWhole(this.#asReceived.hold.batch(now), now);
    }
    this.updateHolding();
  }

  #forget(sink: Sink): void {
    this.#sinks.delete(sink.params.sinkId);
    this.#fanOutOf(sink).remove(sink);
    if (this.#whole.size === 0) this.#gate?.stop(this.#plane.clock.now());
    this.updateHolding();
  }

  #fanOutOf({ params }: Sink): FanOut<Sink> {
    return params.pictures === 'whole' ? this.#whole : this.#asReceived;
  }

  /** Packets are held for the first sink too, of which nobody knows yet what it will want. */
  updateHolding(): void {
    const nobody = !this.#asReceived.receiving && this.#whole.size === 0 && !this.#options.tapped();
    this.#asReceived.updateHolding(nobody);
    this.#whole.updateHolding(false);
  }

  #onReady(sink: Sink): void {
    if (sink.state !== 'connecting') return;
    if (sink.params.transport !== 'udp') this.#plane.emit({ type: 'sink-connected', bridgeId: this.#bridgeId, sinkId: sink.params.sinkId });
    if (this.#needsUnits(sink)) return this.#convert(sink);
    // A stream that begins brings its first key picture by itself.
    if (!this.#fanOutOf(sink).ready(sink, this.#plane.clock.now()) && this.#gate!.keyPictures > 0) this.#options.onKeyPictureWanted('join');
    this.updateHolding();
  }

  #needsUnits({ params }: Sink): boolean {
    return this.#options.needsUnits() || params.rendition !== undefined || (params.format ?? 'ps') !== this.#options.source().format;
  }

  /** `moved`: it took packets until now. */
  #convert(sink: Sink, moved = false): void {
    const { transport, pictures, format = 'ps' } = sink.params;
    const flowControl = transport !== 'udp' || pictures === 'whole';
    const onFlowing = (): void => {
      if (sink.state === 'connecting') this.#onFlowing(sink);
    };
    const convert = (stream: UnitStream, onEnd?: (why: string) => void): ConvertedSink =>
      new ConvertedSink({ stream, packer: packerOf(format, Math.max(0, this.#options.source().nextIndex)), moved, flowControl, leg: sink.leg!, clock: this.#plane.clock, onFlowing, onEnd });
    const { rendition } = sink.params;
    if (rendition === undefined) sink.converted ??= convert(this.#options.units());
    else sink.converted ??= new RenderedSink({ render: () => this.#plane.renderer!.render(this.#options.units(), rendition, sink.params.label), convert, onFailed: () => this.#onClosed(sink, 'transcode-failed') });
  }

  /** The source's payloads mean something else than before: sinks that took them as they came take units from now on. */
  onFormat(): void {
    for (const sink of this.#sinks.values()) {
      const fanOut = this.#fanOutOf(sink);
      if (!fanOut.receives(sink) || !this.#needsUnits(sink)) continue;
      fanOut.ended(sink);
      this.#convert(sink, true);
    }
  }

  #onFlowing(sink: Sink): void {
    sink.state = 'flowing';
    this.#plane.emit({ type: 'sink-flowing', bridgeId: this.#bridgeId, sinkId: sink.params.sinkId, remote: sink.leg!.remote ?? sink.params.remote });
  }

  #onClosed(sink: Sink, why: SinkClosedWhy): void {
    if (sink.state === 'closed') return;
    sink.state = 'closed';
    sink.converted?.[Symbol.dispose]();
    this.#fanOutOf(sink).ended(sink);
    this.updateHolding();
    this.#plane.emit({ type: 'sink-closed', bridgeId: this.#bridgeId, sinkId: sink.params.sinkId, why });
  }

  gateStats(now: Ms): GateStats | null {
    return this.#gate === undefined || this.#whole.size === 0 ? null : gateStats(this.#gate, now);
  }

  /** By sinkId. */
  marks(): [sinkId: string, nextSequence: number][] {
    return [...this.#sinks.values()].flatMap(({ params, leg }) => (leg?.nextSequence === undefined ? [] : [[params.sinkId, leg.nextSequence] as [string, number]]));
  }

  stats(now: Ms): BridgeStats['sinks'] {
    return [...this.#sinks.values()].map(({ params, leg, state, counters }) => sinkStats(params, leg, state, counters, now));
  }
}
