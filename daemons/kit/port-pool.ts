/**
 * Local port numbers for media legs. Even numbers of a range, one a leg (RFC 3550 11 keeps the odd one for RTCP, which GB/T 28181
 * peers rarely send and we never do). A number rests after its release, so that a sender that missed the BYE does not feed
 * the next session (field.md 1, 9).
 */
import { GatewayError } from '#core/result.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from './clock.ts';

/** Longer than a network keeps datagrams, and than most senders go on after a BYE. */
const QUARANTINE_MS = 3000;
/** Binds tried for one lease before the range counts as taken by strangers. */
const MAX_ATTEMPTS = 64;
/** The number is somebody else's; anything else is wrong with the address and no number would help. */
const TAKEN = new Set(['EADDRINUSE', 'EACCES', 'EPERM']);

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** The share of instance `instance` (1-based) of `instances` in a range: contiguous, disjoint, begins even. */
export function shareOf(range: PortRange, instance: number, instances: number): PortRange {
  const firstEven = range.first + (range.first % 2);
  const pairs = Math.max(0, Math.floor((range.last - firstEven) / 2) + 1);
  const from = Math.floor((pairs * (instance - 1)) / instances);
  const to = Math.floor((pairs * instance) / instances);
  return { first: firstEven + 2 * from, last: firstEven + 2 * to - 1 };
}

export interface PortLease {
  readonly port: number;
  /** The number rests, then is free. Twice is once. */
  release(): void;
}

export class PortPool {
  readonly #clock: Clock;
  /** Longest unused first. */
  readonly #free: number[] = [];
  readonly #resting: { readonly port: number; readonly until: Ms }[] = [];

  constructor(range: PortRange, clock: Clock) {
    this.#clock = clock;
    for (let port = range.first; port <= range.last; port += 2) this.#free.push(port);
  }

  /** Numbers that a leg could get now. */
  get free(): number {
    this.#wake();
    return this.#free.length;
  }

  /**
   * Leases a number that `bind` accepts, or this one and no other. PORTS_EXHAUSTED when none is left, MEDIA_UNAVAILABLE when the address
   * cannot be bound.
   */
  async bind<T>(bind: (port: number) => Promise<T>, wanted?: number): Promise<{ readonly lease: PortLease; readonly bound: T }> {
    for (let attempt = 0; attempt < (wanted === undefined ? MAX_ATTEMPTS : 1); attempt++) {
      const lease = wanted === undefined ? this.take() : this.#takeThis(wanted);
      try {
        return { lease, bound: await bind(lease.port) };
      } catch (error) {
        lease.release();
        const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
        if (!TAKEN.has(code)) throw new GatewayError('MEDIA_UNAVAILABLE', { why: code }, { cause: error });
      }
    }
    throw new GatewayError('PORTS_EXHAUSTED', { why: 'ports in use by others', attempts: MAX_ATTEMPTS });
  }

  /** A number without a bind. PORTS_EXHAUSTED when none is left. */
  take(): PortLease {
    this.#wake();
    const port = this.#free.shift();
    if (port === undefined) throw new GatewayError('PORTS_EXHAUSTED', { resting: this.#resting.length });
    return this.#lease(port);
  }

  /** Also while it rests: whoever had it before us is the one that asks. */
  #takeThis(port: number): PortLease {
    const free = this.#free.indexOf(port);
    const resting = this.#resting.findIndex(each => each.port === port);
    if (free < 0 && resting < 0) throw new GatewayError('PORTS_EXHAUSTED', { port, why: 'not free here' });
    if (free >= 0) this.#free.splice(free, 1);
    else this.#resting.splice(resting, 1);
    return this.#lease(port);
  }

  #lease(port: number): PortLease {
    let held = true;
    return {
      port,
      release: () => {
        if (held) this.#resting.push({ port, until: addMs(this.#clock.now(), QUARANTINE_MS) });
        held = false;
      },
    };
  }

  #wake(): void {
    const now = this.#clock.now();
    let awake = 0;
    while (awake < this.#resting.length && this.#resting[awake]!.until <= now) awake++;
    for (const { port } of this.#resting.splice(0, awake)) this.#free.push(port);
  }
}
