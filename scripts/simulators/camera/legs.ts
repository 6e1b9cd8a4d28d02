/** Where the packets of one session go: UDP, a TCP connection that we make, or one that we wait for (RFC 4571, RFC 4145). */
import type { Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Server, type Socket, createServer, connect } from 'node:net';
import type { Clock } from '#kit/clock.ts';
import { ImpairedPath } from '../../impairment/path.ts';
import type { ImpairmentRules } from '../../impairment/rules.ts';
import { bindEvenUdp } from '../common/even-port.ts';
import { pause } from '../common/names.ts';
import type { Quirks } from './quirks.ts';

export type MediaTransport = 'udp' | 'tcp-active' | 'tcp-passive';

export interface Remote {
  readonly address: string;
  readonly port: number;
}

export interface LegCounters {
  packets: number;
  bytes: number;
  /** Packets thrown away because the receiver was too slow (TCP), or ICMP said that nobody is there (UDP). */
  discarded: number;
  unreachable: number;
}

export interface MediaLeg extends AsyncDisposable {
  /** What the answer declares. */
  readonly port: number;
  readonly counters: Readonly<LegCounters>;
  /** Packets may flow from now on. Settles when they can; false when nobody could be reached. */
  start(): Promise<boolean>;
  send(packets: readonly Uint8Array[]): void;
  /** The receiver closed the connection. */
  onLost: (() => void) | undefined;
}

/** [22]: a client tries at least three times, at least a second apart. */
const CONNECT_TRIES = 4;
const CONNECT_PAUSE_MS = 1000;
const CONNECT_TIMEOUT_MS = 5000;
/** A receiver that reads nothing: about ten seconds of picture, then packets are discarded. */
const MAX_TCP_BACKLOG_BYTES = 4 * 1024 * 1024;
const GARBAGE_BYTES = 100;

const newCounters = (): LegCounters => ({ packets: 0, bytes: 0, discarded: 0, unreachable: 0 });

/** `network`: what becomes of the packets on their way; they leave from the declared port all the same. */
export async function openUdpLeg(localAddress: string, remote: Remote, quirks: Quirks, network?: { readonly rules: ImpairmentRules; readonly clock: Clock }): Promise<MediaLeg> {
  const declared = await bindEvenUdp(localAddress);
  const sending = quirks.has('wrong-source-port') ? await bindEvenUdp(localAddress) : declared;
  return new UdpLeg(declared, sending, remote, quirks, network);
}

class UdpLeg implements MediaLeg {
  readonly #declared: UdpSocket;
  readonly #sending: UdpSocket;
  readonly #remote: Remote;
  readonly #path: ImpairedPath | undefined;
  readonly counters = newCounters();
  readonly port: number;
  #connected = false;
  #closed = false;
  readonly #ended = new AbortController();
  onLost: (() => void) | undefined;

  constructor(declared: UdpSocket, sending: UdpSocket, remote: Remote, quirks: Quirks, network: { readonly rules: ImpairmentRules; readonly clock: Clock } | undefined) {
    this.#declared = declared;
    this.#sending = sending;
    this.#path = network === undefined ? undefined : new ImpairedPath(network.clock, network.rules, packet => this.#sending.send(packet));
    this.#remote = quirks.has('wrong-target-port') ? { address: remote.address, port: remote.port + 2 } : remote;
    this.port = declared.address().port;
    for (const socket of new Set([declared, sending])) socket.on('error', () => (this.counters.unreachable += 1));
  }

