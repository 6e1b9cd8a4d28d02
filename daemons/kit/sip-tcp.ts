/**
 * SIP over TCP (RFC 3261 18, RFC 5626): connections both ways, each used for whatever goes to its peer; framed, timed and bounded.
 */
import { type Server, type Socket, connect, createServer } from 'node:net';
import { Deadlines } from '#core/deadlines.ts';
import type { Flow, Target } from '#core/sip/flow.ts';
import { StreamFramer } from '#core/sip/framer.ts';
import { type Ms, addMs } from '#core/units.ts';
import { Alarm, type Clock } from './clock.ts';
import { type LocalAddresses, familyOf, isWildcard, plainAddress } from './net.ts';

/** faults.md 4: a header that is not complete after this, a message after that, is never going to be. */
export const HEADER_MS = 5000;
export const MESSAGE_MS = 10_000;
/** A long message gets a second more for so many octets that came. */
const OCTETS_PER_EXTRA_S = 32 * 1024;
/** Silence on a connection of a peer whom nobody vouches for. */
export const IDLE_MS = 120_000;
const CONNECT_MS = 5000;
/** Probes of the kernel on a silent connection, so that one whose peer vanished ends. */
const KEEPALIVE_MS = 60_000;
/** Octets that wait because the peer does not read. */
const MAX_QUEUE_TRUSTED = 8 * 1024 * 1024;
const MAX_QUEUE_UNTRUSTED = 256 * 1024;
/** Octets of one message of a peer whom nobody vouches for. */
const MAX_MESSAGE_UNTRUSTED = 128 * 1024;
/** Of our Contact when we listen nowhere. */
const DEFAULT_PORT = 5060;
const CRLF = Uint8Array.of(0x0d, 0x0a);

export interface TcpEvents {
  onMessage(bytes: Uint8Array, flow: Flow): void;
  /** The stream cannot be followed; answer `head` if it says whom. The connection closes after this call. */
  onBroken(head: Uint8Array | undefined, why: string, flow: Flow): void;
  /** `established` is false for a connection that never came about. */
  onClosed(flow: Flow, why: string, established: boolean): void;
  isTrusted(address: string): boolean;
  isBanned(address: string): boolean;
  count(name: string): void;
}

export interface TcpLimits {
  readonly maxConnections: number;
  /** For peers whom nobody vouches for. */
  readonly maxPerPeer: number;
}

interface Connection {
  readonly socket: Socket;
  readonly flow: Flow;
  readonly framer: StreamFramer;
  readonly inbound: boolean;
  established: boolean;
  /** A whole message has come over it. */
  proven: boolean;
  /** Since when the framer is in its state; which message that was. */
  since: Ms;
  begun: number;
  why: string;
}

export class TcpTransport implements AsyncDisposable {
  readonly #servers: { readonly server: Server; readonly address: string; readonly port: number }[] = [];
  readonly #connections = new Map<number, Connection>();
  readonly #byPath = new Map<string, Connection>();
  readonly #perPeer = new Map<string, number>();
  readonly #deadlines = new Deadlines<Connection>();
  readonly #clock: Clock;
  readonly #local: LocalAddresses;
  readonly #limits: TcpLimits;
  readonly #events: TcpEvents;
  readonly #alarm: Alarm;
  #lastId = 0;
  #closing = false;

  constructor(clock: Clock, local: LocalAddresses, limits: TcpLimits, events: TcpEvents) {
    this.#clock = clock;
    this.#local = local;
    this.#limits = limits;
    this.#events = events;
    this.#alarm = new Alarm(clock, () => this.#onDeadline());
  }

  get size(): number {
    return this.#connections.size;
  }

  async listen(address: string, port: number): Promise<{ address: string; port: number }> {
    const server = createServer({ noDelay: true }, socket => this.#onAccept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port, ipv6Only: familyOf(address) === 6, exclusive: true, backlog: 1024 }, resolve);
    });
    server.removeAllListeners('error');
    server.on('error', () => this.#events.count('sip.tcp.accept-failed'));
    const bound = server.address();
    const actual = { address: plainAddress(address), port: typeof bound === 'object' && bound !== null ? bound.port : port };
    this.#servers.push({ server, ...actual });
    return actual;
  }

