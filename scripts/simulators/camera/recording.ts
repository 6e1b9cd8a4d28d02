/**
 * Where a recording stands that plays at some speed, forwards or backwards, and what a request of MANSRTSP makes of it.
 * Times are milliseconds on the recording, from its begin.
 */
import type { MansrtspRequest } from '#core/gb/mansrtsp.ts';

export class RecordingHead {
  readonly durationMs: number;
  /** Multiple of real time at scale 1: of a download. */
  readonly #base: number;
  #positionMs = 0;
  #at: number;
  #endMs: number;
  scale = 1;
  paused = false;

  constructor(durationMs: number, base: number, now: number) {
    this.durationMs = durationMs;
    this.#base = base;
    this.#at = now;
    this.#endMs = durationMs;
  }

  positionMs(now: number): number {
    if (!this.paused) this.#positionMs = Math.min(this.durationMs, Math.max(0, this.#positionMs + (now - this.#at) * this.scale * this.#base));
    this.#at = now;
    return this.#positionMs;
  }

  /** Nothing comes any more. */
  ended(now: number): boolean {
    const position = this.positionMs(now);
    return this.scale > 0 ? position >= this.#endMs : position <= this.#endMs;
  }

  /** True: it stands elsewhere now. */
  steer({ method, range, scale }: MansrtspRequest, now: number): boolean {
    const before = this.positionMs(now);
    this.paused = method === 'PAUSE';
    if (method !== 'PLAY') return false;
    if (scale !== undefined) this.scale = scale;
    this.#endMs = range?.to === undefined ? (this.scale > 0 ? this.durationMs : 0) : range.to * 1000;
    if (range === undefined || range.from === 'now') return false;
    this.#positionMs = Math.min(this.durationMs, range.from * 1000);
    return this.#positionMs !== before;
  }
}
