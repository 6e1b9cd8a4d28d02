/**
 * One source leg of a bridge with everything that is its own: the door for its packets, its silence, its scouts, its statistics.
 *
 *   opening ──open──► connecting ──first packet──► flowing ◄──► silent
 *                          └──────────── peer closed, failed ──┴──► closed
 *
 * Its place on the bridge's timeline is told when it takes over: its numbers and RTP timestamps follow those of the leg before it.
 */
import type { BridgeStats, ConnectSourceParams, Endpoint, LegStats, LegTransport, MediaFormat, OpenSourceParams } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import { LOSS_WINDOW_MS, LossWatch } from '#core/rtp/loss-watch.ts';
import type { PayloadKind } from '#core/rtp/payload-probe.ts';
import type { Ms } from '#core/units.ts';
import { Alarm } from '#kit/clock.ts';
import { countersOf, withOverflows } from './bridge-stats.ts';
import { LegCounters } from './leg-counters.ts';
import type { Plane, SourceClosedWhy, SourceLeg, SourceLegOptions } from './leg.ts';
import type { MediaBatch } from './media-batch.ts';
import { localAddressOf, Peer } from './peer-rule.ts';
import { Scouts } from './scouts.ts';
import { SourceIntake } from './source-intake.ts';
import { openTcpActiveSource, openTcpPassiveSource } from './source-tcp.ts';
import { openUdpSource } from './source-udp.ts';

const OPEN_SOURCE: Readonly<Record<LegTransport, (options: SourceLegOptions) => Promise<SourceLeg>>> = {
  'udp': openUdpSource,
  'tcp-active': openTcpActiveSource,
  'tcp-passive': openTcpPassiveSource,
};

const TICKS_PER_MS = 90;
/** A picture at 25 frames a second: the least step between two legs. */
const LEAST_STEP_MS = 40;

export interface BridgeSourceOptions {
  readonly plane: Plane;
  readonly params: OpenSourceParams;
  /** False: somebody still reads the memory of the batch. */
  readonly onPackets: (source: BridgeSource, batch: MediaBatch, now: Ms) => boolean;
  readonly onFlowing: (source: BridgeSource) => void;
  readonly onSilent: (source: BridgeSource, silentMs: number) => void;
  readonly onClosed: (source: BridgeSource, why: SourceClosedWhy) => void;
}

export class BridgeSource {
  readonly legId: string;
  readonly intake: SourceIntake;
  /** What its payloads are, by the answer. */
  format: MediaFormat = 'ps';
  formatParameters: string | undefined;
  readonly #options: BridgeSourceOptions;
  readonly #params: OpenSourceParams;
  readonly #peer: Peer;
  readonly #openedAt: Ms;
  readonly #alarm: Alarm;
  readonly #losses = new LossWatch();
  #leg: SourceLeg | undefined;
  #scouts: Scouts | undefined;
  #connected = false;
  #ended = false;
  #closed = false;
  /** Added to its own numbers and timestamps; what lies before `#floor` is older than its start. */
  #indexOffset = 0;
  #ticksOffset = 0;
  #floor = -Infinity;
  #lastIndex = -1;
  #lastTicks = 0;

  constructor(options: BridgeSourceOptions) {
    const { plane, params } = options;
    this.#options = options;
    this.legId = params.legId ?? params.bridgeId;
    this.#params = { ...params, localAddress: localAddressOf(params.localAddress) };
    this.#peer = new Peer(params.peer);
    this.#openedAt = plane.clock.now();
    this.intake = new SourceIntake({
      bridgeId: params.bridgeId,
      silenceMs: params.silenceMs,
      counters: new LegCounters(plane.counters),
      strays: plane.strays,
      onFlowing: () => this.#onFlowing(),
    });
    this.#alarm = new Alarm(plane.clock, () => this.#onSilenceDue());
  }

  get transport(): LegTransport {
    return this.#params.transport;
  }

  get label(): string {
    return this.#params.label;
  }

  /** Takes what the payloads look like for what they are, where that is certain: a pack header, or parameter sets instead of one. True: that is news. */
  sees(kind: PayloadKind | null): boolean {
    const isCertain = kind === 'ps' || (this.format === 'ps' && (kind === 'h264' || kind === 'h265'));
    if (!isCertain || kind === this.format) return false;
    this.format = kind;
    return true;
  }

