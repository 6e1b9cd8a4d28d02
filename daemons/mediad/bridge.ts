/**
 * One source leg and its sink legs.
 *
 *   source:  opening ──openSource──► connecting ──first packet──► flowing ◄──► silent
 *                                        └──────────── peer closed, failed ──┴──► closed
 *   sink:    opening ──startSink──► connecting ──first packet──► flowing ── peer closed, failed ──► closed
 *
 * A leg that closed by itself is told once and keeps its statistics until its owner closes it.
 */
import type { BridgeStats, ConnectSourceParams, Endpoint, LegStats, LegTransport, OpenSinkParams, OpenSourceParams } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { Ms } from '#core/units.ts';
import { Alarm } from '#kit/clock.ts';
import { countersOf, sinkStats } from './bridge-stats.ts';
import { LegCounters } from './leg-counters.ts';
import type { Plane, SinkClosedWhy, SinkLeg, SinkLegOptions, SourceClosedWhy, SourceLeg, SourceLegOptions } from './leg.ts';
import type { MediaBatch } from './media-batch.ts';
import { CatchUp, OpeningHold } from './opening-hold.ts';
import { localAddressOf, Peer } from './peer-rule.ts';
import { openTcpActiveSink, openTcpPassiveSink } from './sink-tcp.ts';
import { openUdpSink } from './sink-udp.ts';
import { Scouts } from './scouts.ts';
import { SourceIntake } from './source-intake.ts';
import { openTcpActiveSource, openTcpPassiveSource } from './source-tcp.ts';
import { openUdpSource } from './source-udp.ts';

const OPEN_SOURCE: Readonly<Record<LegTransport, (options: SourceLegOptions) => Promise<SourceLeg>>> = {
  'udp': openUdpSource,
  'tcp-active': openTcpActiveSource,
  'tcp-passive': openTcpPassiveSource,
};

const OPEN_SINK: Readonly<Record<LegTransport, (options: SinkLegOptions) => Promise<SinkLeg>>> = {
  'udp': openUdpSink,
  'tcp-active': openTcpActiveSink,
  'tcp-passive': openTcpPassiveSink,
};

interface Sink {
  readonly params: OpenSinkParams;
  readonly counters: LegCounters;
  leg: SinkLeg | undefined;
  /** While it is behind the live stream. */
  catchUp: CatchUp | undefined;
  state: LegStats['state'];
}

export class Bridge {
  readonly id: string;
  readonly #plane: Plane;
  readonly #params: OpenSourceParams;
  readonly #peer: Peer;
  readonly #openedAt: Ms;
  readonly #intake: SourceIntake;
  readonly #alarm: Alarm;
  readonly #sinks = new Map<string, Sink>();
  readonly #hold = new OpeningHold();
  /** Somebody may start soon: the first sink, or one that was opened. */
  #holding = true;
  /** Sinks that take packets; replaced, never changed, so that a loop over it stays whole. */
  #receivers: readonly Sink[] = [];
  #source: SourceLeg | undefined;
  #scouts: Scouts | undefined;
  #connected = false;
  #sourceEnded = false;
  #closed = false;

