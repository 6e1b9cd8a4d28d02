/** What people are about to commit: one candidate an author, with the revision that it began from. Kept on disk: a restart loses none. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Author } from '#contracts/configd.ts';
import { GatewayError } from '#core/result.ts';
import { textHash } from '#kit/config-revisions.ts';
import { removeDurably, writeDurably } from '#kit/durable.ts';

const MAX_CANDIDATES = 64;
const schema = z.strictObject({ owner: z.string(), baseRevision: z.int().min(0), text: z.string() });
export type Candidate = z.infer<typeof schema>;

/** Who he is counts, not where he sits. */
const ownerOf = ({ user, via }: Author): string => `${via}:${user}`;

export class Candidates {
  readonly #directory: string;
  readonly #known = new Map<string, Candidate>();

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(directory)) {
      const read = readCandidate(join(directory, name));
      if (read === undefined) removeDurably(join(directory, name));
      else this.#known.set(read.owner, read);
    }
  }

  get(author: Author): Candidate | undefined {
    return this.#known.get(ownerOf(author));
  }

  /** Secrets in it are sealed. CAPACITY_EXHAUSTED: too many people have one. */
  put(author: Author, { baseRevision, text }: Omit<Candidate, 'owner'>): void {
    const owner = ownerOf(author);
    if (!this.#known.has(owner) && this.#known.size >= MAX_CANDIDATES) throw new GatewayError('CAPACITY_EXHAUSTED', { candidates: MAX_CANDIDATES });
    const candidate = { owner, baseRevision, text };
    writeDurably(this.#fileOf(owner), JSON.stringify(candidate));
    this.#known.set(owner, candidate);
  }

  drop(author: Author): void {
    if (this.#known.delete(ownerOf(author))) removeDurably(this.#fileOf(ownerOf(author)));
  }

  all(): readonly Candidate[] {
    return [...this.#known.values()];
  }

  /** The same candidate, its text written another way. */
  replaceText(owner: string, text: string): void {
    const known = this.#known.get(owner);
    if (known === undefined) return;
    const candidate = { ...known, text };
    writeDurably(this.#fileOf(owner), JSON.stringify(candidate));
    this.#known.set(owner, candidate);
  }

  #fileOf(owner: string): string {
    return join(this.#directory, `${textHash(owner).slice(0, 32)}.json`);
  }
}

function readCandidate(path: string): Candidate | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}
