/**
 * What a bridge offers to takers of whole pictures (outlets, transcoders, snapshots), and what they are to it.
 * Damaged pictures, and those built on them, are never given.
 */
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import type { Ms } from '#core/units.ts';

/** One taker. No call waits or throws: who is slow drops by itself (core/media/slow-viewer.ts) and disturbs nobody. */
export interface UnitSink {
  /** One key picture is all it wants: that the pictures behind it are held back is nothing to it. */
  readonly still?: true;
  /** Before the first unit, and before the unit from which something changed. */
  onTracks(tracks: MediaTracks): void;
  /** In decoding order. The first video unit is a key frame. */
  onUnit(unit: MediaUnit, now: Ms): void;
  /** The bridge closed; nothing follows. */
  onEnd(why: string): void;
}

export interface UnitStream {
  /** Null until the first key frame (or, without video, the first sound) was seen. */
  readonly tracks: MediaTracks | null;
  /** Since when pictures are held back because bytes are missing; null: they flow. */
  readonly frozenSince: Ms | null;
  /** Gives what is known since the last key frame at once, before this returns, then goes on live. */
  join(sink: UnitSink): UnitSeat;
}

export interface UnitSeat extends Disposable {
  /** A key frame is wanted soon: asked of the camera where that can be done, not more often than it may. */
  wantKeyFrame(): void;
}