  /** Behind the last packet, on the bridge's timeline. */
  get nextIndex(): number {
    return Math.max(this.#lastIndex + 1, this.#floor);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Nothing came for this long: counted from the last packet, else from opening. */
  quietMs(now: Ms): number {
    return this.intake.counters.lastPacketAgeMs(now) ?? now - this.#openedAt;
  }

  async open(): Promise<Endpoint> {
    const { plane, onPackets, onClosed } = this.#options;
    const { transport, localAddress, localPort, ssrc } = this.#params;
    const leg = await OPEN_SOURCE[transport]({
      plane,
      transport,
      localAddress,
      localPort,
      ssrc,
      peer: this.#peer,
      intake: this.intake,
      relay: (batch, now) => {
        plane.store.recycle(onPackets(this, batch, now));
        if (now >= this.#losses.due && transport === 'udp') this.#watchLoss(now);
      },
      onClosed: why => {
        if (this.#closed || this.#ended) return;
        this.#ended = true;
        this.intake.silence.stop();
        onClosed(this, why);
      },
    });
    if (this.#closed) {
      await leg.close();
      throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId: this.#params.bridgeId, why: 'closed while it opened' });
    }
    this.#leg = leg;
    return leg.local;
  }

  connect(params: ConnectSourceParams): void {
    const { bridgeId, transport, localAddress, localPort } = this.#params;
    if (this.#leg === undefined) throw new GatewayError('BAD_REQUEST', { bridgeId, why: 'source is not open yet' });
    const remote = this.#peer.target(params.remote, localAddress, transport !== 'tcp-passive');
    this.#leg.connect({ remote, ssrc: params.ssrc, ssrcPolicy: params.ssrcPolicy, payloadType: params.payloadType, nack: params.nack === true });
    this.format = params.format ?? 'ps';
    this.formatParameters = params.formatParameters;
    this.#connected = true;
    this.#alarm.arm(this.intake.silence.deadline);
    const { plane } = this.#options;
    const { range } = plane.ports;
    // Who sent to this port before sends to no other, and the ports beside it are wanted by those that had them.
    if (transport !== 'udp' || range === undefined || localPort !== undefined) return;
    void this.#scouts?.end();
    this.#scouts = new Scouts(plane, bridgeId, range, this.#peer);
    this.#scouts.start(this.#leg.local);
  }

  /** Takes its place behind another leg: the first packet of this batch follows that one's last. */
  follow(before: BridgeSource, first: MediaBatch, now: Ms): void {
    let lowest = Infinity;
    for (let i = 0; i < first.count; i++) lowest = Math.min(lowest, first.index[i]!);
    this.#indexOffset = before.#lastIndex + 1 - lowest;
    this.#floor = before.#lastIndex + 1;
    const sinceMs = Math.max(LEAST_STEP_MS, Math.min(before.quietMs(now), 0x7fff_ffff / TICKS_PER_MS));
    if (before.#lastIndex >= 0) this.#ticksOffset = before.#lastTicks + Math.round(sinceMs * TICKS_PER_MS) - first.timestamp[0]!;
  }

  /** Puts a batch on the bridge's timeline. */
  place(batch: MediaBatch): void {
    if (this.#indexOffset !== 0 || this.#ticksOffset !== 0) batch.shift(this.#indexOffset, this.#ticksOffset, this.#floor);
    const last = batch.count - 1;
    if (last < 0) return;
    this.#lastTicks = batch.timestamp[last]!;
    for (let i = 0; i <= last; i++) if (batch.index[i]! > this.#lastIndex) this.#lastIndex = batch.index[i]!;
  }

  /** Ends when every number and descriptor is back. Twice is once. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#alarm[Symbol.dispose]();
    this.intake.silence.stop();
    await Promise.all([this.#leg?.close(), this.#scouts?.end()]);
  }

  stats(now: Ms): BridgeStats['source'] {
    const { tracker, gate, counters, probe, buffer, nack } = this.intake;
    return {
      legId: this.legId,
      transport: this.#params.transport,
      local: this.#leg?.local ?? { address: this.#params.localAddress, port: 0 },
      remote: this.#connected ? { address: gate.address, port: gate.port } : null,
      state: this.#state(),
      ssrc: this.#connected ? gate.ssrc : this.#params.ssrc,
      ...withOverflows(countersOf(counters, now), this.#leg?.overflows ?? 0),
      lost: tracker.lost + (buffer?.late ?? 0),
      reordered: tracker.reordered,
      duplicates: tracker.duplicates,
      late: buffer?.late ?? 0,
      waiting: buffer?.held ?? 0,
      asked: nack?.asked ?? 0,
      repaired: nack?.repaired ?? 0,
      waitMs: Math.round(buffer?.waitMs(now) ?? 0),
      jitterMs: Math.round(tracker.jitterMs * 100) / 100,
      payload: probe.kind,
      codecs: probe.codecs,
    };
  }

  #state(): LegStats['state'] {
    if (this.#ended || this.#closed) return 'closed';
    const flow = this.intake.silence.state;
    if (flow === 'flowing' || flow === 'silent') return flow;
    return flow === 'waiting' ? 'connecting' : 'opening';
  }

  #watchLoss(now: Ms): void {
    const { plane, params } = this.#options;
    const { tracker, buffer } = this.intake;
    const lostPercent = this.#losses.update(tracker.received, tracker.lost + (buffer?.late ?? 0), plane.loss.tcpAbovePercent, now);
    if (lostPercent === undefined) return;
    plane.emit({ type: 'source-lossy', bridgeId: params.bridgeId, lostPercent: Math.round(lostPercent * 100) / 100, overMs: LOSS_WINDOW_MS });
  }

  #onFlowing(): void {
    void this.#scouts?.end();
    this.#alarm.arm(this.intake.silence.deadline);
    this.#options.onFlowing(this);
  }

  #onSilenceDue(): void {
    const silentMs = this.intake.silence.tick(this.#options.plane.clock.now());
    if (silentMs !== undefined) this.#options.onSilent(this, Math.round(silentMs));
    this.#alarm.arm(this.intake.silence.deadline);
  }
}
