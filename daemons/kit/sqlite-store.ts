/** StateStore on SQLite (WAL). Bindings and keepalives, which come by the thousand, wait in memory for the next synchronous commit. */
import { join } from 'node:path';
import { systemClock, type Clock } from './clock.ts';
import type { Log } from './log.ts';
import { SqliteBackup } from './sqlite-backup.ts';
import { openSqliteFile, type SqliteDatabase, type StoreOrigin } from './sqlite-file.ts';
import { type Table, TABLES, UPSERT, where } from './sqlite-tables.ts';
import { SYNC_PROGRESS, WriteQueue } from './sqlite-writes.ts';
import { StoreRows } from './store-rows.ts';
import type { BindingStateRow, ChannelStateRow, DeviceStateRow, HeardStateRow, MappingStateRow, OutboxStateRow, SessionStateRow, StateStore, StoreHealth } from './state-store.ts';

/** Ten thousand devices tell all the time that they live: that alone shall not write to the disk five times a second. */
const KEEPALIVES_WITHIN_MS = 5000;
/** Pages of the write-ahead log (16 MiB) after which they are moved into the file: that waits for the disk, and calls wait with it. */
const CHECKPOINT_PAGES = 4096;
const FILE_NAME = 'sipd.sqlite3';

const RAISE_SERIAL = 'INSERT INTO serials VALUES (@upstream, @serial) ON CONFLICT (upstream) DO UPDATE SET serial = max(serial, excluded.serial)';
const TOUCH = 'UPDATE bindings SET lastKeepaliveWallMs = @atWallMs WHERE deviceId = @deviceId';

export interface SqliteStoreOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** The file may not grow beyond this. */
  readonly maxBytes?: number;
  /** The disk works again. When writes were refused meanwhile, what is on it is older than what the owner knows: put everything again. */
  readonly onRecovered?: (refused: number) => void;
}

type Statement = ReturnType<SqliteDatabase['prepare']>;

export class SqliteStore implements StateStore {
  readonly path: string;
  /** All of it as rows, for whoever keeps a copy elsewhere. */
  readonly rows: StoreRows;
  readonly #database: SqliteDatabase;
  readonly #writes: WriteQueue;
  readonly #origin: StoreOrigin;
  readonly backup: SqliteBackup;
  readonly #statements = new Map<string, Statement>();
  /** In memory too, so that the answer is right while writes wait. */
  #serials = new Map<string, number>();
  #meta = new Map<string, string>();
  /** Latest state per device; null is a deletion. */
  readonly #bindings = new Map<string, BindingStateRow | null>();
  readonly #keepalives = new Map<string, number>();

