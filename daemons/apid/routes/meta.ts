/** The interface about itself, and events as they happen. */
import { z } from 'zod';
import type { Json } from '#contracts/configd.ts';
import type { Caller } from '../caller.ts';
import { API_BASE, type Route, defineRoute } from '../route.ts';
import { json } from '../schemas/operation.ts';

const TYPES = /^[a-z][a-z-]{0,40}(,[a-z][a-z-]{0,40}){0,31}$/;

export const metaRoutes: readonly Route[] = [
  defineRoute({ id: 'getAlive', method: 'GET', path: '/healthz', summary: 'Whether the interface answers', access: 'public', scope: 'none', answer: z.strictObject({ status: z.literal('ok') }).meta({ id: 'Alive' }), handle: () => ({ status: 'ok' as const }) }),
  defineRoute({ id: 'getOpenApi', method: 'GET', path: `${API_BASE}/openapi.json`, summary: 'This interface as OpenAPI 3.1', access: 'self', scope: 'none', answer: json, handle: ({ services }) => services.openApi() as Json }),
  defineRoute({
    id: 'streamEvents',
    method: 'GET',
    path: `${API_BASE}/events`,
    summary: 'What happens, as Server-Sent Events; Last-Event-ID gives what was missed',
    access: 'read',
    scope: 'filtered',
    query: z.strictObject({ types: z.string().regex(TYPES).optional().describe('separated by commas; default: all') }),
    answer: { contentType: 'text/event-stream', stream: true },
    handle({ services: { streams, doorman }, caller, query: { types }, reply }) {
      const { authorization, 'last-event-id': lastId } = reply.request.headers;
      const now = (): Caller | undefined => doorman.recognize({ authorization, certificateSha256: caller.certificateSha256 ?? undefined, address: caller.address });
      const stillKnown = (): boolean => now()?.accesses.includes('read') === true && now()?.channels.join() === caller.channels.join();
      streams.open({ caller, reply, types: types?.split(',') ?? [], lastId: typeof lastId === 'string' ? lastId : undefined, stillKnown });
    },
  }),
];
