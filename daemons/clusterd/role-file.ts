/** What must outlive clusterd: the highest term that was ever seen, on disk before it is used, and whether this node was active. */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { GatewayError } from '#core/result.ts';
import { writeDurably } from '#kit/durable.ts';
import type { Log } from '#kit/log.ts';

interface Kept {
  readonly term: number;
  readonly active: boolean;
}

export class RoleFile {
  readonly #path: string;
  readonly #log: Log;
  #kept: Kept;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    this.#kept = read(path);
  }

  get kept(): Kept {
    return this.#kept;
  }

  /** A disk that fails is told of and does not keep a node from its work: the other one knows the term too. */
  keep(change: Partial<Kept>): void {
    this.#kept = { ...this.#kept, ...change };
    try {
      writeDurably(this.#path, JSON.stringify(this.#kept));
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#log.error({ path: this.#path, why: error.detail['why'] }, 'role.not-kept');
    }
  }
}

function read(path: string): Kept {
  try {
    const { term, active } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Kept>;
    return { term: Number.isSafeInteger(term) ? term! : 0, active: active === true };
  } catch {
    return { term: 0, active: false };
  }
}
