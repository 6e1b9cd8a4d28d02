/** The servers: one for each address of the configuration, with limits on what a connection may cost (faults.md 81, 88). */
import { createServer as createHttp, type Server } from 'node:http';
import { createServer as createHttps, type Server as HttpsServer, type ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyServerFactory } from 'fastify';
import type { ApiConfig, ApiListen } from '#core/config/api-schema.ts';
import { normalizeIp } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';
import type { Counters } from '#kit/counters.ts';
import type { Log } from '#kit/log.ts';
import type { TlsMaterial } from './tls.ts';

const MAX_HEADER_BYTES = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
const CHECK_MS = 1000;
const HANDSHAKE_MS = 10_000;

export interface ListenersDeps {
  readonly log: Log;
  readonly counters: Counters;
  config(): ApiConfig;
  tls(): TlsMaterial;
  /** The application behind a server. */
  app(factory: FastifyServerFactory, tls: boolean): FastifyInstance;
}

interface Open {
  readonly listen: ApiListen;
  readonly app: FastifyInstance;
  readonly server: Server | HttpsServer;
}

const keyOf = ({ address, port, tls }: ApiListen, timeoutS: number): string => `${tls ? 'https' : 'http'} ${address} ${port} ${timeoutS}`;

export class Listeners implements AsyncDisposable {
  readonly #deps: ListenersDeps;
  readonly #open = new Map<string, Open>();

  constructor(deps: ListenersDeps) {
    this.#deps = deps;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ app }) => app.close()));
    this.#open.clear();
  }

  get rows(): readonly { readonly address: string; readonly port: number; readonly tls: boolean }[] {
    return [...this.#open.values()].map(({ listen: { address, port, tls } }) => ({ address, port, tls }));
  }

  /** Opens what is new, closes what is gone; the others are not touched. BAD_REQUEST when an address cannot be bound. */
  async configure(): Promise<void> {
    const { listen, requestTimeoutS } = this.#deps.config();
    const wanted = new Map(listen.map(each => [keyOf(each, requestTimeoutS), each]));
    for (const [key, { app }] of this.#open) {
      if (wanted.has(key)) continue;
      this.#open.delete(key);
      await app.close();
    }
    for (const [key, each] of wanted) if (!this.#open.has(key)) this.#open.set(key, await this.#listen(each));
    for (const { server, listen: { tls } } of this.#open.values()) if (tls) (server as HttpsServer).setSecureContext(secureContext(this.#deps.tls()));
  }

  async #listen(listen: ApiListen): Promise<Open> {
    const { log } = this.#deps;
    let server: Server | HttpsServer | undefined;
    const app = this.#deps.app(handler => (server = this.#guarded(listen.tls ? createHttps(this.#options(true), handler) : createHttp(this.#options(false), handler))), listen.tls);
    try {
      await app.listen({ host: listen.address, port: listen.port });
    } catch (error) {
      await app.close();
      throw new GatewayError('BAD_REQUEST', { field: 'api.listen', why: `${listen.address} port ${listen.port} cannot be bound: ${(error as NodeJS.ErrnoException).code ?? String(error)}` }, { cause: error });
    }
    log.info({ ...listen }, 'api.listening');
    return { listen, app, server: server! };
  }

  #options(tls: boolean): ServerOptions {
    const { requestTimeoutS } = this.#deps.config();
    const common = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutS * 1000), requestTimeout: requestTimeoutS * 1000, keepAliveTimeout: KEEP_ALIVE_MS, connectionsCheckingInterval: CHECK_MS };
    return tls ? { ...common, ...secureContext(this.#deps.tls()), minVersion: 'TLSv1.2', honorCipherOrder: true, requestCert: true, rejectUnauthorized: false, handshakeTimeout: HANDSHAKE_MS } : common;
  }

  /** So many in all, and from one address. */
  #guarded(server: Server | HttpsServer): Server | HttpsServer {
    const perAddress = new Map<string, number>();
    server.maxConnections = this.#deps.config().maxConnections;
    server.on('connection', (socket: Socket) => {
      const address = normalizeIp(socket.remoteAddress ?? '') ?? '';
      const count = (perAddress.get(address) ?? 0) + 1;
      if (count > this.#deps.config().connectionsPerAddress) {
        this.#deps.counters.add('connection.refused');
        return void socket.destroy();
      }
      perAddress.set(address, count);
      socket.once('close', () => {
        const left = perAddress.get(address)! - 1;
        if (left > 0) perAddress.set(address, left);
        else perAddress.delete(address);
      });
    });
    server.on('drop', () => this.#deps.counters.add('connection.refused'));
    return server;
  }
}

const secureContext = ({ cert, key }: TlsMaterial): { cert: string; key: string } => ({ cert, key });
