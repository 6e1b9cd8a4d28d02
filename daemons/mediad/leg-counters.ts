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

  countEvent(name: string): void {
    this.events[name] = (this.events[name] ?? 0) + 1;
  }

  snapshot(): Record<string, number> {
    const counters: Record<string, number> = { 'packets.in': this.packetsIn, 'bytes.in': this.bytesIn, 'packets.out': this.packetsOut, 'bytes.out': this.bytesOut };
    for (const [reason, count] of Object.entries(this.dropped)) counters[`dropped.${reason}`] = count;
    return { ...counters, ...this.events };
  }
}

export class LegCounters {
  readonly #instance: InstanceCounters;
  readonly dropped: Drops = {};
  packets = 0;
  bytes = 0;
  /** connectSource or startSink. */
  startedAt: Ms | undefined;
  firstAt: Ms | undefined;
  lastAt: Ms | undefined;

  constructor(instance: InstanceCounters) {
    this.#instance = instance;
  }

  received(bytes: number, now: Ms): void {
    this.packets++;
    this.bytes += bytes;
    this.firstAt ??= now;
    this.lastAt = now;
    this.#instance.packetsIn++;
    this.#instance.bytesIn += bytes;
  }

  sent(packets: number, bytes: number, now: Ms): void {
    this.packets += packets;
    this.bytes += bytes;
    this.firstAt ??= now;
    this.lastAt = now;
    this.#instance.packetsOut += packets;
    this.#instance.bytesOut += bytes;
  }

  drop(reason: DropReason, count = 1): void {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + count;
    this.#instance.dropped[reason] = (this.#instance.dropped[reason] ?? 0) + count;
  }

  get firstPacketMs(): number | null {
    return this.firstAt === undefined || this.startedAt === undefined ? null : Math.max(0, this.firstAt - this.startedAt);
  }

  lastPacketAgeMs(now: Ms): number | null {
    return this.lastAt === undefined ? null : now - this.lastAt;
  }
}
