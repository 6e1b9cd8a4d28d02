/** The audit log: for auditors, who change nothing. */
import { z } from 'zod';
import { API_BASE, type Route, defineRoute } from '../route.ts';
import { queryInt } from '../schemas/common.ts';
import { auditEntry } from '../schemas/operation.ts';

const MAX_ENTRIES = 1000;
const VERIFY_TIMEOUT_MS = 60_000;

const verdict = z.strictObject({ entries: z.int(), brokenAt: z.int().nullable(), why: z.string().nullable() });

export const auditRoutes: readonly Route[] = [
  defineRoute({
    id: 'listAudit',
    method: 'GET',
    path: `${API_BASE}/audit`,
    summary: 'Who did what, when, and how it was before and after',
    access: 'audit',
    scope: 'whole',
    query: z.strictObject({ fromSequence: queryInt(0, Number.MAX_SAFE_INTEGER).optional(), limit: queryInt(1, MAX_ENTRIES).optional() }),
    answer: z.array(auditEntry),
    handle: ({ services: { daemons }, query: { fromSequence = 0, limit = 100 } }) => daemons.configd.call('auditLog', { fromSequence, limit }),
  }),
  defineRoute({
    id: 'verifyAudit',
    method: 'GET',
    path: `${API_BASE}/audit/verify`,
    summary: 'Whether every entry follows from the one before',
    access: 'audit',
    scope: 'whole',
    answer: verdict.extend({ copies: z.array(verdict.extend({ node: z.string() })).optional().describe('of the logs of other nodes of a pair') }).meta({ id: 'AuditVerdict' }),
    handle: ({ services: { daemons } }) => daemons.configd.call('auditVerify', {}, { timeoutMs: VERIFY_TIMEOUT_MS }),
  }),
];
