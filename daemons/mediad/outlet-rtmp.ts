/**
 * RTMP server of this instance: play of /live/CHANNEL?token=TOKEN, publish to /inlet/ID?key=KEY. Connections and their bounds; what one
 * may do is core/rtmp/server-session.
 *
 * Closing order: no new connections, then those that are.
 */
import type { Server, Socket } from 'node:net';
import type { InletConfig } from '#core/config/schema.ts';
import { LockOut } from '#core/access/lock-out.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { plainAddress } from '#kit/net.ts';
import type { Random } from '#kit/random.ts';
import { closeServer, openTcp } from './media-ports.ts';
import type { OutletDoor } from './outlet-door.ts';
import { RtmpConnection } from './rtmp-connection.ts';
import type { RtmpInlets } from './rtmp-inlets.ts';

const BACKLOG = 128;
/** Beside viewers: publishers, and those that have not said yet what they want. */
const SPARE_CONNECTIONS = 256;

export interface RtmpOutletOptions {
  readonly address: string;
  readonly port: number;
  readonly door: OutletDoor;
  readonly inlets: RtmpInlets;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly count: (name: string) => void;
  /** Read for every connection: a reload changes them. */
  limits(): { readonly maxViewers: number; readonly connectionsPerAddress: number };
  inletOf(inletId: string): InletConfig | undefined;
}

export class RtmpOutlet implements AsyncDisposable {
  readonly #options: RtmpOutletOptions;
  readonly #server: Server;
  readonly #connections = new Set<RtmpConnection>();
  readonly #lockOut = new LockOut();

  private constructor(options: RtmpOutletOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    server.on('connection', socket => this.#onConnection(socket));
  }

  /** CONFIG_INVALID when it cannot listen there. */
  static async open(options: RtmpOutletOptions): Promise<RtmpOutlet> {
    const { address, port } = options;
    try {
      return new RtmpOutlet(options, await openTcp(address, port, BACKLOG));
    } catch (error) {
      throw new GatewayError('CONFIG_INVALID', { 'outlets.rtmpPort': port, address, why: (error as NodeJS.ErrnoException).code ?? String(error) }, { cause: error });
    }
  }

  get port(): number {
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : this.#options.port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = closeServer(this.#server);
    await Promise.all([...this.#connections].map(connection => connection.close()));
    await closed;
  }

  #onConnection(socket: Socket): void {
    const { clock, count, limits } = this.#options;
    const address = plainAddress(socket.remoteAddress ?? '');
    const { maxViewers, connectionsPerAddress } = limits();
    const sameAddress = [...this.#connections].filter(connection => connection.remote.address === address).length;
    const why = this.#lockOut.isLocked(address, clock.now()) ? 'locked' : sameAddress >= connectionsPerAddress || this.#connections.size >= maxViewers + SPARE_CONNECTIONS ? 'connections' : undefined;
    if (why !== undefined) {
      count(`outlet.rtmp.refused.${why}`);
      socket.on('error', () => undefined);
      return void socket.destroy();
    }
    const connection = new RtmpConnection(socket, { ...this.#options, onWrongKey: from => this.#onWrongKey(from) });
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
  }

  #onWrongKey(address: string): void {
    if (this.#lockOut.fail(address, this.#options.clock.now())) this.#options.log.warn({ address }, 'inlet.locked-out');
  }
}
