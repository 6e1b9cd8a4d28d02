/**
 * Lets only whole pictures through: after loss nothing passes until one that stands by itself (design.md 7, faults 70 and 73).
 *
 *   waiting ──entry──► flowing ──damaged unit, bytes missing──► frozen ──entry──► flowing
 *      └──no entry in all of `NO_ENTRY_MS`, and never one before──► flowing without entry (pictures refresh bit by bit)
 *
 * An entry is a key frame, or a recovery point in a stream that has none.
 */
import { type Ms, addMs } from '../units.ts';

/** A stream without any key frame is shown after this. */
export const NO_ENTRY_MS = 10_000;

export type GateState = 'waiting' | 'flowing' | 'frozen' | 'flowing-without-entry';

export interface GatePicture {
  /** `open`: pictures that follow may be shown before it and need what is missing (CRA of H.265, recovery points). `gradual`: whole only later. */
  readonly entry: 'closed' | 'open' | 'gradual' | 'none';
  readonly damaged: boolean;
  readonly pts90k: number;
}

export class PictureGate {
  state: GateState = 'waiting';
  /** Since when pictures are held back because bytes are missing; null: they are not. */
  frozenSince: Ms | null = null;
  heldPictures = 0;
  freezes = 0;
  #frozenMs = 0;
  #entrySeen = false;
  #firstAt: Ms | undefined;
  /** Pictures shown before this one are built on what is missing. */
  #shownFrom = -Infinity;

  /** All the time frozen so far. */
  frozenMs(now: Ms): number {
    return this.#frozenMs + (this.frozenSince === null ? 0 : now - this.frozenSince);
  }

  /** Bytes are missing here: nothing that follows can be trusted. */
  lost(now: Ms): void {
    if (this.state === 'waiting' || this.state === 'frozen') return;
    this.state = 'frozen';
    this.freezes += 1;
    this.frozenSince = now;
    this.#firstAt = undefined;
  }

  /** May this picture be shown? */
  take(picture: GatePicture, now: Ms): boolean {
    this.#firstAt ??= now;
    if (picture.entry === 'closed' || picture.entry === 'open') this.#entrySeen = true;
    if (picture.damaged) this.lost(now);
    else if (this.state === 'waiting' || this.state === 'frozen') this.#tryOpen(picture, now);
    else if (picture.entry === 'closed') this.#shownFrom = -Infinity;
    const passes = !picture.damaged && (this.state === 'flowing' || this.state === 'flowing-without-entry') && picture.pts90k >= this.#shownFrom;
    if (!passes) this.heldPictures += 1;
    return passes;
  }

  #tryOpen(picture: GatePicture, now: Ms): void {
    const isEntry = picture.entry === 'closed' || picture.entry === 'open';
    const isStartWithout = !this.#entrySeen && (picture.entry === 'gradual' || now >= addMs(this.#firstAt!, NO_ENTRY_MS));
    if (!isEntry && !isStartWithout) return;
    this.#frozenMs = this.frozenMs(now);
    this.frozenSince = null;
    this.#shownFrom = picture.entry === 'open' ? picture.pts90k : -Infinity;
    this.state = isEntry ? 'flowing' : 'flowing-without-entry';
  }
}
