/** Which users and tokens changed, and how often: so that the other node of a pair gets them (core/api/user-merge.ts). Triggers of the database write it; nobody has to think of it. */
import type { UserChanges } from '#contracts/apid.ts';
import { type MergedRow, sharedJson, takesPlace, withOwnField } from '#core/api/user-merge.ts';
import { type SqliteDatabase, sqliteCode } from '#kit/sqlite-file.ts';

/** `taking`: rows of the other node are being written, with their versions. Log-ins of people (refresh tokens) stay on their node. */
const NEXT = "(SELECT coalesce(max(seq), 0) + 1 FROM journal), (SELECT coalesce(max(version), 0) + 1 FROM journal)";
/** An upsert: what stands behind OR would be overruled by the statement that set the trigger off. */
const noted = (place: string, gone: 0 | 1): string => `INSERT INTO journal (place, seq, version, gone) SELECT ${place}, ${NEXT}, ${gone} WHERE true ON CONFLICT (place) DO UPDATE SET seq = excluded.seq, version = excluded.version, gone = excluded.gone;`;
const NOT_TAKING = '(SELECT taking FROM journalState) = 0';
/** Whatever the order of its fields. */
const content = (row: 'NEW' | 'OLD'): string => `(SELECT json_group_object(key, value) FROM (SELECT key, value FROM json_each(${row}.json) WHERE key <> 'lastLoginWallMs' ORDER BY key))`;
const isOther = `${content('NEW')} IS NOT ${content('OLD')}`;

export const JOURNAL_SQL = `
  CREATE TABLE journal (place TEXT PRIMARY KEY, seq INTEGER NOT NULL, version INTEGER NOT NULL, gone INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX journalBySeq ON journal (seq);
  CREATE TABLE journalState (id INTEGER PRIMARY KEY CHECK (id = 1), line TEXT NOT NULL, taking INTEGER NOT NULL, peerSeq INTEGER NOT NULL) STRICT;
  INSERT INTO journalState VALUES (1, '', 0, 0);
  INSERT INTO journal SELECT 'user ' || name, row_number() OVER (ORDER BY name), 1, 0 FROM users;
  INSERT INTO journal SELECT 'token ' || hash, (SELECT count(*) FROM users) + row_number() OVER (ORDER BY hash), 1, 0 FROM tokens WHERE kind = 'api';
  CREATE TRIGGER userMade AFTER INSERT ON users WHEN ${NOT_TAKING} BEGIN ${noted("'user ' || NEW.name", 0)} END;
  CREATE TRIGGER userChanged AFTER UPDATE ON users WHEN ${NOT_TAKING} AND ${isOther} BEGIN ${noted("'user ' || NEW.name", 0)} END;
  CREATE TRIGGER userGone AFTER DELETE ON users WHEN ${NOT_TAKING} BEGIN ${noted("'user ' || OLD.name", 1)} END;
  CREATE TRIGGER tokenMade AFTER INSERT ON tokens WHEN ${NOT_TAKING} AND NEW.kind = 'api' BEGIN ${noted("'token ' || NEW.hash", 0)} END;
  CREATE TRIGGER tokenGone AFTER DELETE ON tokens WHEN ${NOT_TAKING} AND OLD.kind = 'api' BEGIN ${noted("'token ' || OLD.hash", 1)} END;
`;

/** Of places. */
const KINDS: readonly string[] = ['user', 'token'];
const MOST_AT_ONCE = 500;
/** So many changes later the other node knows of who is gone, or has been away for years. */
const KEPT_GONE = 10_000;

interface JournalRow {
  readonly place: string;
  readonly seq: number;
  readonly version: number;
  readonly gone: number;
}

