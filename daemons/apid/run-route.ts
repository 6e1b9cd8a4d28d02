/** From a request that was admitted to its answer: what it says is checked, its channel found, what it did written down. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Json } from '#contracts/configd.ts';
import type { ChannelRow } from '#contracts/sipd.ts';
import { MAX_JSON_DEPTH, isDeeperThan } from '#core/json-depth.ts';
import { GatewayError } from '#core/result.ts';
import { type Caller, maySee, seesAll } from './caller.ts';
import { DoorError, RefusedBelow } from './failure.ts';
import { type Answered, type Call, type Route, isSchema } from './route.ts';
import type { Services } from './services.ts';

const NOBODY: Caller = { user: '', roles: [], accesses: [], channels: [], how: 'password', mustChangePassword: false, tokenHash: null, certificateSha256: null, until: null, address: '' };
/** As vlink writes it before it does something. */
const BEGINS = 'begins';
const NO_CHANNEL = {} as ChannelRow;

interface Noted {
  target?: string;
  before?: Json;
  after?: Json;
}

export async function runRoute(services: Services, route: Route, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
  const caller = request.caller ?? { ...NOBODY, address: request.ip };
  const said = { params: read(route.params, request.params), query: read(route.query, request.query), body: read(route.body, request.body) };
  if (route.audit !== undefined) services.audit.demand();
  const noted: Noted = { target: targetOf(said.params) };
  const call = { ...said, caller, channel: NO_CHANNEL, services, reply, note: (facts: Noted) => void Object.assign(noted, facts) };
  const answer = await attempt(services, route, call, noted);
  if (route.answer === null) return reply.code(204).send();
  if (isSchema(route.answer)) return reply.type('application/json').send(JSON.stringify(answer));
  if (route.answer.stream === true) return undefined;
  const { contentType, bytes } = answer as Answered;
  return reply.type(contentType).send(bytes);
}

/** Once it is refused or done, the audit log says which. */
async function attempt(services: Services, route: Route, call: Omit<Call<unknown, unknown, unknown>, 'channel'> & { channel: ChannelRow }, noted: Noted): Promise<unknown> {
  const { audit } = services;
  const write = async (result: 'done' | 'refused' | 'failed', detail: string): Promise<void> => {
    // A log-in writes its own line: nobody is known before it.
    if (route.audit !== undefined && route.access !== 'public' && !(result === 'done' && route.auditedBelow === true && detail !== BEGINS)) await audit.write(call.caller, { action: route.audit, target: noted.target ?? '', before: noted.before ?? null, after: noted.after ?? null, result, detail });
  };
  try {
    if (route.scope === 'channel') call.channel = await channelOf(services, call.caller, (call.params as { channel: string }).channel);
    // configd may end in the middle of it, and be nobody who could write it down.
    if (route.auditedBelow === true) await write('done', BEGINS);
    const answer = await route.handle(call as unknown as Call<never, never, never>);
    await write('done', '');
    return answer;
  } catch (error) {
    if (!(error instanceof RefusedBelow) && (error instanceof GatewayError || error instanceof DoorError)) await write(REFUSALS.has(error.code) ? 'refused' : 'failed', error.message);
    throw error;
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['NOT_PERMITTED', 'UNAUTHENTICATED', 'BAD_REQUEST', 'CONFLICT', 'CHANNEL_UNKNOWN', 'PEER_UNKNOWN']);

/** Absent where the table has no schema. */
function read(schema: z.ZodType | undefined, value: unknown): unknown {
  if (isDeeperThan(value, MAX_JSON_DEPTH - 2)) throw new GatewayError('BAD_REQUEST', { why: 'nested too deep' });
  if (schema !== undefined) return schema.parse(value ?? {});
  const isEmpty = value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);
  if (!isEmpty) throw new GatewayError('BAD_REQUEST', { why: 'nothing is expected here' });
  return {};
}

const targetOf = (params: unknown): string => Object.values(params as Record<string, string>).join(' ');

/** One that does not exist and one that he may not see are told alike (fault 85). */
async function channelOf({ daemons }: Services, caller: Caller, text: string): Promise<ChannelRow> {
  const unknown = new GatewayError('CHANNEL_UNKNOWN', { channel: text });
  const found = await daemons.sipd.call('channel', { channel: text.replace('-', '/') }).catch((error: unknown) => {
    // That several fit would tell of those that he may not see.
    if (error instanceof GatewayError && (error.code === 'CHANNEL_UNKNOWN' || (error.code === 'BAD_REQUEST' && !seesAll(caller)))) throw unknown;
    throw error;
  });
  if (!maySee(caller, found.deviceId, found.channelId)) throw unknown;
  return found;
}
