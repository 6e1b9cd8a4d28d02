/** Where a new node knocks while a window is open: TLS with a certificate of this one window, whose fingerprint stands in the code. */
import { type Server as TlsServer, type TLSSocket, createServer } from 'node:tls';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { LineChannel } from './line-channel.ts';

const HANDSHAKE_MS = 2000;
/** Whoever is next may wait for the next second. */
const MAX_KNOCKING = 8;
const EXPORTER_BYTES = 32;
const EXPORTER = 'EXPORTER-viewlink-pairing';

/** Of this one TLS session, the same at both ends: hex. Whoever stands between two sessions has two. */
export const exporterOf = (socket: TLSSocket): string => socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER, Buffer.alloc(0)).toString('hex');

export interface PairingDoorOptions {
  readonly address: string;
  readonly port: number;
  readonly cert: string;
  readonly key: string;
  readonly clock: Clock;
  /** Settles when all is said. */
  readonly onKnock: (channel: LineChannel, exporter: string) => Promise<void>;
}

export class PairingDoor implements AsyncDisposable {
  readonly #server: TlsServer;
  readonly #sockets = new Set<TLSSocket>();

  private constructor(server: TlsServer) {
    this.#server = server;
  }

  /** CONFLICT: the address is not ours, or its port is taken. */
  static async open({ address, port, cert, key, clock, onKnock }: PairingDoorOptions): Promise<PairingDoor> {
    const server = createServer({ cert, key, minVersion: 'TLSv1.3', handshakeTimeout: HANDSHAKE_MS });
    const door = new PairingDoor(server);
    server.maxConnections = MAX_KNOCKING;
    server.on('tlsClientError', (_, socket) => socket.destroy());
    server.on('secureConnection', socket => {
      door.#sockets.add(socket);
      socket.once('close', () => door.#sockets.delete(socket));
      const channel = new LineChannel(socket, clock);
      void onKnock(channel, exporterOf(socket)).finally(() => channel[Symbol.dispose]());
    });
    const up = Promise.withResolvers<void>();
    server.once('error', up.reject).listen({ host: address, port }, up.resolve);
    try {
      await up.promise;
    } catch (error) {
      throw new GatewayError('CONFLICT', { address, port, why: (error as NodeJS.ErrnoException).code ?? 'cannot be opened' }, { cause: error });
    }
    return door;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroySoon();
    await closed;
  }
}
