/**
 * Alarms as people and machines see them: numbered, with a begin, an end and who has seen them. All of them are in memory, the last
 * few thousand on disk too; a disk that is full does not keep an alarm from being raised, since that may be the very alarm.
 */
import { join } from 'node:path';
import type { AlarmRow } from '#contracts/healthd.ts';
import type { RuleOutput, RuleState } from '#core/health/rules.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { ALARM_MIGRATIONS } from '#kit/migrations/alarms.ts';
import { SqliteBackup } from '#kit/sqlite-backup.ts';
import { openSqliteFile, type SqliteDatabase, type StoreOrigin } from '#kit/sqlite-file.ts';
import { SYNC_PROGRESS, WriteQueue } from '#kit/sqlite-writes.ts';

const FILE_NAME = 'alarms.sqlite3';
/** In memory and on disk; the oldest that are over go first. */
const MAX_ROWS = 5000;
const CACHE_KIB = 256;
const MAX_BYTES = 64 * 1024 * 1024;

/** How much of it sipd has taken for the platforms above. */
export type Told = 0 | 1 | 2;

interface Entry {
  readonly row: AlarmRow;
  readonly told: Told;
}

interface DiskRow {
  readonly alarmId: number;
  readonly rule: string;
  readonly subject: string;
  readonly severity: AlarmRow['severity'];
  readonly says: string;
  readonly value: number | null;
  readonly raisedAtWallMs: number;
  readonly clearedAtWallMs: number | null;
  readonly ackUser: string | null;
  readonly ackAtWallMs: number | null;
  readonly told: number;
}

const PUT = `INSERT OR REPLACE INTO alarms VALUES (@alarmId, @rule, @subject, @severity, @says, @value, @raisedAtWallMs, @clearedAtWallMs, @ackUser, @ackAtWallMs, @told)`;

export class AlarmBook implements Disposable {
  readonly #database: SqliteDatabase;
  readonly #writes: WriteQueue;
  readonly backup: SqliteBackup;
  readonly origin: StoreOrigin;
  readonly #clock: Clock;
  /** By number, in order. */
  readonly #entries = new Map<number, Entry>();
  readonly #active = new Map<string, number>();
  #lastId = 0;