  /** `directory` is made when missing; `:memory:` keeps nothing. Throws STORE_FAILED as openSqliteFile. */
  constructor(directory: string, { log, clock = systemClock, maxBytes, onRecovered = () => undefined }: SqliteStoreOptions) {
    this.path = directory === ':memory:' ? directory : join(directory, FILE_NAME);
    const file = openSqliteFile(this.path, clock, log, { progress: SYNC_PROGRESS });
    this.#database = file.database;
    this.#origin = file.origin;
    this.#database.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    this.#writes = new WriteQueue(file, { clock, log, onFlush: () => this.#takeWaiting(), onRecovered });
    this.#reload();
    this.rows = new StoreRows(this.#database, { write: run => this.#writes.write(run), settle: () => this.#takeWaiting(), applied: () => this.#reload() });
    this.backup = new SqliteBackup(this.#database, this.path, { clock, log, onBegin: () => this.#writes.mark() });
    if (maxBytes !== undefined) this.limitBytes(maxBytes);
  }

  limitBytes(maxBytes: number): void {
    const pageBytes = Number(this.#database.pragma('page_size', { simple: true }));
    this.#database.pragma(`max_page_count = ${Math.max(1, Math.floor(maxBytes / pageBytes))}`);
  }

  /** Writes that it was given and that it does not have: whoever has them elsewhere compares again when this grows. */
  get lost(): number {
    return this.#writes.lost;
  }

  get health(): StoreHealth {
    return { ...this.#writes.health, origin: this.#origin };
  }

  loadDevices = (): readonly DeviceStateRow[] => this.#all('devices', 'id');
  loadBindings = (): readonly BindingStateRow[] => this.#all('bindings', 'deviceId');
  loadChannels = (): readonly ChannelStateRow[] => this.#all('channels', 'deviceId, ordinal');
  loadMappings = (): readonly MappingStateRow[] => this.#all('mappings', 'upstream, serial');
  loadSessions = (): readonly SessionStateRow[] => this.#all('sessions', 'sessionId');
  loadOutbox = (): readonly OutboxStateRow[] => this.#all('outbox', 'id');
  loadHeard = (): readonly HeardStateRow[] => this.#all('heard', 'slot');

  putDevice(row: DeviceStateRow): void {
    this.#writes.write(() => this.#upsert('devices', row), `device ${row.id}`);
  }

  deleteDevice(id: string): void {
    this.#bindings.delete(id);
    this.#keepalives.delete(id);
    this.#writes.write(() => {
      this.#run('DELETE FROM devices WHERE id = @id', { id });
      this.#run('DELETE FROM bindings WHERE deviceId = @id', { id });
      this.#run('DELETE FROM channels WHERE deviceId = @id', { id });
    }, `gone ${id}`);
  }

  putBinding(row: BindingStateRow): void {
    this.#keepalives.delete(row.deviceId);
    this.#bindings.set(row.deviceId, row);
    this.#writes.flushSoon();
  }

  touchBinding(deviceId: string, lastKeepaliveWallMs: number): void {
    this.#keepalives.set(deviceId, lastKeepaliveWallMs);
    this.#writes.flushWithin(KEEPALIVES_WITHIN_MS);
  }

  deleteBinding(deviceId: string): void {
    this.#keepalives.delete(deviceId);
    this.#bindings.set(deviceId, null);
    this.#writes.flushSoon();
  }

  putChannels(deviceId: string, rows: readonly ChannelStateRow[], { replace }: { readonly replace: boolean }): void {
    this.#writes.write(() => {
      if (replace) this.#run('DELETE FROM channels WHERE deviceId = @deviceId', { deviceId });
      for (const row of rows) this.#upsert('channels', row);
    }, replace ? `channels ${deviceId}` : keyOfOne('channel', rows.map(({ channelId }) => [deviceId, channelId])));
  }

