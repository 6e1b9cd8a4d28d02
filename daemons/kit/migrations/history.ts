import type { Migration } from './migration.ts';

/** History of healthd: chunks as core/health/history/points writes them. By time first: what is old is dropped in one go. */
export const HISTORY_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE series (id INTEGER PRIMARY KEY, metric TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (metric, labels)) STRICT;
      CREATE TABLE chunks (step INTEGER NOT NULL, startS INTEGER NOT NULL, series INTEGER NOT NULL, points BLOB NOT NULL, PRIMARY KEY (step, startS, series)) STRICT, WITHOUT ROWID;
      CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    `,
  },
];
