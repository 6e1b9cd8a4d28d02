/**
 * One request on its way:
 *
 *   rate of its address -> who is it -> may he (access, scope) -> what does he say (zod) -> the route -> audit log -> answer
 *
 * Whatever fails is answered with a code and words of core/api/api-errors; a bug is not one of those and ends the unit.
 */
import type { TLSSocket } from 'node:tls';
import { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerFactory, fastify } from 'fastify';
import { z } from 'zod';
import type { ApiCode, ApiFailure, DoorCode } from '#core/api/api-errors.ts';
import { API_STATUS, failureOf } from '#core/api/api-errors.ts';
import { errorWords } from '#core/config/issue-words.ts';
import { inNetwork, normalizeIp } from '#core/ip.ts';
import { neededOf, needsText } from '#core/access/roles.ts';
import { GatewayError } from '#core/result.ts';
import type { Caller } from './caller.ts';
import { seesAll } from './caller.ts';
import { DoorError } from './failure.ts';
import { runRoute } from './run-route.ts';
import { API_BASE, type Route } from './route.ts';
import { ROUTES } from './routes/index.ts';
import type { Services } from './services.ts';
import { answerUnreadable } from './unreadable.ts';

const MAX_BODY_BYTES = 256 * 1024;
const MAX_PARAMETER = 256;
/** A secret in a URL stands in logs of proxies and in histories (fault 90). */
const SECRET_QUERY = /[?&](?:[^=&#]*(?:pass(?:word|wd)?|pwd|secret|token|authorization|api[_-]?key)[^=&#]*)=/i;

const HEADERS: Readonly<Record<string, string>> = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null;
  }
}

export function createApp(services: Services, serverFactory: FastifyServerFactory, tls: boolean): FastifyInstance {
  const app = fastify({ serverFactory, logger: false, trustProxy: false, bodyLimit: MAX_BODY_BYTES, forceCloseConnections: true, exposeHeadRoutes: false, clientErrorHandler: (error, socket) => answerUnreadable(error, socket, services.counters), routerOptions: { maxParamLength: MAX_PARAMETER }, frameworkErrors: (error, request, reply) => void answerFailure(services, error, request, reply) });
  app.decorateRequest('caller', null);
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(HEADERS);
    if (tls) reply.header('Strict-Transport-Security', 'max-age=31536000');
    greet(services, request);
  });
  // Where nothing is listened on any more, a connection ends with its answer.
  app.addHook('onSend', async (_request, reply) => void (app.server.listening || reply.header('Connection', 'close')));
  app.addHook('onResponse', async (request, reply) => {
    services.counters.add(`http.${Math.floor(reply.statusCode / 100)}xx`);
    services.log.debug({ method: request.method, route: request.routeOptions.url ?? null, status: reply.statusCode, user: request.caller?.user ?? null, address: request.ip, tookMs: Math.round(reply.elapsedTime) }, 'api.request');
  });
  app.setErrorHandler((error: FastifyError | Error, request, reply) => answerFailure(services, error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsAt(request.url);
    if (allowed.length > 0) reply.header('Allow', allowed.join(', '));
    return answerFailure(services, new DoorError(allowed.length > 0 ? 'METHOD_UNKNOWN' : 'ROUTE_UNKNOWN'), request, reply);
  });
  for (const route of ROUTES) addRoute(app, services, route);
  return app;
}

