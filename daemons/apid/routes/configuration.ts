/** The configuration: the same candidate, commit and way back as in vlink, for the same configd. */
import { z } from 'zod';
import type { CommitResult, Json } from '#contracts/configd.ts';
import { COMMIT_PATIENCE_MS } from '#core/config/comeback.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { authorOf } from '../caller.ts';
import { RefusedBelow } from '../failure.ts';
import { API_BASE, type Call, type Route, defineRoute } from '../route.ts';
import { queryInt } from '../schemas/common.ts';
import { candidate, change, commitResult, configStatus, editStep, json, revision } from '../schemas/operation.ts';

const MAX_TEXT_BYTES = 3 * 1024 * 1024;
const MAX_BODY_BYTES = 4 * 1024 * 1024;
const MAX_STEPS = 1000;

const path = z.string().max(1024).regex(/^[^\0\r\n]*$/);
const reason = z.string().min(1).max(500).regex(/^[^\0\r\n]*$/);
const passphrase = z.string().min(12).max(256);
const confirmMinutes = z.int().min(1).max(1440).nullable().default(null).describe('returns by itself unless confirmed within this; null: for good');
const restart = z.boolean().default(false).describe('true: daemons that cannot take it over as they run are started anew');
const partOf = (text: string): 'current' | 'candidate' | number => (text === 'current' || text === 'candidate' ? text : Number(text));

const author = ({ caller }: Pick<Call<unknown, unknown, unknown>, 'caller'>) => authorOf(caller);

/** CONFLICT, with every reason, when nothing came into force. */
async function inForce(asked: Promise<CommitResult>): Promise<CommitResult> {
  const result = await asked;
  if (result.revision !== null) return result;
  const reasons = [...result.issues.map(({ path: at, why }) => `${at} ${why}`.trim()), ...result.refusals.map(({ daemon, why }) => `${daemon}: ${why}`)];
  throw new RefusedBelow('CONFLICT', { why: reasons.join('; ') });
}