  constructor(plane: Plane, params: OpenSourceParams) {
    this.id = params.bridgeId;
    this.#plane = plane;
    this.#params = { ...params, localAddress: localAddressOf(params.localAddress) };
    this.#peer = new Peer(params.peer);
    this.#openedAt = plane.clock.now();
    this.#intake = new SourceIntake({
      bridgeId: params.bridgeId,
      silenceMs: params.silenceMs,
      counters: new LegCounters(plane.counters),
      strays: plane.strays,
      onFlowing: () => this.#onFlowing(),
    });
    this.#alarm = new Alarm(plane.clock, () => this.#onSilenceDue());
  }

  get sinkCount(): number {
    return this.#sinks.size;
  }

  /** Nothing came for this long: counted from the last packet, else from opening. */
  quietMs(now: Ms): number {
    return this.#intake.counters.lastPacketAgeMs(now) ?? now - this.#openedAt;
  }

  async openSource(): Promise<Endpoint> {
    const { transport, localAddress, ssrc } = this.#params;
    const leg = await OPEN_SOURCE[transport]({
      plane: this.#plane,
      transport,
      localAddress,
      ssrc,
      peer: this.#peer,
      intake: this.#intake,
      relay: (batch, now) => this.#relay(batch, now),
      onClosed: why => this.#onSourceClosed(why),
    });
    if (this.#closed) {
      await leg.close();
      throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.id, why: 'closed while it opened' });
    }
    this.#source = leg;
    return leg.local;
  }

  connectSource(params: ConnectSourceParams): void {
    if (this.#source === undefined) throw new GatewayError('BAD_REQUEST', { bridgeId: this.id, why: 'source is not open yet' });
    const portMatters = this.#params.transport !== 'tcp-passive';
    const remote = this.#peer.target(params.remote, this.#params.localAddress, portMatters);
    this.#source.connect({ remote, ssrc: params.ssrc, ssrcPolicy: params.ssrcPolicy, payloadType: params.payloadType });
    this.#connected = true;
    this.#alarm.arm(this.#intake.silence.deadline);
    const { range } = this.#plane.ports;
    if (this.#params.transport !== 'udp' || range === undefined) return;
    void this.#scouts?.end();
    this.#scouts = new Scouts(this.#plane, this.id, range, this.#peer);
    this.#scouts.start(this.#source.local);
  }

  async openSink(params: OpenSinkParams): Promise<Endpoint> {
    if (this.#sinks.has(params.sinkId)) throw new GatewayError('BAD_REQUEST', { sinkId: params.sinkId, why: 'sink exists' });
    const localAddress = localAddressOf(params.localAddress);
    const peer = new Peer(params.peer);
    const remote = peer.target(params.remote, localAddress, params.transport !== 'tcp-passive');
    const sink: Sink = { params, counters: new LegCounters(this.#plane.counters), leg: undefined, catchUp: undefined, state: 'opening' };
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
    this.#updateHolding();
    await sink.leg?.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#alarm[Symbol.dispose]();
    this.#intake.silence.stop();
    await Promise.all([...[...this.#sinks.keys()].map(sinkId => this.closeSink(sinkId)), this.#source?.close(), this.#scouts?.end()]);
  }

  /** The hot path's only loop over sinks. */
  #relay(batch: MediaBatch, now: Ms): void {
    if (this.#holding) this.#hold.take(batch, now);
    const receivers = this.#receivers;
    for (let i = 0; i < receivers.length; i++) {
      const sink = receivers[i]!;
      if (sink.catchUp !== undefined) {
        this.#deliverBehind(sink, sink.catchUp, batch, now);
        continue;
      }
      const mayRewrite = sink.leg!.deliver(batch, now);
      if (sink.state === 'connecting') this.#onSinkFlowing(sink);
      if (!mayRewrite && i + 1 < receivers.length) batch.detach();
    }
  }

  #deliverBehind(sink: Sink, catchUp: CatchUp, live: MediaBatch, now: Ms): void {
    sink.leg!.deliver(catchUp.next(live), now);
    if (catchUp.done) sink.catchUp = undefined;
  }

  #onFlowing(): void {
    void this.#scouts?.end();
    const { ssrc, address, port } = this.#intake.gate;
    this.#alarm.arm(this.#intake.silence.deadline);
    this.#plane.emit({ type: 'source-flowing', bridgeId: this.id, ssrc, remote: { address, port } });
  }

  #onSilenceDue(): void {
    const silentMs = this.#intake.silence.tick(this.#plane.clock.now());
    if (silentMs !== undefined) this.#plane.emit({ type: 'source-silent', bridgeId: this.id, silentMs: Math.round(silentMs) });
    this.#alarm.arm(this.#intake.silence.deadline);
  }

  #onSourceClosed(why: SourceClosedWhy): void {
    if (this.#closed || this.#sourceEnded) return;
    this.#sourceEnded = true;
    this.#intake.silence.stop();
    this.#plane.emit({ type: 'source-closed', bridgeId: this.id, why });
  }

  #onSinkReady(sink: Sink): void {
    if (sink.state !== 'connecting' || this.#receivers.includes(sink)) return;
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

  #updateHolding(): void {
    const waits = ({ state }: Sink): boolean => state === 'opening' || state === 'connecting';
    this.#holding = this.#receivers.length === 0 || [...this.#sinks.values()].some(sink => waits(sink) && !this.#receivers.includes(sink));
    if (!this.#holding) this.#hold.clear();
  }

  #onSinkFlowing(sink: Sink): void {
    sink.state = 'flowing';
    this.#plane.emit({ type: 'sink-flowing', bridgeId: this.id, sinkId: sink.params.sinkId, remote: sink.leg!.remote ?? sink.params.remote });
  }

  #onSinkClosed(sink: Sink, why: SinkClosedWhy): void {
    if (sink.state === 'closed') return;
    sink.state = 'closed';
    this.#receivers = this.#receivers.filter(other => other !== sink);
    this.#updateHolding();
    this.#plane.emit({ type: 'sink-closed', bridgeId: this.id, sinkId: sink.params.sinkId, why });
  }

  stats(): BridgeStats {
    const now = this.#plane.clock.now();
    return {
      bridgeId: this.id,
      label: this.#params.label,
      ageMs: Math.round(now - this.#openedAt),
      source: { ...this.#sourceStats(now), payload: this.#intake.probe.kind, codecs: this.#intake.probe.codecs },
      gate: null,
      sinks: [...this.#sinks.values()].map(({ params, leg, state, counters }) => sinkStats(params, leg, state, counters, now)),
    };
  }

  #sourceStats(now: Ms): LegStats {
    const { tracker, gate, counters } = this.#intake;
    return {
      transport: this.#params.transport,
      local: this.#source?.local ?? { address: this.#params.localAddress, port: 0 },
      remote: this.#connected ? { address: gate.address, port: gate.port } : null,
      state: this.#sourceState(),
      ssrc: this.#connected ? gate.ssrc : this.#params.ssrc,
      ...countersOf(counters, now),
      lost: tracker.lost,
      reordered: tracker.reordered,
      duplicates: tracker.duplicates,
      late: 0,
      waiting: 0,
      waitMs: 0,
      jitterMs: Math.round(tracker.jitterMs * 100) / 100,
    };
  }

  #sourceState(): LegStats['state'] {
    if (this.#sourceEnded) return 'closed';
    const flow = this.#intake.silence.state;
    if (flow === 'flowing' || flow === 'silent') return flow;
    return flow === 'waiting' ? 'connecting' : 'opening';
  }
}
