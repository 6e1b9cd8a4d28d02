/** What configd answers over RPC, method by method. */
import type { ConfigdRequests } from '#contracts/configd.ts';
import { shown } from '#core/config/difference.ts';
import type { AuditLog } from '#kit/audit-log.ts';
import type { ConfigRevisions } from '#kit/config-revisions.ts';
import { processFigures } from '#kit/process-figures.ts';
import type { RpcHandlers } from '#kit/rpc.ts';
import type { Backups } from './backups.ts';
import type { Candidates } from './candidates.ts';
import type { Changes } from './changes.ts';
import type { Commits } from './commits.ts';
import type { Editor } from './editor.ts';

export interface HandlersDeps {
  readonly revisions: ConfigRevisions;
  readonly candidates: Candidates;
  readonly editor: Editor;
  readonly changes: Changes;
  readonly commits: Commits;
  readonly backups: Backups;
  readonly audit: AuditLog;
  readonly schemaVersion: number;
}

export function handlersOf({ revisions, candidates, editor, changes, commits, backups, audit, schemaVersion }: HandlersDeps): RpcHandlers<ConfigdRequests> {
  return {
    status: () => {
      const { pending } = revisions;
      const waiting = pending?.phase === 'waiting' ? { revision: pending.revision, returnsTo: pending.returnsTo, deadlineWallMs: pending.deadlineWallMs, author: pending.author } : null;
      return { revision: revisions.current, schemaVersion, pending: waiting, changedOutside: commits.busy !== 'applying' && changes.changedOutside };
    },
    show: ({ path, of, author }) => editor.show(of, path, author),
    edit: ({ author, steps }) => editor.edit(author, steps),
    load: ({ author, text }) => editor.load(author, text),
    discard: ({ author }) => (candidates.drop(author), null),
    candidate: ({ author }) => (candidates.get(author) === undefined ? null : editor.report(author)),
    compare: ({ from, to }) => editor.compare(from, to).map(shown),
    check: ({ author, restart = false }) => changes.check(author, restart),
    commit: ({ author, reason, confirmMinutes, restart = false }) => changes.commit(author, { reason, confirmMinutes, restart }),
    confirm: async ({ author }) => {
      const revision = await commits.confirm();
      audit.record({ author, action: 'config.confirm', target: `revision ${revision}`, before: null, after: null, result: 'done', detail: '' });
      return { revision };
    },
    rollback: ({ author, revision, reason, confirmMinutes, restart = false }) => changes.rollback(revision, { author, reason, confirmMinutes, restart }),
    history: ({ limit }) => revisions.rows(limit),
    adopt: ({ author, reason, confirmMinutes = null }) => changes.adopt(author, reason, confirmMinutes),
    backup: async ({ author, passphrase }) => {
      const file = await backups.make(passphrase);
      audit.record({ author, action: 'config.backup', target: `revision ${revisions.current}`, before: null, after: null, result: 'done', detail: `${file.length} bytes` });
      return { fileBase64: Buffer.from(file).toString('base64') };
    },
    restore: ({ author, passphrase, fileBase64, confirmMinutes = null }) => backups.restore({ author, confirmMinutes }, Buffer.from(fileBase64, 'base64'), passphrase),
    rotateSecrets: ({ author, reason }) => changes.rotate(author, reason),
    factoryReset: ({ author, reason, confirmMinutes = null }) => changes.factoryReset(author, reason, confirmMinutes),
    audit: facts => ({ sequence: audit.append(facts).sequence }),
    auditLog: ({ fromSequence, limit }) => audit.read(fromSequence, limit),
    auditVerify: () => audit.verify(),
    counters: () => ({ ...prefixed('config', commits.counters), ...prefixed('audit', audit.counters), ...processFigures() }),
  };
}

const prefixed = (prefix: string, counters: Readonly<Record<string, number>>): Record<string, number> => Object.fromEntries(Object.entries(counters).map(([name, count]) => [`${prefix}.${name}`, count]));
