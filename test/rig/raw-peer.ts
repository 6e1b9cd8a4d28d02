/** A SIP party on a bare socket: sends octets as they are given, cuts what comes into messages, waits for one that matches. */
import { type Socket as UdpSocket, createSocket } from 'node:dgram';
import { type Server, type Socket as TcpSocket, connect, createServer } from 'node:net';
import { once } from 'node:events';
import { type AnswerParts, type Place, type RequestParts, SipText, answerBytes, frameLength, hostPort, requestBytes, token } from './sip-text.ts';

export type Transport = 'UDP' | 'TCP';

interface Waiting {
  readonly matches: (message: SipText) => boolean;
  readonly resolve: (message: SipText) => void;
}

/** Ways to send: a datagram socket, one connection that was dialled, or all connections that came to a listener. */
interface Wire {
  readonly place: Place;
  send(bytes: Uint8Array, to: Place): void;
  close(): Promise<void>;
}

export class RawPeer implements AsyncDisposable {
  readonly transport: Transport;
  /** Where it sends when nothing else is said. */
  readonly remote: Place;
  /** Every message that came, oldest first. */
  readonly heard: SipText[] = [];
  /** Looks at requests first; true: it took care of this one, nobody else sees it. */
  onRequest: ((request: SipText) => boolean) | undefined;
  /** Of a TCP connection that was dialled: the other side ended it. */
  closed: Promise<void> = new Promise(() => undefined);
  readonly #wire: Wire;
  readonly #unclaimed: SipText[] = [];
  readonly #waiting = new Set<Waiting>();
  #ended: Promise<void> | undefined;

  private constructor(transport: Transport, remote: Place, open: (take: (bytes: Buffer, from: Place) => void) => Wire) {
    this.transport = transport;
    this.remote = remote;
    this.#wire = open((bytes, from) => this.#take(new SipText(bytes, from)));
  }

  static async udp(remote: Place, address = '127.0.0.1', port = 0): Promise<RawPeer> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.bind(port, address);
    await once(socket, 'listening');
    return new RawPeer('UDP', remote, take => udpWire(socket, take));
  }

  static async tcp(remote: Place, localAddress = '127.0.0.1'): Promise<RawPeer> {
    const socket = connect({ host: remote.address, port: remote.port, localAddress });
    await once(socket, 'connect');
    const peer = new RawPeer('TCP', remote, take => tcpWire(socket, take));
    peer.closed = new Promise(resolve => socket.once('close', () => resolve()));
    return peer;
  }

  /** Waits for connections; sends over the newest one. */
  static async tcpListener(remote: Place, address = '127.0.0.1', port = 0): Promise<RawPeer> {
    const server = createServer();
    server.listen(port, address);
    await once(server, 'listening');
    return new RawPeer('TCP', remote, take => listenerWire(server, take));
  }

  get place(): Place {
    return this.#wire.place;
  }

  get address(): string {
    return this.place.address;
  }

  get port(): number {
    return this.place.port;
  }

  send(bytes: Uint8Array | string, to: Place = this.remote): void {
    this.#wire.send(typeof bytes === 'string' ? Buffer.from(bytes) : bytes, to);
  }

  /** Sends a request and tells its Call-ID. */
  request(parts: RequestParts, to?: Place): string {
    const callId = parts.callId ?? token();
    this.send(requestBytes({ ...parts, callId }, { ...this.place, transport: this.transport }), to);
    return callId;
  }

  /** Sends a request and waits for its final answer. */
  async ask(parts: RequestParts, limitMs?: number): Promise<SipText> {
    const callId = this.request(parts);
    return this.final(callId, parts.seq ?? 1, parts.method, limitMs);
  }

  final(callId: string, seq: number, method: string, limitMs?: number): Promise<SipText> {
    return this.wait(message => (message.status ?? 0) >= 200 && message.callId === callId && message.cseq.seq === seq && message.cseq.method === method, `final answer to ${method} ${seq}`, limitMs);
  }

  answer(request: SipText, status: number, parts?: AnswerParts): void {
    this.send(answerBytes(request, status, parts), this.transport === 'UDP' ? request.from : undefined);
  }

  /** The first message nobody else has waited for, of those that came and those to come. */
  async wait(matches: (message: SipText) => boolean, what: string, limitMs = 5000): Promise<SipText> {
    const index = this.#unclaimed.findIndex(matches);
    if (index >= 0) return this.#unclaimed.splice(index, 1)[0]!;
    const { promise, resolve, reject } = Promise.withResolvers<SipText>();
    const entry = { matches, resolve };
    this.#waiting.add(entry);
    const limit = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms; came: ${this.#summary()}`)), limitMs);
    return promise.finally(() => {
      clearTimeout(limit);
      this.#waiting.delete(entry);
    });
  }

  /** A request of this method. */
  waitFor(method: string, limitMs?: number): Promise<SipText> {
    return this.wait(message => message.method === method, method, limitMs);
  }

  /** All answers that came for a Call-ID, provisional ones too. */
  answersTo(callId: string): SipText[] {
    return this.heard.filter(message => message.status !== undefined && message.callId === callId);
  }

  /** `<sip:user@address:port>` of this socket, for Contact. */
  contact(user: string): string {
    return `<sip:${user}@${hostPort(this.place)}${this.transport === 'TCP' ? ';transport=tcp' : ''}>`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#ended ??= this.#wire.close());
  }

  #take(message: SipText): void {
    this.heard.push(message);
    if (message.method !== undefined && this.onRequest?.(message) === true) return;
    for (const entry of this.#waiting) {
      if (!entry.matches(message)) continue;
      this.#waiting.delete(entry);
      return entry.resolve(message);
    }
    this.#unclaimed.push(message);
  }

  #summary(): string {
    return this.heard.slice(-8).map(message => message.startLine).join(' | ') || 'nothing';
  }
}

