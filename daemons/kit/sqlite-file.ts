/**
 * Opens a SQLite file that can be trusted: checked, migrated, locked to this process. One that is corrupt, empty or older than its
 * backup is moved aside, and the backup takes its place (sqlite-backup.ts); without a backup it is begun anew.
 */
import Database from 'better-sqlite3';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { GatewayError } from '#core/result.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import { MIGRATIONS } from './migrations/index.ts';
import type { Migration } from './migrations/migration.ts';
import { backupOf } from './sqlite-backup.ts';

const KEPT_CORRUPT_FILES = 3;
const CORRUPT_MARK = '.corrupt-';
const BUSY_TIMEOUT_MS = 2000;
/** Codes after which the file cannot be believed. */
const CORRUPTION = /^SQLITE_(CORRUPT|NOTADB)/;
/** Codes that say something of the disk and nothing of the statement. */
const STORAGE = /^SQLITE_(FULL|IOERR|READONLY|CANTOPEN|PERM|NOMEM|PROTOCOL|CORRUPT|NOTADB|BUSY|LOCKED)/;

export type SqliteDatabase = Database.Database;
export type SqliteStatement = Database.Statement<unknown[]>;

export const sqliteCode = (error: unknown): string => (error instanceof Database.SqliteError ? error.code : '');
export const isStorageTrouble = (error: unknown): boolean => STORAGE.test(sqliteCode(error));

export interface OpenedFile {
  readonly database: SqliteDatabase;
  /** False: the file could not be opened and this database lives in memory only. */
  readonly durable: boolean;
  /** Path of the write-ahead log; null when there is none. */
  readonly wal: string | null;
  readonly origin: StoreOrigin;
}

/** `from-backup`: an older state. `anew`: an empty one, where there was something. */
export type StoreOrigin = 'whole' | 'from-backup' | 'anew';

export interface OpenOptions {
  readonly steps?: readonly Migration[];
  /** One number that only grows with what is written: a file that says less than its backup has lost its log. */
  readonly progress?: string;
}

/** STORE_FAILED when another process holds the file or a newer release wrote it; every other trouble is survived. */
export function openSqliteFile(path: string, clock: Clock, log: Log, { steps = MIGRATIONS, progress }: OpenOptions = {}): OpenedFile {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    if (isEmptied(path)) return replace(path, clock, log, 'the file was empty', steps);
    const database = openChecked(path, steps);
    if (progress === undefined || !hasLost(database, path, progress)) return { database, durable: true, wal: walOf(path), origin: 'whole' };
    database.close();
    return replace(path, clock, log, 'it is older than its backup: the log is gone', steps);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    if (sqliteCode(error).startsWith('SQLITE_BUSY')) throw new GatewayError('STORE_FAILED', { path, why: 'another process uses it' }, { cause: error });
    if (CORRUPTION.test(sqliteCode(error))) return replace(path, clock, log, (error as Error).message, steps);
    log.error({ path, why: (error as Error).message }, 'store.volatile');
    return { database: prepare(new Database(':memory:'), steps), durable: false, wal: null, origin: 'whole' };
  }
}

/** It was there, or its backup is. */
const isEmptied = (path: string): boolean => (existsSync(path) ? statSync(path).size === 0 : existsSync(backupOf(path)));

const walOf = (path: string): string | null => (path === ':memory:' ? null : `${path}-wal`);

function openChecked(path: string, steps: readonly Migration[]): SqliteDatabase {
  const database = new Database(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    // One process owns the file: no second daemon by mistake, and no shared-memory file to go missing.
    database.pragma('locking_mode = EXCLUSIVE');
    const verdict = database.pragma('quick_check(1)', { simple: true });
    if (verdict !== 'ok') throw new Database.SqliteError(String(verdict), 'SQLITE_CORRUPT');
    return prepare(database, steps);
  } catch (error) {
    database.close();
    throw error;
  }
}

function prepare(database: SqliteDatabase, steps: readonly Migration[]): SqliteDatabase {
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = NORMAL');
  const version = Number(database.pragma('user_version', { simple: true }));
  if (version > steps.length) throw new GatewayError('STORE_FAILED', { why: 'written by a newer release', version, known: steps.length });
  database.transaction(() => {
    for (const step of steps.slice(version)) {
      database.exec(step.sql);
      database.pragma(`user_version = ${step.version}`);
    }
  })();
  return database;
}

function hasLost(database: SqliteDatabase, path: string, progress: string): boolean {
  if (!existsSync(backupOf(path))) return false;
  const read = (from: SqliteDatabase): number => Number(from.prepare(progress).pluck().get() ?? 0);
  try {
    const backup = new Database(backupOf(path), { readonly: true });
    try {
      return read(backup) > read(database);
    } finally {
      backup.close();
    }
  } catch {
    return false;
  }
}

function replace(path: string, clock: Clock, log: Log, why: string, steps: readonly Migration[]): OpenedFile {
  const aside = moveAside(path, clock);
  const database = fromBackup(path, log, steps);
  const savedAtMs = database === undefined ? null : Math.round(statSync(backupOf(path)).mtimeMs);
  log.error({ path, aside, why, savedAtMs }, database === undefined ? 'store.corrupt-begun-anew' : 'store.corrupt-restored');
  return { database: database ?? openChecked(path, steps), durable: true, wal: walOf(path), origin: database === undefined ? 'anew' : 'from-backup' };
}

function fromBackup(path: string, log: Log, steps: readonly Migration[]): SqliteDatabase | undefined {
  if (!existsSync(backupOf(path))) return undefined;
  try {
    copyFileSync(backupOf(path), path);
    return openChecked(path, steps);
  } catch (error) {
    log.error({ path: backupOf(path), why: (error as Error).message }, 'store.backup-unusable');
    rmSync(path, { force: true });
    return undefined;
  }
}

function moveAside(path: string, clock: Clock): string {
  const aside = `${path}${CORRUPT_MARK}${clock.wall()}`;
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  const marked = `${basename(path)}${CORRUPT_MARK}`;
  const old = readdirSync(dirname(path)).filter(name => name.startsWith(marked) && !/-(wal|shm)$/.test(name)).sort();
  for (const name of old.slice(0, -KEPT_CORRUPT_FILES)) for (const suffix of ['', '-wal', '-shm']) rmSync(join(dirname(path), name + suffix), { force: true });
  return aside;
}
