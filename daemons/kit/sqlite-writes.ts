/**
 * When a write reaches the disk. Each commits at once without waiting for the disk, so it survives the process; every
 * 200 ms the log is synchronised behind our back (sqlite-wal.ts), which takes all of them past a power cut. Who cannot go on before that
 * flushes: a synchronous commit. When the disk fails they wait here (fault 108), of each row the last one.
 *
 *        write fails for want of disk               queue full
 *   ok ----------------------------> failing(queue) ----------> failing(queue, refusing)
 *    ^                                    |                        |
 *    +---------- every queued write done <+------------------------+   tried again every second
 */
import { GatewayError } from '#core/result.ts';
import { type Ms, NEVER, addMs } from '#core/units.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import { isStorageTrouble, sqliteCode, type OpenedFile, type SqliteDatabase } from './sqlite-file.ts';
import { WalSync } from './sqlite-wal.ts';
import type { StoreHealth } from './state-store.ts';

const MAX_QUEUED = 10_000;
const SYNC_EVERY_MS = 200;
const RETRY_EVERY_MS = 1000;
/** How far a file is, for `openSqliteFile`: synchronous commits, of which one goes before each backup. */
export const SYNC_PROGRESS = "SELECT value FROM meta WHERE key = 'syncs'";
const COUNT_SYNC = `INSERT INTO meta VALUES ('syncs', '1') ON CONFLICT (key) DO UPDATE SET value = value + 1`;

export interface WriteQueueOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Before a synchronous commit: write what was held back. */
  readonly onFlush: () => void;
  /** The disk works again; `refused` writes were given up meanwhile. */
  readonly onRecovered: (refused: number) => void;
}

export class WriteQueue implements Disposable {
  readonly #database: SqliteDatabase;
  readonly #durable: boolean;
  readonly #options: WriteQueueOptions;
  readonly #wal: WalSync | undefined;
  /** In their order, by key; a number where there is none. */
  readonly #queue = new Map<string | number, () => void>();
  #unnamed = 0;
  #refused = 0;
  #lost = 0;
  #lastError: string | null = null;
  #unsynced = false;
  /** Who waits for the next sync to end. */
  #waiters: (() => void)[] = [];
  #timer: Disposable | undefined;
  #timerAt: Ms = NEVER;

  constructor({ database, durable, wal }: OpenedFile, options: WriteQueueOptions) {
    this.#database = database;
    this.#wal = wal === null ? undefined : new WalSync(wal);
    this.#durable = durable;
    this.#options = options;
  }