export class UserJournal {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
    // One that ended in the middle has written nothing of it.
    database.prepare('UPDATE journalState SET taking = 0').run();
    database.prepare('DELETE FROM journal WHERE gone = 1 AND seq < (SELECT max(seq) FROM journal) - ?').run(KEPT_GONE);
  }

  get line(): string {
    return this.#state().line;
  }

  set line(line: string) {
    this.#database.prepare('UPDATE journalState SET line = ?, peerSeq = 0').run(line);
  }

  /** How far the changes of the other node are here. */
  get peerSeq(): number {
    return this.#state().peerSeq;
  }

  changes(sinceSeq: number): UserChanges {
    const rows = this.#database.prepare<unknown[], JournalRow>('SELECT * FROM journal WHERE seq > ? ORDER BY seq LIMIT ?').all(sinceSeq, MOST_AT_ONCE);
    const newest = this.#database.prepare<unknown[], { readonly seq: number }>('SELECT coalesce(max(seq), 0) AS seq FROM journal').get()!.seq;
    const seq = rows.at(-1)?.seq ?? newest;
    return { line: this.line, rows: rows.map(row => this.#merged(row)), seq, last: seq === newest };
  }

  /** Takes what goes before ours. Names of users whose rights are others now, and of those that had to give up their certificate. */
  take({ rows, seq }: UserChanges): { readonly users: readonly string[]; readonly clashes: readonly string[] } {
    const users = new Set<string>();
    const clashes: string[] = [];
    this.#database.transaction(() => {
      this.#database.prepare('UPDATE journalState SET taking = 1, peerSeq = ?').run(seq);
      // What only a later release keeps stays with it, and comes when it runs here too.
      for (const theirs of rows.filter(({ place }) => KINDS.includes(split(place)[0]))) {
        const known = this.#database.prepare<unknown[], JournalRow>('SELECT * FROM journal WHERE place = ?').get(theirs.place);
        if (!takesPlace(theirs, known && this.#merged(known))) continue;
        users.add(this.#write(theirs, clashes));
        this.#database.prepare('INSERT OR REPLACE INTO journal (place, seq, version, gone) SELECT ?, (SELECT coalesce(max(seq), 0) + 1 FROM journal), ?, ?').run(theirs.place, theirs.version, theirs.json === null ? 1 : 0);
      }
      this.#database.prepare('UPDATE journalState SET taking = 0').run();
    })();
    return { users: [...users].filter(name => name !== ''), clashes };
  }

  /** Everybody goes: those of the other node come in their place. */
  clear(line: string): void {
    this.#database.transaction(() => {
      this.#database.prepare('UPDATE journalState SET taking = 1').run();
      for (const table of ['users', 'tokens', 'sites', 'journal']) this.#database.prepare(`DELETE FROM ${table}`).run();
      this.#database.prepare('UPDATE journalState SET taking = 0, line = ?, peerSeq = 0').run(line);
    })();
  }

  #state(): { readonly line: string; readonly peerSeq: number } {
    return this.#database.prepare<unknown[], { readonly line: string; readonly peerSeq: number }>('SELECT line, peerSeq FROM journalState').get()!;
  }

  #merged({ place, version, gone }: JournalRow): MergedRow {
    const json = gone === 1 ? null : this.#jsonOf(place);
    return { place, version, json: json === null ? null : sharedJson(json) };
  }

  #jsonOf(place: string): string | null {
    const [kind, key] = split(place);
    const found = kind === 'user' ? this.#database.prepare<unknown[], { readonly json: string }>('SELECT json FROM users WHERE name = ?').get(key) : this.#database.prepare<unknown[], { readonly json: string }>('SELECT json FROM tokens WHERE hash = ?').get(key);
    return found?.json ?? null;
  }

  /** The user that it concerns. */
  #write({ place, json }: MergedRow, clashes: string[]): string {
    const [kind, key] = split(place);
    const before = this.#jsonOf(place);
    if (kind === 'user') {
      if (json === null) this.#database.prepare('DELETE FROM users WHERE name = ?').run(key);
      else this.#putUser(key, withOwnField(json, before), clashes);
      return key;
    }
    if (json === null) this.#database.prepare('DELETE FROM tokens WHERE hash = ?').run(key);
    else {
      const { user, kind: tokenKind, label, expiresAtWallMs } = JSON.parse(json) as { readonly user: string; readonly kind: string; readonly label: string; readonly expiresAtWallMs: number | null };
      this.#database.prepare('INSERT OR REPLACE INTO tokens (hash, user, kind, label, expiresAtWallMs, json) VALUES (?, ?, ?, ?, ?, ?)').run(key, user, tokenKind, label, expiresAtWallMs, json);
    }
    return (JSON.parse(json ?? before ?? '{"user":""}') as { readonly user: string }).user;
  }

  /** A certificate that both gave, to different users: it is nobody's. */
  #putUser(name: string, json: string, clashes: string[]): void {
    const put = this.#database.prepare('INSERT INTO users (name, certificateSha256, json) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET certificateSha256 = excluded.certificateSha256, json = excluded.json');
    const row = JSON.parse(json) as { readonly certificateSha256: string | null };
    try {
      put.run(name, row.certificateSha256, json);
    } catch (error) {
      if (!sqliteCode(error).startsWith('SQLITE_CONSTRAINT')) throw error;
      clashes.push(name);
      put.run(name, null, JSON.stringify({ ...row, certificateSha256: null }));
    }
  }
}

function split(place: string): readonly [kind: string, key: string] {
  const at = place.indexOf(' ');
  return [place.slice(0, at), place.slice(at + 1)];
}
