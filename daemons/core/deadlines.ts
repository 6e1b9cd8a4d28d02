import { type Ms, NEVER } from './units.ts';

interface Entry<Key> {
  readonly key: Key;
  at: Ms;
  /** Where it stands in the heap. */
  place: number;
}

/**
 * Deadlines of many things of one kind: a binary heap whose entries know their place, so that moving one costs O(log n) and
 * nothing is ever scanned. For the few timers of one automaton there is TimerTable.
 */
export class Deadlines<Key> {
  readonly #heap: Entry<Key>[] = [];
  readonly #entries = new Map<Key, Entry<Key>>();

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
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { key, at, place: this.#heap.length };
      this.#entries.set(key, entry);
      this.#heap.push(entry);
      return void this.#raise(entry.place);
    }
    entry.at = at;
    this.#sink(this.#raise(entry.place));
  }

  delete(key: Key): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const last = this.#heap.pop()!;
    if (last === entry) return;
    this.#put(last, entry.place);
    this.#sink(this.#raise(entry.place));
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
    entry.place = place;
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
