/** Who may log in, in a SQLite file of apid's own: passwords as scrypt, tokens as SHA-256, nothing that could be used if it were read. */
import { join } from 'node:path';
import { ROLES, type Access, type Role } from '#core/access/roles.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { SqliteBackup } from '#kit/sqlite-backup.ts';
import { type SqliteDatabase, openSqliteFile } from '#kit/sqlite-file.ts';
import { JOURNAL_SQL, UserJournal } from './user-journal.ts';

export interface UserRow {
  readonly name: string;
  readonly kind: 'person' | 'platform';
  readonly roles: readonly Role[];
  /** Roles that another person must agree to (core/access/appointment). */
  readonly waiting: Waiting | null;
  readonly channels: readonly string[];
  /** Null: logs in by certificate or API token only. */
  readonly passwordHash: string | null;
  readonly mustChangePassword: boolean;
  readonly disabled: boolean;
  /** SHA-256 of its client certificate, lower-case hex. */
  readonly certificateSha256: string | null;
  readonly createdAtWallMs: number;
  readonly lastLoginWallMs: number | null;
}

/** `by` gave them, or a log-in to whom has them, last at `sinceWallMs`. */
export interface Waiting {
  readonly roles: readonly Role[];
  readonly by: string;
  readonly sinceWallMs: number;
}

/** `refresh`: used once; its family is one log-in. `api`: lives until it is revoked or over. */
export interface TokenRow {
  readonly hash: string;
  readonly kind: 'refresh' | 'api';
  readonly user: string;
  /** Of an API token: its name. Of a refresh token: its family. */
  readonly label: string;
  /** Null: all that its user may. */
  readonly accesses: readonly Access[] | null;
  /** What who made it could give: more it never is, whatever its user becomes. Null: a refresh token. */
  readonly reach: readonly Access[] | null;
  /** A refresh token that was used: seen again, its family is revoked. */
  readonly used: boolean;
  readonly createdAtWallMs: number;
  readonly expiresAtWallMs: number | null;
}

const MIGRATIONS = [
  {
    version: 1,
    sql: `
      CREATE TABLE users (name TEXT PRIMARY KEY, certificateSha256 TEXT UNIQUE, json TEXT NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE tokens (hash TEXT PRIMARY KEY, user TEXT NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL, expiresAtWallMs REAL, json TEXT NOT NULL) STRICT, WITHOUT ROWID;
      CREATE INDEX tokensOfUser ON tokens (user);
    `,
  },
  {
    version: 2,
    sql: 'CREATE TABLE sites (user TEXT NOT NULL, site TEXT NOT NULL, seenAtWallMs REAL NOT NULL, PRIMARY KEY (user, site)) STRICT, WITHOUT ROWID;',
  },
  { version: 3, sql: JOURNAL_SQL },
];
/** Where one user logged in from; the one that was seen longest ago goes. */
const MAX_SITES = 32;
/** Refresh tokens of one user; the one that ends first goes. */
const MAX_REFRESH = 50;

export class UserStore implements Disposable {
  readonly #database: SqliteDatabase;
  readonly backup: SqliteBackup;
  /** For the other node of a pair. */
  readonly journal: UserJournal;
  readonly #statements: ReturnType<typeof prepareAll>;

  constructor(directory: string, clock: Clock, log: Log) {
    const path = join(directory, 'users.db');
    this.#database = openSqliteFile(path, clock, log, { steps: MIGRATIONS }).database;
    this.backup = new SqliteBackup(this.#database, path, { clock, log });
    this.#database.pragma('synchronous = FULL');
    // Changes are few: each goes from the log into the file at once, so that a log that is gone takes nobody's rights or their end with it.
    this.#database.pragma('wal_autocheckpoint = 1');
    this.journal = new UserJournal(this.#database);
    this.#statements = prepareAll(this.#database);
  }

  [Symbol.dispose](): void {
    this.backup[Symbol.dispose]();
    this.#database.close();
  }

  users(): UserRow[] {
    return this.#statements.users.all().map(row => userOf(row));
  }

  user(name: string): UserRow | undefined {
    const row = this.#statements.user.get(name);
    return row && userOf(row);
  }

  byCertificate(sha256: string): UserRow | undefined {
    const row = this.#statements.byCertificate.get(sha256);
    return row && userOf(row);
  }

  put(user: UserRow): void {
    const before = this.#statements.user.get(user.name);
    this.#statements.put.run(user.name, user.certificateSha256, JSON.stringify({ ...user, roles: rolesToKeep(user.roles, before) }));
  }

  /** With its tokens. */
  delete(name: string): void {
    this.#database.transaction(() => {
      this.#statements.dropTokensOf.run(name);
      this.#statements.dropSites.run(name);
      this.#statements.drop.run(name);
    })();
  }

