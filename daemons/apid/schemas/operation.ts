/** Health, alarms, configuration, audit log, users: as the API tells of them. */
import { z } from 'zod';
import type { AuditEntry, Author, CandidateReport, CommitResult, ConfigChange, ConfigIssue, ConfigdStatus, EditStep, Json, RevisionRow } from '#contracts/configd.ts';
import type { AlarmRow, HealthReport, HistorySeries, MetricInfo, Sample } from '#contracts/healthd.ts';
import type { WaitingRoles, WebhookRow } from '#contracts/apid.ts';
import { access, role, wallMs } from './common.ts';

const text = z.string().nullable();
const labels = z.record(z.string(), z.string());
export const json = z.unknown().meta({ id: 'Json', description: 'any JSON' }) as unknown as z.ZodType<Json>;

export const health: z.ZodType<HealthReport> = z
  .strictObject({
    node: z.string(),
    atWallMs: wallMs,
    state: z.enum(['good', 'degraded', 'broken']),
    checks: z.array(z.strictObject({ subject: z.string(), state: z.enum(['good', 'degraded', 'broken', 'unknown', 'absent']), says: z.string() })),
  })
  .meta({ id: 'Health' });

export const alarm: z.ZodType<AlarmRow> = z
  .strictObject({
    alarmId: z.int(),
    rule: z.string(),
    subject: z.string(),
    severity: z.enum(['info', 'warning', 'critical']),
    says: z.string(),
    value: z.number().nullable(),
    raisedAtWallMs: wallMs,
    clearedAtWallMs: wallMs.nullable(),
    acknowledged: z.strictObject({ user: z.string(), atWallMs: wallMs }).nullable(),
  })
  .meta({ id: 'Alarm' });

export const samples: z.ZodType<{ readonly infos: readonly MetricInfo[]; readonly samples: readonly Sample[] }> = z
  .strictObject({ infos: z.array(z.strictObject({ metric: z.string(), help: z.string(), type: z.enum(['gauge', 'counter']) })), samples: z.array(z.strictObject({ metric: z.string(), labels, value: z.number() })) })
  .meta({ id: 'Samples' });

export const history: z.ZodType<{ readonly stepMs: number; readonly series: readonly HistorySeries[] }> = z
  .strictObject({ stepMs: z.number(), series: z.array(z.strictObject({ labels, points: z.array(z.strictObject({ atWallMs: wallMs, mean: z.number(), min: z.number(), max: z.number() })) })) })
  .meta({ id: 'History' });

const author: z.ZodType<Author> = z.strictObject({ user: z.string(), via: z.enum(['cli', 'api', 'system']), address: text }).meta({ id: 'Author' });
const issue: z.ZodType<ConfigIssue> = z.strictObject({ line: z.int(), path: z.string(), why: z.string() }).meta({ id: 'ConfigIssue' });
export const change: z.ZodType<ConfigChange> = z.strictObject({ path: z.string(), kind: z.enum(['added', 'removed', 'changed']), before: json, after: json }).meta({ id: 'ConfigChange' });

export const configStatus: z.ZodType<ConfigdStatus> = z
  .strictObject({
    revision: z.int(),
    schemaVersion: z.int(),
    pending: z.strictObject({ revision: z.int(), returnsTo: z.int(), deadlineWallMs: wallMs, author }).nullable(),
    changedOutside: z.boolean(),
    applying: z.boolean(),
  })
  .meta({ id: 'ConfigStatus' });

export const editStep: z.ZodType<EditStep> = z.discriminatedUnion('op', [z.strictObject({ op: z.literal('set'), path: z.string().min(1).max(1024), value: json }), z.strictObject({ op: z.literal('delete'), path: z.string().min(1).max(1024) })]).meta({ id: 'EditStep' });
export const candidate: z.ZodType<CandidateReport> = z.strictObject({ baseRevision: z.int(), changes: z.array(change), issues: z.array(issue) }).meta({ id: 'Candidate' });
export const commitResult: z.ZodType<CommitResult> = z
  .strictObject({ revision: z.int().nullable(), issues: z.array(issue), refusals: z.array(z.strictObject({ daemon: z.string(), why: z.string() })), warnings: z.array(z.string()), confirmByWallMs: wallMs.nullable() })
  .meta({ id: 'CommitResult' });
export const revision: z.ZodType<RevisionRow> = z
  .strictObject({ revision: z.int(), atWallMs: wallMs, author, reason: z.string(), state: z.enum(['current', 'pending', 'past', 'returned', 'aside']), sha256: z.string(), changes: z.int() })
  .meta({ id: 'Revision' });

export const auditEntry: z.ZodType<AuditEntry> = z
  .strictObject({
    sequence: z.int(),
    atWallMs: wallMs,
    monotonicMs: z.number(),
    author,
    action: z.string(),
    target: z.string(),
    before: json,
    after: json,
    result: z.enum(['done', 'refused', 'failed']),
    detail: z.string(),
    hash: z.string(),
  })
  .meta({ id: 'AuditEntry' });

export const user = z
  .strictObject({
    name: z.string(),
    kind: z.enum(['person', 'platform']),
    roles: z.array(role),
    waiting: z.strictObject({ roles: z.array(role), by: z.string(), sinceWallMs: wallMs }).nullable().describe('roles that an admin must agree to, and who gave them'),
    channels: z.array(z.string()).describe('device or channel IDs or prefixes that it may see; *: all'),
    hasPassword: z.boolean(),
    mustChangePassword: z.boolean(),
    disabled: z.boolean(),
    certificateSha256: text,
    createdAtWallMs: wallMs,
    lastLoginWallMs: wallMs.nullable(),
  })
  .meta({ id: 'User' });

export const waitingRoles: z.ZodType<WaitingRoles> = z
  .strictObject({ name: z.string(), holds: z.array(role), roles: z.array(role), by: z.string(), sinceWallMs: wallMs, hasOwnPassword: z.boolean(), certificateSha256: text, lastLoginWallMs: wallMs.nullable() })
  .meta({ id: 'WaitingRoles' });

export const apiToken = z.strictObject({ name: z.string(), accesses: z.array(access).nullable().describe('null: all that its user may'), createdAtWallMs: wallMs, expiresAtWallMs: wallMs.nullable() }).meta({ id: 'ApiToken' });

export const tokens = z
  .strictObject({ accessToken: z.string(), expiresInS: z.int(), refreshToken: z.string(), mustChangePassword: z.boolean(), roles: z.array(role) })
  .meta({ id: 'Tokens' });

export const webhook: z.ZodType<WebhookRow> = z
  .strictObject({ name: z.string(), target: z.string(), state: z.enum(['idle', 'sending', 'waiting']), queued: z.int(), delivered: z.int(), dropped: z.int(), lastDropWallMs: wallMs.nullable(), failures: z.int(), why: text })
  .meta({ id: 'Webhook' });