function udpWire(socket: UdpSocket, take: (bytes: Buffer, from: Place) => void): Wire {
  const { address, port } = socket.address();
  socket.on('message', (bytes, info) => take(bytes, { address: info.address, port: info.port }));
  socket.on('error', () => undefined);
  return {
    place: { address, port },
    send: (bytes, to) => socket.send(bytes, to.port, to.address),
    close: () => new Promise(resolve => socket.close(() => resolve())),
  };
}

/** Cuts the octets of one connection into messages. */
function follow(socket: TcpSocket, take: (bytes: Buffer, from: Place) => void): void {
  let buffered = Buffer.alloc(0);
  const from = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
  socket.on('error', () => undefined);
  socket.on('data', chunk => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      while (buffered.length >= 2 && buffered[0] === 0x0d && buffered[1] === 0x0a) buffered = buffered.subarray(2);
      const length = frameLength(buffered);
      if (length === 0) return;
      take(Buffer.from(buffered.subarray(0, length)), from);
      buffered = buffered.subarray(length);
    }
  });
}

function tcpWire(socket: TcpSocket, take: (bytes: Buffer, from: Place) => void): Wire {
  follow(socket, take);
  return {
    place: { address: socket.localAddress ?? '', port: socket.localPort ?? 0 },
    send: bytes => void socket.write(bytes),
    close: () => ended(socket),
  };
}

function listenerWire(server: Server, take: (bytes: Buffer, from: Place) => void): Wire {
  const sockets: TcpSocket[] = [];
  server.on('connection', socket => {
    sockets.push(socket);
    follow(socket, take);
  });
  const { address, port } = server.address() as Place;
  return {
    place: { address, port },
    send: bytes => void sockets.at(-1)?.write(bytes),
    close: async () => {
      await Promise.all(sockets.map(ended));
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

function ended(socket: TcpSocket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
  socket.destroy();
  return closed;
}
