/** SSRCs that we gave, by owner (a source leg, a sink), to give them back. */
import { SsrcAllocator, type SsrcClass } from '#core/gb/ssrc.ts';
import type { Clock } from '#kit/clock.ts';

export class SsrcLeases {
  readonly #allocator: SsrcAllocator;
  readonly #clock: Clock;
  readonly #leased = new Map<string, number>();

  constructor(ownId: string, clock: Clock) {
    this.#allocator = new SsrcAllocator(ownId);
    this.#clock = clock;
  }

  /** Undefined: none is free. */
  take(owner: string, kind: SsrcClass): number | undefined {
    const leased = this.#allocator.take(kind, this.#clock.now());
    if (leased.ok) this.#leased.set(owner, leased.value);
    return leased.ok ? leased.value : undefined;
  }

  /** Takes over one that was given before a restart. */
  adopt(owner: string, ssrc: number): void {
    this.#allocator.adopt(ssrc);
    this.#leased.set(owner, ssrc);
  }

  has(owner: string): boolean {
    return this.#leased.has(owner);
  }

  /** Twice is once. */
  release(owner: string): void {
    const ssrc = this.#leased.get(owner);
    if (ssrc === undefined) return;
    this.#leased.delete(owner);
    this.#allocator.release(ssrc, this.#clock.now());
  }
}
