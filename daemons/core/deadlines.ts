import { type Ms, NEVER } from './units.ts';

interface Entry<Key> {
  readonly key: Key;
  at: Ms;
}

/**
 * Deadlines of many things of one kind: a binary heap with the place of every key, so that moving one costs O(log n) and
 * nothing is ever scanned. For the few timers of one automaton there is TimerTable.
 */
export class Deadlines<Key> {
  readonly #heap: Entry<Key>[] = [];
  readonly #places = new Map<Key, number>();

  get size(): number {
    return this.#heap.length;
  }

  /** The earliest; NEVER when there is none. */
  get next(): Ms {
    return this.#heap[0]?.at ?? NEVER;
  }

  /** Sets or moves. NEVER removes. */
  set(key: Key, at: Ms): void {
    if (at === NEVER) return this.delete(key);
    const place = this.#places.get(key);
    if (place === undefined) {
      this.#put({ key, at }, this.#heap.length);
      this.#raise(this.#heap.length - 1);
      return;
    }
    this.#heap[place]!.at = at;
    this.#sink(this.#raise(place));
  }

  delete(key: Key): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#places.delete(key);
    const last = this.#heap.pop()!;
    if (place === this.#heap.length) return;
    this.#put(last, place);
    this.#sink(this.#raise(place));
  }

  /** Takes the earliest key that is due; undefined when none is. Call until undefined. */
  takeDue(now: Ms): Key | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.delete(first.key);
    return first.key;
  }

  #put(entry: Entry<Key>, place: number): void {
    this.#heap[place] = entry;
    this.#places.set(entry.key, place);
  }

  #swap(a: number, b: number): void {
    const entry = this.#heap[a]!;
    this.#put(this.#heap[b]!, a);
    this.#put(entry, b);
  }

  #raise(place: number): number {
    for (let here = place; ; ) {
      const parent = (here - 1) >> 1;
      if (here === 0 || this.#heap[parent]!.at <= this.#heap[here]!.at) return here;
      this.#swap(here, parent);
      here = parent;
    }
  }

  #sink(place: number): void {
    for (let here = place; ; ) {
      const left = 2 * here + 1;
      if (left >= this.#heap.length) return;
      const smaller = left + 1 < this.#heap.length && this.#heap[left + 1]!.at < this.#heap[left]!.at ? left + 1 : left;
      if (this.#heap[here]!.at <= this.#heap[smaller]!.at) return;
      this.#swap(here, smaller);
      here = smaller;
    }
  }
}
