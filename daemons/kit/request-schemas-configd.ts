/** What configd accepts over RPC. */
import { z } from 'zod';
import type { ConfigdRequests, Json } from '#contracts/configd.ts';
import type { RpcSchemas } from './rpc.ts';

/** A configuration of 100,000 devices, as text or as a backup in base64. */
const MAX_TEXT = 48 * 1024 * 1024;
export const CONFIGD_REQUEST_BYTES = 64 * 1024 * 1024;
const MAX_STEPS = 100_000;
const MAX_CONFIRM_MINUTES = 24 * 60;

export const author = z.strictObject({ user: z.string().min(1).max(128), via: z.enum(['cli', 'api', 'system']), address: z.string().max(128).nullable() });
const path = z.string().max(1024);
const reason = z.string().max(1000);
const json: z.ZodType<Json> = z.json();
const revision = z.int().min(1);
const confirmMinutes = z.number().positive().max(MAX_CONFIRM_MINUTES).nullable();
const restart = z.boolean().optional();
const passphrase = z.string().min(12, 'a passphrase has at least 12 characters').max(1024);
const where = z.enum(['forwarded', 'local']).optional();
const mine = z.strictObject({ author });
const because = z.strictObject({ author, reason });
const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;
const step = z.discriminatedUnion('op', [z.strictObject({ op: z.literal('set'), path, value: json }), z.strictObject({ op: z.literal('delete'), path })]);

export const configdRequestSchemas: RpcSchemas<ConfigdRequests> = {
  status: nothing,
  show: z.strictObject({ path, of: z.union([z.enum(['current', 'candidate']), revision]), author }),
  edit: z.strictObject({ author, steps: z.array(step).min(1).max(MAX_STEPS) }),
  load: z.strictObject({ author, text: z.string().max(MAX_TEXT) }),
  discard: mine,
  candidate: mine,
  compare: z.strictObject({ from: revision, to: revision }),
  check: z.strictObject({ author, restart }),
  commit: z.strictObject({ author, reason, confirmMinutes, restart, where }),
  waitsFor: z.strictObject({ where }),
  confirm: z.strictObject({ author, where }),
  rollback: z.strictObject({ author, revision, reason, confirmMinutes, restart, where }),
  history: z.strictObject({ limit: z.int().min(1).max(1000) }),
  adopt: z.strictObject({ author, reason, confirmMinutes: confirmMinutes.optional(), where }),
  backup: z.strictObject({ author, passphrase }),
  restore: z.strictObject({ author, passphrase, fileBase64: z.base64().max(MAX_TEXT), confirmMinutes: confirmMinutes.optional(), where }),
  rotateSecrets: because,
  factoryReset: z.strictObject({ author, reason, confirmMinutes: confirmMinutes.optional() }),
  audit: z.strictObject({ author, action: z.string().min(1).max(64), target: z.string().max(1024), before: json, after: json, result: z.enum(['done', 'refused', 'failed']), detail: z.string().max(4096) }),
  auditLog: z.strictObject({ fromSequence: z.int(), limit: z.int().min(1).max(10_000), of: z.string().min(1).max(64).optional() }),
  auditVerify: nothing,
  line: z.strictObject({ node: z.string().min(1).max(64), mark: z.string().max(64), held: z.string().max(1000).nullable() }),
  revisionText: z.strictObject({ revision }),
  commitFor: z.strictObject({ author, base: z.strictObject({ revision, id: z.string().max(64) }), steps: z.array(step).max(MAX_STEPS), reason, confirmMinutes, restart, action: z.enum(['config.commit', 'config.adopt']) }),
  pair: nothing,
  counters: nothing,
};
