/**
 * What the other node of a pair has and this release cannot read: kept raw, every secret in it and all else sealed as one, until a
 * release that can is installed here. Then it is in force although the other node may be dead by now.
 */
import { readFileSync } from 'node:fs';
import type { ToldLine } from '#core/config/following.ts';
import { removeDurably, writeDurably } from '#kit/durable.ts';
import type { Random } from '#kit/random.ts';
import { type KeyRing, openSecret, sealSecret } from '#kit/secret-box.ts';

export interface Held {
  readonly told: ToldLine;
  readonly why: string;
  /** By revision, oldest first. */
  readonly texts: readonly { readonly revision: number; readonly text: string }[];
}

export class HeldLine {
  readonly #path: string;
  readonly #ring: () => KeyRing;
  readonly #random: Random;
  #why: string | null;

  constructor(path: string, ring: () => KeyRing, random: Random) {
    this.#path = path;
    this.#ring = ring;
    this.#random = random;
    this.#why = this.read()?.why ?? null;
  }

  /** Null: nothing is. */
  get why(): string | null {
    return this.#why;
  }

  /** STORE_FAILED. */
  keep(held: Held): void {
    writeDurably(this.#path, sealSecret(this.#ring(), JSON.stringify(held), this.#random));
    this.#why = held.why;
  }

  /** Null: nothing is kept, or not with our keys. */
  read(): Held | null {
    try {
      const text = openSecret(this.#ring(), readFileSync(this.#path, 'utf8'));
      return text === undefined ? null : (JSON.parse(text) as Held);
    } catch {
      return null;
    }
  }

  drop(): void {
    if (this.#why === null) return;
    removeDurably(this.#path);
    this.#why = null;
  }

  /** With the newest key. */
  reseal(): void {
    const held = this.read();
    if (held !== null) this.keep(held);
  }
}
