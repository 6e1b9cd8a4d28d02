/**
 * The state as plain rows: which changed, what stands in them, and how they are taken over from elsewhere. A key is the JSON array of
 * the key columns, a row the JSON array of all columns, in the order of sqlite-tables.ts.
 */
import type { SqliteDatabase } from './sqlite-file.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { TABLES, TABLE_NAMES, type Table, where } from './sqlite-tables.ts';

/** Null: there is no such row any more. */
export interface RowChange {
  readonly table: Table;
  readonly key: string;
  readonly row: string | null;
}

/** What the state of this release can hold; a higher one may say what this one cannot read. */
export const STATE_VERSION = MIGRATIONS.length;
/** Of this file alone. */
const LOCAL_META = 'syncs';
const CHANGED = 'viewlink_changed';

interface Owner {
  write(run: () => void): void;
  /** Rows that wait in memory are written. */
  settle(): void;
  /** Rows were written past the owner. */
  applied(): void;
}

export class StoreRows {
  readonly #database: SqliteDatabase;
  readonly #owner: Owner;
  readonly #statements = new Map<string, ReturnType<SqliteDatabase['prepare']>>();
  #onChanged: ((table: Table, key: string) => void) | undefined;
  #hasTriggers = false;

  constructor(database: SqliteDatabase, owner: Owner) {
    this.#database = database;
    this.#owner = owner;
  }

  /** Every row that is written from now on, inside the write. One watcher at a time. A row may be told and be as it was. */
  watch(onChanged: (table: Table, key: string) => void): Disposable {
    if (!this.#hasTriggers) this.#makeTriggers();
    this.#onChanged = onChanged;
    return { [Symbol.dispose]: () => void (this.#onChanged = undefined) };
  }

  row(table: Table, key: string): string | null {
    const values = JSON.parse(key) as unknown[];
    const found = this.#prepared(`SELECT json_array(${TABLES[table].columns.join(', ')}) FROM ${table} WHERE ${where(table)}`)
      .pluck()
      .get(Object.fromEntries(TABLES[table].key.map((column, i) => [column, values[i]])));
    return (found as string | undefined) ?? null;
  }

  /** By key. */
  all(table: Table): Map<string, string> {
    this.#owner.settle();
    const { key, columns } = TABLES[table];
    const rows = this.#prepared(`SELECT json_array(${key.join(', ')}), json_array(${columns.join(', ')}) FROM ${table}${table === 'meta' ? ` WHERE key <> '${LOCAL_META}'` : ''}`).raw().all({}) as [string, string][];
    return new Map(rows);
  }

  /** All or nothing. */
  apply(changes: readonly RowChange[]): void {
    this.#owner.write(() => {
      for (const { table, key, row } of changes) if (row === null) this.#delete(table, key);
      for (const { table, row } of changes) if (row !== null) this.#put(table, row);
    });
    this.#owner.applied();
  }

  /** What makes the rows of a table equal to these; answers how many differed. */
  applyAll(table: Table, wanted: ReadonlyMap<string, string>): number {
    const changes = differences(table, this.all(table), wanted);
    if (changes.length > 0) this.apply(changes);
    return changes.length;
  }

  #delete(table: Table, key: string): void {
    const values = JSON.parse(key) as unknown[];
    this.#prepared(`DELETE FROM ${table} WHERE ${where(table)}`).run(Object.fromEntries(TABLES[table].key.map((column, i) => [column, values[i]])));
  }

  /** REPLACE: what stands in the way of a row of the other node is outdated. */
  #put(table: Table, row: string): void {
    const { columns } = TABLES[table];
    const values = JSON.parse(row) as unknown[];
    this.#prepared(`INSERT OR REPLACE INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`).run(columns.map((_, i) => values[i] ?? null));
  }

  /** They live in this connection only, and cost nothing where nobody watches. */
  #makeTriggers(): void {
    this.#hasTriggers = true;
    this.#database.function(CHANGED, { directOnly: false }, (table: unknown, key: unknown) => {
      this.#onChanged?.(table as Table, key as string);
      return null;
    });
    for (const table of TABLE_NAMES) {
      for (const [event, side] of [['INSERT', 'NEW'], ['UPDATE', 'NEW'], ['DELETE', 'OLD']] as const) {
        const only = table === 'meta' ? `WHEN ${side}.key <> '${LOCAL_META}'` : '';
        this.#database.exec(`CREATE TEMP TRIGGER watch_${table}_${event} AFTER ${event} ON main.${table} ${only} BEGIN SELECT ${CHANGED}('${table}', json_array(${TABLES[table].key.map(column => `${side}.${column}`).join(', ')})); END`);
      }
    }
  }

  #prepared(sql: string): ReturnType<SqliteDatabase['prepare']> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }
}

/** What turns `from` into `to`. */
export function differences(table: Table, from: ReadonlyMap<string, string>, to: ReadonlyMap<string, string>): RowChange[] {
  const changes: RowChange[] = [];
  for (const key of from.keys()) if (!to.has(key)) changes.push({ table, key, row: null });
  for (const [key, row] of to) if (from.get(key) !== row) changes.push({ table, key, row });
  return changes;
}
