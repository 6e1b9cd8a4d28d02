/**
 * Hands the units of one stream to everybody who joined (unit-stream.ts). One is slow or goes: the others do not notice.
 *
 *   seat:  waiting ──tracks are known and a key frame is here (cached, or the next one)──► live ──stream ends, disposed──► gone
 */
import type { UnitStats } from '#contracts/mediad.ts';
import { GopCache } from '#core/media/gop-cache.ts';
import { type RawUnit, UnitIntake } from '#core/media/unit-intake.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import type { Promised } from '#core/media/track-watch.ts';
import type { Ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { UnitSeat, UnitSink, UnitStream } from './unit-stream.ts';

/** Of one stream: a key frame is asked for at most once in this time, whoever wants it. */
const KEY_FRAME_EVERY_MS = 1000;

export interface UnitHubOptions {
  readonly clock: Clock;
  /** Bound of what is kept since the last key frame; asked when a stream begins. */
  readonly gopBytes?: (() => number) | undefined;
  /** Somebody takes units, or nobody does any more. */
  readonly onTaken: (taken: boolean) => void;
  readonly onKeyFrameWanted: () => void;
}

class Seat implements UnitSeat {
  readonly sink: UnitSink;
  readonly #hub: UnitHub;
  live = false;
  gone = false;
  /** Pictures shown before its first key frame are built on what it never got. */
  #shownFrom: number | undefined;

  constructor(hub: UnitHub, sink: UnitSink) {
    this.#hub = hub;
    this.sink = sink;
  }

  give(unit: MediaUnit, now: Ms): void {
    if (this.gone) return;
    if (unit.kind === 'video') {
      if (this.#shownFrom === undefined) this.#shownFrom = unit.pts90k;
      else if (unit.keyFrame) this.#shownFrom = -Infinity;
      if (unit.pts90k < this.#shownFrom) return;
    }
    this.sink.onUnit(unit, now);
  }

  wantKeyFrame(): void {
    if (!this.gone) this.#hub.wantKeyFrame();
  }

  [Symbol.dispose](): void {
    if (this.gone) return;
    this.gone = true;
    this.#hub.leave(this);
  }
}

export class UnitHub implements UnitStream {
  readonly #options: UnitHubOptions;
  #intake = new UnitIntake();
  #cache: GopCache;
  /** Replaced, never changed, so that a loop over it stays whole. */
  #seats: readonly Seat[] = [];
  #told: MediaTracks | null = null;
  #askedAt: Ms | undefined;
  #ended: string | undefined;

  constructor(options: UnitHubOptions) {
    this.#options = options;
    this.#cache = this.#newCache();
  }

  get tracks(): MediaTracks | null {
    return this.#told;
  }

  get frozenSince(): Ms | null {
    return this.#intake.gate.frozenSince;
  }

  get taken(): boolean {
    return this.#seats.length > 0;
  }

  /** Beside the stream: what it will have, parameter sets. */
  get intake(): UnitIntake {
    return this.#intake;
  }

  promise(promised: Promised): void {
    this.#intake.promise(promised);
  }

  join(sink: UnitSink): UnitSeat {
    const seat = new Seat(this, sink);
    if (this.#ended !== undefined) {
      seat.gone = true;
      sink.onEnd(this.#ended);
      return seat;
    }
    const wasTaken = this.taken;
    this.#seats = [...this.#seats, seat];
    if (!wasTaken) this.#options.onTaken(true);
    if (!seat.live) this.#tryStart(seat, undefined, this.#options.clock.now());
    const sees = seat.live && (sink.still === true || this.frozenSince === null);
    if (!sees && !seat.gone && this.#told?.video !== null) this.wantKeyFrame();
    return seat;
  }

  leave(seat: Seat): void {
    this.#seats = this.#seats.filter(other => other !== seat);
    if (!this.taken && this.#ended === undefined) this.#options.onTaken(false);
  }

  wantKeyFrame(): void {
    const now = this.#options.clock.now();
    if (this.#askedAt !== undefined && now - this.#askedAt < KEY_FRAME_EVERY_MS) return;
    this.#askedAt = now;
    this.#options.onKeyFrameWanted();
  }

  take(raw: RawUnit, now: Ms): void {
    const unit = this.#intake.take(raw, now);
    if (unit !== undefined) this.#cache.take(unit);
    const { tracks } = this.#intake;
    if (tracks === null) return;
    const changed = tracks !== this.#told;
    this.#told = tracks;
    for (const seat of this.#seats) {
      if (seat.gone) continue;
      if (!seat.live) this.#tryStart(seat, unit, now);
      else {
        if (changed) seat.sink.onTracks(tracks);
        if (unit !== undefined) seat.give(unit, now);
      }
    }
  }

  /** Bytes are missing before the next unit. */
  gap(now: Ms): void {
    this.#intake.gap(now);
  }

  /** The source begins anew, or nobody watched for a while: what was known may be wrong. Takers stay. */
  restart(): void {
    this.#intake = new UnitIntake();
    this.#cache = this.#newCache();
    this.#told = null;
  }

  #newCache(): GopCache {
    return new GopCache(this.#options.gopBytes?.());
  }

  end(why: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    const seats = this.#seats;
    this.#seats = [];
    this.#cache.clear();
    for (const seat of seats) {
      if (seat.gone) continue;
      seat.gone = true;
      seat.sink.onEnd(why);
    }
  }

  stats(now: Ms): UnitStats {
    const { gate, counters } = this.#intake;
    const { video = null, audio = null } = this.#told ?? {};
    return {
      takers: this.#seats.length,
      video: video && { codec: video.codec, width: video.width, height: video.height },
      audio: audio && { codec: audio.codec, sampleRateHz: audio.sampleRateHz, channels: audio.channels },
      state: gate.state,
      frozenForMs: gate.frozenSince === null ? null : Math.round(now - gate.frozenSince),
      frozenMs: Math.round(gate.frozenMs(now)),
      freezes: gate.freezes,
      ...counters,
      picturesHeld: gate.heldPictures,
      gopBytes: this.#cache.bytes,
    };
  }

  /** `unit`: the live one that is being handed out, already in the cache where the cache takes it. */
  #tryStart(seat: Seat, unit: MediaUnit | undefined, now: Ms): void {
    const tracks = this.#told;
    if (tracks === null) return;
    const cached = this.#cache.units;
    const live = cached.length === 0 && unit !== undefined && (tracks.video === null || unit.keyFrame);
    if (cached.length === 0 && !live) return;
    seat.live = true;
    seat.sink.onTracks(tracks);
    for (const each of live ? [unit] : cached) seat.give(each, now);
  }
}