  /** The connection that a message to `target` takes: a living one, or a new one that is being opened. */
  route(target: Target): Flow | undefined {
    // A number that was saved and outlived its process may be somebody else's by now.
    const numbered = target.connectionId === undefined ? undefined : this.#connections.get(target.connectionId);
    const named = numbered?.flow.remoteAddress === target.address ? numbered : undefined;
    const known = named ?? this.#byPath.get(pathKey(this.localFor(target)?.address, target.address, target.port));
    return (known ?? this.#dial(target))?.flow;
  }

  isAlive(flow: Flow): boolean {
    return flow.connectionId !== undefined && this.#connections.has(flow.connectionId);
  }

  /** `onFailed` runs later: the connection is gone, or its peer does not read. */
  send(bytes: Uint8Array, flow: Flow, onFailed: (why: string) => void): void {
    const connection = flow.connectionId === undefined ? undefined : this.#connections.get(flow.connectionId);
    if (connection === undefined) return queueMicrotask(() => onFailed('connection closed'));
    const limit = this.#events.isTrusted(flow.remoteAddress) ? MAX_QUEUE_TRUSTED : MAX_QUEUE_UNTRUSTED;
    if (connection.socket.writableLength > limit) {
      this.#events.count('sip.tcp.write-overflow');
      this.#close(connection, 'the peer does not read');
      return queueMicrotask(() => onFailed('the peer does not read'));
    }
    connection.socket.write(bytes);
  }

  /** Says no more, and closes when what was said is delivered. */
  finish(flow: Flow): void {
    const connection = flow.connectionId === undefined ? undefined : this.#connections.get(flow.connectionId);
    if (connection === undefined) return;
    connection.socket.removeAllListeners('data').resume();
    connection.socket.end();
    this.#deadlines.set(connection, addMs(this.#clock.now(), HEADER_MS));
    this.#arm();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    this.#alarm[Symbol.dispose]();
    const closed = this.#servers.splice(0).map(({ server }) => new Promise<void>(resolve => server.close(() => resolve())));
    for (const connection of [...this.#connections.values()]) this.#close(connection, 'endpoint closed');
    await Promise.all(closed);
  }

  // --- connections -----------------------------------------------------------------------------------------------------

  #onAccept(socket: Socket): void {
    const remoteAddress = plainAddress(socket.remoteAddress ?? '');
    const refusal = this.#closing || socket.remoteAddress === undefined ? 'sip.tcp.accept-failed' : this.#refusal(remoteAddress);
    if (refusal !== undefined) {
      this.#events.count(refusal);
      socket.on('error', () => undefined);
      return void socket.destroy();
    }
    const localAddress = plainAddress(socket.localAddress ?? '');
    this.#adopt(socket, { transport: 'TCP', localAddress, localPort: socket.localPort ?? 0, remoteAddress, remotePort: socket.remotePort ?? 0, connectionId: ++this.#lastId }, true);
  }

  /** Why an inbound connection is refused. A full house first shows out the oldest stranger who has said nothing yet. */
  #refusal(remoteAddress: string): string | undefined {
    if (this.#events.isBanned(remoteAddress)) return 'sip.tcp.refused.banned';
    if ((this.#perPeer.get(remoteAddress) ?? 0) >= this.#limits.maxPerPeer && !this.#events.isTrusted(remoteAddress)) return 'sip.tcp.refused.peer';
    if (this.#connections.size < this.#limits.maxConnections) return undefined;
    for (const connection of this.#connections.values()) {
      if (!connection.inbound || connection.proven || this.#events.isTrusted(connection.flow.remoteAddress)) continue;
      this.#events.count('sip.tcp.evicted');
      this.#close(connection, 'room for others');
      return undefined;
    }
    return 'sip.tcp.refused.total';
  }

  /** Via and Contact name the address and port where we listen, not the passing port of one connection. */
  localFor(target: Target): { readonly address: string; readonly port: number } | undefined {
    const family = familyOf(target.address);
    const servers = this.#servers.filter(bound => familyOf(bound.address) === family);
    const source = target.localAddress ?? this.#local.sourceFor(target.address);
    const server = servers.find(bound => bound.address === source) ?? servers.find(bound => isWildcard(bound.address)) ?? servers[0];
    const address = server === undefined || isWildcard(server.address) ? source : server.address;
    return address === undefined ? undefined : { address, port: server?.port ?? DEFAULT_PORT };
  }

  #dial(target: Target): Connection | undefined {
    const local = this.localFor(target);
    if (local === undefined || this.#closing || this.#connections.size >= this.#limits.maxConnections) return undefined;
    const socket = connect({ host: target.address, port: target.port, localAddress: local.address, noDelay: true });
    return this.#adopt(socket, { transport: 'TCP', localAddress: local.address, localPort: local.port, remoteAddress: target.address, remotePort: target.port, connectionId: ++this.#lastId }, false);
  }

  #adopt(socket: Socket, flow: Flow, inbound: boolean): Connection {
    const connection: Connection = { socket, flow, framer: new StreamFramer(), inbound, established: inbound, proven: false, since: this.#clock.now(), begun: 0, why: 'closed by the peer' };
    this.#connections.set(this.#lastId, connection);
    this.#byPath.set(pathOf(flow), connection);
    this.#perPeer.set(flow.remoteAddress, (this.#perPeer.get(flow.remoteAddress) ?? 0) + 1);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.on('connect', () => {
      connection.established = true;
      this.#touch(connection);
    });
    socket.on('data', chunk => this.#onData(connection, chunk));
    socket.on('error', error => (connection.why = error.message));
    socket.on('close', () => this.#close(connection, connection.why));
    this.#touch(connection);
    return connection;
  }

  #close(connection: Connection, why: string): void {
    const { flow, socket } = connection;
    if (flow.connectionId === undefined || !this.#connections.delete(flow.connectionId)) return;
    if (this.#byPath.get(pathOf(flow)) === connection) this.#byPath.delete(pathOf(flow));
    const left = (this.#perPeer.get(flow.remoteAddress) ?? 1) - 1;
    if (left > 0) this.#perPeer.set(flow.remoteAddress, left);
    else this.#perPeer.delete(flow.remoteAddress);
    this.#deadlines.delete(connection);
    socket.destroy();
    this.#arm();
    this.#events.onClosed(flow, why, connection.established);
  }

  // --- octets ----------------------------------------------------------------------------------------------------------

  #onData(connection: Connection, chunk: Uint8Array): void {
    const { framer, flow, socket } = connection;
    for (const output of framer.push(chunk)) {
      if (output.type === 'ping') {
        socket.write(CRLF);
      } else if (output.type === 'message') {
        connection.proven = true;
        this.#events.onMessage(output.bytes, flow);
      } else {
        this.#events.count('sip.tcp.broken');
        this.#events.onBroken(output.head, output.why, flow);
        return this.finish(flow);
      }
    }
    if (framer.pendingBytes > MAX_MESSAGE_UNTRUSTED && !this.#events.isTrusted(flow.remoteAddress)) {
      this.#events.count('sip.tcp.oversize');
      return this.#close(connection, 'message too large');
    }
    if (this.isAlive(flow)) this.#touch(connection);
  }

  // --- time ------------------------------------------------------------------------------------------------------------

  /** The timers of a message run from its first octet, not from its last. */
  #touch(connection: Connection): void {
    const { framer } = connection;
    if (framer.state === 'idle' || framer.begun !== connection.begun) {
      connection.since = this.#clock.now();
      connection.begun = framer.begun;
    }
    this.#deadlines.set(connection, this.#deadlineOf(connection));
    this.#arm();
  }

  #deadlineOf({ framer, since, established }: Connection): Ms {
    if (!established) return addMs(since, CONNECT_MS);
    if (framer.state === 'header') return addMs(since, HEADER_MS);
    if (framer.state === 'body') return addMs(since, MESSAGE_MS + (1000 * framer.pendingBytes) / OCTETS_PER_EXTRA_S);
    return addMs(since, IDLE_MS);
  }

  #onDeadline(): void {
    const now = this.#clock.now();
    for (let due = this.#deadlines.takeDue(now); due !== undefined; due = this.#deadlines.takeDue(now)) {
      // A peer that we know may be silent: its registration has a clock of its own.
      if (due.framer.state === 'idle' && due.established && this.#events.isTrusted(due.flow.remoteAddress)) due.since = now;
      const deadline = this.#deadlineOf(due);
      if (due.socket.writable && deadline > now) {
        this.#deadlines.set(due, deadline);
        continue;
      }
      const name = !due.established ? 'connect' : due.framer.state === 'header' ? 'header' : due.framer.state === 'body' ? 'message' : 'idle';
      this.#events.count(`sip.tcp.${name}-timeout`);
      this.#close(due, `${name} timeout`);
    }
    this.#arm();
  }

  #arm(): void {
    if (!this.#closing) this.#alarm.arm(this.#deadlines.next);
  }
}

/** Our own address is part of it: toward one peer we may stand for several parties, each with its address (`Target.localAddress`). */
const pathKey = (local: string | undefined, address: string, port: number): string => `${local ?? ''} ${address} ${port}`;
const pathOf = (flow: Flow): string => pathKey(flow.localAddress, flow.remoteAddress, flow.remotePort);
