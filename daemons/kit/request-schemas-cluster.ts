/** What clusterd accepts over RPC (request-schemas.ts). */
import { z } from 'zod';
import type { ClusterdRequests } from '#contracts/clusterd.ts';
import { isIp } from '#core/ip.ts';
import { reloadSchema } from './reload.ts';
import { author } from './request-schemas-configd.ts';
import type { RpcSchemas } from './rpc.ts';

const MAX_MINUTES = 60;

const name = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected 1 to 32 letters, digits, - or _');
const ip = z.string().max(64).refine(isIp, 'expected an IPv4 or IPv6 address');
/** Looked at with the rest of the configuration. */
const placed = z.string().max(64).nullable();
const node = { name: name.nullable(), link: ip.nullable(), lan: ip.nullable(), media: placed };

const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;

export const clusterdRequestSchemas: RpcSchemas<ClusterdRequests> = {
  report: nothing,
  switchOver: nothing,
  maintenance: z.strictObject({ on: z.boolean() }),
  pairing: nothing,
  pair: z.strictObject({ minutes: z.int().min(1).max(MAX_MINUTES), terms: z.strictObject({ ...node, address: placed }), author }),
  join: z.strictObject({ ...node, address: ip, port: z.int().min(1).max(65_535).nullable(), code: z.string().max(256), author }),
  forget: z.strictObject({ node: name, force: z.boolean(), author }),
  counters: nothing,
  reload: reloadSchema,
};
