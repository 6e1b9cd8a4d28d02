/**
 * SSRCs that our domain gives out (gb28181.md 6.1, 12.4): live 0 or history 1, digits 4-8 of the domain ID, serial 0001-9999.
 * Serials go round, so that one comes back as late as possible, and never within the quarantine.
 */
import { type Result, fail, ok } from '../result.ts';
import { type Ms, addMs } from '../units.ts';

export const SSRC_QUARANTINE_MS = 10_000;
const SERIALS = 9999;

export type SsrcClass = 'live' | 'history';

export class SsrcAllocator {
  readonly #base: Readonly<Record<SsrcClass, number>>;
  readonly #inUse = new Set<number>();
  /** SSRC -> when it may be given out again; oldest first. */
  readonly #resting = new Map<number, Ms>();
  readonly #nextSerial: Record<SsrcClass, number> = { live: 1, history: 1 };

  /** `domainId`: 20-digit ID of our domain; digits that are missing count as 0. */
  constructor(domainId: string) {
    const domain = Number(/^\d{5}$/.exec(domainId.slice(3, 8))?.[0] ?? '0') * 10_000;
    this.#base = { live: domain, history: 1_000_000_000 + domain };
  }

  get inUse(): number {
    return this.#inUse.size;
  }

  /** Fails when all serials of the class are in use or resting. */
  take(ssrcClass: SsrcClass, now: Ms): Result<number> {
    this.#wakeRested(now);
    for (let tried = 0; tried < SERIALS; tried++) {
      const serial = this.#nextSerial[ssrcClass];
      this.#nextSerial[ssrcClass] = (serial % SERIALS) + 1;
      const ssrc = this.#base[ssrcClass] + serial;
      if (this.#inUse.has(ssrc) || this.#resting.has(ssrc)) continue;
      this.#inUse.add(ssrc);
      return ok(ssrc);
    }
    return fail(0, `all ${SERIALS} SSRCs of class ${ssrcClass} are in use`);
  }

  /** Marks one as in use that a session brought over a restart. */
  adopt(ssrc: number): void {
    this.#resting.delete(ssrc);
    this.#inUse.add(ssrc);
  }

  /** Late packets of the old stream must not reach a new one: it rests first. Twice is once. */
  release(ssrc: number, now: Ms): void {
    if (this.#inUse.delete(ssrc)) this.#resting.set(ssrc, addMs(now, SSRC_QUARANTINE_MS));
  }

  #wakeRested(now: Ms): void {
    for (const [ssrc, until] of this.#resting) {
      if (until > now) return;
      this.#resting.delete(ssrc);
    }
  }
}
