/**
 * The HTTP server of mediad: one for all outlets over HTTP and WebSocket. It knows who may have a channel and how much one address may
 * take; what it is answered with is the matter of its routes (http-route.ts).
 *
 *   connection ──one too many of its address──► closed
 *   request ──path, method, password in the URL──► 400, 404, 405 ──token or digest──► 401 ──► route
 *   WebSocket ──the same, and the page it comes from (fault 89)──► 403 ──► route
 *
 * Closing order: no new connections, the routes with their viewers, then what is left of the connections.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { type OutletPath, MAX_PATH_CHARS, parseOutletPath } from '#core/outlets/outlet-path.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import { plainAddress } from '#kit/net.ts';
import type { Random } from '#kit/random.ts';
import { HttpAccess, carriesPassword } from './http-access.ts';
import { type HttpExchange, type HttpFailure, type HttpRoute, failureOf, sendFailure } from './http-route.ts';
import type { OutletDoor } from './outlet-door.ts';

/** Request line and headers; longer gets 431. */
const MAX_HEADER_BYTES = 8192;
const MAX_HEADERS = 64;
const HEADERS_MS = 5000;
/** A whole request, its body included (fault 88). */
const REQUEST_MS = 20_000;
const KEEP_ALIVE_MS = 10_000;
const CHECK_EVERY_MS = 1000;
const MAX_REQUESTS_PER_CONNECTION = 1000;
/** Of one connection, not answered to the end: each holds its answer in memory until those before it are taken. */
const MAX_PIPELINED = 8;
/** Nothing moved on a connection for this time, or for twice as long where something waits: it is closed. Viewers have a shorter bound (core/media/slow-viewer). */
const STALLED_MS = 60_000;
/** Beside those of the viewers. */
const SPARE_CONNECTIONS = 256;
const TCP_KEEPALIVE_MS = 15_000;
/** A viewer has nothing to say over its WebSocket. */
const MAX_MESSAGE_BYTES = 1024;

export interface HttpOutletOptions {
  readonly address: string;
  readonly port: number;
  readonly door: OutletDoor;
  readonly routes: readonly HttpRoute[];
  readonly clock: Clock;
  readonly hashes: Hashes;
  readonly random: Random;
  readonly log: Log;
  readonly count: (name: string) => void;
  /** Read for every request: a reload changes them. */
  limits(): HttpLimits;
}

export interface HttpLimits {
  readonly maxViewers: number;
  readonly connectionsPerAddress: number;
  /** Origins of pages that may read us (CORS) and open a WebSocket, besides pages of our own address. */
  readonly origins: readonly string[];
}

type Verdict = { readonly exchange: HttpExchange; readonly route: HttpRoute } | { readonly failure: HttpFailure; readonly why: string };

export class HttpOutlet implements AsyncDisposable {
  readonly #options: HttpOutletOptions;
  readonly #server: Server;
  readonly #access: HttpAccess;
  readonly #routes: ReadonlyMap<string, HttpRoute>;
  readonly #sockets: WebSocketServer;
  readonly #perAddress = new Map<string, number>();
  readonly #upgraded = new Set<Duplex>();
  /** Requests that are not answered to the end. */
  readonly #asked = new WeakMap<Socket, number>();

  private constructor(options: HttpOutletOptions) {
    this.#options = options;
    this.#access = new HttpAccess(options.door, options);
    this.#routes = new Map(options.routes.map(route => [route.prefix, route]));
    this.#sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false, clientTracking: false });
    this.#server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_EVERY_MS,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    });
    this.#server.maxHeadersCount = MAX_HEADERS;
    this.#server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION;
    this.#server.setTimeout(STALLED_MS);
    this.#server.on('connection', socket => this.#onConnection(socket));
    this.#server.on('request', (request, response) => void this.#onRequest(request, response));
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => void this.#onUpgrade(request, socket, head));
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#onClientError(error, socket));
  }

