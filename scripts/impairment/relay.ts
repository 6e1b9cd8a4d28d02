/**
 * A bad network between two UDP parties on loopback. Each side has a socket of its own, which stands for the other party:
 *
 *     left party <--> [left socket] == impaired both ways == [right socket] <--> right party
 *
 * A side that is not known beforehand is the one that sends first.
 */
import type { RemoteInfo, Socket } from 'node:dgram';
import type { Clock } from '#kit/clock.ts';
import { bindEvenUdp } from '../simulators/common/even-port.ts';
import type { ImpairmentCounters } from './impairment.ts';
import { ImpairedPath } from './path.ts';
import type { ImpairmentRules } from './rules.ts';

export interface Place {
  readonly address: string;
  readonly port: number;
}

export interface ImpairmentRelayOptions {
  readonly clock: Clock;
  /** Address of both sockets. */
  readonly address: string;
  /** Ports of the two sockets; 0: any. */
  readonly leftPort?: number;
  readonly rightPort?: number;
  readonly left?: Place;
  readonly right?: Place;
  readonly toRight: ImpairmentRules;
  readonly toLeft: ImpairmentRules;
}

const BUFFER_BYTES = 4 * 1024 * 1024;

export class ImpairmentRelay implements AsyncDisposable {
  readonly leftSocket: Place;
  readonly rightSocket: Place;
  left: Place | undefined;
  right: Place | undefined;
  readonly #sockets: readonly [Socket, Socket];
  readonly #paths: readonly [ImpairedPath, ImpairedPath];
  #closing: Promise<void> | undefined;

  private constructor(left: Socket, right: Socket, options: ImpairmentRelayOptions) {
    this.#sockets = [left, right];
    this.leftSocket = placeOf(left);
    this.rightSocket = placeOf(right);
    this.left = options.left;
    this.right = options.right;
    const toRight = new ImpairedPath(options.clock, options.toRight, datagram => send(right, datagram, this.right));
    const toLeft = new ImpairedPath(options.clock, options.toLeft, datagram => send(left, datagram, this.left));
    this.#paths = [toRight, toLeft];
    left.on('message', (datagram: Buffer, from: RemoteInfo) => {
      this.left ??= { address: from.address, port: from.port };
      toRight.push(datagram);
    });
    right.on('message', (datagram: Buffer, from: RemoteInfo) => {
      this.right ??= { address: from.address, port: from.port };
      toLeft.push(datagram);
    });
  }

  static async open(options: ImpairmentRelayOptions): Promise<ImpairmentRelay> {
    const left = await bind(options.address, options.leftPort ?? 0);
    const right = await bind(options.address, options.rightPort ?? 0);
    return new ImpairmentRelay(left, right, options);
  }

  get counters(): { readonly toRight: Readonly<ImpairmentCounters>; readonly toLeft: Readonly<ImpairmentCounters> } {
    return { toRight: this.#paths[0].counters, toLeft: this.#paths[1].counters };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    for (const path of this.#paths) path[Symbol.dispose]();
    await Promise.all(this.#sockets.map(socket => new Promise<void>(resolve => socket.close(resolve))));
  }
}

const placeOf = (socket: Socket): Place => ({ address: socket.address().address, port: socket.address().port });

function send(socket: Socket, datagram: Uint8Array, to: Place | undefined): void {
  if (to !== undefined) socket.send(datagram, to.port, to.address);
}

/** Even, as SDP wants it (RFC 3550 11). */
async function bind(address: string, port: number): Promise<Socket> {
  const socket = await bindEvenUdp(address, port);
  // ICMP refusals of a party that is gone: it will hear nothing, that is all.
  socket.on('error', () => undefined);
  socket.setRecvBufferSize(BUFFER_BYTES);
  return socket;
}
