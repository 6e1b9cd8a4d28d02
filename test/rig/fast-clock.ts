import { addMs, ms, NEVER, wallMs, type Ms, type WallMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

/** A clock that goes so many times as fast as the real one, and whose wall can be set: for daemons that wait for minutes. */
export class FastClock implements Clock {
  readonly #factor: number;
  #wallAtStart: number;

  constructor(factor: number, wallAtStart = Date.UTC(2026, 2, 1)) {
    this.#factor = factor;
    this.#wallAtStart = wallAtStart - performance.now() * factor;
  }

  now(): Ms {
    return ms(performance.now() * this.#factor);
  }

  wall(): WallMs {
    return wallMs(this.#wallAtStart + this.now());
  }

  schedule(at: Ms, task: () => void): Disposable {
    const timer = at === NEVER ? undefined : setTimeout(task, Math.max(0, Math.ceil((at - this.now()) / this.#factor)));
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  }

  stepWall(byMs: number): void {
    this.#wallAtStart += byMs;
  }

  /** So long in its own time. */
  async pass(forMs: number): Promise<void> {
    await new Promise<void>(resolve => void this.schedule(addMs(this.now(), forMs), resolve));
  }
}
