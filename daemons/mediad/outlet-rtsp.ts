/**
 * RTSP server of this instance: connections and their bounds. What one connection may do is core/rtsp/server-session; who may watch
 * is the door's.
 */
import type { Server, Socket } from 'node:net';
import { normalizeIp } from '#core/ip.ts';
import { LockOut } from '#core/access/lock-out.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import { type MediaPorts, closeServer, openTcp } from './media-ports.ts';
import type { OutletDoor } from './outlet-door.ts';
import { RtspConnection } from './rtsp-connection.ts';

/** faults.md 4; one address may be a video wall, or a platform that takes many channels. */
const MAX_CONNECTIONS = 2048;
const MAX_PER_ADDRESS = 256;
const BACKLOG = 128;

export interface RtspOutletOptions {
  readonly address: string;
  readonly port: number;
  readonly door: OutletDoor;
  readonly ports: MediaPorts;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
  count(name: string): void;
  readonly maxPerAddress?: number;
}

export class RtspOutlet implements AsyncDisposable {
  readonly #options: RtspOutletOptions;
  readonly #server: Server;
  readonly #connections = new Set<RtspConnection>();
  readonly #lockOut = new LockOut();

  private constructor(options: RtspOutletOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    server.on('connection', socket => this.#onConnection(socket));
  }

  /** MEDIA_UNAVAILABLE when it cannot listen there. */
  static async open(options: RtspOutletOptions): Promise<RtspOutlet> {
    const { address, port, log } = options;
    try {
      const server = await openTcp(address, port, BACKLOG);
      log.info({ address, port }, 'rtsp.listening');
      return new RtspOutlet(options, server);
    } catch (error) {
      throw new GatewayError('MEDIA_UNAVAILABLE', { outlet: 'rtsp', address, port, why: (error as NodeJS.ErrnoException).code ?? String(error) }, { cause: error });
    }
  }

  get connections(): number {
    return this.#connections.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = closeServer(this.#server);
    await Promise.all([...this.#connections].map(connection => connection.close('the gateway stops')));
    await closed;
  }

  #onConnection(socket: Socket): void {
    const { door, ports, clock, random, hashes, log, maxPerAddress = MAX_PER_ADDRESS } = this.#options;
    const address = normalizeIp(socket.remoteAddress ?? '') ?? '';
    const refused = this.#lockOut.isLocked(address, clock.now()) ? 'locked' : this.#isFull(address, maxPerAddress) ? 'full' : undefined;
    if (refused !== undefined) {
      this.#options.count(`rtsp.refused.${refused}`);
      socket.on('error', () => undefined);
      return void socket.destroy();
    }
    this.#options.count('rtsp.accepted');
    this.#connections.add(
      new RtspConnection(socket, {
        door,
        ports,
        clock,
        random,
        hashes,
        log,
        count: name => this.#options.count(name),
        authFailed: from => this.#onAuthFailed(from),
        onClosed: connection => this.#connections.delete(connection),
      }),
    );
  }

  #isFull(address: string, maxPerAddress: number): boolean {
    if (this.#connections.size >= MAX_CONNECTIONS) return true;
    let same = 0;
    for (const { remoteAddress } of this.#connections) if (remoteAddress === address) same += 1;
    return same >= maxPerAddress;
  }

  #onAuthFailed(address: string): void {
    this.#options.count('rtsp.auth-failed');
    this.#options.log.info({ address }, 'rtsp.auth-failed');
    if (this.#lockOut.fail(address, this.#options.clock.now())) this.#options.log.warn({ address }, 'rtsp.locked-out');
  }
}
