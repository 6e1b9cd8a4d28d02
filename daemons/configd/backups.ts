/** Everything that is needed to make this machine anew: the configuration, its kept revisions, and the keys of their secrets. */
import { z } from 'zod';
import type { CommitResult } from '#contracts/configd.ts';
import { KEPT_IN_PAIR, localSteps } from '#core/config/local-keys.ts';
import { GatewayError } from '#core/result.ts';
import { openBackup, sealBackup } from '#kit/backup-file.ts';
import { editText } from '#kit/config-edit.ts';
import type { ConfigRevisions } from '#kit/config-revisions.ts';
import type { Random } from '#kit/random.ts';
import { formatKeyRing, parseKeyRing } from '#kit/secret-box.ts';
import type { Changes, How } from './changes.ts';
import type { Editor } from './editor.ts';
import type { Secrets } from './secrets.ts';

/** Of all revisions together; the newest ones first. */
const MAX_HISTORY = 32 * 1024 * 1024;

const author = z.strictObject({ user: z.string(), via: z.enum(['cli', 'api', 'system']), address: z.string().nullable() });
const content = z.object({
  madeAtWallMs: z.number(),
  keys: z.string(),
  text: z.string(),
  /** Oldest first. */
  revisions: z.array(z.object({ atWallMs: z.number(), author, reason: z.string(), changes: z.int().min(0), text: z.string() })),
});
type Content = z.infer<typeof content>;

export interface BackupsDeps {
  readonly revisions: ConfigRevisions;
  readonly secrets: Secrets;
  readonly editor: Editor;
  readonly changes: Changes;
  readonly random: Random;
  readonly wallMs: () => number;
  readonly inPair: () => boolean;
}

export class Backups {
  readonly #deps: BackupsDeps;

  constructor(deps: BackupsDeps) {
    this.#deps = deps;
  }

  async make(passphrase: string): Promise<Uint8Array> {
    const { secrets, editor, random, wallMs } = this.#deps;
    const made: Content = { madeAtWallMs: wallMs(), keys: formatKeyRing(secrets.ring), text: editor.current().text, revisions: this.#history() };
    return await sealBackup(JSON.stringify(made), passphrase, random);
  }

  /** In a pair a backup brings back what both have, and neither who they are nor what belongs to this machine. */
  #ofThisNode(text: string): string {
    const { editor, inPair } = this.#deps;
    if (!inPair()) return text;
    const read = editor.read(text);
    const result = editText(read, localSteps(read.value, editor.current().value, KEPT_IN_PAIR), { stored: true });
    if (!result.ok) throw new GatewayError('BAD_REQUEST', { why: result.why });
    return result.read.text;
  }

  #history(): Content['revisions'] {
    const { revisions } = this.#deps;
    const kept: Content['revisions'] = [];
    let size = 0;
    for (const { revision, atWallMs, author: who, reason, changes } of revisions.rows(Infinity)) {
      const text = revisions.text(revision);
      if (text === undefined || (size += text.length) > MAX_HISTORY) continue;
      kept.unshift({ atWallMs, author: { ...who }, reason, changes, text });
    }
    return kept;
  }

  /** The configuration becomes a new revision; on a machine that has no history of its own, that of the backup comes before it. */
  async restore(by: Pick<How, 'author' | 'confirmMinutes'>, file: Uint8Array, passphrase: string): Promise<CommitResult> {
    const { revisions, editor, secrets, changes } = this.#deps;
    const read = content.safeParse(JSON.parse(await openBackup(file, passphrase)));
    if (!read.success) throw new GatewayError('BAD_REQUEST', { why: 'this backup was made by another version that this one does not know' });
    const ring = parseKeyRing(read.data.keys);
    const reseal = (text: string): string => secrets.resealText(editor.read(text), ring);
    if (revisions.rows(2).length < 2) for (const { text, reason, ...facts } of read.data.revisions) revisions.add({ ...facts, text: reseal(text), reason: `backup: ${reason}` });
    return await changes.replace(this.#ofThisNode(reseal(read.data.text)), { action: 'config.restore', ...by, reason: 'restored from a backup' });
  }
}
