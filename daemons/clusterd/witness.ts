/** Somebody on the service network who is always there: one TCP connection after another; one that is refused is an answer too. */
import { connect, type Socket } from 'node:net';
import { type AskedFrom, type WitnessView, WitnessWatch } from '#core/cluster/witness-watch.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

const TIMEOUT_MS = 600;

export interface WitnessOptions {
  readonly address: string;
  readonly port: number;
  /** Of ours: of this node on the service network, and of the pair. */
  readonly local: Readonly<Record<AskedFrom, string>>;
  readonly clock: Clock;
  readonly onChange: (view: WitnessView) => void;
}

export class Witness implements Disposable {
  readonly #options: WitnessOptions;
  readonly #watch = new WitnessWatch();
  readonly #asking = new Map<Socket, Disposable>();
  #told: WitnessView = { reachable: false, elsewhere: false };

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  /** At every beat. `owns`: the address of the pair is on this node. */
  step(peerSilentMs: number, owns: boolean): void {
    for (const from of this.#watch.step(peerSilentMs, owns, this.#options.clock.now())) this.#ask(from);
    this.#judge();
  }

  [Symbol.dispose](): void {
    for (const socket of [...this.#asking.keys()]) this.#end(socket);
  }

  #ask(from: AskedFrom): void {
    const { clock, address, port, local } = this.#options;
    const socket = connect({ host: address, port, localAddress: local[from] });
    this.#asking.set(socket, clock.schedule(addMs(clock.now(), TIMEOUT_MS), () => this.#end(socket)));
    socket.once('connect', () => this.#answered(socket, from));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') this.#answered(socket, from);
      else this.#end(socket);
    });
  }

  #answered(socket: Socket, from: AskedFrom): void {
    if (!this.#asking.has(socket)) return;
    this.#end(socket);
    this.#watch.answered(from, this.#options.clock.now());
    this.#judge();
  }

  #end(socket: Socket): void {
    this.#asking.get(socket)?.[Symbol.dispose]();
    this.#asking.delete(socket);
    socket.destroy();
  }

  #judge(): void {
    const view = this.#watch.view(this.#options.clock.now());
    const { reachable, elsewhere } = this.#told;
    if (view.reachable === reachable && view.elsewhere === elsewhere) return;
    this.#told = view;
    this.#options.onChange(view);
  }
}
