/** What configd finds when it starts: a file and its revisions, one without the other, or nothing yet. */
import type { Author } from '#contracts/configd.ts';
import { referenceConfig } from '#core/config/reference.ts';
import { SCHEMA_VERSION } from '#core/config/migrate.ts';
import { readText } from '#kit/config-edit.ts';
import type { ConfigFile } from '#kit/config-file.ts';
import { migrateText } from '#kit/config-migrate.ts';
import { type ConfigRevisions, textHash } from '#kit/config-revisions.ts';
import { parseConfigText } from '#kit/config-store.ts';
import type { Log } from '#kit/log.ts';
import type { Secrets } from './secrets.ts';

const SYSTEM: Author = { user: 'configd', via: 'system', address: null };

export interface Found {
  readonly file: ConfigFile;
  readonly revisions: ConfigRevisions;
  readonly secrets: Secrets;
  readonly wallMs: number;
  readonly log: Log;
  /** The other node has the same revisions. */
  readonly inPair: boolean;
}

/** Afterwards there is a current revision and a file. A file that is no good configuration is left alone and shows as changed outside. */
export async function takeUp({ file, revisions, secrets, wallMs, log, inPair }: Found): Promise<void> {
  const text = file.read();
  if (revisions.current > 0) {
    if (text === undefined) {
      file.putBack(revisions.text(revisions.current)!);
      log.warn({ revision: revisions.current }, 'config.file-was-missing');
    }
    return bringUpToDate({ file, revisions, wallMs, log, inPair });
  }
  const first = text === undefined ? undefined : await sealed(text, secrets);
  const reason = first === undefined ? 'factory settings' : 'as it was found at the first start';
  const revision = revisions.add({ text: first ?? referenceConfig(), author: SYSTEM, reason, changes: 0, atWallMs: wallMs });
  revisions.setCurrent(revision);
  if (text === undefined || first !== undefined) file.putBack(revisions.text(revision)!);
  log.info({ revision, reason }, 'config.first-revision');
}

/**
 * A file of an older schema becomes a revision of this one; the one before stays for the software before. In a pair it is the same
 * revision in other words, as the other node still has it, and its text of before stays beside it.
 */
function bringUpToDate({ file, revisions, wallMs, log, inPair }: Omit<Found, 'secrets'>): void {
  const text = file.read() ?? '';
  const read = readText(text);
  if (!read.ok || revisions.pending !== null || textHash(text) !== revisions.hashOf(revisions.current)) return;
  const migrated = migrateText(read.read);
  if (!('text' in migrated) || migrated.text === text) return;
  if (inPair) revisions.keepBeside(revisions.current, 'before');
  if (inPair) revisions.replaceText(revisions.current, migrated.text);
  const revision = inPair ? revisions.current : revisions.add({ text: migrated.text, author: SYSTEM, reason: `schema version ${SCHEMA_VERSION}`, changes: 0, atWallMs: wallMs });
  file.putBack(migrated.text);
  revisions.setCurrent(revision);
  log.info({ revision, schemaVersion: SCHEMA_VERSION }, 'config.migrated');
}

/** Undefined: it is no good configuration. */
async function sealed(text: string, secrets: Secrets): Promise<string | undefined> {
  const judged = await parseConfigText(new TextEncoder().encode(text), secrets.ring);
  const read = readText(text);
  return judged.ok && read.ok ? secrets.sealText(read.read, null) : undefined;
}
