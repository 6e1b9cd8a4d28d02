/** What one leg did, and the same summed over all legs of the instance since it started. */
import type { Ms } from '#core/units.ts';

export type DropReason =
  | 'malformed'
  | 'rtcp'
  | 'not-connected'
  | 'wrong-source'
  | 'wrong-ssrc'
  | 'wrong-payload-type'
  | 'duplicate'
  | 'stale'
  | 'late'
  | 'desync'
  | 'queue-full'
  | 'too-large'
  | 'unreachable'
  | 'unexpected';

type Drops = Record<string, number>;

export class InstanceCounters {
  packetsIn = 0;
  bytesIn = 0;
  packetsOut = 0;
  bytesOut = 0;
  readonly dropped: Drops = {};
  readonly events: Drops = {};

  countEvent(name: string, count = 1): void {
    this.events[name] = (this.events[name] ?? 0) + count;
  }

  snapshot(): Record<string, number> {
    const counters: Record<string, number> = { 'packets.in': this.packetsIn, 'bytes.in': this.bytesIn, 'packets.out': this.packetsOut, 'bytes.out': this.bytesOut };
    for (const [reason, count] of Object.entries(this.dropped)) counters[`dropped.${reason}`] = count;
    return { ...counters, ...this.events };
  }
}

/** Columns of a leg's numbers. They stand together in memory, because every packet touches them. */
const PACKETS = 0;
const BYTES = 1;
const STARTED_AT = 2;
const FIRST_AT = 3;
const LAST_AT = 4;
const COLUMNS = 5;

export class LegCounters {
  readonly #instance: InstanceCounters;
  /** NaN where a time is not known yet. */
  readonly #numbers = new Float64Array(COLUMNS).fill(NaN, STARTED_AT);
  readonly dropped: Drops = {};
  /** Numbers that the peer asked for again, and what was resent. */
  asked = 0;
  repaired = 0;

  constructor(instance: InstanceCounters) {
    this.#instance = instance;
  }

  get packets(): number {
    return this.#numbers[PACKETS]!;
  }

  get bytes(): number {
    return this.#numbers[BYTES]!;
  }

  /** connectSource or startSink. */
  start(now: Ms): void {
    this.#numbers[STARTED_AT] = now;
  }

  received(bytes: number, now: Ms): void {
    this.#add(1, bytes, now);
    this.#instance.packetsIn++;
    this.#instance.bytesIn += bytes;
  }

  sent(packets: number, bytes: number, now: Ms): void {
    if (packets === 0) return;
    this.#add(packets, bytes, now);
    this.#instance.packetsOut += packets;
    this.#instance.bytesOut += bytes;
  }

  #add(packets: number, bytes: number, now: Ms): void {
    const numbers = this.#numbers;
    if (numbers[PACKETS] === 0) numbers[FIRST_AT] = now;
    numbers[PACKETS]! += packets;
    numbers[BYTES]! += bytes;
    numbers[LAST_AT] = now;
  }

  drop(reason: DropReason, count = 1): void {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + count;
    this.#instance.dropped[reason] = (this.#instance.dropped[reason] ?? 0) + count;
  }

  get firstPacketMs(): number | null {
    const afterMs = this.#numbers[FIRST_AT]! - this.#numbers[STARTED_AT]!;
    return Number.isNaN(afterMs) ? null : Math.max(0, afterMs);
  }

  lastPacketAgeMs(now: Ms): number | null {
    const ageMs = now - this.#numbers[LAST_AT]!;
    return Number.isNaN(ageMs) ? null : ageMs;
  }
}
