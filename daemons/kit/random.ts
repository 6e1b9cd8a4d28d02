import { randomBytes, randomInt } from 'node:crypto';

/** The only caller of chance. Tests pass a seeded one. */
export interface Random {
  bytes(count: number): Uint8Array;
  /** Lower-case hex of `count` random bytes. */
  hex(count: number): string;
  /** Integer in [0, below). */
  int(below: number): number;
}

export const systemRandom: Random = {
  bytes: count => randomBytes(count),
  hex: count => randomBytes(count).toString('hex'),
  int: below => randomInt(below),
};
