/** Heartbeats on both paths: out to the peer, in from it. Who may be who is decided by the MAC (core/cluster/heartbeat.ts). */
import { MAX_HEARTBEAT_BYTES, type Heartbeat, type Mac, encodeHeartbeat, parseHeartbeat } from '#core/cluster/heartbeat.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { DatagramBatch, type UdpPort, openUdp } from '#kit/udp-batch.ts';

/** An interface may come up later than we. */
const BIND_AGAIN_MS = 500;

export interface HeartbeatPath {
  readonly local: string;
  readonly remote: string;
}

export interface HeartbeatsOptions {
  /** By index. */
  readonly paths: readonly HeartbeatPath[];
  readonly port: number;
  readonly mac: Mac;
  readonly clock: Clock;
  readonly log: Log;
  readonly onBeat: (beat: Heartbeat) => void;
}

export class Heartbeats implements AsyncDisposable {
  readonly #options: HeartbeatsOptions;
  readonly #ports: (UdpPort | undefined)[];
  readonly #retries = new Set<Disposable>();
  readonly #batch = new DatagramBatch();
  #closed = false;
  readonly counters = { sent: 0, taken: 0, foreign: 0, refused: 0, failed: 0 };

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#ports = options.paths.map(() => undefined);
    for (const index of options.paths.keys()) void this.#open(index);
  }

  /** `beatOf`: the heartbeat for each path; each has its own counter. */
  send(beatOf: (path: number) => Heartbeat): void {
    const { paths, port, mac } = this.#options;
    for (const [index, { remote }] of paths.entries()) {
      const bytes = encodeHeartbeat(beatOf(index), mac);
      const socket = this.#ports[index];
      if (socket === undefined) continue;
      this.#batch.count = 0;
      this.#batch.add(bytes, 0, bytes.length, remote, port);
      socket.send(this.#batch);
      this.counters.sent += 1;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const retry of this.#retries) retry[Symbol.dispose]();
    await Promise.all(this.#ports.flatMap(port => (port === undefined ? [] : [port.close()])));
  }

  async #open(index: number): Promise<void> {
    const { paths, port, clock, log } = this.#options;
    const { local, remote } = paths[index]!;
    try {
      const socket = await openUdp({ address: local, port, onBatch: batch => this.#receive(batch, remote), onError: () => void (this.counters.failed += 1) });
      if (this.#closed) return await socket.close();
      this.#ports[index] = socket;
    } catch (error) {
      if (this.#closed) return;
      log.warn({ local, port, why: (error as NodeJS.ErrnoException).code ?? (error as Error).message }, 'heartbeat.not-bound');
      const retry = clock.schedule(addMs(clock.now(), BIND_AGAIN_MS), () => {
        this.#retries.delete(retry);
        void this.#open(index);
      });
      this.#retries.add(retry);
    }
  }

  #receive(batch: DatagramBatch, remote: string): void {
    for (let i = 0; i < batch.count; i++) {
      const length = batch.length[i]!;
      if (batch.address[i] !== remote || length > MAX_HEARTBEAT_BYTES) {
        this.counters.foreign += 1;
        continue;
      }
      const parsed = parseHeartbeat(batch.memory[i]!.subarray(batch.offset[i], batch.offset[i]! + length), this.#options.mac);
      if (!parsed.ok) {
        this.counters.refused += 1;
        continue;
      }
      this.counters.taken += 1;
      this.#options.onBeat(parsed.value);
    }
  }
}
