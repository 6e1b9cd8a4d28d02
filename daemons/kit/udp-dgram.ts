/** UDP ports over Node's dgram: everywhere, and a batch is one datagram. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { udpOverflows } from './udp-proc.ts';
import { DatagramBatch, MAX_HELD_BYTES, type UdpPort, type UdpPortOptions } from './udp-port.ts';

/** Odd, so that bursts of even length do not hide the errors. */
const ASK_EVERY = 31;

/** Only addresses come here: nothing to look up, and nothing to wait for. */
const noLookup = (host: string, _options: unknown, done: (error: null, address: string, family: number) => void): void => done(null, host, isIPv6(host) ? 6 : 4);

/** Binds. Rejects with the system's error (EADDRINUSE, EADDRNOTAVAIL ...). */
export async function openDgramUdp(options: UdpPortOptions): Promise<UdpPort> {
  const type = isIPv6(options.address) ? 'udp6' : 'udp4';
  const socket = createSocket({ type, ipv6Only: type === 'udp6', lookup: noLookup });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address: options.address, port: options.port, exclusive: true }, () => {
      socket.off('error', reject);
      resolve();
    });
  }).catch((error: unknown) => {
    socket.close();
    throw error;
  });
  // Asking for more than net.core.rmem_max is not an error: the kernel gives what it may.
  if (options.receiveBufferBytes !== undefined) socket.setRecvBufferSize(options.receiveBufferBytes);
  if (options.sendBufferBytes !== undefined) socket.setSendBufferSize(options.sendBufferBytes);
  return new DgramPort(socket, options);
}

/** One for all ports: filled and handed on before anything else is received. */
const inbound = new DatagramBatch();

class DgramPort implements UdpPort {
  readonly #socket: Socket;
  readonly address: string;
  readonly port: number;
  #connected = false;
  /** dgram still reads memory that was given to it. */
  #holds = false;
  #closing: Promise<void> | undefined;
  readonly #onSent: (error: Error | null) => void;
  #unasked = 0;
  dropped = 0;

  constructor(socket: Socket, { onBatch, onError }: UdpPortOptions) {
    this.#socket = socket;
    ({ address: this.address, port: this.port } = socket.address());
    socket.on('message', (message: Buffer, from: RemoteInfo) => {
      inbound.count = 0;
      inbound.add(message, 0, message.length, from.address, from.port);
      onBatch(inbound);
    });
    socket.on('error', onError);
    this.#onSent = error => {
      if (error !== null) onError(error);
    };
  }

  get overflows(): number {
    return udpOverflows(this.address, this.port) ?? 0;
  }

  connect(address: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.connect(port, address, ((error?: Error) => {
        if (error !== undefined && error !== null) return reject(error);
        this.#connected = true;
        resolve();
      }) as () => void);
    });
  }

  send(batch: DatagramBatch): boolean {
    if (this.#closing !== undefined) return true;
    const socket = this.#socket;
    for (let i = 0; i < batch.count; i++) {
      if (this.#holds && socket.getSendQueueSize() > MAX_HELD_BYTES) {
        this.dropped += batch.count - i;
        return false;
      }
      this.#sendOne(batch, i);
      this.#holds = socket.getSendQueueCount() !== 0;
    }
    return !this.#holds;
  }

  #sendOne(batch: DatagramBatch, i: number): void {
    const memory = batch.memory[i]!;
    const length = batch.length[i]!;
    // dgram makes a view of its own of whatever is not the whole memory.
    if (length === memory.length) {
      if (this.#connected) this.#socket.send(memory, this.#verdict());
      else this.#socket.send(memory, batch.port[i], batch.address[i]);
    } else if (this.#connected) this.#socket.send(memory, batch.offset[i]!, length, this.#verdict());
    else this.#socket.send(memory, batch.offset[i]!, length, batch.port[i], batch.address[i]);
  }

  /** A send takes a pending ICMP error with it and drops it, unless it was asked for: so one in some is. */
  #verdict(): ((error: Error | null) => void) | undefined {
    this.#unasked = (this.#unasked + 1) % ASK_EVERY;
    return this.#unasked === 0 ? this.#onSent : undefined;
  }

  close(): Promise<void> {
    this.#closing ??= new Promise(resolve => this.#socket.close(resolve));
    return this.#closing;
  }
}
