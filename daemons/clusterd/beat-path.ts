/** One way for heartbeats to the other node and back. What is sent while it is not there is lost, as on any network. */
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import { DatagramBatch, type UdpPort, openUdp } from '#kit/udp-batch.ts';

/** An interface may come up later than we. */
const BIND_AGAIN_MS = 500;
const TOLD_EVERY_MS = 60_000;

export interface BeatPath extends AsyncDisposable {
  /** False: there is no way now. */
  send(bytes: Uint8Array): boolean;
}

export interface BeatPathOptions {
  readonly local: string;
  readonly remote: string;
  readonly port: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Of the remote address. The bytes are gone after the call. */
  readonly onBytes: (bytes: Uint8Array) => void;
  /** Something came that is not from there, or is no heartbeat by its length. */
  readonly onForeign: () => void;
  readonly onFailure: () => void;
}

/** Opens something now or as soon as it can be, until it is closed. */
export class Binding<Bound> implements AsyncDisposable {
  readonly #options: Pick<BeatPathOptions, 'local' | 'port' | 'clock' | 'log'>;
  readonly #open: () => Promise<Bound>;
  readonly #close: (bound: Bound) => Promise<void>;
  #retry: Disposable | undefined;
  readonly #notBound: CountedLog;
  #closed = false;
  bound: Bound | undefined;

  constructor(options: Pick<BeatPathOptions, 'local' | 'port' | 'clock' | 'log'>, open: () => Promise<Bound>, close: (bound: Bound) => Promise<void>) {
    this.#options = options;
    this.#open = open;
    this.#close = close;
    this.#notBound = new CountedLog(options.log, options.clock, 'heartbeat.not-bound', TOLD_EVERY_MS);
    void this.#try();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    if (this.bound !== undefined) await this.#close(this.bound);
  }

  async #try(): Promise<void> {
    const { local, port, clock } = this.#options;
    try {
      const bound = await this.#open();
      if (this.#closed) return await this.#close(bound);
      this.bound = bound;
    } catch (error) {
      if (this.#closed) return;
      this.#notBound.count({ local, port, why: (error as NodeJS.ErrnoException).code ?? (error as Error).message });
      this.#retry = clock.schedule(addMs(clock.now(), BIND_AGAIN_MS), () => void this.#try());
    }
  }
}

export class DatagramPath implements BeatPath {
  readonly #options: BeatPathOptions;
  readonly #binding: Binding<UdpPort>;
  readonly #batch = new DatagramBatch();

  constructor(options: BeatPathOptions) {
    this.#options = options;
    const { local, port, onFailure } = options;
    this.#binding = new Binding(options, () => openUdp({ address: local, port, onBatch: batch => this.#receive(batch), onError: onFailure }), bound => bound.close());
  }

  send(bytes: Uint8Array): boolean {
    const { remote, port } = this.#options;
    if (this.#binding.bound === undefined) return false;
    this.#batch.count = 0;
    this.#batch.add(bytes, 0, bytes.length, remote, port);
    this.#binding.bound.send(this.#batch);
    return true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#binding[Symbol.asyncDispose]();
  }

  #receive(batch: DatagramBatch): void {
    const { remote, onBytes, onForeign } = this.#options;
    for (let i = 0; i < batch.count; i++) {
      if (batch.address[i] === remote) onBytes(batch.memory[i]!.subarray(batch.offset[i], batch.offset[i]! + batch.length[i]!));
      else onForeign();
    }
  }
}
