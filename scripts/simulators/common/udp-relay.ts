/**
 * A UDP relay between one party and its peer, which sees the relay as the party: what the party sends passes through `outbound`
 * and can be changed; every datagram of both directions can be looked at as it is on the wire.
 */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';

export interface Address {
  readonly address: string;
  readonly port: number;
}

export interface UdpRelayOptions {
  readonly peer: Address;
  /** Our address on both sides. */
  readonly address: string;
  readonly outbound?: (datagram: Buffer) => Buffer;
  /** After `outbound`. */
  readonly onDatagram?: (from: Address, to: Address, datagram: Buffer) => void;
}

export class UdpRelay implements AsyncDisposable {
  readonly #outer: Socket;
  readonly #inner: Socket;
  /** Where the party sends instead of to the peer. */
  readonly port: number;
  readonly address: string;
  /** What the peer sees. */
  readonly outerPort: number;
  #party: Address | undefined;
  #closing: Promise<void> | undefined;

  private constructor(outer: Socket, inner: Socket, { peer, outbound, onDatagram }: UdpRelayOptions) {
    this.#outer = outer;
    this.#inner = inner;
    ({ address: this.address, port: this.port } = inner.address());
    const ours = outer.address();
    this.outerPort = ours.port;
    inner.on('message', (datagram, from) => {
      this.#party = { address: from.address, port: from.port };
      const sent = outbound?.(datagram) ?? datagram;
      onDatagram?.(ours, peer, sent);
      outer.send(sent, peer.port, peer.address);
    });
    outer.on('message', (datagram, from) => {
      onDatagram?.(from, ours, datagram);
      if (this.#party !== undefined) inner.send(datagram, this.#party.port, this.#party.address);
    });
  }

  static async open(options: UdpRelayOptions): Promise<UdpRelay> {
    const type = options.address.includes(':') ? 'udp6' : 'udp4';
    const [outer, inner] = [createSocket(type), createSocket(type)];
    outer.bind(0, options.address);
    inner.bind(0, options.address);
    await Promise.all([once(outer, 'listening'), once(inner, 'listening')]);
    return new UdpRelay(outer, inner, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= Promise.all([this.#outer, this.#inner].map(socket => new Promise<void>(resolve => socket.close(resolve)))).then(() => undefined);
    await this.#closing;
  }
}
