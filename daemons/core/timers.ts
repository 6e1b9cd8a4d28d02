import { type Ms, NEVER } from './units.ts';

/**
 * All timers of one automaton in one small table: the keys of `Name` are the complete list of things that can
 * happen because time passed.
 */
export class TimerTable<Name extends string> {
  readonly #at = new Map<Name, Ms>();

  set(name: Name, at: Ms): void {
    this.#at.set(name, at);
  }

  stop(name: Name): void {
    this.#at.delete(name);
  }

  stopAll(): void {
    this.#at.clear();
  }

  has(name: Name): boolean {
    return this.#at.has(name);
  }

  /** When to call the owner next, and why. */
  get next(): { readonly at: Ms; readonly reason: Name | undefined } {
    let at = NEVER;
    let reason: Name | undefined;
    for (const [name, due] of this.#at) if (due < at) [at, reason] = [due, name];
    return { at, reason };
  }

  get deadline(): Ms {
    return this.next.at;
  }

  /** Takes the earliest timer that is due at `now` out of the table; undefined when none is. Call until undefined. */
  takeDue(now: Ms): Name | undefined {
    const { at, reason } = this.next;
    if (reason === undefined || at > now) return undefined;
    this.#at.delete(reason);
    return reason;
  }
}
