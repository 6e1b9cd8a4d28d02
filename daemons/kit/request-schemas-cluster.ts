/** What clusterd accepts over RPC (request-schemas.ts). */
import { z } from 'zod';
import type { ClusterdRequests } from '#contracts/clusterd.ts';
import { reloadSchema } from './reload.ts';
import type { RpcSchemas } from './rpc.ts';

const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;

export const clusterdRequestSchemas: RpcSchemas<ClusterdRequests> = {
  report: nothing,
  switchOver: nothing,
  maintenance: z.strictObject({ on: z.boolean() }),
  counters: nothing,
  reload: reloadSchema,
};
