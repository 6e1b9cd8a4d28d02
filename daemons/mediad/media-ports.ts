/** Local ports of legs: a range with a port for each, or the fixed ones of a gap (design.md 7). */
import { createServer, type Server, type Socket } from 'node:net';
import type { Endpoint } from '#contracts/mediad.ts';
import { normalizeIp } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { PortPool, type PortRange } from '#kit/port-pool.ts';
import { type DatagramBatch, openUdp, type UdpPort, type UdpPortOptions } from '#kit/udp-batch.ts';
import type { Strays } from './strays.ts';
import { KEEPALIVE_MS } from './tcp-dial.ts';

export interface LegPort {
  readonly local: Endpoint;
  /** Ends when the port is given back. Twice is once. */
  close(): Promise<void>;
}

export interface UdpSourcePort extends LegPort {
  /** What the leg accepts from now on. BAD_REQUEST when that cannot be told from another live leg. */
  expect(ssrc: number, remote: Endpoint, ssrcPolicy: 'exact' | 'adopt'): void;
  /** RTCP back to the sender, on the port that its packets come to. */
  send(batch: DatagramBatch): boolean;
  /** Datagrams that found the receive buffer full: of all legs when they share the port. */
  readonly overflows: number;
}

export interface UdpSinkPort extends LegPort {
  /** Sends to the remote of the leg; perhaps shared with other legs. */
  readonly udp: Pick<UdpPort, 'send' | 'dropped'>;
}

export interface ListenHandlers {
  /** Asked before the connection is taken. */
  readonly mayConnect: (address: string) => boolean;
  /** Nothing has been read from it. */
  readonly onConnection: (socket: Socket) => void;
  readonly onRefused: (address: string, port: number) => void;
}

/** Listens from the moment it exists: some cameras try once (quirk 58). */
export interface LegListener extends LegPort {
  /** The leg has its connection, or wants none. */
  stop(): void;
}

export interface SourceListener extends LegListener {
  /** As UdpSourcePort.expect. */
  expect(ssrc: number, ssrcPolicy: 'exact' | 'adopt'): void;
}

/** Where a connection that we make comes from. `localPort` undefined: the system picks. */
export interface DialPort extends LegPort {
  readonly localPort: number | undefined;
}

export interface UdpSourceHandlers {
  readonly onBatch: (batch: DatagramBatch) => void;
  readonly onError: (error: NodeJS.ErrnoException) => void;
}

export interface MediaPorts {
  /** Numbers left for new legs. */
  readonly free: number;
  /** Numbers that are ours; undefined when all legs share one. */
  readonly range: PortRange | undefined;
  /** `port`: this one, where each leg has its own. */
  udpSource(address: string, ssrc: number, handlers: UdpSourceHandlers, port?: number): Promise<UdpSourcePort>;
  udpSink(address: string, remote: Endpoint, handlers: UdpSourceHandlers, port?: number): Promise<UdpSinkPort>;
  listenSource(address: string, ssrc: number, handlers: ListenHandlers, port?: number): Promise<SourceListener>;
  listenSink(address: string, remote: Endpoint, handlers: ListenHandlers, port?: number): Promise<LegListener>;
  /** `former`: beside this one, from which the peer may hold a connection still. */
  dialFrom(address: string, former?: number): Promise<DialPort>;
  close(): Promise<void>;
}

export interface MediaPortsOptions {
  readonly strays: Strays;
  readonly receiveBufferBytes: number;
  /** As in UdpPortOptions. */
  readonly tos?: number;
  readonly freebind?: boolean;
  readonly clock: Clock;
}

export const udpOptions = ({ tos = 0, freebind = false }: MediaPortsOptions): Pick<UdpPortOptions, 'tos' | 'freebind' | 'mayRest'> => ({ tos, freebind, mayRest: true });

const SEND_BUFFER_BYTES = 1024 * 1024;

/** One number a leg, whatever its transport; of each local address, because the other node of a pair may leave us the same numbers on its own. */
export class RangePorts implements MediaPorts {
  readonly #options: MediaPortsOptions;
  readonly #pools = new Map<string, PortPool>();
  readonly #unused: PortPool;
  readonly range: PortRange;

  constructor(range: PortRange, options: MediaPortsOptions) {
    this.range = range;
    this.#options = options;
    this.#unused = new PortPool(range, options.clock);
  }

