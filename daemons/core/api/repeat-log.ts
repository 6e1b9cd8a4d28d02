/** The same again and again in the audit log would fill it: one line at once, then one a minute with how many there were (faults.md 86). */
import { type Ms, addMs } from '../units.ts';

const EVERY_MS = 60_000;
const MAX_KEPT = 4096;

interface Repeated {
  nextAt: Ms;
  unsaid: number;
}

export class RepeatLog {
  readonly #repeated = new Map<string, Repeated>();

  /** How many were not written since the last line of this key; undefined: this one is not written either. */
  take(key: string, now: Ms): number | undefined {
    const known = this.#repeated.get(key);
    if (known !== undefined && now < known.nextAt) {
      known.unsaid += 1;
      return undefined;
    }
    this.#repeated.delete(key);
    this.#repeated.set(key, { nextAt: addMs(now, EVERY_MS), unsaid: 0 });
    if (this.#repeated.size > MAX_KEPT) this.#repeated.delete(this.#repeated.keys().next().value!);
    return known?.unsaid ?? 0;
  }
}
