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
import type { BridgeStats, ConnectSourceParams, Endpoint, OpenSinkParams, OpenSourceParams, StartSinkParams } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import { KeptPicture } from '#core/rtp/kept-picture.ts';
import { type PayloadKind, beginsKeyPicture } from '#core/rtp/payload-probe.ts';
import type { Ms } from '#core/units.ts';
import { BridgeSource } from './bridge-source.ts';
import { BridgeSinks, type SinkSession } from './bridge-sinks.ts';
import { BridgeUnits } from './bridge-units.ts';
import type { Plane, SourceClosedWhy } from './leg.ts';
import type { MediaBatch } from './media-batch.ts';
import { UnitFeed, type UnitSource, type UnitSourceOptions } from './unit-source.ts';
import type { UnitStream } from './unit-stream.ts';

/** A leg that flows is left for another one at a key picture; not longer than this. */
const KEY_PICTURE_MS = 3000;
/** The least time between two requests for a key picture (faults.md 2.1). */
const ASK_EVERY_MS = 1000;
/** A leg that was quiet for so long is not waited for. */
const QUIET_MS = 500;

export class Bridge {
  readonly id: string;
  readonly #plane: Plane;
  readonly #openedAt: Ms;
  readonly #sinks: BridgeSinks;
  #keyPictureAskedAt = -Infinity;
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
  readonly #kept: KeptPicture;
  /** What the source's payloads looked like last. */
  #kind: PayloadKind | null = null;
  #closed = false;

  constructor(plane: Plane, params: OpenSourceParams) {
    this.id = params.bridgeId;
    this.#plane = plane;
    this.#openedAt = plane.clock.now();
    this.#kept = new KeptPicture(plane.store);
    this.#source = this.#newSource(params);
    this.#sinks = new BridgeSinks({
      plane,
      bridgeId: this.id,
      source: () => this.#source,
      units: () => this.units(),
      needsUnits: () => this.#feed !== undefined,
      tapped: () => this.#tap !== undefined,
      onKeyPictureWanted: why => this.#wantKeyPicture(why),
    });
  }

  get keptBytes(): number {
    return this.#kept.bytes;
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
      onKeyPictureWanted: () => this.#wantKeyPicture('join'),
      held: (packets, now) => this.#readHeld(packets, now),
      onTaken: taken => {
        this.#tap = taken ? units : undefined;
        this.#sinks.updateHolding();
      },
    });
    units.setFormat(this.#source);
    return (this.#units = units);
  }

  /** What units begin with: what is held for a sink that starts is as new as can be. */
  #readHeld(packets: MediaBatch, now: Ms): 'nothing' | 'live' | 'behind' {
    const held = this.#sinks.held(now);
    if (held.count === 0) return this.#kept.read(packets, now);
    for (let i = 0; i < held.count; i++) packets.add(held.memory[i]!, held.payloadOffset[i]!, held.payloadLength[i]!, held.marker[i]!, held.timestamp[i]!, held.index[i]!);
    return 'live';
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

  openSink(params: OpenSinkParams): Promise<Endpoint> {
    return this.#sinks.open(params);
  }

  startSink(params: StartSinkParams): void {
    this.#sinks.start(params.sinkId, params);
  }

  sinkMarks(): [sinkId: string, nextSequence: number][] {
    return this.#sinks.marks();
  }

  sessions(): readonly SinkSession[] {
    return this.#sinks.sessions();
  }

  closeSink(sinkId: string): Promise<void> {
    return this.#sinks.closeSink(sinkId);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#kept.clear();
    this.#feed?.close();
    this.#units?.end('closed');
    await Promise.all([this.#sinks.close(), this.#source.close(), this.#next?.close()]);
  }

  /** The one place where packets of the source pass, in order. False: somebody still reads the memory of the batch. */
  #onPackets(batch: MediaBatch, now: Ms): boolean {
    if (batch.kind !== this.#kind) this.#onKind(batch.kind);
    this.#source.place(batch);
    this.#tap?.read(batch, now);
    this.#keep(batch, now);
    return this.#sinks.relay(batch, now);
  }

  #keep(batch: MediaBatch, now: Ms): void {
    const { tooLarge } = this.#kept;
    this.#kept.take(batch, now, this.#plane.keyPictureBytes);
    if (this.#kept.tooLarge !== tooLarge) this.#plane.counters.countEvent('pictures.not-kept');
  }

  /** A camera is not asked more than once a second. */
  #wantKeyPicture(why: 'loss' | 'join'): void {
    const now = this.#plane.clock.now();
    if (now - this.#keyPictureAskedAt < ASK_EVERY_MS) return;
    this.#keyPictureAskedAt = now;
    this.#plane.emit({ type: 'key-picture-wanted', bridgeId: this.id, why });
  }

  /** The bytes beat the answer (quirk 52). */
  #onKind(kind: PayloadKind | null): void {
    this.#kind = kind;
    if (this.#source.sees(kind)) this.#onFormat();
  }

  /** The source's payloads mean something else than before. */
  #onFormat(): void {
    this.#kept.clear();
    this.#units?.setFormat(this.#source);
    this.#sinks.onFormat();
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

  stats(): BridgeStats {
    const now = this.#plane.clock.now();
    return {
      bridgeId: this.id,
      label: (this.#feed ?? this.#source).label,
      ageMs: Math.round(now - this.#openedAt),
      source: (this.#feed ?? this.#source).stats(now),
      replacement: this.#next?.stats(now) ?? null,
      units: (this.#feed ?? this.#tap)?.hub.stats(now) ?? null,
      gate: this.#sinks.gateStats(now),
      sinks: this.#sinks.stats(now),
    };
  }
}

/** -1 when there is none. */
function firstKeyPicture(batch: MediaBatch): number {
  for (let i = 0; i < batch.count; i++) if (beginsKeyPicture(batch.kind, batch.memory[i]!, batch.payloadOffset[i]!, batch.payloadLength[i]!)) return i;
  return -1;
}
