import { ms, NEVER, wallMs, type Ms, type WallMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

/** A clock that moves only when told; tasks run in the order of their deadlines. */
export class ManualClock implements Clock {
  #now = 0;
  #wallOffset: number;
  readonly #tasks = new Set<{ readonly at: number; readonly task: () => void }>();

  constructor(wallAtStart = Date.UTC(2024, 0, 1)) {
    this.#wallOffset = wallAtStart;
  }

  now(): Ms {
    return ms(this.#now);
  }

  wall(): WallMs {
    return wallMs(this.#now + this.#wallOffset);
  }

  schedule(at: Ms, task: () => void): Disposable {
    const entry = { at, task };
    if (at !== NEVER) this.#tasks.add(entry);
    return { [Symbol.dispose]: () => void this.#tasks.delete(entry) };
  }

  get scheduled(): number {
    return this.#tasks.size;
  }

  /** Moves the wall clock only, as an administrator or NTP does. */
  stepWall(byMs: number): void {
    this.#wallOffset += byMs;
  }

  advance(byMs: number): void {
    const until = this.#now + byMs;
    for (let steps = 0; ; steps++) {
      if (steps > 100_000) throw new Error('a task keeps scheduling itself for now');
      const due = [...this.#tasks].filter(entry => entry.at <= until).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#tasks.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.task();
    }
    this.#now = until;
  }
}
