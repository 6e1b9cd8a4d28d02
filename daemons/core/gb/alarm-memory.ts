/**
 * Alarms that were accepted, so that one that is said again is answered and not believed twice: a device repeats what it got no answer
 * to (RFC 3261 17.1.2.2: for 32 s; some on their own for minutes), and after a crash or a takeover it repeats it to whoever is there now.
 * Each has a slot, the next one each time, so that what is written of them never grows.
 */
import type { WallMs } from '../units.ts';

export const MAX_HEARD = 8192;
/** What says the same after that says something new: device and SN begin anew at a restart, and not every alarm has a time. */
export const HEARD_MS = 600_000;

export interface HeardAlarm {
  /** 0 to MAX_HEARD - 1. */
  readonly slot: number;
  readonly mark: string;
  readonly atWallMs: number;
}

export class AlarmMemory {
  readonly #bySlot: (HeardAlarm | undefined)[] = [];
  readonly #byMark = new Map<string, HeardAlarm>();
  #next = 0;

  get size(): number {
    return this.#byMark.size;
  }

  /** What was written of others, in any order; the oldest is overwritten first. */
  restore(rows: readonly HeardAlarm[]): void {
    const known = rows.filter(({ slot }) => slot >= 0 && slot < MAX_HEARD).sort((a, b) => a.atWallMs - b.atWallMs);
    for (const heard of known) this.#put(heard);
  }

  /** Undefined: it was heard before. Else what is to be written of it. */
  hear(mark: string, now: WallMs): HeardAlarm | undefined {
    const before = this.#byMark.get(mark);
    if (before !== undefined && now - before.atWallMs < HEARD_MS) return undefined;
    const heard = { slot: this.#next, mark, atWallMs: now };
    this.#put(heard);
    return heard;
  }

  #put(heard: HeardAlarm): void {
    const outdated = this.#bySlot[heard.slot];
    if (outdated !== undefined && this.#byMark.get(outdated.mark) === outdated) this.#byMark.delete(outdated.mark);
    this.#bySlot[heard.slot] = heard;
    this.#byMark.set(heard.mark, heard);
    this.#next = (heard.slot + 1) % MAX_HEARD;
  }
}
