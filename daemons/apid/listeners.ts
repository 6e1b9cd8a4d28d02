/** The servers: one for each address of the configuration, with limits on what a connection may cost (faults.md 81, 88). */
import { createServer as createHttp, type Server } from 'node:http';
import { createServer as createHttps, type Server as HttpsServer, type ServerOptions } from 'node:https';
import { type Socket, type Server as PlainServer, createServer as createPlain } from 'node:net';
import type { ApidStatus } from '#contracts/apid.ts';
import type { FastifyInstance, FastifyServerFactory } from 'fastify';
import type { ApiConfig, ApiListen } from '#core/config/api-schema.ts';
import { normalizeIp } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import type { Counters } from '#kit/counters.ts';
import type { Log } from '#kit/log.ts';
import { isWildcard } from '#kit/net.ts';
import type { TlsMaterial } from './tls.ts';

const MAX_HEADER_BYTES = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
const CHECK_MS = 1000;
const HANDSHAKE_MS = 10_000;
/** An address that is not there yet, of an interface that comes up late or of the other node, is tried again. */
const RETRY_MS = 3000;
/** As long as a commit may take. */
const LEAVE_MS = 60_000;

export interface ListenersDeps {
  readonly log: Log;
  readonly counters: Counters;
  readonly clock: Clock;
  config(): ApiConfig;
  tls(): TlsMaterial;
  /** The application behind a server. */
  app(factory: FastifyServerFactory, tls: boolean): FastifyInstance;
  /** Nothing comes in there any more. */
  onLeave(app: FastifyInstance): void;
}

interface Open {
  readonly listen: ApiListen;
  readonly app: FastifyInstance;
  readonly server: Server | HttpsServer;
}

interface Missing {
  readonly listen: ApiListen;
  readonly why: string;
}

const keyOf = ({ address, port, tls }: ApiListen): string => `${tls ? 'https' : 'http'} ${address} ${port}`;
/** The kernel gives a port of one address to one server only, and a wildcard has it of every address. */
const overlap = (a: ApiListen, b: ApiListen): boolean => a.port === b.port && (a.address === b.address || isWildcard(a.address) || isWildcard(b.address));

export class Listeners implements AsyncDisposable {
  readonly #deps: ListenersDeps;
  readonly #open = new Map<string, Open>();
  /** Listens no more, and still answers what was asked before. */
  readonly #leaving = new Map<Open, Disposable>();
  /** Could not be bound when we began. */
  readonly #missing = new Map<string, Missing>();
  #retry: Disposable | undefined;
  #closed = false;

  constructor(deps: ListenersDeps) {
    this.#deps = deps;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    await Promise.all([...[...this.#open.values()].map(({ app }) => app.close()), ...[...this.#leaving.keys()].map(each => this.#cut(each))]);
    this.#open.clear();
  }

