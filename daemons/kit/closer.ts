/**
 * Who opens, closes; newest first; twice is once. A failed close does not keep the others open.
 */
export class Closer implements AsyncDisposable {
  #steps: (() => unknown)[] = [];

  /** Takes `resource` into care and hands it back. */
  use<T extends Disposable | AsyncDisposable>(resource: T): T {
    this.#steps.push(() => (Symbol.asyncDispose in resource ? resource[Symbol.asyncDispose]() : resource[Symbol.dispose]()));
    return resource;
  }

  defer(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** Hands the care of everything to the caller's new closer; this one then closes nothing. */
  release(): Closer {
    const heir = new Closer();
    heir.#steps = this.#steps;
    this.#steps = [];
    return heir;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const steps = this.#steps.reverse();
    this.#steps = [];
    const errors: unknown[] = [];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'closing failed');
  }
}
