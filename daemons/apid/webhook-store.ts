/** Events that wait for webhooks, on disk: they outlive a restart of apid, in the order in which they came. What cannot be written is answered, and never stops apid. */
import { join } from 'node:path';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { type SqliteDatabase, isStorageTrouble, openSqliteFile } from '#kit/sqlite-file.ts';
import type { KeptEvent } from './event-hub.ts';

const MIGRATIONS = [
  {
    version: 1,
    sql: `
      CREATE TABLE waiting (number INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, json TEXT NOT NULL) STRICT;
      CREATE INDEX waitingFor ON waiting (target, number);
    `,
  },
];
/** Of one event; a longer one is no event of ours. */
const MAX_JSON = 1024 * 1024;

export class WebhookStore implements Disposable {
  readonly #database: SqliteDatabase;
  readonly #log: Log;

  constructor(directory: string, clock: Clock, log: Log) {
    this.#log = log;
    this.#database = openSqliteFile(join(directory, 'webhooks.db'), clock, log, { steps: MIGRATIONS }).database;
    // A process that dies loses nothing, a power cut at most the last moments: an fsync for each event and receiver would hold up all the others.
    this.#database.pragma('synchronous = NORMAL');
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  /** Its number; undefined: it could not be kept. */
  put(target: string, event: KeptEvent): number | undefined {
    const json = JSON.stringify(event);
    if (json.length > MAX_JSON) return undefined;
    return this.#survive(() => Number(this.#database.prepare('INSERT INTO waiting (target, json) VALUES (?, ?)').run(target, json).lastInsertRowid));
  }

  /** Undefined: it is gone. */
  read(number: number): KeptEvent | undefined {
    const row = this.#survive(() => this.#database.prepare<unknown[], { readonly json: string }>('SELECT json FROM waiting WHERE number = ?').get(number));
    return row && (JSON.parse(row.json) as KeptEvent);
  }

  delete(number: number): void {
    this.#survive(() => this.#database.prepare('DELETE FROM waiting WHERE number = ?').run(number));
  }

  /** Oldest first. */
  numbersOf(target: string): readonly number[] {
    const rows = this.#survive(() => this.#database.prepare<unknown[], { readonly number: number }>('SELECT number FROM waiting WHERE target = ? ORDER BY number').all(target)) ?? [];
    return rows.map(({ number }) => number);
  }

  /** What waits for none of these goes: it must not reach whoever is called the same later. */
  keepOnly(targets: readonly string[]): void {
    this.#survive(() => this.#database.prepare(`DELETE FROM waiting WHERE target NOT IN (${targets.map(() => '?').join(', ')})`).run(...targets));
  }

  #survive<T>(attempt: () => T): T | undefined {
    try {
      return attempt();
    } catch (error) {
      if (!isStorageTrouble(error)) throw error;
      this.#log.error({ why: (error as Error).message }, 'webhook.store-failed');
      return undefined;
    }
  }
}
