/** By which states the configuration of this node came to where it is (core/config/line.ts), kept beside its revisions. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { type KeptLine, type Line, type LineRow, MAX_TRAIL, moveLine, stateMark } from '#core/config/line.ts';
import type { ConfigRevisions } from '#kit/config-revisions.ts';
import { textHash } from '#kit/config-revisions.ts';
import { writeDurably } from '#kit/durable.ts';
import type { Log } from '#kit/log.ts';

const schema = z.strictObject({ pair: z.string().max(128), met: z.boolean(), term: z.int().min(0), trail: z.array(z.string().max(64)).min(1).max(MAX_TRAIL) });
type Kept = z.infer<typeof schema>;

export class PairLine {
  readonly #revisions: ConfigRevisions;
  readonly #path: string;
  readonly #log: Log;
  #kept: Kept | null = null;

  constructor(revisions: ConfigRevisions, path: string, log: Log) {
    this.#revisions = revisions;
    this.#path = path;
    this.#log = log;
  }

  /**
   * `pair`: which one this node belongs to; null: to none. What was before another pair counts for nothing in this one. What was
   * changed since it was written is a change of this node.
   */
  belong(pair: string | null): void {
    if (pair === null) return void (this.#kept = null);
    if (this.#kept?.pair === pair) return;
    const read = this.#read();
    this.#kept = read?.pair === pair ? read : null;
    if (this.#kept === null) this.#keep({ pair, met: false, term: 0, trail: [this.mark()] });
    else this.settle(0);
  }

  /** Null: there is no pair. */
  get line(): KeptLine | null {
    return this.#kept;
  }

  /** Newest first. One that is being applied is none yet. */
  rows(): readonly LineRow[] {
    const { pending } = this.#revisions;
    return this.#revisions.lineRows().filter(({ revision }) => pending?.phase !== 'applying' || revision !== pending.revision);
  }

  /** Of what stands here now. */
  mark(): string {
    const { pending, current } = this.#revisions;
    return stateMark(this.rows(), { current, pending: pending?.phase === 'waiting' ? pending : null }, textHash);
  }

  /** Something was changed here. `term`: of the cluster, by the active node; 0 by another one. */
  settle(term: number): void {
    if (this.#kept === null) return;
    const moved = moveLine(this.#kept, this.mark(), term);
    if (moved !== this.#kept) this.#keep({ ...moved, pair: this.#kept.pair, trail: [...moved.trail] });
  }

  /** What stands here now is what they told. */
  adopt({ term, trail }: Line): void {
    if (this.#kept !== null) this.#keep({ pair: this.#kept.pair, met: true, term, trail: trail.slice(0, MAX_TRAIL) });
  }

  /** The other node stands where we stand. */
  meet(): void {
    if (this.#kept?.met === false) this.#keep({ ...this.#kept, met: true });
  }

  /** A disk that refuses it leaves an older line, and the next start finds out that something was changed. */
  #keep(kept: Kept): void {
    this.#kept = kept;
    try {
      writeDurably(this.#path, JSON.stringify(kept));
    } catch (error) {
      this.#log.warn({ why: (error as Error).message }, 'config.line-not-saved');
    }
  }

  #read(): Kept | null {
    try {
      return schema.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
    } catch {
      return null;
    }
  }
}
