/** Drain before feed: the outputs of one input are all carried out before the next input is looked at. */
export class InputQueue<Input> {
  readonly #waiting: Input[] = [];
  readonly #handle: (input: Input) => void;
  readonly #drained: () => void;
  #draining = false;

  /** `drained`: nothing waits any more; the place to arm a deadline. */
  constructor(handle: (input: Input) => void, drained: () => void = () => undefined) {
    this.#handle = handle;
    this.#drained = drained;
  }

  feed(input: Input): void {
    this.#waiting.push(input);
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#handle(next);
    } finally {
      this.#draining = false;
      this.#drained();
    }
  }
}