  get rows(): ApidStatus['listening'] {
    const missing = [...this.#missing.values()].map(({ listen, why }) => ({ ...listen, why }));
    return [...[...this.#open.values()].map(({ listen }) => ({ ...listen, why: null })), ...missing];
  }

  /** Binds for a moment what is new in `listen`: why that cannot be, or null. */
  async refusalOf(listen: readonly ApiListen[]): Promise<string | null> {
    const { fresh, gone } = this.#compare(listen);
    await using tried = new Closer();
    for (const each of fresh.filter(listen => !this.#missing.has(keyOf(listen)))) {
      // A port that we give up ourselves is free by then; that the address is ours can be tried.
      const port = gone.some(other => overlap(other.listen, each)) ? 0 : each.port;
      try {
        tried.use(await bound(each.address, port));
      } catch (error) {
        return `api.listen: ${unbindable(each, error)}`;
      }
    }
    return null;
  }

  /**
   * Opens what is new, and only then closes what is gone; the others are not touched. `renew` is called between the two: what it
   * throws leaves everything as it was, like BAD_REQUEST when an address cannot be bound. `patient`, when we begin: such an address
   * is tried again instead, for the others are served meanwhile.
   */
  async configure(renew: () => void, patient = false): Promise<void> {
    const { fresh, gone } = this.#compare(this.#deps.config().listen);
    const inTheWay = gone.filter(({ listen }) => fresh.some(each => overlap(each, listen)));
    const opened: Open[] = [];
    for (const { server } of inTheWay) server.close();
    try {
      for (const each of fresh) await this.#listenOrWait(each, patient, opened);
      renew();
    } catch (error) {
      await Promise.all(opened.map(({ app }) => app.close()));
      for (const { server, listen } of inTheWay) await listening(server, listen.address, listen.port);
      throw error;
    }
    for (const each of gone) this.#leave(each);
    for (const each of opened) this.#open.set(keyOf(each.listen), each);
    for (const each of this.#open.values()) this.#refresh(each);
    this.#forgetUnwanted();
  }

  async #listenOrWait(listen: ApiListen, patient: boolean, opened: Open[]): Promise<void> {
    try {
      opened.push(await this.#listen(listen));
      this.#missing.delete(keyOf(listen));
    } catch (error) {
      if (!(error instanceof GatewayError) || !(patient || this.#missing.has(keyOf(listen)))) throw error;
      if (!this.#missing.has(keyOf(listen))) this.#deps.log.warn({ ...listen, why: error.detail['why'] }, 'api.not-listening');
      this.#missing.set(keyOf(listen), { listen, why: String(error.detail['why']) });
      this.#tryLater();
    }
  }

  #forgetUnwanted(): void {
    const wanted = new Set(this.#deps.config().listen.map(keyOf));
    for (const key of [...this.#missing.keys()]) if (!wanted.has(key)) this.#missing.delete(key);
  }

  #tryLater(): void {
    const { clock } = this.#deps;
    this.#retry ??= clock.schedule(addMs(clock.now(), RETRY_MS), () => {
      this.#retry = undefined;
      void this.#tryMissing();
    });
  }

  async #tryMissing(): Promise<void> {
    const opened: Open[] = [];
    for (const { listen } of [...this.#missing.values()]) await this.#listenOrWait(listen, true, opened);
    for (const each of opened) {
      // Meanwhile it may not be wanted any more, or be open already.
      const isWanted = !this.#closed && !this.#open.has(keyOf(each.listen)) && this.#deps.config().listen.some(listen => keyOf(listen) === keyOf(each.listen));
      if (isWanted) this.#open.set(keyOf(each.listen), each);
      else await each.app.close();
    }
  }

  #compare(listen: readonly ApiListen[]): { readonly fresh: readonly ApiListen[]; readonly gone: readonly Open[] } {
    const wanted = new Set(listen.map(keyOf));
    return { fresh: listen.filter(each => !this.#open.has(keyOf(each))), gone: [...this.#open].filter(([key]) => !wanted.has(key)).map(([, each]) => each) };
  }

  /** The commit that takes an address away may itself have come in there: it gets its answer. Streams end at once. */
  #leave(each: Open): void {
    const { clock, onLeave } = this.#deps;
    this.#open.delete(keyOf(each.listen));
    if (each.server.listening) each.server.close();
    onLeave(each.app);
    this.#leaving.set(each, clock.schedule(addMs(clock.now(), LEAVE_MS), () => void this.#cut(each)));
  }

  async #cut(each: Open): Promise<void> {
    this.#leaving.get(each)?.[Symbol.dispose]();
    this.#leaving.delete(each);
    await each.app.close();
  }

  /** What an open server takes over as it is. */
  #refresh({ server, listen: { tls } }: Open): void {
    const { maxConnections } = this.#deps.config();
    Object.assign(server, { ...this.#times(), maxConnections });
    if (tls) (server as HttpsServer).setSecureContext(secureContext(this.#deps.tls()));
  }

  async #listen(listen: ApiListen): Promise<Open> {
    const { log } = this.#deps;
    let server: Server | HttpsServer | undefined;
    const app = this.#deps.app(handler => (server = this.#guarded(listen.tls ? createHttps(this.#options(true), handler) : createHttp(this.#options(false), handler))), listen.tls);
    try {
      await app.listen({ host: listen.address, port: listen.port });
    } catch (error) {
      await app.close();
      throw new GatewayError('BAD_REQUEST', { field: 'api.listen', why: unbindable(listen, error) }, { cause: error });
    }
    log.info({ ...listen }, 'api.listening');
    return { listen, app, server: server! };
  }

  #times(): { readonly headersTimeout: number; readonly requestTimeout: number } {
    const requestTimeout = this.#deps.config().requestTimeoutS * 1000;
    return { headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeout), requestTimeout };
  }

  #options(tls: boolean): ServerOptions {
    // Whoever names no host is answered by the application, in its own words.
    const common = { requireHostHeader: false, maxHeaderSize: MAX_HEADER_BYTES, ...this.#times(), keepAliveTimeout: KEEP_ALIVE_MS, connectionsCheckingInterval: CHECK_MS };
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

const unbindable = ({ address, port }: ApiListen, error: unknown): string => `${address} port ${port} cannot be bound: ${(error as NodeJS.ErrnoException).code ?? String(error)}`;

async function listening(server: PlainServer, host: string, port: number): Promise<void> {
  const done = Promise.withResolvers<void>();
  server.once('error', done.reject);
  server.listen({ host, port, exclusive: true }, done.resolve);
  await done.promise;
  server.off('error', done.reject);
}

async function bound(host: string, port: number): Promise<AsyncDisposable> {
  const server = createPlain(socket => socket.destroy());
  await listening(server, host, port);
  return server;
}
