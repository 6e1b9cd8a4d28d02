/**
 * A connection that we make: the first try at once and three more a second apart (GB/T 28181-2022 annex D asks for them), each from the
 * leg's own port when it has one. Where the system still holds a connection of the dead from there to the same peer, it picks another one.
 */
import { connect, type Socket } from 'node:net';
import type { Endpoint } from '#contracts/mediad.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

const RETRIES = 3;
const RETRY_AFTER_MS = 1000;
/** A SYN that nobody answers. */
const ATTEMPT_MS = 3000;
export const KEEPALIVE_MS = 30_000;

export interface DialOptions {
  readonly clock: Clock;
  readonly remote: Endpoint;
  readonly localAddress: string;
  readonly localPort: number | undefined;
  /** All tries together; Infinity: as many as there are. */
  readonly withinMs: number;
  readonly onConnected: (socket: Socket) => void;
  readonly onFailed: () => void;
}

/** Exactly one of the two callbacks is called, or none after dispose. */
export class Dial implements Disposable {
  readonly #options: DialOptions;
  readonly #giveUpAt: Ms;
  #tries = 0;
  #localPort: number | undefined;
  #socket: Socket | undefined;
  #timer: Disposable | undefined;
  #done = false;

  constructor(options: DialOptions) {
    this.#options = options;
    this.#localPort = options.localPort;
    this.#giveUpAt = addMs(options.clock.now(), options.withinMs);
    this.#try();
  }

  #try(): void {
    const { clock, remote, localAddress, onConnected } = this.#options;
    const localPort = this.#localPort;
    this.#tries++;
    const socket = connect({ host: remote.address, port: remote.port, localAddress, ...(localPort === undefined ? {} : { localPort }), noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS });
    this.#socket = socket;
    const failed = (error?: NodeJS.ErrnoException): void => {
      socket.destroy();
      const isHeld = error?.code === 'EADDRNOTAVAIL' && localPort !== undefined;
      if (isHeld) this.#localPort = undefined;
      this.#retry(isHeld ? 0 : RETRY_AFTER_MS);
    };
    const now = clock.now();
    const limit = addMs(now, Math.min(ATTEMPT_MS, this.#giveUpAt - now));
    this.#timer = clock.schedule(limit, () => {
      socket.off('error', failed).on('error', () => undefined);
      failed();
    });
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      this.#timer?.[Symbol.dispose]();
      this.#done = true;
      onConnected(socket);
    });
  }

  #retry(afterMs: number): void {
    if (this.#done) return;
    this.#timer?.[Symbol.dispose]();
    const { clock, onFailed } = this.#options;
    const at = addMs(clock.now(), afterMs);
    if (this.#tries > RETRIES || at >= this.#giveUpAt) {
      this.#done = true;
      onFailed();
    } else this.#timer = clock.schedule(at, () => this.#try());
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    if (!this.#done) this.#socket?.on('error', () => undefined).destroy();
    this.#done = true;
  }
}
