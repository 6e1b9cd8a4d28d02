/**
 * Sinks that take the same packets: the hot path's only loop over sinks, and what a sink gets that starts while the stream runs.
 *
 *   added ──ready, a key picture is held──► catching up ──► live
 *             └── nothing is held ──► live, or (whole pictures) waiting for the next key picture ──► live
 */
import type { LegStats, OpenSinkParams } from '#contracts/mediad.ts';
import type { Ms } from '#core/units.ts';
import type { LegCounters } from './leg-counters.ts';
import type { SinkLeg } from './leg.ts';
import { MediaBatch } from './media-batch.ts';
import { CatchUp, OpeningHold } from './opening-hold.ts';

export interface PacketSink {
  params: OpenSinkParams;
  readonly counters: LegCounters;
  leg: SinkLeg | undefined;
  /** While it is behind the live stream. */
  catchUp: CatchUp | undefined;
  /** It wants whole pictures and has not had a key picture yet. */
  fresh: boolean;
  state: LegStats['state'];
}

const waits = ({ state }: PacketSink): boolean => state === 'opening' || state === 'connecting';

/** One for all: filled and delivered before anything else runs. */
const portion = new MediaBatch();

export class FanOut<Sink extends PacketSink> {
  readonly hold = new OpeningHold();
  readonly #onFlowing: (sink: Sink) => void;
  readonly #whole: boolean;
  readonly #sinks = new Set<Sink>();
  /** Sinks that take packets; replaced, never changed, so that a loop over it stays whole. */
  #receivers: readonly Sink[] = [];
  /** Somebody may start soon. */
  #holding = false;

  constructor(whole: boolean, onFlowing: (sink: Sink) => void) {
    this.#whole = whole;
    this.#onFlowing = onFlowing;
  }

  get size(): number {
    return this.#sinks.size;
  }

  get receiving(): boolean {
    return this.#receivers.length > 0;
  }

  /** Nobody takes packets from here, and nobody may start soon. */
  get idle(): boolean {
    return !this.#holding && this.#receivers.length === 0;
  }

  add(sink: Sink): void {
    this.#sinks.add(sink);
  }

  remove(sink: Sink): void {
    this.#sinks.delete(sink);
    this.ended(sink);
  }

  ended(sink: Sink): void {
    this.#receivers = this.#receivers.filter(other => other !== sink);
  }

  receives(sink: Sink): boolean {
    return this.#receivers.includes(sink);
  }

  /** Holds while one of its sinks is about to start; `anyway`: whoever comes next may be one of them. */
  updateHolding(anyway: boolean): void {
    this.#holding = anyway || [...this.#sinks].some(sink => waits(sink) && !this.#receivers.includes(sink));
    if (!this.#holding) this.hold.clear();
  }

  /** The leg can take packets. False: it has to wait for a key picture. */
  ready(sink: Sink, now: Ms): boolean {
    if (sink.state !== 'connecting' || this.#receivers.includes(sink)) return true;
    const held = this.hold.batch(now);
    if (held.count > 0) {
      const catchUp = new CatchUp(held);
      // What is sent writes its headers into this memory: another sink that waits gets its own.
      held.detach();
      sink.leg!.deliver(sink.params.transport === 'udp' ? catchUp.first() : catchUp.all(), now);
      if (!catchUp.done) sink.catchUp = catchUp;
      this.#onFlowing(sink);
    } else sink.fresh = this.#whole;
    this.#receivers = [...this.#receivers, sink];
    return !sink.fresh;
  }

  /**
   * Packets in order. `keyAt`: where in the batch a key picture begins. `last`: nobody gets this memory after them. False: somebody still
   * reads the memory of the batch.
   */
  relay(batch: MediaBatch, now: Ms, keyAt: number, last: boolean): boolean {
    let mayReuse = true;
    if (this.#holding) this.hold.take(batch, now);
    const receivers = this.#receivers;
    for (let i = 0; i < receivers.length; i++) {
      const sink = receivers[i]!;
      if (sink.fresh || sink.catchUp !== undefined) {
        if (!this.#deliverApart(sink, batch, now, keyAt)) mayReuse = false;
        continue;
      }
      const mayRewrite = sink.leg!.deliver(batch, now, last && i + 1 === receivers.length);
      mayReuse &&= mayRewrite;
      if (sink.state === 'connecting') this.#onFlowing(sink);
      if (!mayRewrite && i + 1 < receivers.length) batch.detach();
    }
    return mayReuse;
  }

  #deliverApart(sink: Sink, live: MediaBatch, now: Ms, keyAt: number): boolean {
    if (sink.catchUp !== undefined) {
      sink.leg!.deliver(sink.catchUp.next(live), now);
      if (sink.catchUp.done) sink.catchUp = undefined;
      return true;
    }
    if (keyAt < 0) return true;
    sink.fresh = false;
    portion.begin();
    portion.kind = live.kind;
    portion.datagramPayloadBytes = live.datagramPayloadBytes;
    for (let i = keyAt; i < live.count; i++) portion.add(live.memory[i]!, live.payloadOffset[i]!, live.payloadLength[i]!, live.marker[i]!, live.timestamp[i]!, live.index[i]!);
    const mayRewrite = sink.leg!.deliver(portion, now);
    if (sink.state === 'connecting') this.#onFlowing(sink);
    if (!mayRewrite) live.detach();
    return mayRewrite;
  }
}