  /** `directory` is made when missing; `:memory:` keeps nothing. */
  constructor(directory: string, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    const path = directory === ':memory:' ? directory : join(directory, FILE_NAME);
    const file = openSqliteFile(path, clock, log, { steps: ALARM_MIGRATIONS, progress: SYNC_PROGRESS });
    this.#database = file.database;
    this.origin = file.origin;
    this.#clock = clock;
    this.#database.pragma(`cache_size = -${CACHE_KIB}`);
    const pageBytes = Number(this.#database.pragma('page_size', { simple: true }));
    this.#database.pragma(`max_page_count = ${MAX_BYTES / pageBytes}`);
    this.#writes = new WriteQueue(file, { clock, log, onFlush: () => undefined, onRecovered: () => this.#rewrite() });
    this.backup = new SqliteBackup(this.#database, path, { clock, log, onBegin: () => this.#writes.mark() });
    for (const row of this.#database.prepare('SELECT * FROM alarms ORDER BY alarmId').all() as DiskRow[]) this.#keep(entryOf(row));
  }

  /** What stands since before a restart. */
  get raised(): readonly RuleState[] {
    return this.active.map(({ rule, subject, severity }) => ({ rule, subject, severity }));
  }

  get active(): readonly AlarmRow[] {
    return [...this.#active.values()].map(alarmId => this.#entries.get(alarmId)!.row);
  }

  get isFailing(): boolean {
    return this.#writes.health.state !== 'ok';
  }

  /** Newest first. */
  list(activeOnly: boolean, limit: number): readonly AlarmRow[] {
    const rows = activeOnly ? [...this.active] : [...this.#entries.values()].map(({ row }) => row);
    return rows.sort((a, b) => b.alarmId - a.alarmId).slice(0, limit);
  }

  /** The row as it is now; null when nothing changed. One that became worse keeps its number, and nobody has seen it yet. */
  apply(output: RuleOutput): AlarmRow | null {
    const alarmId = this.#active.get(keyOf(output));
    const before = alarmId === undefined ? undefined : this.#entries.get(alarmId);
    const atWallMs = this.#clock.wall();
    if (output.type === 'clear') return before === undefined ? null : this.#put({ ...before.row, clearedAtWallMs: atWallMs }, before.told);
    const { rule, subject, severity, says, value } = output;
    if (before !== undefined) return this.#put({ ...before.row, severity, says, value, acknowledged: null }, 0);
    return this.#put({ alarmId: (this.#lastId += 1), rule, subject, severity, says, value, raisedAtWallMs: atWallMs, clearedAtWallMs: null, acknowledged: null }, 0);
  }

  /** PEER_UNKNOWN: no such alarm. Twice is once: who saw it first stands. */
  acknowledge(alarmId: number, user: string): void {
    const entry = this.#entries.get(alarmId);
    if (entry === undefined) throw new GatewayError('PEER_UNKNOWN', { alarmId });
    if (entry.row.acknowledged === null) this.#put({ ...entry.row, acknowledged: { user, atWallMs: this.#clock.wall() } }, entry.told);
    // Whoever said so is told that it is known: also after a power cut.
    this.#writes.flush();
  }

  /** Oldest first. An alarm that nobody above heard of and that is over is not told any more. */
  get untold(): readonly AlarmRow[] {
    return [...this.#entries.values()].flatMap(({ row, told }) => (told < wantedOf(row) && !(told === 0 && row.clearedAtWallMs !== null) ? [row] : []));
  }

  told({ alarmId }: AlarmRow): void {
    const entry = this.#entries.get(alarmId);
    if (entry !== undefined) this.#put(entry.row, wantedOf(entry.row));
  }

  [Symbol.dispose](): void {
    this.backup[Symbol.dispose]();
    this.#writes.flush();
    this.#writes[Symbol.dispose]();
    this.#database.close();
  }

  #put(row: AlarmRow, told: Told): AlarmRow {
    const entry = { row, told };
    this.#keep(entry);
    this.#writes.write(() => void this.#database.prepare(PUT).run(diskRow(entry)));
    this.#forgetOldest();
    return row;
  }

  #keep(entry: Entry): void {
    const { row } = entry;
    this.#entries.set(row.alarmId, entry);
    this.#lastId = Math.max(this.#lastId, row.alarmId);
    if (row.clearedAtWallMs === null) this.#active.set(keyOf(row), row.alarmId);
    else if (this.#active.get(keyOf(row)) === row.alarmId) this.#active.delete(keyOf(row));
  }

  #forgetOldest(): void {
    if (this.#entries.size <= MAX_ROWS) return;
    for (const [alarmId, { row }] of this.#entries) {
      if (row.clearedAtWallMs === null) continue;
      this.#entries.delete(alarmId);
      return this.#writes.write(() => void this.#database.prepare('DELETE FROM alarms WHERE alarmId = ?').run(alarmId));
    }
  }

  /** The disk works again, and what was refused meanwhile is only here. */
  #rewrite(): void {
    this.#writes.write(() => {
      for (const entry of this.#entries.values()) this.#database.prepare(PUT).run(diskRow(entry));
    });
  }
}

const keyOf = ({ rule, subject }: { readonly rule: string; readonly subject: string }): string => `${rule}\n${subject}`;
const wantedOf = ({ clearedAtWallMs }: AlarmRow): Told => (clearedAtWallMs === null ? 1 : 2);

function diskRow({ row: { acknowledged, ...row }, told }: Entry): DiskRow {
  return { ...row, ackUser: acknowledged?.user ?? null, ackAtWallMs: acknowledged?.atWallMs ?? null, told };
}

function entryOf({ ackUser, ackAtWallMs, told, ...row }: DiskRow): Entry {
  return { row: { ...row, acknowledged: ackUser === null ? null : { user: ackUser, atWallMs: ackAtWallMs ?? 0 } }, told: told as Told };
}
