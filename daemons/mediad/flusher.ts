/** Gathers what many streams write in one turn of the event loop, so that each stream costs one system call a turn. */
export interface Flushable {
  flush(): void;
}

export class Flusher {
  #waiting: Flushable[] = [];
  #spare: Flushable[] = [];

  /** `flush` runs once, after the datagrams of this turn; an added stream adds itself again only after that. */
  add(stream: Flushable): void {
    if (this.#waiting.push(stream) === 1) setImmediate(this.#run);
  }

  #run = (): void => {
    const now = this.#waiting;
    this.#waiting = this.#spare;
    this.#spare = now;
    for (const stream of now) stream.flush();
    now.length = 0;
  };
}
