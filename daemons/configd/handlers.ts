/** What configd answers over RPC, method by method. */
import type { Author, ConfigdRequests } from '#contracts/configd.ts';
import { shown } from '#core/config/difference.ts';
import { GatewayError } from '#core/result.ts';
import type { AuditLog } from '#kit/audit-log.ts';
import type { ConfigRevisions } from '#kit/config-revisions.ts';
import { processFigures } from '#kit/process-figures.ts';
import type { RpcHandlers } from '#kit/rpc.ts';
import type { Backups } from './backups.ts';
import type { Candidates } from './candidates.ts';
import type { Changes } from './changes.ts';
import type { Commits } from './commits.ts';
import type { Editor } from './editor.ts';
import type { HeldLine } from './held-line.ts';
import type { PairAudit } from './pair-audit.ts';
import type { PairCommits } from './pair-commits.ts';
import type { Pair } from './pair.ts';
import type { Secrets } from './secrets.ts';

export interface HandlersDeps {
  readonly revisions: ConfigRevisions;
  readonly candidates: Candidates;
  readonly editor: Editor;
  readonly changes: Changes;
  readonly commits: Commits;
  readonly backups: Backups;
  readonly audit: AuditLog;
  readonly schemaVersion: number;
  readonly secrets: Secrets;
  readonly held: HeldLine;
  readonly pair: Pair;
  readonly pairCommits: PairCommits;
  readonly pairAudit: PairAudit;
}

export function handlersOf(deps: HandlersDeps): RpcHandlers<ConfigdRequests> {
  return { ...textHandlers(deps), ...changeHandlers(deps), ...auditHandlers(deps), ...pairHandlers(deps) };
}

type Handlers = RpcHandlers<ConfigdRequests>;

/** What changes nothing that is in force. */
function textHandlers({ revisions, candidates, editor, changes, commits, schemaVersion }: HandlersDeps): Pick<Handlers, 'status' | 'show' | 'edit' | 'load' | 'discard' | 'candidate' | 'compare' | 'check' | 'history'> {
  return {
    status: () => {
      const { pending } = revisions;
      const waiting = pending?.phase === 'waiting' ? { revision: pending.revision, returnsTo: pending.returnsTo, deadlineWallMs: pending.deadlineWallMs, author: pending.author } : null;
      const applying = commits.busy === 'applying';
      return { revision: revisions.current, schemaVersion, pending: waiting, changedOutside: !applying && changes.changedOutside, applying };
    },
    show: ({ path, of, author }) => editor.show(of, path, author),
    edit: ({ author, steps }) => editor.edit(author, steps),
    load: ({ author, text }) => editor.load(author, text),
    discard: ({ author }) => (candidates.drop(author), null),
    candidate: ({ author }) => (candidates.get(author) === undefined ? null : editor.report(author)),
    compare: ({ from, to }) => editor.compare(from, to).map(shown),
    check: ({ author, restart = false }) => changes.check(author, restart),
    history: ({ limit }) => revisions.rows(limit),
  };
}

/** What does: in a pair on the active node. */
function changeHandlers({ revisions, changes, commits, backups, audit, held, pair, pairCommits, pairAudit }: HandlersDeps): Pick<Handlers, 'commit' | 'waitsFor' | 'confirm' | 'rollback' | 'adopt' | 'backup' | 'restore' | 'rotateSecrets' | 'factoryReset'> {
  const FORWARDED = { where: 'forwarded' } as const;
  /** Of a pair, as it is now. */
  const isActive = async (): Promise<boolean> => (await pair.role?.ask())?.role === 'active';
  const confirm = async (author: Author): Promise<{ readonly revision: number }> => {
    const revision = await commits.confirm();
    audit.record({ author, action: 'config.confirm', target: `revision ${revision}`, before: null, after: null, result: 'done', detail: '' });
    // What is confirmed must not be returned by the node that takes over.
    await pair.reached();
    return { revision };
  };
  return {
    commit: ({ author, reason, confirmMinutes, restart = false, where }) => pairCommits.wherever(where, () => changes.commit(author, { reason, confirmMinutes, restart }), () => pairCommits.commit(author, { reason, confirmMinutes, restart })),
    waitsFor: ({ where }) => pairCommits.wait(commits.waiting, where),
    confirm: params => pairCommits.wherever(params.where, () => confirm(params.author), (link, options) => link.call('confirm', { ...params, ...FORWARDED }, options)),
    rollback: params => pairCommits.wherever(params.where, () => changes.rollback(params.revision, { ...params, restart: params.restart ?? false }), (link, options) => link.call('rollback', { ...params, ...FORWARDED }, options)),
    adopt: ({ author, reason, confirmMinutes = null, where }) => pairCommits.wherever(where, () => changes.adopt(author, reason, confirmMinutes), () => pairCommits.adopt(author, reason, confirmMinutes)),
    backup: async ({ author, passphrase }) => {
      const file = await backups.make(passphrase);
      audit.record({ author, action: 'config.backup', target: `revision ${revisions.current}`, before: null, after: null, result: 'done', detail: `${file.length} bytes` });
      return { fileBase64: Buffer.from(file).toString('base64') };
    },
    restore: params => pairCommits.wherever(params.where, () => backups.restore({ author: params.author, confirmMinutes: params.confirmMinutes ?? null }, Buffer.from(params.fileBase64, 'base64'), params.passphrase), (link, options) => link.call('restore', { ...params, ...FORWARDED }, options)),
    rotateSecrets: async ({ author, reason }) => changes.rotate(author, reason, pair.role !== null && !(await isActive()), () => (pairAudit.reseal(), held.reseal())),
    factoryReset: async ({ author, reason, confirmMinutes = null }) => {
      if (pair.peer !== null && (await isActive())) throw new GatewayError('NOT_PERMITTED', { why: 'this node is the active one of a pair: give the role to the other one first (vlink cluster switch)' });
      return await changes.factoryReset(author, reason, confirmMinutes);
    },
  };
}

function auditHandlers({ commits, audit, pair, pairAudit }: HandlersDeps): Pick<Handlers, 'audit' | 'auditLog' | 'auditVerify' | 'counters'> {
  return {
    audit: facts => ({ sequence: audit.append(facts).sequence }),
    auditLog: ({ fromSequence, limit, of }) => pairAudit.read(fromSequence, limit, of, pair.names?.own ?? null),
    auditVerify: () => pairAudit.verify(),
    counters: () => ({ ...prefixed('config', commits.counters), ...prefixed('audit', audit.counters), ...(pair.names !== null && prefixed('audit.copy', pairAudit.counters)), ...processFigures() }),
  };
}

function pairHandlers({ revisions, editor, secrets, pair, pairCommits }: HandlersDeps): Pick<Handlers, 'line' | 'revisionText' | 'commitFor' | 'pair'> {
  return {
    line: ({ node, mark, held }) => pair.tell(node, mark, held),
    revisionText: ({ revision }) => {
      const text = revisions.text(revision);
      if (text === undefined) throw new GatewayError('BAD_REQUEST', { revision, why: 'it is not kept' });
      return { text: secrets.openText(editor.read(text)) };
    },
    commitFor: params => pairCommits.commitFor(params),
    pair: () => pair.report(),
  };
}

const prefixed = (prefix: string, counters: Readonly<Record<string, number>>): Record<string, number> => Object.fromEntries(Object.entries(counters).map(([name, count]) => [`${prefix}.${name}`, count]));
