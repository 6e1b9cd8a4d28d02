import type { Dice } from '#core/sip/engine.ts';
import type { Random } from './random.ts';

const POOL_OCTETS = 4096;

/** Names for messages: random octets are fetched in pools, because a call to the generator costs as much as parsing a header. */
export class PooledDice implements Dice {
  readonly #random: Random;
  #pool = Buffer.alloc(0);
  #at = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  hex(count: number): string {
    if (this.#at + count > this.#pool.length) {
      this.#pool = Buffer.from(this.#random.bytes(Math.max(POOL_OCTETS, count)));
      this.#at = 0;
    }
    this.#at += count;
    return this.#pool.toString('hex', this.#at - count, this.#at);
  }

  int(below: number): number {
    return this.#random.int(below);
  }
}