  get health(): Omit<StoreHealth, 'origin'> {
    const state = !this.#durable ? 'volatile' : this.#lastError === null ? 'ok' : 'failing';
    return { state, queued: this.#queue.size, refused: this.#refused, lastError: this.#lastError };
  }

  /** Writes that were given up, of all times that are over. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * One write, all or nothing: now, or behind those that wait already. `key`: it says all about rows of which an earlier write with this
   * key said something, so that one need not wait any more. STORE_FAILED when it breaks a rule of the tables.
   */
  write(run: () => void, key?: string): void {
    this.#unsynced = true;
    if (this.#queue.size === 0 && this.#attempt(run)) return this.flushSoon();
    const place = key ?? (this.#unnamed += 1);
    // To the end: whatever came in between came before.
    if (this.#queue.delete(place) || this.#queue.size < MAX_QUEUED) this.#queue.set(place, run);
    else if ((this.#refused += 1) === 1) this.#options.log.error({ queued: MAX_QUEUED }, 'store.refusing');
    this.#arm(RETRY_EVERY_MS);
  }

  flushSoon(): void {
    this.#arm(SYNC_EVERY_MS);
  }

  /** For what may be lost: it waits for other writes, but not longer than this. */
  flushWithin(delayMs: number): void {
    this.#arm(delayMs);
  }

  /** All that was written is on the disk when it returns, unless `health` says otherwise. */
  flush(): void {
    if (this.#isWritten() && (this.#unsynced || this.#wal?.busy === true)) this.#sync();
    for (const run of this.#waiters.splice(0)) run();
  }

  /**
   * Runs this when all that was written so far is past a power cut, and does not hold up anybody meanwhile: those who come while one
   * sync is under way share the next. At once where the disk takes nothing.
   */
  whenSynced(run: () => void): void {
    if (this.#wal?.busy !== true && (!this.#isWritten() || !this.#unsynced || this.#wal === undefined || this.#lastError !== null)) {
      this.flush();
      return run();
    }
    this.#waiters.push(run);
    if (this.#wal?.busy === false) this.#startSync();
  }

  /** As `flush`, and counted although everything was on the disk already. */
  mark(): void {
    if (this.#isWritten()) this.#sync();
  }

  /** Nothing waits and nothing comes any more: flushed before, and the file is closed next. */
  [Symbol.dispose](): void {
    this.#disarm();
    this.#wal?.[Symbol.dispose]();
  }

  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  /** All that waited is in the log. */
  #isWritten(): boolean {
    this.#disarm();
    if (this.#queue.size > 0 && !this.#retry()) return false;
    this.#options.onFlush();
    if (this.#queue.size > 0) return false;
    this.#disarm();
    return true;
  }

  #onDue(): void {
    if (!this.#isWritten() || !this.#unsynced) return;
    // A disk that failed has to show itself that it works again.
    if (this.#wal === undefined || this.#lastError !== null) return this.#sync();
    // Else when that one ends.
    if (!this.#wal.busy) this.#startSync();
  }

  #startSync(): void {
    const waiters = this.#waiters.splice(0);
    this.#unsynced = false;
    this.#wal?.start(why => this.#onSynced(why, waiters));
  }

  #onSynced(why: string | null, waiters: readonly (() => void)[]): void {
    if (why !== null) {
      this.#options.log.error({ why }, 'store.sync-failed');
      this.#sync();
    }
    for (const run of waiters) run();
    if (this.#waiters.length > 0 && this.#wal?.busy === false && this.#isWritten()) this.#startSync();
    else if (why === null && this.#unsynced && this.#timer === undefined) this.#onDue();
  }

  /** False when the disk is at fault. Any other failure is the caller's and is thrown. */
  #attempt(run: () => void): boolean {
    try {
      this.#database.transaction(run)();
      return true;
    } catch (error) {
      if (sqliteCode(error) === '') throw error;
      const why = (error as Error).message;
      if (!isStorageTrouble(error)) throw new GatewayError('STORE_FAILED', { why }, { cause: error });
      if (this.#lastError === null) this.#options.log.error({ why, code: sqliteCode(error) }, 'store.failing');
      this.#lastError = sqliteCode(error);
      return false;
    }
  }

  /** In order, as far as the disk takes them; true when nothing waits any more. */
  #retry(): boolean {
    let done = 0;
    for (const [place, run] of this.#queue) {
      if (!this.#attemptQueued(run)) break;
      this.#queue.delete(place);
      done += 1;
    }
    if (this.#queue.size > 0) {
      this.#arm(RETRY_EVERY_MS);
      return false;
    }
    const refused = this.#refused;
    this.#lost += refused;
    this.#refused = 0;
    this.#lastError = null;
    this.#options.log.warn({ written: done, refused }, 'store.recovered');
    this.#options.onRecovered(refused);
    return true;
  }

  /** Its caller has long gone on: a write that breaks a rule is dropped with a word. */
  #attemptQueued(run: () => void): boolean {
    try {
      return this.#attempt(run);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#options.log.error({ why: error.message }, 'store.write-dropped');
      return true;
    }
  }

  /** A synchronous commit takes all earlier frames of the write-ahead log to the disk with it. */
  #sync(): void {
    this.#unsynced = true;
    this.#database.pragma('synchronous = FULL');
    const done = this.#attempt(() => void this.#database.exec(COUNT_SYNC));
    this.#database.pragma('synchronous = NORMAL');
    if (!done) return this.#arm(RETRY_EVERY_MS);
    this.#unsynced = false;
    this.#lastError = null;
  }

  /** A timer that comes earlier stands. */
  #arm(delayMs: number): void {
    const { clock } = this.#options;
    const at = addMs(clock.now(), delayMs);
    if (this.#timer !== undefined && this.#timerAt <= at) return;
    this.#timer?.[Symbol.dispose]();
    this.#timerAt = at;
    this.#timer = clock.schedule(at, () => this.#onDue());
  }
}