  /** Rejects with a GatewayError when it cannot listen. */
  static async open(options: HttpOutletOptions): Promise<HttpOutlet> {
    const outlet = new HttpOutlet(options);
    const { address, port } = options;
    await new Promise<void>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => reject(new GatewayError('CONFIG_INVALID', { 'outlets.httpPort': port, address, why: error.code ?? error.message }, { cause: error }));
      outlet.#server.once('error', failed);
      outlet.#server.listen({ host: address, port, exclusive: true }, () => {
        outlet.#server.off('error', failed);
        // EMFILE at accept: the kernel keeps the connection waiting (fault 109).
        outlet.#server.on('error', () => undefined);
        resolve();
      });
    });
    return outlet;
  }

  get port(): number {
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : this.#options.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>(resolve => void this.#server.close(() => resolve()));
    for (const route of this.#options.routes) (route as Partial<Disposable>)[Symbol.dispose]?.();
    this.#server.closeAllConnections();
    for (const socket of this.#upgraded) socket.destroy();
    this.#sockets.close();
    await closed;
  }

  #onConnection(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress ?? '');
    const { maxViewers, connectionsPerAddress } = this.#options.limits();
    this.#server.maxConnections = maxViewers + SPARE_CONNECTIONS;
    const open = this.#perAddress.get(address) ?? 0;
    if (open >= connectionsPerAddress) {
      this.#options.count('outlet.http.refused.connections');
      return void socket.destroy();
    }
    this.#perAddress.set(address, open + 1);
    socket.once('close', () => {
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    if (!this.#admit(request, response)) return;
    this.#allowOrigin(request, response);
    if (request.method === 'OPTIONS') return void response.writeHead(204, { Allow: 'GET, HEAD, OPTIONS' }).end();
    const verdict = this.#judge(request, route => route.methods);
    if ('failure' in verdict) {
      // What it still sends is not read.
      response.shouldKeepAlive &&= request.method === 'GET' || request.method === 'HEAD';
      return sendFailure(response, verdict.failure);
    }
    try {
      await verdict.route.handle(verdict.exchange, response);
    } catch (error) {
      sendFailure(response, this.#failureOf(error));
    }
  }

  #admit({ socket }: IncomingMessage, response: ServerResponse): boolean {
    if (socket.destroyed) return false;
    const asked = this.#asked.get(socket) ?? 0;
    if (asked >= MAX_PIPELINED) {
      this.#options.count('outlet.http.refused.pipelined');
      socket.destroy();
      return false;
    }
    this.#asked.set(socket, asked + 1);
    response.once('close', () => this.#asked.set(socket, (this.#asked.get(socket) ?? 1) - 1));
    return true;
  }

  async #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#upgraded.add(socket);
    socket.once('close', () => this.#upgraded.delete(socket));
    socket.on('error', () => undefined);
    try {
      const verdict = this.#judge(request, route => (route.upgrade === undefined ? [] : ['GET']));
      if ('failure' in verdict) return refuseUpgrade(socket, verdict.failure);
      if (!this.#isOwnPage(request)) {
        this.#options.count('outlet.http.refused.origin');
        return refuseUpgrade(socket, failureOf('NOT_PERMITTED'));
      }
      await verdict.route.upgrade!(verdict.exchange, () => this.#accept(request, socket, head));
    } catch (error) {
      refuseUpgrade(socket, this.#failureOf(error));
    }
  }

  /** A handshake that is none is answered and closed by the library, without a word to us. */
  #accept(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<WebSocket> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new GatewayError('BAD_REQUEST', { why: 'no WebSocket handshake' }));
      if (socket.destroyed) return gone();
      socket.once('close', gone);
      this.#sockets.handleUpgrade(request, socket, head, resolve);
    });
  }

  /** What it asks for, and whether it may have it. */
  #judge(request: IncomingMessage, methodsOf: (route: HttpRoute) => readonly string[]): Verdict {
    const { count, log } = this.#options;
    const address = plainAddress(request.socket.remoteAddress ?? '');
    const remote = `${address}:${request.socket.remotePort ?? 0}`;
    const refuse = (failure: HttpFailure, why: string): Verdict => {
      count(`outlet.http.refused.${why}`);
      return { failure, why };
    };
    const found = this.#find(request.url ?? '');
    if ('failure' in found) return refuse(found.failure, found.why);
    const { route, path, query } = found;
    if (carriesPassword(query)) {
      log.warn({ remote, channel: path.channel }, 'outlet.password-in-url');
      return refuse(failureOf('BAD_REQUEST'), 'password-in-url');
    }
    const methods = methodsOf(route);
    if (!methods.includes(request.method === 'HEAD' ? 'GET' : (request.method ?? ''))) return refuse(failureOf('BAD_REQUEST', 405, { Allow: methods.join(', ') }), 'method');
    const verdict = this.#access.check(request, path, address);
    if (verdict.granted) return { route, exchange: { request, path, query, remote, user: verdict.user } };
    if (verdict.why !== 'challenge') log.info({ remote, channel: path.channel, why: verdict.why }, 'outlet.denied');
    return refuse(verdict.failure, verdict.why);
  }

  #find(url: string): { readonly route: HttpRoute; readonly path: OutletPath; readonly query: URLSearchParams } | { readonly failure: HttpFailure; readonly why: string } {
    const prefix = /^\/([a-z]{1,16})\//.exec(url)?.[1];
    const route = prefix === undefined ? undefined : this.#routes.get(prefix);
    if (route === undefined || prefix === undefined) return { failure: failureOf('CHANNEL_UNKNOWN'), why: 'not-found' };
    const path = url.length > MAX_PATH_CHARS ? undefined : parseOutletPath(`/live${url.slice(prefix.length + 1)}`);
    if (path === undefined || !path.ok) return { failure: failureOf('BAD_REQUEST'), why: 'path' };
    const at = url.indexOf('?');
    return { route, path: path.value, query: new URLSearchParams(at < 0 ? '' : url.slice(at + 1)) };
  }

  #failureOf(error: unknown): HttpFailure {
    if (!(error instanceof GatewayError)) throw error;
    return failureOf(error.code);
  }

  /** CORS: nobody but who is configured. */
  #allowOrigin(request: IncomingMessage, response: ServerResponse): void {
    const { origin } = request.headers;
    if (origin === undefined || !this.#options.limits().origins.includes(origin)) return;
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader('Access-Control-Allow-Methods', 'GET, HEAD, POST, DELETE, OPTIONS');
    response.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type');
    response.setHeader('Access-Control-Expose-Headers', 'Location');
    response.setHeader('Vary', 'Origin');
  }

  /** A page sends its origin; a program sends none, and has no user whose rights it could borrow. */
  #isOwnPage({ headers }: IncomingMessage): boolean {
    const { origin, host } = headers;
    if (origin === undefined) return true;
    return this.#options.limits().origins.includes(origin) || origin === `http://${host}` || origin === `https://${host}`;
  }

  #onClientError({ code }: NodeJS.ErrnoException, socket: Duplex): void {
    const status = code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
    if (code !== 'ECONNRESET' && code !== 'EPIPE') this.#options.count(`outlet.http.malformed.${status.slice(0, 3)}`);
    if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    else socket.destroy();
  }
}

const REASONS: Readonly<Record<number, string>> = { 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed', 429: 'Too Many Requests', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout' };

/** The handshake was not answered yet: an ordinary response is. */
function refuseUpgrade(socket: Duplex, { status, body, headers }: HttpFailure): void {
  if (!socket.writable) return void socket.destroy();
  const fields = Object.entries(headers).flatMap(([name, values]) => [values].flat().map(value => `${name}: ${value}\r\n`));
  socket.end(`HTTP/1.1 ${status} ${REASONS[status] ?? 'Error'}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${fields.join('')}\r\n${body}`);
}
