/**
 * The state of the active node on its way to the other one: every row that is written here goes to the Redis of this node, which
 * replicates. SQLite stays the truth: nobody waits for Redis, and what it missed it gets when it is back.
 *
 *            connected             all tables compared           connection lost
 *   AWAY -----------------> COMPARING ------------------> IN STEP ---------------> AWAY
 *     changes are forgotten   changes wait                changes are written at once, in order
 *
 *   any --an older term than that of the last writer--> REFUSED: this node is not the active one any more
 */
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import type { Random } from './random.ts';
import { openRedis, type RedisLink, type RedisPlace } from './redis-link.ts';
import { markWhole, readTable, writeState } from './redis-state.ts';
import type { SqliteStore } from './sqlite-store.ts';
import { TABLE_NAMES, type Table } from './sqlite-tables.ts';
import { type RowChange, differences } from './store-rows.ts';

/** Changes of one write. */
const BATCH = 200;
const RETRY_MS = 200;
/** Another Redis that is there answers within a millisecond or two. */
const CONFIRM_MS = 100;
/** One that did not is not asked again for so long. */
const ALONE_MS = 2000;

export type MirrorState = 'away' | 'comparing' | 'in-step' | 'refused';

export interface RedisMirrorOptions {
  readonly store: SqliteStore;
  readonly place: RedisPlace;
  readonly term: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Somebody wrote with a later term: told once. */
  readonly onRefused: () => void;
}

export class RedisMirror implements AsyncDisposable {
  readonly #options: RedisMirrorOptions;
  readonly #redis: RedisLink;
  readonly #watch: Disposable;
  /** Rows to write, by table and key: the last state of each is enough. */
  readonly #dirty = new Map<string, readonly [Table, string]>();
  #state: MirrorState = 'away';
  #pumping: Promise<void> | undefined;
  #scheduled = false;
  #closed = false;
  #retry: Disposable | undefined;
  #confirming: Promise<boolean> | undefined;
  #nextConfirmation: Promise<boolean> | undefined;
  #aloneUntil = -Infinity;
  /** Rows that were written to Redis. */
  written = 0;

  constructor(options: RedisMirrorOptions) {
    this.#options = options;
    this.#watch = options.store.rows.watch((table, key) => this.#changed(table, key));
    this.#redis = openRedis(options.place, { log: options.log, onUp: () => this.#pump(), onDown: () => this.#lost() });
  }

  get state(): MirrorState {
    return this.#state;
  }

  /** Rows that wait. */
  get waiting(): number {
    return this.#dirty.size;
  }

  /** Settles when everything written so far is in Redis, or the connection is away. */
  async settle(): Promise<void> {
    this.#options.store.flush();
    while (!this.#closed && this.#redis.up && this.#state !== 'refused' && (this.#dirty.size > 0 || this.#pumping !== undefined || this.#state !== 'in-step')) {
      this.#pump();
      await this.#pumping;
      if (this.#state === 'away') return;
    }
  }

  /** Settles when everything written so far is in the Redis of the other node too. False: nobody is there to have it, or not in time. */
  confirm(): Promise<boolean> {
    if (this.#confirming === undefined) return this.#confirmNow();
    // Those who come meanwhile share the next round: theirs was written after this one began.
    return (this.#nextConfirmation ??= this.#confirming.then(() => {
      this.#nextConfirmation = undefined;
      return this.#confirmNow();
    }));
  }

  #confirmNow(): Promise<boolean> {
    return (this.#confirming = this.#confirmOnce()
      .catch(() => false)
      .finally(() => (this.#confirming = undefined)));
  }

  async #confirmOnce(): Promise<boolean> {
    const { clock, log } = this.#options;
    if (this.#state !== 'in-step' || this.#closed || clock.now() < this.#aloneUntil) return false;
    for (this.#pump(); this.#dirty.size > 0 && this.#pumping !== undefined; this.#pump()) await this.#pumping;
    await this.#pumping;
    if (Number(await this.#redis.command(['WAIT', '1', String(CONFIRM_MS)])) > 0) return true;
    log.warn({ withinMs: CONFIRM_MS }, 'mirror.unconfirmed');
    this.#aloneUntil = addMs(clock.now(), ALONE_MS);
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#watch[Symbol.dispose]();
    this.#retry?.[Symbol.dispose]();
    await this.#redis[Symbol.asyncDispose]();
    await this.#pumping;
  }

  #changed(table: Table, key: string): void {
    if (this.#state === 'away' || this.#state === 'refused') return;
    this.#dirty.set(`${table} ${key}`, [table, key]);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Behind the write that it is told from: what is read there is what was committed.
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #lost(): void {
    if (this.#state !== 'refused') this.#state = 'away';
    this.#dirty.clear();
  }

  #pump(): void {
    if (this.#pumping !== undefined || this.#closed || this.#state === 'refused' || !this.#redis.up) return;
    this.#pumping = this.#run()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => (this.#pumping = undefined));
  }

  async #run(): Promise<void> {
    if (this.#state === 'away') await this.#compare();
    while (this.#dirty.size > 0 && this.#redis.up && !this.#closed) await this.#write(this.#take());
  }

  async #compare(): Promise<void> {
    const { store, term, random, log } = this.#options;
    this.#state = 'comparing';
    let differed = 0;
    for (const table of TABLE_NAMES) {
      const there = await readTable(this.#redis, table);
      const changes = differences(table, there, store.rows.all(table));
      differed += changes.length;
      for (let at = 0; at < changes.length; at += BATCH) await this.#write(changes.slice(at, at + BATCH));
    }
    await markWhole(this.#redis, term, random.hex(8));
    this.#state = 'in-step';
    log.info({ term, differed }, 'mirror.in-step');
  }

  #take(): RowChange[] {
    const { rows } = this.#options.store;
    const changes: RowChange[] = [];
    for (const [id, [table, key]] of this.#dirty) {
      this.#dirty.delete(id);
      changes.push({ table, key, row: rows.row(table, key) });
      if (changes.length >= BATCH) break;
    }
    return changes;
  }

  async #write(changes: readonly RowChange[]): Promise<void> {
    await writeState(this.#redis, this.#options.term, changes);
    this.written += changes.length;
  }

  #failed(error: unknown): void {
    if (this.#closed) return;
    if (!(error instanceof GatewayError) && (error as Error).name === 'TypeError') throw error;
    const { log, term, clock, onRefused } = this.#options;
    if (error instanceof GatewayError && error.code === 'NOT_PERMITTED') {
      this.#state = 'refused';
      this.#dirty.clear();
      log.error({ term, why: error.message }, 'mirror.refused');
      return onRefused();
    }
    // Compared anew: what was under way may have arrived or not.
    log.warn({ why: (error as Error).message }, 'mirror.failed');
    this.#lost();
    this.#retry = clock.schedule(addMs(clock.now(), RETRY_MS), () => this.#pump());
  }
}