  /** That he logged in from there. */
  putSite(user: string, site: string, nowWallMs: number): void {
    this.#database.transaction(() => {
      this.#statements.putSite.run(user, site, nowWallMs);
      this.#statements.trimSites.run(user, user, MAX_SITES);
    })();
  }

  knowsSite(user: string, site: string, sinceWallMs: number): boolean {
    return this.#statements.site.get(user, site, sinceWallMs) !== undefined;
  }

  token(hash: string): TokenRow | undefined {
    const row = this.#statements.token.get(hash);
    return row && tokenOf(row);
  }

  tokensOf(user: string): TokenRow[] {
    return this.#statements.tokensOf.all(user).map(tokenOf);
  }

  putToken(token: TokenRow, nowWallMs: number): void {
    this.#database.transaction(() => {
      this.#statements.expire.run(nowWallMs);
      if (token.kind === 'refresh') this.#statements.trim.run(token.user, token.user, MAX_REFRESH);
      this.#statements.putToken.run(token.hash, token.user, token.kind, token.label, token.expiresAtWallMs, JSON.stringify(token));
    })();
  }

  deleteToken(hash: string): void {
    this.#statements.dropToken.run(hash);
  }

  deleteFamily(user: string, label: string): void {
    this.#statements.dropFamily.run(user, label);
  }

  /** Log-ins of this user; API tokens stay. */
  deleteRefreshTokens(user: string): void {
    this.#statements.dropRefresh.run(user);
  }
}

interface Stored {
  readonly json: string;
}

/** What an earlier release wrote has not all of it; a role that only a later one knows permits nothing here. */
function userOf({ json }: Stored): UserRow {
  const { roles, waiting = null, ...user } = JSON.parse(json) as Omit<UserRow, 'waiting'> & { readonly waiting?: Waiting | null };
  return { ...user, roles: roles.filter(isKnown), waiting: waiting && { ...waiting, roles: waiting.roles.filter(isKnown) } };
}
const isKnown = (role: Role): boolean => ROLES.includes(role);

/** Who changes something else of a user leaves him the roles that are not known here. */
function rolesToKeep(roles: readonly Role[], before: Stored | undefined): readonly Role[] {
  const had = before === undefined ? [] : (JSON.parse(before.json) as Pick<UserRow, 'roles'>).roles;
  return roles.join() === had.filter(isKnown).join() ? had : roles;
}
const tokenOf = ({ json }: Stored): TokenRow => ({ reach: null, ...(JSON.parse(json) as Omit<TokenRow, 'reach'>) });

function prepareAll(database: SqliteDatabase) {
  const sql = (text: string) => database.prepare<unknown[], Stored>(text);
  return {
    users: sql('SELECT json FROM users ORDER BY name'),
    user: sql('SELECT json FROM users WHERE name = ?'),
    byCertificate: sql('SELECT json FROM users WHERE certificateSha256 = ?'),
    put: sql('INSERT INTO users (name, certificateSha256, json) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET certificateSha256 = excluded.certificateSha256, json = excluded.json'),
    drop: sql('DELETE FROM users WHERE name = ?'),
    putSite: sql('INSERT OR REPLACE INTO sites (user, site, seenAtWallMs) VALUES (?, ?, ?)'),
    trimSites: sql('DELETE FROM sites WHERE user = ? AND site NOT IN (SELECT site FROM sites WHERE user = ? ORDER BY seenAtWallMs DESC LIMIT ?)'),
    site: sql("SELECT '' AS json FROM sites WHERE user = ? AND site = ? AND seenAtWallMs >= ?"),
    dropSites: sql('DELETE FROM sites WHERE user = ?'),
    token: sql('SELECT json FROM tokens WHERE hash = ?'),
    tokensOf: sql("SELECT json FROM tokens WHERE user = ? AND kind = 'api' ORDER BY label"),
    putToken: sql('INSERT OR REPLACE INTO tokens (hash, user, kind, label, expiresAtWallMs, json) VALUES (?, ?, ?, ?, ?, ?)'),
    dropToken: sql('DELETE FROM tokens WHERE hash = ?'),
    dropTokensOf: sql('DELETE FROM tokens WHERE user = ?'),
    dropRefresh: sql("DELETE FROM tokens WHERE user = ? AND kind = 'refresh'"),
    dropFamily: sql("DELETE FROM tokens WHERE user = ? AND label = ? AND kind = 'refresh'"),
    expire: sql('DELETE FROM tokens WHERE expiresAtWallMs IS NOT NULL AND expiresAtWallMs <= ?'),
    trim: sql("DELETE FROM tokens WHERE user = ? AND kind = 'refresh' AND hash NOT IN (SELECT hash FROM tokens WHERE user = ? AND kind = 'refresh' ORDER BY expiresAtWallMs DESC LIMIT ?)"),
  };
}