  get free(): number {
    return Math.min(this.#unused.free, ...[...this.#pools.values()].map(pool => pool.free));
  }

  #pool(address: string): PortPool {
    const known = this.#pools.get(address);
    if (known !== undefined) return known;
    const pool = new PortPool(this.range, this.#options.clock);
    this.#pools.set(address, pool);
    return pool;
  }

  async udpSource(address: string, _ssrc: number, handlers: UdpSourceHandlers, wanted?: number): Promise<UdpSourcePort> {
    const { lease, bound } = await this.#pool(address).bind(port => openUdp({ address, port, receiveBufferBytes: this.#options.receiveBufferBytes, ...udpOptions(this.#options), ...handlers }), wanted);
    return {
      local: { address: bound.address, port: bound.port },
      expect: () => undefined,
      send: batch => bound.send(batch),
      get overflows() {
        return bound.overflows;
      },
      close: () => bound.close().then(lease.release),
    };
  }

  async udpSink(address: string, remote: Endpoint, handlers: UdpSourceHandlers, wanted?: number): Promise<UdpSinkPort> {
    const { lease, bound } = await this.#pool(address).bind(port => openUdp({ address, port, sendBufferBytes: SEND_BUFFER_BYTES, ...udpOptions(this.#options), ...handlers }), wanted);
    const close = (): Promise<void> => bound.close().then(lease.release);
    await bound.connect(remote.address, remote.port).catch(async (error: NodeJS.ErrnoException) => {
      await close();
      throw new GatewayError('MEDIA_TARGET_REFUSED', { address: remote.address, port: remote.port, why: error.code ?? error.message }, { cause: error });
    });
    return {
      local: { address: bound.address, port: bound.port },
      udp: bound,
      close,
    };
  }

  async listenSource(address: string, _ssrc: number, handlers: ListenHandlers, wanted?: number): Promise<SourceListener> {
    return { ...(await this.#listen(address, handlers, wanted)), expect: () => undefined };
  }

  listenSink(address: string, _remote: Endpoint, handlers: ListenHandlers, wanted?: number): Promise<LegListener> {
    return this.#listen(address, handlers, wanted);
  }

  async #listen(address: string, { mayConnect, onConnection, onRefused }: ListenHandlers, wanted?: number): Promise<LegListener> {
    const { lease, bound: server } = await this.#pool(address).bind(port => openTcp(address, port), wanted);
    server.on('connection', socket => {
      const from = normalizeIp(socket.remoteAddress ?? '') ?? '';
      if (mayConnect(from)) return onConnection(socket);
      onRefused(from, socket.remotePort ?? 0);
      socket.destroy();
    });
    const stop = once(() => closeServer(server));
    return { local: { address, port: lease.port }, stop: () => void stop(), close: () => stop().then(lease.release) };
  }

  /** Listens once to see that the number is free; the connection itself binds it again. Beside a former port is the other one of its pair. */
  async dialFrom(address: string, former?: number): Promise<DialPort> {
    const beside = former === undefined ? 0 : (former ^ 1) & 1;
    const { lease } = await this.#pool(address).bind(async port => {
      const server = await openTcp(address, port + beside);
      server.on('connection', stranger => stranger.destroy());
      await closeServer(server);
    }, former === undefined ? undefined : former & ~1);
    const port = lease.port + beside;
    return { local: { address, port }, localPort: port, close: async () => lease.release() };
  }

  async close(): Promise<void> {}
}

/** Connections that wait to be accepted. */
const BACKLOG = 16;

/** A listener whose connections stay unread until somebody asks. Rejects with the system's error. */
export function openTcp(address: string, port: number, backlog = BACKLOG): Promise<Server> {
  const server = createServer({ pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, backlog, ipv6Only: address.includes(':'), exclusive: true }, () => {
      server.off('error', reject);
      // EMFILE at accept: the kernel keeps the connection waiting (fault 109).
      server.on('error', () => undefined);
      resolve(server);
    });
  });
}

/** Stops listening at once; ends when its connections are gone too. */
export const closeServer = (server: Server): Promise<void> => new Promise(resolve => void server.close(() => resolve()));

function once<T>(task: () => T): () => T {
  let done: { readonly value: T } | undefined;
  return () => (done ??= { value: task() }).value;
}
