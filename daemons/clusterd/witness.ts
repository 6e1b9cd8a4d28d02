/** Somebody on the service network who is always there: one TCP connection after another; one that is refused is an answer too. */
import { connect, type Socket } from 'node:net';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

const EVERY_MS = 250;
const TIMEOUT_MS = 250;
/** Two tries may fail. */
const VALID_MS = 600;

export interface WitnessOptions {
  readonly address: string;
  readonly port: number;
  /** Our address on the service network. */
  readonly local: string;
  readonly clock: Clock;
  readonly onChange: (reachable: boolean) => void;
}

export class Witness implements Disposable {
  readonly #options: WitnessOptions;
  #timer: Disposable | undefined;
  #socket: Socket | undefined;
  #answeredAt = -Infinity;
  #reachable = false;

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.#ask();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#socket?.destroy();
  }

  #ask(): void {
    const { clock, address, port, local } = this.#options;
    this.#socket?.destroy();
    const socket = connect({ host: address, port, localAddress: local });
    this.#socket = socket;
    socket.once('connect', () => this.#answered(socket));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') this.#answered(socket);
    });
    this.#timer = clock.schedule(addMs(clock.now(), Math.max(EVERY_MS, TIMEOUT_MS)), () => {
      this.#judge();
      this.#ask();
    });
  }

  #answered(socket: Socket): void {
    socket.destroy();
    this.#answeredAt = this.#options.clock.now();
    this.#judge();
  }

  #judge(): void {
    const reachable = this.#options.clock.now() - this.#answeredAt < VALID_MS;
    if (reachable === this.#reachable) return;
    this.#reachable = reachable;
    this.#options.onChange(reachable);
  }
}