const PLACES = ROUTES.map(({ method, path }) => ({ method, at: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`) }));

/** What the table has at this place; nothing: there is none. */
const methodsAt = (url: string): readonly string[] => PLACES.flatMap(({ method, at }) => (at.test(url.split('?', 1)[0]!) ? [method] : []));

const addressOf = (request: FastifyRequest): string => normalizeIp(request.ip) ?? request.ip;

/** What holds for every request, whatever it wants. */
function greet({ rate, clock, counters }: Services, request: FastifyRequest): void {
  if (!rate().take(addressOf(request), clock.now())) {
    counters.add('request.too-fast');
    throw new DoorError('TOO_MANY_REQUESTS', { retryAfterS: 1 });
  }
  if (request.raw.httpVersionMajor < 1) throw new GatewayError('BAD_REQUEST', { why: 'HTTP/1.1 is spoken here' });
  if (request.raw.httpVersionMinor > 0 && request.headers.host === undefined) throw new GatewayError('BAD_REQUEST', { why: 'no Host header' });
  const { 'content-encoding': encoding } = request.headers;
  if (encoding !== undefined && encoding !== 'identity') throw new DoorError('MEDIA_TYPE');
  if (SECRET_QUERY.test(request.url)) {
    counters.add('request.secret-in-url');
    throw new GatewayError('BAD_REQUEST', { why: 'no secrets in a URL' });
  }
}

function addRoute(app: FastifyInstance, services: Services, route: Route): void {
  app.route({
    method: route.method,
    url: route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    ...(route.maxBodyBytes !== undefined && { bodyLimit: route.maxBodyBytes }),
    // Before the body is read: nobody makes us read one who may not.
    onRequest: async request => {
      request.caller = await admit(services, route, request);
    },
    handler: (request, reply) => runRoute(services, route, request, reply),
  });
}

async function admit(services: Services, route: Route, request: FastifyRequest): Promise<Caller | null> {
  const address = addressOf(request);
  if (route.access === 'public') return null;
  const caller = services.doorman.recognize({ authorization: request.headers.authorization, certificateSha256: certificateOf(request, services), address });
  if (caller === undefined) {
    if (route.access === 'metrics' && request.headers.authorization === undefined && services.config().api.metricsNetworks.some(network => inNetwork(address, network))) return null;
    services.counters.add('request.unauthenticated');
    throw new DoorError('UNAUTHENTICATED');
  }
  const needs = route.access === 'metrics' ? 'read' : route.access;
  if (needs === 'self') return caller;
  if (caller.mustChangePassword) throw new DoorError('PASSWORD_EXPIRED');
  if (neededOf(needs).every(access => caller.accesses.includes(access)) && (route.scope !== 'whole' || seesAll(caller))) return caller;
  services.counters.add('request.not-permitted');
  // Who tries what he may not is written down, where that would have been.
  if (route.audit !== undefined && services.daemons.configd.up) await services.audit.write(caller, { action: route.audit, target: request.routeOptions.url ?? route.path, result: 'refused', detail: `needs ${needsText(needs)}` });
  throw new GatewayError('NOT_PERMITTED', { needs: needsText(needs) });
}

/** Shown in the handshake, and valid now; who it belongs to is looked up by its hash. */
function certificateOf(request: FastifyRequest, { clock }: Services): string | undefined {
  const socket = request.raw.socket as Partial<TLSSocket>;
  const certificate = socket.getPeerX509Certificate?.();
  if (certificate === undefined) return undefined;
  const now = clock.wall();
  return certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime() ? certificate.fingerprint256.replaceAll(':', '').toLowerCase() : undefined;
}

/** Codes of fastify that are the client's doing. */
const FRAMEWORK: Readonly<Record<string, ApiCode>> = { FST_ERR_CTP_BODY_TOO_LARGE: 'TOO_LARGE', FST_ERR_CTP_INVALID_MEDIA_TYPE: 'MEDIA_TYPE' };

export function answerFailure({ log, counters }: Services, error: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const failure = readFailure(error);
  if (failure.code === 'INTERNAL') {
    log.error({ err: error, method: request.method, route: request.routeOptions.url ?? null }, 'api.bug');
    setImmediate(() => {
      throw error;
    });
  }
  counters.add(`failure.${failure.code}`);
  const { retryAfterS } = failure.detail;
  if (retryAfterS !== undefined) reply.header('Retry-After', String(retryAfterS));
  if (failure.code === 'UNAUTHENTICATED') reply.header('WWW-Authenticate', 'Bearer');
  // What has not been read of the body is not waited for.
  if (failure.code === 'TOO_LARGE' || failure.code === 'UNAUTHENTICATED') reply.header('Connection', 'close');
  return reply.code(API_STATUS[failure.code]).type('application/json').send(failure);
}

function readFailure(error: Error): ApiFailure {
  if (error instanceof GatewayError || error instanceof DoorError) return failureOf(error.code, error.detail);
  if (error instanceof z.ZodError) return failureOf('BAD_REQUEST', { why: errorWords(error) });
  const { code, statusCode } = error as Partial<FastifyError>;
  if (code !== undefined && Object.hasOwn(FRAMEWORK, code)) return failureOf(FRAMEWORK[code] as DoorCode);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return failureOf('BAD_REQUEST', { why: 'the request cannot be read' });
  return failureOf('INTERNAL');
}

export { API_BASE };
