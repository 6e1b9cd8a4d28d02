/**
 * Channels that an integrator keeps open: a camera that plays already shows at once when somebody looks. A lease ends by itself.
 * The IDs are numbered places, so that after a crash every lease of before can be given back without knowing which there were.
 */
import { GatewayError } from '#core/result.ts';
import { type Ms, addMs } from '#core/units.ts';
import { Deadlines } from '#core/deadlines.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Daemons } from './daemons.ts';

export const MAX_LEASES = 64;
const OPEN_TIMEOUT_MS = 30_000;

export interface Lease {
  readonly leaseId: string;
  readonly user: string;
  readonly deviceId: string;
  readonly channelId: string;
  readonly streamNumber: number;
  readonly instance: string;
  readonly until: Ms;
}

const idOf = (place: number): string => `apid-${place}`;

export class Leases implements Disposable {
  readonly #clock: Clock;
  readonly #daemons: () => Daemons;
  readonly #log: Log;
  readonly #leases = new Map<string, Lease>();
  readonly #ends = new Deadlines<string>();
  readonly #alarm: Alarm;

  constructor(clock: Clock, daemons: () => Daemons, log: Log) {
    this.#clock = clock;
    this.#daemons = daemons;
    this.#log = log;
    this.#alarm = new Alarm(clock, () => this.#end());
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }

  /** Before we go: cameras are not kept open for nobody. */
  async closeAll(): Promise<void> {
    await Promise.all([...this.#leases.keys()].map(leaseId => this.close(leaseId)));
  }

  get rows(): readonly Lease[] {
    return [...this.#leases.values()];
  }

  lease(leaseId: string): Lease | undefined {
    return this.#leases.get(leaseId);
  }

  /** sipd is there, again or for the first time: ours are claimed, those of a predecessor given back. */
  async resume(): Promise<void> {
    for (let place = 1; place <= MAX_LEASES; place += 1) {
      const lease = this.#leases.get(idOf(place));
      const done = lease === undefined ? this.#daemons().sipd.call('closeOutlet', { leaseId: idOf(place) }) : this.#open(lease);
      await done.catch((error: unknown) => this.#log.info({ leaseId: idOf(place), why: String(error) }, 'api.lease-lost'));
    }
  }

  /** CAPACITY_EXHAUSTED, and whatever keeps the channel from playing. */
  async open(parts: Omit<Lease, 'leaseId' | 'until'>, minutes: number): Promise<Lease> {
    let place = 1;
    while (this.#leases.has(idOf(place))) place += 1;
    if (place > MAX_LEASES) throw new GatewayError('CAPACITY_EXHAUSTED', { limit: MAX_LEASES, why: 'so many channels are kept open already' });
    const lease: Lease = { ...parts, leaseId: idOf(place), until: addMs(this.#clock.now(), minutes * 60_000) };
    this.#leases.set(lease.leaseId, lease);
    try {
      await this.#open(lease);
    } catch (error) {
      // It may still open, after we gave it up.
      await this.close(lease.leaseId);
      throw error;
    }
    this.#ends.set(lease.leaseId, lease.until);
    this.#alarm.arm(this.#ends.next);
    return lease;
  }

  async close(leaseId: string): Promise<void> {
    this.#ends.delete(leaseId);
    if (this.#leases.delete(leaseId)) await this.#daemons().sipd.call('closeOutlet', { leaseId }).catch((error: unknown) => this.#log.info({ leaseId, why: String(error) }, 'api.lease-lost'));
  }

  /** Those of this user that he may not have any more. */
  lookAgain(user: string, mayKeep: (lease: Lease) => boolean): void {
    for (const lease of this.rows) if (lease.user === user && !mayKeep(lease)) void this.close(lease.leaseId);
  }

  async #open({ leaseId, instance, deviceId, channelId, streamNumber, user }: Lease): Promise<void> {
    await this.#daemons().sipd.call('openOutlet', { leaseId, instance, deviceId, channelId, streamNumber, label: `api ${user}` }, { timeoutMs: OPEN_TIMEOUT_MS });
  }

  #end(): void {
    for (let leaseId = this.#ends.takeDue(this.#clock.now()); leaseId !== undefined; leaseId = this.#ends.takeDue(this.#clock.now())) void this.close(leaseId);
    this.#alarm.arm(this.#ends.next);
  }
}
