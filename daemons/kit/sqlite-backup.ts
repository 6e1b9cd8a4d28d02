/**
 * A second file beside a database, `NAME.backup`, for the day when the first one cannot be believed (fault 111): copied page by page
 * between other work, checked whole, synchronised, and only then put in place of the one before. It may be a quarter of an hour old.
 */
import Database from 'better-sqlite3';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { addMs } from '#core/units.ts';
import type { Clock } from './clock.ts';
import { syncDirectory } from './durable.ts';
import type { Log } from './log.ts';

const EVERY_MS = 900_000;
/** After the start, when everybody has registered. */
const FIRST_MS = 120_000;
const PAGES_AT_ONCE = 256;

export const backupOf = (path: string): string => `${path}.backup`;

export interface SqliteBackupOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Before the copy: what waits in memory is written, and the file says how far it is. */
  readonly onBegin?: () => void;
}

export class SqliteBackup implements Disposable {
  readonly #database: Database.Database;
  readonly #path: string;
  readonly #options: SqliteBackupOptions;
  /** Of the connection, at the last backup. */
  #changes = -1;
  #timer: Disposable | undefined;
  #closed = false;

  /** Of `:memory:` there is none. */
  constructor(database: Database.Database, path: string, options: SqliteBackupOptions) {
    this.#database = database;
    this.#path = path;
    this.#options = options;
    if (path !== ':memory:' && database.name === path) this.#again(FIRST_MS);
  }

  /** False: nothing was written since the last one, or it could not be made; the last one stays. */
  async make(): Promise<boolean> {
    const { log, onBegin } = this.#options;
    if (this.#changes === this.#written() && existsSync(backupOf(this.#path))) return false;
    onBegin?.();
    const changes = this.#written();
    const beside = `${backupOf(this.#path)}.new`;
    try {
      rmSync(beside, { force: true });
      await this.#database.backup(beside, { progress: () => (this.#closed ? 0 : PAGES_AT_ONCE) });
      if (this.#closed) return false;
      verify(beside);
      renameSync(beside, backupOf(this.#path));
      syncDirectory(this.#path);
      this.#changes = changes;
      return true;
    } catch (error) {
      rmSync(beside, { force: true });
      if (!this.#closed) log.warn({ path: this.#path, why: (error as Error).message }, 'store.not-backed-up');
      return false;
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #written(): number {
    return Number(this.#database.prepare('SELECT total_changes()').pluck().get());
  }

  #again(afterMs: number): void {
    const { clock } = this.#options;
    this.#timer = clock.schedule(addMs(clock.now(), afterMs), () => void this.make().then(() => this.#closed || this.#again(EVERY_MS)));
  }
}

/** Whole, without a log of its own, and on the disk. */
function verify(path: string): void {
  const copy = new Database(path);
  try {
    copy.pragma('journal_mode = DELETE');
    const verdict = copy.pragma('integrity_check(1)', { simple: true });
    if (verdict !== 'ok') throw new Error(`the copy is not whole: ${String(verdict)}`);
  } finally {
    copy.close();
  }
  const file = openSync(path, 'r');
  fsyncSync(file);
  closeSync(file);
}
