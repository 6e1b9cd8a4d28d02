/** Waiting with a bound, for conditions that events make true. */
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

/** What did not happen in time, and what there was instead. */
export class NotInTime extends Error {
  override readonly name = 'NotInTime';
}

/** The promise, or NotInTime after `timeoutMs`. */
export async function within<T>(clock: Clock, timeoutMs: number, what: () => string, promise: Promise<T>): Promise<T> {
  let timer: Disposable | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = clock.schedule(addMs(clock.now(), timeoutMs), () => reject(new NotInTime(`${what()} in ${timeoutMs} ms`)));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer?.[Symbol.dispose]();
  }
}

/** Conditions looked at again whenever `check` is called. */
export class Conditions {
  readonly #waiting = new Set<{ readonly holds: () => boolean; readonly resolve: () => void; readonly reject: (error: Error) => void }>();

  when(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.add({ holds, resolve, reject }));
  }

  check(): void {
    for (const each of this.#waiting) {
      if (!each.holds()) continue;
      this.#waiting.delete(each);
      each.resolve();
    }
  }

  /** None of them will become true. */
  fail(error: Error): void {
    for (const each of this.#waiting) each.reject(error);
    this.#waiting.clear();
  }
}
