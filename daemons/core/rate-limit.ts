import type { Ms } from './units.ts';
import { parseIp } from './ip.ts';

/** A power of two. Two arrays of doubles: 1 MiB, however many sources there are or claim to be. */
const BUCKETS = 65_536;
/** What one IPv6 customer owns; a bucket for each of its addresses would be no limit at all. */
const IP6_SITE_OCTETS = 8;

/**
 * Token buckets by source address in memory of fixed size (faults.md 24). Sources share a bucket when their hashes meet; `seed`
 * keeps anybody from choosing whom he meets.
 */
export class SourceBuckets {
  readonly #tokens = new Float64Array(BUCKETS);
  readonly #at = new Float64Array(BUCKETS);
  readonly #perS: number;
  readonly #burst: number;
  readonly #seed: number;

  /** `perS` a second on average, twice that at once. */
  constructor(perS: number, seed: number) {
    this.#perS = perS;
    this.#burst = 2 * perS;
    this.#seed = seed >>> 0;
    this.#tokens.fill(this.#burst);
  }

  /** Whether one more from `address` is within its rate. */
  take(address: string, now: Ms): boolean {
    const slot = this.#slot(address);
    const tokens = Math.min(this.#burst, this.#tokens[slot]! + (Math.max(0, now - this.#at[slot]!) * this.#perS) / 1000);
    this.#at[slot] = now;
    this.#tokens[slot] = tokens < 1 ? tokens : tokens - 1;
    return tokens >= 1;
  }

  #slot(address: string): number {
    let hash = this.#seed ^ 0x811c9dc5;
    const mix = (octet: number): void => void (hash = Math.imul(hash ^ octet, 0x01000193));
    const site = address.includes(':') ? parseIp(address) : undefined;
    if (site === undefined) for (let i = 0; i < address.length; i++) mix(address.charCodeAt(i));
    else for (const octet of site.family === 6 ? site.octets.subarray(0, IP6_SITE_OCTETS) : site.octets) mix(octet);
    hash ^= hash >>> 16;
    hash = Math.imul(hash, 0x7feb352d);
    return (hash ^ (hash >>> 15)) & (BUCKETS - 1);
  }
}
