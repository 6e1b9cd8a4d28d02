/**
 * The time that age is counted from when old history is dropped. The clock of the machine alone must not decide that: set twenty
 * years ahead for a moment it would take everything with it. So it is followed, but only four times as fast as time really goes:
 * after a week without power it is caught up with in two days. Set back, it is believed when it has stood for an hour.
 */
import type { Ms, WallMs } from '../../units.ts';

const CATCH_UP = 4;
const BELIEVED_AFTER_MS = 3_600_000;
/** Slewing and reading at two moments look like this. */
const STEP_MS = 2000;

export class Horizon {
  /** Wall milliseconds. */
  #atMs: number;
  #seenAt: Ms;
  #seenWall: WallMs;
  /** Since when the clock goes on without a step. */
  #steadySince: Ms;

  /** `saved`: as it was before a restart. */
  constructor(saved: number | null, now: Ms, wall: WallMs) {
    this.#atMs = saved ?? wall;
    this.#seenAt = now;
    this.#seenWall = wall;
    this.#steadySince = now;
  }

  /** By how much the clock was set since the last call; 0: it was not. */
  follow(now: Ms, wall: WallMs): number {
    const elapsed = now - this.#seenAt;
    const step = wall - this.#seenWall - elapsed;
    this.#seenAt = now;
    this.#seenWall = wall;
    if (Math.abs(step) >= STEP_MS) this.#steadySince = now;
    if (wall >= this.#atMs) this.#atMs = Math.min(wall, this.#atMs + CATCH_UP * elapsed);
    else if (this.isSteady(now)) this.#atMs = wall;
    return Math.abs(step) >= STEP_MS ? step : 0;
  }

  get atMs(): number {
    return this.#atMs;
  }

  /** What lies in the future was written under a wrong clock. */
  isSteady(now: Ms): boolean {
    return now - this.#steadySince >= BELIEVED_AFTER_MS;
  }
}
