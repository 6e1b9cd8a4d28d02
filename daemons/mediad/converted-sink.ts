/**
 * A sink leg that is fed with units: its format is another than the source's, or the source is no RTP leg at all.
 *
 *   idle ──leg can send──► joining: what is known since the last key frame, datagrams a few at a time (CatchUp) ──► live ──stop──► idle
 */
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import type { Ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { SinkLeg } from './leg.ts';
import { MediaBatch } from './media-batch.ts';
import { CatchUp } from './opening-hold.ts';
import type { UnitPacker } from './unit-packer.ts';
import type { UnitSeat, UnitSink, UnitStream } from './unit-stream.ts';

export interface ConvertedSinkOptions {
  readonly stream: UnitStream;
  readonly packer: UnitPacker;
  /** It was sending before: what is known already was sent, it goes on with the next key frame. */
  readonly moved: boolean;
  /** The leg takes a whole group of pictures at once: a stream, or datagrams that are paced. */
  readonly flowControl: boolean;
  readonly leg: SinkLeg;
  readonly clock: Clock;
  /** The first packets went out. */
  readonly onFlowing: () => void;
  /** The stream ended before the leg did. */
  readonly onEnd?: ((why: string) => void) | undefined;
}

export class ConvertedSink implements UnitSink, Disposable {
  readonly #options: ConvertedSinkOptions;
  readonly #batch = new MediaBatch();
  #seat: UnitSeat | undefined;
  #joining = true;
  #waitsForKey: boolean;
  #catchUp: CatchUp | undefined;
  #flowing = false;
  #stopped = false;

  constructor(options: ConvertedSinkOptions) {
    this.#options = options;
    this.#waitsForKey = options.moved;
    const seat = options.stream.join(this);
    this.#seat = seat;
    this.#joining = false;
    if (this.#batch.count > 0) this.#pour();
  }

  onTracks(tracks: MediaTracks): void {
    this.#options.packer.tracks(tracks);
  }

  onUnit(unit: MediaUnit, now: Ms): void {
    if (this.#stopped || (this.#waitsForKey && (this.#joining || !this.#mayBegin(unit)))) return;
    this.#waitsForKey = false;
    this.#options.packer.pack(unit, this.#batch);
    // Within join a whole group of pictures may come at once.
    if (!this.#joining && this.#batch.count > 0) this.#send(now);
  }

  #mayBegin(unit: MediaUnit): boolean {
    return unit.keyFrame || this.#options.stream.tracks?.video === null;
  }

  onEnd(why: string): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#options.onEnd?.(why);
  }

  /** What was known at once; a stream has its own flow control, datagrams have none. */
  #pour(): void {
    const now = this.#options.clock.now();
    const catchUp = new CatchUp(this.#batch);
    this.#batch.clear();
    this.#options.leg.deliver(this.#options.flowControl ? catchUp.all() : catchUp.first(), now);
    if (!catchUp.done) this.#catchUp = catchUp;
    this.#onSent();
  }

  #send(now: Ms): void {
    const { leg } = this.#options;
    if (this.#catchUp === undefined) leg.deliver(this.#batch, now);
    else {
      leg.deliver(this.#catchUp.next(this.#batch), now);
      if (this.#catchUp.done) this.#catchUp = undefined;
    }
    this.#batch.clear();
    this.#onSent();
  }

  #onSent(): void {
    if (this.#flowing) return;
    this.#flowing = true;
    this.#options.onFlowing();
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#seat?.[Symbol.dispose]();
  }
}
