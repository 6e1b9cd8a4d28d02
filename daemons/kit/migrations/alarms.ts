import type { Migration } from './migration.ts';

/** Alarms of healthd. `told`: what sipd has taken of it for the platforms above: 0 nothing, 1 that it was raised, 2 that it was cleared. */
export const ALARM_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE alarms (
        alarmId INTEGER PRIMARY KEY, rule TEXT NOT NULL, subject TEXT NOT NULL, severity TEXT NOT NULL, says TEXT NOT NULL, value REAL,
        raisedAtWallMs REAL NOT NULL, clearedAtWallMs REAL, ackUser TEXT, ackAtWallMs REAL, told INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    `,
  },
];
