/** Where the media of one play comes in: a UDP port, a TCP port that waits, or a TCP connection that we make. Frames by RFC 4571, strictly. */
import type { Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { bindEvenUdp } from '../common/even-port.ts';

export type PlayTransport = 'udp' | 'tcp-passive' | 'tcp-active';

export interface MediaSink {
  /** One RTP or RTCP packet, valid during the call; `from` as `address:port`. */
  onPacket(packet: Uint8Array, from: string): void;
  onConnected(): void;
  onClosed(why: string): void;
}

export interface Receiver extends AsyncDisposable {
  /** What the offer declares. */
  port: number;
  /** TCP active: connects to what the answer says. The others wait anyway. */
  connect(address: string, port: number): void;
  /** A re-INVITE says that the sender has lost its connection: it is let go, and another one is made or waited for. `elsewhere`: at another port. */
  renew(address: string, port: number, elsewhere: boolean): Promise<void>;
  /** Listens no more for others. */
  closeDoor(): void;
  /** Reads no more, while the connection stays. */
  stall(): void;
}

const UDP_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;
/** What an active party writes into its offer (RFC 4145 4 says 9; platforms write a port of theirs). */
const ACTIVE_PORT = 15062;
const LEAST_FRAME_BYTES = 8;

export async function openReceiver(transport: PlayTransport, localAddress: string, sink: MediaSink): Promise<Receiver> {
  if (transport === 'udp') return new UdpReceiver(await bindEvenUdp(localAddress), sink);
  if (transport === 'tcp-active') return new TcpReceiver(ACTIVE_PORT, localAddress, undefined, sink);
  const server = await listenAt(localAddress);
  return new TcpReceiver(portOf(server), localAddress, server, sink);
}

async function listenAt(localAddress: string): Promise<Server> {
  const server = createServer();
  server.listen(0, localAddress);
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as { port: number }).port;

class UdpReceiver implements Receiver {
  readonly #socket: UdpSocket;
  readonly port: number;
  #closing: Promise<void> | undefined;

  constructor(socket: UdpSocket, sink: MediaSink) {
    this.#socket = socket;
    this.port = socket.address().port;
    // More than net.core.rmem_max is cut by the kernel without an error.
    socket.setRecvBufferSize(UDP_RECEIVE_BUFFER_BYTES);
    socket.on('message', (packet, from) => sink.onPacket(packet, `${from.address}:${from.port}`));
    socket.on('error', error => sink.onClosed(error.message));
  }

  connect(): void {
    return;
  }

  async renew(): Promise<void> {}

  closeDoor(): void {
    return;
  }

  stall(): void {
    return;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= new Promise(resolve => this.#socket.close(resolve));
    return this.#closing;
  }
}

class TcpReceiver implements Receiver {
  port: number;
  readonly #localAddress: string;
  readonly #sink: MediaSink;
  #server: Server | undefined;
  #frames: FrameReader;
  #socket: Socket | undefined;
  #closed = false;
  #stalled = false;
  #from = '';

  constructor(port: number, localAddress: string, server: Server | undefined, sink: MediaSink) {
    this.port = port;
    this.#localAddress = localAddress;
    this.#server = server;
    this.#sink = sink;
    this.#frames = this.#newReader();
    if (server !== undefined) this.#welcome(server);
  }

  #newReader(): FrameReader {
    return new FrameReader(packet => this.#sink.onPacket(packet, this.#from));
  }

  /** A sender that connects again has lost what it had. */
  #welcome(server: Server): void {
    server.on('connection', socket => (this.#closed ? socket.destroy() : this.#adopt(socket)));
  }

  async renew(address: string, port: number, elsewhere: boolean): Promise<void> {
    this.#letGo();
    if (this.#server === undefined) return this.connect(address, port);
    if (!elsewhere) return;
    this.closeDoor();
    this.#server = await listenAt(this.#localAddress);
    this.port = portOf(this.#server);
    this.#welcome(this.#server);
  }

  closeDoor(): void {
    this.#server?.close();
  }

  #letGo(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
  }

  connect(address: string, port: number): void {
    if (this.#server !== undefined || this.#closed) return;
    const socket = connect({ host: address, port, localAddress: this.#localAddress });
    const late = setTimeout(() => socket.destroy(new Error('no connection in time')), CONNECT_TIMEOUT_MS);
    socket.on('connect', () => clearTimeout(late)).on('close', () => clearTimeout(late));
    this.#adopt(socket);
  }

  #adopt(socket: Socket): void {
    this.#letGo();
    this.#socket = socket;
    this.#frames = this.#newReader();
    let why = 'closed by the sender';
    if (this.#server === undefined) socket.on('connect', () => this.#sink.onConnected());
    else this.#sink.onConnected();
    if (this.#stalled) socket.pause();
    socket.on('data', chunk => {
      if (this.#socket !== socket) return;
      this.#from ||= `${socket.remoteAddress}:${socket.remotePort}`;
      if (this.#frames.push(chunk)) return;
      why = 'not RFC 4571 framing';
      socket.destroy();
    });
    socket.on('error', error => (why = error.message));
    socket.on('close', () => {
      if (!this.#closed && this.#socket === socket) this.#sink.onClosed(why);
    });
  }

  stall(): void {
    this.#stalled = true;
    this.#socket?.pause();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket?.destroy();
    const server = this.#server;
    if (server?.listening === true) await new Promise<void>(resolve => server.close(() => resolve()));
  }
}

/** Two octets of length, then a packet. An empty frame is legal (gb28181.md 6.5). */
class FrameReader {
  readonly #onFrame: (packet: Uint8Array) => void;
  #pending: Buffer = Buffer.alloc(0);

  constructor(onFrame: (packet: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  /** False when a frame cannot be RTP: the stream is lost. */
  push(chunk: Buffer): boolean {
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    let at = 0;
    while (at + 2 <= bytes.length) {
      const length = bytes.readUInt16BE(at);
      if (length > 0 && (length < LEAST_FRAME_BYTES || (at + 2 < bytes.length && bytes[at + 2]! >> 6 !== 2))) return false;
      if (at + 2 + length > bytes.length) break;
      if (length > 0) this.#onFrame(bytes.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    this.#pending = bytes.subarray(at);
    return true;
  }
}