  deleteChannels(deviceId: string, channelIds: readonly string[]): void {
    this.#writes.write(() => {
      for (const channelId of channelIds) this.#run(`DELETE FROM channels WHERE ${where('channels')}`, { deviceId, channelId });
    }, keyOfOne('channel', channelIds.map(channelId => [deviceId, channelId])));
  }

  putMappings(rows: readonly MappingStateRow[]): void {
    this.#writes.write(() => {
      for (const row of rows) {
        this.#upsert('mappings', row);
        this.#run(RAISE_SERIAL, { upstream: row.upstream, serial: row.serial });
      }
    });
    for (const { upstream, serial } of rows) this.#serials.set(upstream, Math.max(serial, this.lastSerial(upstream)));
    this.flush();
  }

  deleteMappings(rows: readonly Pick<MappingStateRow, 'upstream' | 'deviceId' | 'channelId'>[]): void {
    this.#writes.write(() => {
      for (const { upstream, deviceId, channelId } of rows) this.#run(`DELETE FROM mappings WHERE ${where('mappings')}`, { upstream, deviceId, channelId });
    });
  }

  lastSerial(upstream: string): number {
    return this.#serials.get(upstream) ?? 0;
  }

  putSession(row: SessionStateRow): void {
    this.#writes.write(() => this.#upsert('sessions', row), `session ${row.sessionId}`);
  }

  deleteSession(sessionId: string): void {
    this.#writes.write(() => this.#run(`DELETE FROM sessions WHERE ${where('sessions')}`, { sessionId }), `session ${sessionId}`);
  }

  loadTold(subscriptionId: string): readonly (readonly [string, number])[] {
    return this.#prepared('SELECT itemId, mark FROM told WHERE subscriptionId = @subscriptionId').raw().all({ subscriptionId }) as [string, number][];
  }

  putTold(subscriptionId: string, rows: readonly (readonly [string, number | null])[]): void {
    this.#writes.write(() => {
      for (const [itemId, mark] of rows) {
        if (mark === null) this.#run(`DELETE FROM told WHERE ${where('told')}`, { subscriptionId, itemId });
        else this.#upsert('told', { subscriptionId, itemId, mark });
      }
    }, keyOfOne('told', rows.map(([itemId]) => [subscriptionId, itemId])));
  }

  deleteTold(subscriptionId: string): void {
    this.#writes.write(() => this.#run('DELETE FROM told WHERE subscriptionId = @subscriptionId', { subscriptionId }), `untold ${subscriptionId}`);
  }

  putOutbox(rows: readonly OutboxStateRow[], heard?: HeardStateRow): void {
    this.#writes.write(() => {
      // In this order they go to the other node too: known and not there would be lost.
      for (const row of rows) this.#upsert('outbox', row);
      if (heard !== undefined) this.#upsert('heard', heard);
    }, heard === undefined ? keyOfOne('outbox', rows.map(({ id }) => [id])) : undefined);
  }

  deleteOutbox(ids: readonly number[]): void {
    this.#writes.write(() => {
      for (const id of ids) this.#run(`DELETE FROM outbox WHERE ${where('outbox')}`, { id });
    }, keyOfOne('outbox', ids.map(id => [id])));
  }

  getMeta(key: string): string | undefined {
    return this.#meta.get(key);
  }

  putMeta(key: string, value: string): void {
    this.#meta.set(key, value);
    this.#writes.write(() => this.#upsert('meta', { key, value }), `meta ${key}`);
  }

  whenSynced(run: () => void): void {
    this.#writes.whenSynced(run);
  }

  flush(): void {
    this.#writes.flush();
  }

  [Symbol.dispose](): void {
    if (!this.#database.open) return;
    this.backup[Symbol.dispose]();
    this.#writes.flush();
    this.#writes[Symbol.dispose]();
    this.#database.close();
  }

  #reload(): void {
    this.#serials = this.#pairs('SELECT upstream, serial FROM serials');
    this.#meta = this.#pairs('SELECT key, value FROM meta');
  }

  /** Bindings and keepalives that waited become one write; while the disk fails one each, of which the last is enough. */
  #takeWaiting(): void {
    const waiting: (readonly [key: string, run: () => void])[] = [
      ...[...this.#bindings].map(([deviceId, row]) => [`binding ${deviceId}`, () => (row === null ? this.#run(`DELETE FROM bindings WHERE ${where('bindings')}`, { deviceId }) : this.#upsert('bindings', row))] as const),
      ...[...this.#keepalives].map(([deviceId, atWallMs]) => [`keepalive ${deviceId}`, () => this.#run(TOUCH, { deviceId, atWallMs })] as const),
    ];
    this.#bindings.clear();
    this.#keepalives.clear();
    if (waiting.length === 0) return;
    if (this.#writes.health.queued > 0) for (const [key, run] of waiting) this.#writes.write(run, key);
    else this.#writes.write(() => waiting.forEach(([, run]) => run()));
  }

  #all<Row>(table: Table, order: string): readonly Row[] {
    this.#takeWaiting();
    return this.#prepared(`SELECT ${TABLES[table].columns.join(', ')} FROM ${table} ORDER BY ${order}`).all({}) as Row[];
  }

  #pairs<Value>(sql: string): Map<string, Value> {
    return new Map(this.#prepared(sql).raw().all({}) as [string, Value][]);
  }

  #upsert(table: Table, row: object): void {
    this.#run(UPSERT[table], row);
  }

  #run(sql: string, parameters: object): void {
    this.#prepared(sql).run(parameters);
  }

  #prepared(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }
}

/** Of a write of a single row, which says all about it; of several there is none. */
const keyOfOne = (what: string, keys: readonly (readonly (string | number)[])[]): string | undefined => (keys.length === 1 ? `${what} ${JSON.stringify(keys[0])}` : undefined);
