import { type RemoteInfo, type Socket, createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import type { Flow, Target } from '#core/sip/flow.ts';
import { type LocalAddresses, familyOf, isWildcard, plainAddress } from './net.ts';

/** Bursts of a catalogue or of re-registrations after a power cut; the kernel caps it at net.core.rmem_max. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

export interface UdpEvents {
  onDatagram(bytes: Uint8Array, flow: Flow): void;
  onError(error: Error): void;
}

/** The UDP sockets of an endpoint. */
export class UdpTransport implements AsyncDisposable {
  readonly #sockets: { readonly socket: Socket; readonly address: string; readonly port: number }[] = [];
  readonly #local: LocalAddresses;
  readonly #events: UdpEvents;

  constructor(local: LocalAddresses, events: UdpEvents) {
    this.#local = local;
    this.#events = events;
  }

  async bind(address: string, port: number): Promise<{ address: string; port: number }> {
    const ip6 = familyOf(address) === 6;
    // Addresses only, never names: answering at once saves a turn of the event loop for every datagram.
    const lookup = (name: string, _options: unknown, done: (error: Error | null, address: string, family: number) => void): void => done(null, name, isIP(name));
    const socket = createSocket({ type: ip6 ? 'udp6' : 'udp4', ipv6Only: ip6, lookup } as Parameters<typeof createSocket>[0]);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', error => socket.close(() => reject(error)));
      socket.bind({ address, port, exclusive: true }, () => resolve());
    });
    socket.removeAllListeners('error');
    socket.on('error', error => this.#events.onError(error));
    setReceiveBuffer(socket);
    const bound = { socket, address: plainAddress(address), port: socket.address().port };
    socket.on('message', (bytes, info) => this.#events.onDatagram(bytes, this.#flowFrom(bound.address, bound.port, info)));
    this.#sockets.push(bound);
    return { address: bound.address, port: bound.port };
  }

  /** The socket that routing, or `target.localAddress`, picks; undefined when none of its family is bound. */
  route(target: Target): Flow | undefined {
    const family = familyOf(target.address);
    const candidates = this.#sockets.filter(bound => familyOf(bound.address) === family);
    const source = target.localAddress ?? this.#local.sourceFor(target.address);
    const chosen = candidates.find(bound => bound.address === source) ?? candidates.find(bound => isWildcard(bound.address)) ?? candidates[0];
    if (chosen === undefined) return undefined;
    const localAddress = isWildcard(chosen.address) ? (source ?? chosen.address) : chosen.address;
    return { transport: 'UDP', localAddress, localPort: chosen.port, remoteAddress: target.address, remotePort: target.port };
  }

  /** `onFailed` runs later, and only on failure. */
  send(bytes: Uint8Array, flow: Flow, onFailed: (why: string) => void): void {
    const socket = this.#socketFor(flow);
    if (socket === undefined) return queueMicrotask(() => onFailed('no socket'));
    socket.send(bytes, flow.remotePort, flow.remoteAddress, error => {
      if (error !== null) onFailed(error.message);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sockets.splice(0).map(({ socket }) => new Promise<void>(resolve => socket.close(() => resolve()))));
  }

  #socketFor(flow: Flow): Socket | undefined {
    const family = familyOf(flow.remoteAddress);
    const candidates = this.#sockets.filter(bound => bound.port === flow.localPort && familyOf(bound.address) === family);
    return (candidates.find(bound => bound.address === flow.localAddress) ?? candidates.find(bound => isWildcard(bound.address)))?.socket;
  }

  #flowFrom(boundAddress: string, localPort: number, info: RemoteInfo): Flow {
    const remoteAddress = info.family === 'IPv6' ? plainAddress(info.address) : info.address;
    const localAddress = isWildcard(boundAddress) ? (this.#local.sourceFor(remoteAddress) ?? boundAddress) : boundAddress;
    return { transport: 'UDP', localAddress, localPort, remoteAddress, remotePort: info.port };
  }
}

function setReceiveBuffer(socket: Socket): void {
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  } catch {
    // A sandbox may refuse it; the kernel's default then stands.
  }
}