export const configurationRoutes: readonly Route[] = [
  defineRoute({ id: 'getConfigStatus', method: 'GET', path: `${API_BASE}/config/status`, summary: 'Revision in force, and a commit that waits to be confirmed', access: 'read', scope: 'whole', answer: configStatus, handle: ({ services: { daemons } }) => daemons.configd.call('status', {}) }),
  defineRoute({ id: 'getConfigSchema', method: 'GET', path: `${API_BASE}/config/schema`, summary: 'JSON Schema of the configuration, with help for every key', access: 'read', scope: 'none', answer: json, handle: () => z.toJSONSchema(gatewaySchema, { io: 'input' }) as unknown as Json }),
  defineRoute({
    id: 'showConfig',
    method: 'GET',
    path: `${API_BASE}/config`,
    summary: 'The configuration or a part of it; secrets read as ***',
    access: 'read',
    scope: 'whole',
    query: z.strictObject({ path: path.optional(), of: z.string().regex(/^(current|candidate|\d{1,9})$/).optional().describe('current, candidate, or the number of a kept revision') }),
    answer: z.strictObject({ text: z.string(), value: json }).meta({ id: 'ConfigPart' }),
    handle: call => call.services.daemons.configd.call('show', { path: call.query.path ?? '', of: partOf(call.query.of ?? 'current'), author: author(call) }),
  }),
  defineRoute({ id: 'getCandidate', method: 'GET', path: `${API_BASE}/config/candidate`, summary: 'What you have changed and not committed', access: 'configure', scope: 'whole', answer: candidate.nullable(), handle: call => call.services.daemons.configd.call('candidate', { author: author(call) }) }),
  defineRoute({
    id: 'editCandidate',
    method: 'PATCH',
    path: `${API_BASE}/config/candidate`,
    summary: 'Sets and deletes keys in your candidate: all or none',
    access: 'configure',
    scope: 'whole',
    audit: 'config.edit',
    body: z.strictObject({ steps: z.array(editStep).min(1).max(MAX_STEPS) }),
    answer: candidate,
    maxBodyBytes: MAX_BODY_BYTES,
    handle(call) {
      // Without the values: some are secrets.
      call.note({ after: call.body.steps.map(({ op, path: at }) => `${op} ${at}`).slice(0, 100) });
      return call.services.daemons.configd.call('edit', { author: author(call), steps: call.body.steps });
    },
  }),
  defineRoute({
    id: 'loadCandidate',
    method: 'PUT',
    path: `${API_BASE}/config/candidate`,
    summary: 'A whole text as your candidate; *** keeps the secret that stood there',
    access: 'configure',
    scope: 'whole',
    audit: 'config.load',
    body: z.strictObject({ text: z.string().max(MAX_TEXT_BYTES) }),
    answer: candidate,
    maxBodyBytes: MAX_BODY_BYTES,
    handle: call => call.services.daemons.configd.call('load', { author: author(call), text: call.body.text }),
  }),
  defineRoute({
    id: 'discardCandidate',
    method: 'DELETE',
    path: `${API_BASE}/config/candidate`,
    summary: 'Your candidate is given up',
    access: 'configure',
    scope: 'whole',
    audit: 'config.discard',
    answer: null,
    async handle(call) {
      await call.services.daemons.configd.call('discard', { author: author(call) });
    },
  }),
  defineRoute({ id: 'checkCandidate', method: 'POST', path: `${API_BASE}/config/check`, summary: 'What a commit would answer, with nothing changed', access: 'configure', scope: 'whole', audit: 'config.check', answer: commitResult, handle: call => call.services.daemons.configd.call('check', { author: author(call) }, { timeoutMs: COMMIT_PATIENCE_MS }) }),
  defineRoute({
    id: 'commitCandidate',
    method: 'POST',
    path: `${API_BASE}/config/commit`,
    summary: 'Your candidate comes into force; CONFLICT: nothing was changed, and why',
    access: 'configure',
    scope: 'whole',
    audit: 'config.commit',
    auditedBelow: true,
    body: z.strictObject({ reason, confirmMinutes, restart }),
    answer: commitResult,
    async handle(call) {
      call.note({ after: { reason: call.body.reason } });
      return await inForce(call.services.daemons.configd.call('commit', { author: author(call), ...call.body }, { timeoutMs: COMMIT_PATIENCE_MS }));
    },
  }),
  defineRoute({ id: 'confirmCommit', method: 'POST', path: `${API_BASE}/config/confirm`, summary: 'A commit that waits stays', access: 'configure', scope: 'whole', audit: 'config.confirm', auditedBelow: true, answer: z.strictObject({ revision: z.int() }).meta({ id: 'Confirmed' }), handle: call => call.services.daemons.configd.call('confirm', { author: author(call) }) }),
  defineRoute({
    id: 'rollbackConfig',
    method: 'POST',
    path: `${API_BASE}/config/rollback`,
    summary: 'A kept revision comes into force again, as a new one',
    access: 'configure',
    scope: 'whole',
    audit: 'config.rollback',
    auditedBelow: true,
    body: z.strictObject({ revision: z.int().min(0), reason, confirmMinutes, restart }),
    answer: commitResult,
    handle(call) {
      call.note({ target: String(call.body.revision), after: { ...call.body } });
      return inForce(call.services.daemons.configd.call('rollback', { author: author(call), ...call.body }, { timeoutMs: COMMIT_PATIENCE_MS }));
    },
  }),
  defineRoute({ id: 'listRevisions', method: 'GET', path: `${API_BASE}/config/history`, summary: 'Revisions, newest first: who, when, why', access: 'read', scope: 'whole', query: z.strictObject({ limit: queryInt(1, 1000).optional() }), answer: z.array(revision), handle: ({ services: { daemons }, query: { limit = 100 } }) => daemons.configd.call('history', { limit }) }),
  defineRoute({ id: 'compareRevisions', method: 'GET', path: `${API_BASE}/config/compare`, summary: 'What differs between two revisions', access: 'read', scope: 'whole', query: z.strictObject({ from: queryInt(0, 999_999_999), to: queryInt(0, 999_999_999) }), answer: z.array(change), handle: ({ services: { daemons }, query }) => daemons.configd.call('compare', query) }),
  defineRoute({
    id: 'adoptConfig',
    method: 'POST',
    path: `${API_BASE}/config/adopt`,
    summary: 'The file as somebody wrote it past the gateway becomes a revision',
    access: 'configure',
    scope: 'whole',
    audit: 'config.adopt',
    auditedBelow: true,
    body: z.strictObject({ reason, confirmMinutes }),
    answer: commitResult,
    handle: call => inForce(call.services.daemons.configd.call('adopt', { author: author(call), ...call.body }, { timeoutMs: COMMIT_PATIENCE_MS })),
  }),
  defineRoute({
    id: 'backupConfig',
    method: 'POST',
    path: `${API_BASE}/config/backup`,
    summary: 'Configuration, revisions and secrets in one file, encrypted with the passphrase',
    access: 'configure',
    scope: 'whole',
    audit: 'config.backup',
    auditedBelow: true,
    body: z.strictObject({ passphrase }),
    answer: z.strictObject({ fileBase64: z.string() }).meta({ id: 'Backup' }),
    handle: call => call.services.daemons.configd.call('backup', { author: author(call), passphrase: call.body.passphrase }),
  }),
  defineRoute({
    id: 'restoreConfig',
    method: 'POST',
    path: `${API_BASE}/config/restore`,
    summary: 'A backup comes into force',
    access: ['configure', 'security'],
    scope: 'whole',
    audit: 'config.restore',
    auditedBelow: true,
    body: z.strictObject({ passphrase, fileBase64: z.base64().max(MAX_TEXT_BYTES), confirmMinutes }),
    answer: commitResult,
    maxBodyBytes: MAX_BODY_BYTES,
    handle: call => inForce(call.services.daemons.configd.call('restore', { author: author(call), ...call.body }, { timeoutMs: COMMIT_PATIENCE_MS })),
  }),
  defineRoute({
    id: 'factoryReset',
    method: 'POST',
    path: `${API_BASE}/config/factory-reset`,
    summary: 'The configuration becomes that of a new gateway',
    access: ['configure', 'security'],
    scope: 'whole',
    audit: 'config.factory-reset',
    auditedBelow: true,
    body: z.strictObject({ reason, confirmMinutes }),
    answer: commitResult,
    handle: call => inForce(call.services.daemons.configd.call('factoryReset', { author: author(call), ...call.body }, { timeoutMs: COMMIT_PATIENCE_MS })),
  }),
];
