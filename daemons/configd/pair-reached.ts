/** What the other node of the pair has of what was committed here, as its own questions tell. */
import type { Ms } from '#core/units.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

/** It asks once a second. */
const SILENT_MS = 3000;
/** A commit is answered when it is on both nodes, or after this with a warning. */
const PATIENCE_MS = 5000;

interface Asked {
  readonly at: Ms;
  readonly mark: string;
  readonly held: string | null;
}

export class PairReached {
  readonly #clock: Clock;
  #asked: Asked | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  heard(mark: string, held: string | null): void {
    this.#asked = { at: this.#clock.now(), mark, held };
    for (const look of this.#waiting) look();
  }

  /** It cannot be asked any more, and so cannot ask. */
  lost(): void {
    this.#asked = undefined;
    for (const look of this.#waiting) look();
  }

  /** Null: it stands at this mark; else why it does not, in a sentence. */
  async wait(mark: string, peer: string): Promise<string | null> {
    const away = `${peer} is not reached: it gets this when it is back`;
    if (this.#asked === undefined || this.#clock.now() - this.#asked.at > SILENT_MS) return away;
    const over = Promise.withResolvers<void>();
    const look = (): void => {
      if (this.#asked === undefined || this.#asked.mark === mark || this.#asked.held !== null) over.resolve();
    };
    this.#waiting.add(look);
    using _limit = this.#clock.schedule(addMs(this.#clock.now(), PATIENCE_MS), () => over.resolve());
    look();
    await over.promise;
    this.#waiting.delete(look);
    // Whoever waited may have lost it.
    const asked = this.#asked as Asked | undefined;
    if (asked === undefined) return away;
    if (asked.mark === mark) return null;
    return asked.held === null ? `${peer} does not have it yet` : `${peer} cannot follow: ${asked.held}`;
  }
}
