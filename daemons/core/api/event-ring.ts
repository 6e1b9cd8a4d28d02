/** The last events, for listeners who come back: an ID is `BOOT.NUMBER`, so that one of before a restart is known as such. */
const MAX_ID = 64;

export interface Kept<Event> {
  readonly id: string;
  readonly event: Event;
}

/** What a listener gets who has heard everything up to an ID. `missed`: some that would follow are gone. */
export interface Replay<Event> {
  readonly missed: boolean;
  readonly events: readonly Kept<Event>[];
}

export class EventRing<Event> {
  readonly #boot: string;
  readonly #size: number;
  readonly #kept: Kept<Event>[] = [];
  /** Of the newest. */
  #number = 0;

  constructor(boot: string, size: number) {
    this.#boot = boot;
    this.#size = size;
  }

  put(event: Event): Kept<Event> {
    const kept = { id: `${this.#boot}.${(this.#number += 1)}`, event };
    this.#kept.push(kept);
    if (this.#kept.length > this.#size) this.#kept.shift();
    return kept;
  }

  /** `lastId`: as it came from outside; undefined: from now on. */
  since(lastId: string | undefined): Replay<Event> {
    if (lastId === undefined) return { missed: false, events: [] };
    const heard = this.#numberOf(lastId);
    if (heard === undefined || heard > this.#number) return { missed: true, events: [...this.#kept] };
    const oldest = this.#number - this.#kept.length + 1;
    return { missed: heard + 1 < oldest, events: this.#kept.slice(Math.max(0, heard + 1 - oldest)) };
  }

  #numberOf(id: string): number | undefined {
    const dot = id.lastIndexOf('.');
    const number = id.slice(dot + 1);
    return id.length <= MAX_ID && dot > 0 && id.slice(0, dot) === this.#boot && /^\d{1,15}$/.test(number) ? Number(number) : undefined;
  }
}
