import type { Migration } from './migration.ts';

/** Alarms that were accepted: core/gb/alarm-memory.ts. */
export default {
  version: 3,
  sql: 'CREATE TABLE heard (slot INTEGER PRIMARY KEY, mark TEXT NOT NULL, atWallMs INTEGER NOT NULL) STRICT;',
} satisfies Migration;
