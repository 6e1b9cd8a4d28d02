import type { Migration } from './migration.ts';

/** Column names are those of the rows in state-store.ts. */
export default {
  version: 1,
  sql: `
    CREATE TABLE devices (
      id TEXT PRIMARY KEY, name TEXT, manufacturer TEXT, model TEXT, firmware TEXT, channelCount INTEGER, infoJson TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bindings (
      deviceId TEXT PRIMARY KEY, contactUri TEXT NOT NULL, transport TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL,
      callId TEXT NOT NULL, cseq INTEGER NOT NULL, expiresAtWallMs REAL NOT NULL, savedAtWallMs REAL NOT NULL, lastKeepaliveWallMs REAL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE channels (
      deviceId TEXT NOT NULL, channelId TEXT NOT NULL, ordinal INTEGER NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
      civilCode TEXT, parentId TEXT, manufacturer TEXT, itemJson TEXT NOT NULL,
      PRIMARY KEY (deviceId, channelId)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mappings (
      upstream TEXT NOT NULL, mappedId TEXT NOT NULL, deviceId TEXT NOT NULL, channelId TEXT NOT NULL, serial INTEGER NOT NULL,
      PRIMARY KEY (upstream, deviceId, channelId), UNIQUE (upstream, mappedId)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE serials (upstream TEXT PRIMARY KEY, serial INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE sessions (sessionId TEXT PRIMARY KEY, kind TEXT NOT NULL, json TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
} satisfies Migration;
