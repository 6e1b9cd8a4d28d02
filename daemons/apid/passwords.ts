/** Passwords as they are kept: scrypt with its parameters beside it, `scrypt$15$8$1$SALT$HASH` (RFC 7914). */
import { scrypt, timingSafeEqual } from 'node:crypto';
import type { Random } from '#kit/random.ts';

/** 2^15, 8, 1: 32 MiB and about 70 ms. */
const COST_LOG2 = 15;
const BLOCK = 8;
const LANES = 1;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Each takes a thread and 32 MiB: whoever comes while so many wait is told to come later. */
const MAX_WAITING = 16;
const AT_ONCE = 2;
const FORM = /^scrypt\$(\d{1,2})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]{8,64})\$([A-Za-z0-9+/=]{16,128})$/;

interface Stored {
  readonly costLog2: number;
  readonly block: number;
  readonly lanes: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

export class Passwords {
  readonly #random: Random;
  /** Of nobody: who is not known costs the same time as who is. */
  readonly #nobody: Stored;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#nobody = { costLog2: COST_LOG2, block: BLOCK, lanes: LANES, salt: Buffer.from(random.bytes(SALT_BYTES)), hash: Buffer.from(random.bytes(HASH_BYTES)) };
  }

  get isBusy(): boolean {
    return this.#waiting.length >= MAX_WAITING;
  }

  async hash(password: string): Promise<string> {
    const salt = Buffer.from(this.#random.bytes(SALT_BYTES));
    const hash = await this.#derive(password, { costLog2: COST_LOG2, block: BLOCK, lanes: LANES, salt, hash: Buffer.alloc(HASH_BYTES) });
    return `scrypt$${COST_LOG2}$${BLOCK}$${LANES}$${salt.toString('base64')}$${hash.toString('base64')}`;
  }

  /** The same time whether there is such a user, and whatever is wrong. */
  async verify(password: string, stored: string | null): Promise<boolean> {
    const known = stored === null ? undefined : readStored(stored);
    const expected = known ?? this.#nobody;
    const derived = await this.#derive(password, expected);
    return timingSafeEqual(derived, expected.hash) && known !== undefined;
  }

  async #derive(password: string, { costLog2, block, lanes, salt, hash }: Stored): Promise<Buffer> {
    await this.#turn();
    try {
      const N = 2 ** costLog2;
      return await new Promise((resolve, reject) => scrypt(password.normalize('NFKC'), salt, hash.length, { N, r: block, p: lanes, maxmem: 256 * N * block }, (error, key) => (error === null ? resolve(key) : reject(error))));
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#running >= AT_ONCE) await new Promise<void>(resolve => this.#waiting.push(resolve));
    this.#running += 1;
  }
}

function readStored(text: string): Stored | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const [costLog2, block, lanes] = match.slice(1, 4).map(Number) as [number, number, number];
  if (costLog2 < 10 || costLog2 > 20 || block < 1 || block > 32 || lanes < 1 || lanes > 4) return undefined;
  return { costLog2, block, lanes, salt: Buffer.from(match[4]!, 'base64'), hash: Buffer.from(match[5]!, 'base64') };
}
