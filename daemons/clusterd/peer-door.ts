/**
 * Where the other node comes in: TLS on our address of the link, from its address only. What it says first names a daemon of ours; from
 * then on the connection is that daemon's, which sees us in it.
 *
 *   arrived --handshake, its name--> known --first line--> named --daemon answers--> carried
 *      |        2 s for all of this            | no daemon of ours     | it is away
 *      +---------------------------------------+-----------------------+--> closed, and counted
 */
import { type Server, type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { type Server as TlsServer, type TLSSocket, createServer as createTlsServer } from 'node:tls';
import { type PeerTarget, parseTarget } from '#core/cluster/peer-target.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Counters } from '#kit/counters.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { PairTrust } from '#kit/pair-trust.ts';
import { isPeer, peerServerOptions } from '#kit/peer-tls.ts';
import { carry } from './peer-carry.ts';

/** An interface may come up later than we. */
const BIND_AGAIN_MS = 500;
const TOLD_EVERY_MS = 60_000;
/** Until it has named a daemon. */
const ARRIVE_MS = 2000;
const MAX_CONNECTIONS = 256;
/** Of them, such as have not named a daemon yet. */
const MAX_ARRIVING = 64;

export interface PeerDoorOptions {
  readonly runDirectory: string;
  readonly targets: readonly string[];
  readonly address: string;
  readonly port: number;
  /** Who else may come. */
  readonly peerAddress: string;
  readonly trust: PairTrust;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

export class PeerDoor implements AsyncDisposable {
  readonly #options: PeerDoorOptions;
  readonly #tcp: Server;
  readonly #tls: TlsServer;
  readonly #sockets = new Set<Socket>();
  /** By its port over there: all of them have one address. */
  readonly #arriving = new Map<number, Disposable>();
  readonly #refusals: CountedLog;
  #retry: Disposable | undefined;
  readonly #unbound: CountedLog;
  #closed = false;

  constructor(options: PeerDoorOptions) {
    this.#options = options;
    this.#unbound = new CountedLog(options.log, options.clock, 'gate.not-bound', TOLD_EVERY_MS);
    this.#refusals = new CountedLog(options.log, options.clock, 'gate.refused');
    this.#tls = createTlsServer(peerServerOptions(options.trust, ARRIVE_MS));
    this.#tls.on('secureConnection', socket => this.#known(socket));
    this.#tls.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      this.#refused('handshake', { why: error.code ?? error.message });
      socket.destroy();
    });
    this.#tcp = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 }, socket => this.#arrived(socket));
    this.#tcp.maxConnections = MAX_CONNECTIONS;
    this.#tcp.on('drop', () => this.#refused('full'));
    this.#tcp.on('error', (error: NodeJS.ErrnoException) => this.#notBound(error));
    this.#bind();
  }

  get carried(): number {
    return this.#sockets.size - this.#arriving.size;
  }

  get listening(): boolean {
    return this.#tcp.listening;
  }

  /** The other node is gone: so is everything that came from it. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    const closed = new Promise(resolve => (this.#tcp.listening ? this.#tcp.close(resolve) : resolve(undefined)));
    this.drop();
    await closed;
  }

  #bind(): void {
    const { address, port } = this.#options;
    this.#tcp.listen({ host: address, port }, () => void this.#options.log.info({ address, port }, 'gate.open'));
  }

  #notBound(error: NodeJS.ErrnoException): void {
    const { clock, address, port } = this.#options;
    if (this.#closed) return;
    this.#unbound.count({ address, port, why: error.code ?? error.message });
    this.#retry = clock.schedule(addMs(clock.now(), BIND_AGAIN_MS), () => this.#bind());
  }

  #arrived(socket: Socket): void {
    const { peerAddress, clock } = this.#options;
    socket.on('error', () => undefined);
    const reason = socket.remoteAddress !== peerAddress ? 'stranger' : this.#arriving.size >= MAX_ARRIVING ? 'full' : undefined;
    if (reason !== undefined) {
      this.#refused(reason, { from: socket.remoteAddress ?? '' });
      return void socket.destroy();
    }
    this.#sockets.add(socket);
    const port = socket.remotePort!;
    const limit = clock.schedule(addMs(clock.now(), ARRIVE_MS), () => {
      this.#refused('slow');
      socket.destroy();
    });
    this.#arriving.set(port, limit);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#settle(port);
    });
    this.#tls.emit('connection', socket);
  }

  /** No longer arriving, however that ended. */
  #settle(remotePort: number): void {
    this.#arriving.get(remotePort)?.[Symbol.dispose]();
    this.#arriving.delete(remotePort);
  }

  #known(socket: TLSSocket): void {
    const { trust, targets } = this.#options;
    socket.on('error', () => undefined);
    if (!isPeer(socket, trust)) {
      this.#refused('name');
      return void socket.destroy();
    }
    let line = Buffer.alloc(0);
    const onEnd = (): void => void socket.destroy();
    const onData = (chunk: Buffer): void => {
      line = Buffer.concat([line, chunk]);
      const target = parseTarget(line, targets);
      if (target === undefined) return;
      socket.off('data', onData).off('end', onEnd).pause();
      if (target.ok) return this.#named(socket, target.value, line);
      this.#refused('target', { why: target.error.why });
      socket.destroy();
    };
    socket.on('data', onData).on('end', onEnd);
  }

  #named(socket: TLSSocket, { name, length }: PeerTarget, said: Buffer): void {
    const { runDirectory, counters } = this.#options;
    this.#settle(socket.remotePort!);
    if (said.length > length) socket.unshift(said.subarray(length));
    const daemon = connect({ path: join(runDirectory, `${name}.sock`), allowHalfOpen: true });
    const away = (): void => {
      this.#refused('away', { daemon: name });
      socket.destroy();
    };
    daemon.once('error', away);
    socket.once('close', () => daemon.connecting && daemon.destroy());
    daemon.once('connect', () => {
      daemon.off('error', away);
      counters.add('gate.in.carried');
      carry(socket, daemon, () => undefined);
    });
  }

  #refused(reason: string, detail: Readonly<Record<string, string>> = {}): void {
    this.#options.counters.add(`gate.in.refused.${reason}`);
    this.#refusals.count({ reason, ...detail });
  }
}
