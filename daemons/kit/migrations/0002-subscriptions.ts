import type { Migration } from './migration.ts';

/** What subscribers were told of each catalogue item, and alarms that no platform has accepted yet. */
export default {
  version: 2,
  sql: `
    CREATE TABLE told (subscriptionId TEXT NOT NULL, itemId TEXT NOT NULL, mark INTEGER NOT NULL, PRIMARY KEY (subscriptionId, itemId)) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (id INTEGER PRIMARY KEY, upstream TEXT NOT NULL, priority INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
  `,
} satisfies Migration;