  async start(): Promise<boolean> {
    if (this.#closed) return false;
    this.#sending.connect(this.#remote.port, this.#remote.address);
    await once(this.#sending, 'connect', { signal: this.#ended.signal }).catch(() => undefined);
    this.#connected = !this.#closed;
    return this.#connected;
  }

  send(packets: readonly Uint8Array[]): void {
    if (!this.#connected) return;
    for (const packet of packets) {
      if (this.#path === undefined) this.#sending.send(packet);
      else this.#path.push(packet);
      this.counters.packets += 1;
      this.counters.bytes += packet.length;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#connected = false;
    this.#path?.[Symbol.dispose]();
    this.#ended.abort();
    await Promise.all([...new Set([this.#declared, this.#sending])].map(socket => new Promise<void>(resolve => socket.close(resolve))));
  }
}

/** We listen; one receiver may connect. */
export async function openPassiveLeg(localAddress: string, quirks: Quirks, clock: Clock): Promise<MediaLeg> {
  const server = createServer();
  server.listen(0, localAddress);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return new TcpLeg({ port, quirks, clock, server });
}

/** We connect, after the answer. Nobody connects to the port that the answer names: cameras write any, RFC 4145 wants 9. */
export function openActiveLeg(localAddress: string, remote: Remote, quirks: Quirks, clock: Clock): MediaLeg {
  return new TcpLeg({ port: quirks.has('port-9') ? DISCARD_PORT : ACTIVE_PORT, quirks, clock, target: { ...remote, localAddress } });
}

const ACTIVE_PORT = 15060;
const DISCARD_PORT = 9;

interface TcpLegOptions {
  readonly port: number;
  readonly quirks: Quirks;
  readonly clock: Clock;
  readonly server?: Server;
  readonly target?: Remote & { readonly localAddress: string };
}

class TcpLeg implements MediaLeg {
  readonly #options: TcpLegOptions;
  readonly counters = newCounters();
  readonly port: number;
  #socket: Socket | undefined;
  #closed = false;
  #frames = 0;
  readonly #ended = new AbortController();
  onLost: (() => void) | undefined;

  constructor(options: TcpLegOptions) {
    this.#options = options;
    this.port = options.port;
    options.server?.on('connection', socket => this.#accept(socket));
  }

  async start(): Promise<boolean> {
    const { server, target, quirks } = this.#options;
    if (quirks.has('never-connects')) return false;
    if (server !== undefined) return this.#connected(server);
    return target !== undefined && (await this.#connectTo(target));
  }

  async #connected(server: Server): Promise<boolean> {
    if (this.#socket === undefined && !this.#closed) await once(server, 'connection', { signal: this.#ended.signal }).catch(() => undefined);
    return this.#socket !== undefined;
  }

  async #connectTo(target: Remote & { readonly localAddress: string }): Promise<boolean> {
    const tries = this.#options.quirks.has('tcp-once') ? 1 : CONNECT_TRIES;
    for (let attempt = 0; attempt < tries && !this.#closed; attempt += 1) {
      if (attempt > 0) await pause(this.#options.clock, CONNECT_PAUSE_MS);
      const socket = connect({ host: target.address, port: target.port, localAddress: target.localAddress, timeout: CONNECT_TIMEOUT_MS });
      socket.once('timeout', () => socket.destroy(new Error('no connection in time')));
      const reached = await once(socket, 'connect', { signal: this.#ended.signal }).then(
        () => true,
        () => false,
      );
      socket.setTimeout(0);
      if (reached && !this.#closed) {
        this.#adopt(socket);
        return true;
      }
      socket.destroy();
    }
    return false;
  }

  #accept(socket: Socket): void {
    if (this.#socket !== undefined || this.#closed) socket.destroy();
    else this.#adopt(socket);
  }

  #adopt(socket: Socket): void {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.resume();
    socket.on('error', () => (this.counters.unreachable += 1));
    socket.on('close', () => {
      this.#socket = undefined;
      if (!this.#closed) this.onLost?.();
    });
    if (this.#options.quirks.has('garbage-start')) socket.write(new Uint8Array(GARBAGE_BYTES).fill(0x5a));
  }

  send(packets: readonly Uint8Array[]): void {
    const socket = this.#socket;
    if (socket === undefined || packets.length === 0) return;
    if (socket.writableLength > MAX_TCP_BACKLOG_BYTES) {
      this.counters.discarded += packets.length;
      return;
    }
    socket.cork();
    for (const packet of packets) this.#frame(socket, packet);
    socket.uncork();
  }

  #frame(socket: Socket, packet: Uint8Array): void {
    const { quirks } = this.#options;
    this.#frames += 1;
    if (quirks.has('zero-length-frames') && this.#frames % 5 === 0) socket.write(Uint8Array.of(0, 0));
    const length = [packet.length >> 8, packet.length & 0xff] as const;
    socket.write(quirks.has('dollar-framing') ? Uint8Array.of(0x24, 0, ...length) : Uint8Array.of(...length));
    socket.write(packet);
    this.counters.packets += 1;
    this.counters.bytes += packet.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#ended.abort();
    this.#socket?.destroySoon();
    const { server } = this.#options;
    if (server !== undefined) await new Promise<void>(resolve => server.close(() => resolve()));
  }
}
