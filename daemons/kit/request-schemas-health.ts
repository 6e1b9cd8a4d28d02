/** What healthd accepts over RPC. */
import { z } from 'zod';
import type { HealthdRequests } from '#contracts/healthd.ts';
import { author } from './request-schemas-controls.ts';
import { reloadSchema } from './reload.ts';
import type { RpcSchemas } from './rpc.ts';

const MAX_POINTS = 10_000;
const MAX_ALARMS = 10_000;
const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;
const metric = z.string().regex(/^[a-z_][a-z0-9_]{0,127}$/, 'expected the name of a metric');
const wallMs = z.number().min(0).max(8.64e15);

export const healthdRequestSchemas: RpcSchemas<HealthdRequests> = {
  report: nothing,
  samples: nothing,
  history: z.strictObject({ metric, labels: z.record(z.string().max(64), z.string().max(256)), fromWallMs: wallMs, toWallMs: wallMs, maxPoints: z.int().min(1).max(MAX_POINTS) }),
  alarms: z.strictObject({ activeOnly: z.boolean(), limit: z.int().min(1).max(MAX_ALARMS) }),
  acknowledge: z.strictObject({ alarmId: z.int().min(0), author }),
  counters: nothing,
  reload: reloadSchema,
};
