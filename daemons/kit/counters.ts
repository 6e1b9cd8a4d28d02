/** Named totals since start, for `vlink show counters` and the metrics. */
export class Counters {
  readonly #totals = new Map<string, number>();

  add(name: string, by = 1): void {
    this.#totals.set(name, (this.#totals.get(name) ?? 0) + by);
  }

  get(name: string): number {
    return this.#totals.get(name) ?? 0;
  }

  snapshot(): Record<string, number> {
    return Object.fromEntries([...this.#totals].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
