/** Heartbeats on all paths: out to the peer, in from it. Who may be who is decided by the MAC (core/cluster/heartbeat.ts). */
import { MAX_HEARTBEAT_BYTES, type Heartbeat, type Mac, encodeHeartbeat, parseHeartbeat } from '#core/cluster/heartbeat.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { type BeatPath, type BeatPathOptions, DatagramPath } from './beat-path.ts';
import { StreamPath } from './stream-path.ts';

export interface HeartbeatPath {
  readonly path: 'link' | 'lan' | 'stream';
  readonly local: string;
  readonly remote: string;
}

export interface HeartbeatsOptions {
  /** By index. */
  readonly paths: readonly HeartbeatPath[];
  readonly port: number;
  /** The stream is dialled from here. */
  readonly dials: boolean;
  readonly mac: Mac;
  readonly clock: Clock;
  readonly log: Log;
  readonly onBeat: (beat: Heartbeat) => void;
}

export class Heartbeats implements AsyncDisposable {
  readonly #options: HeartbeatsOptions;
  readonly #paths: readonly BeatPath[];
  readonly counters = { sent: 0, taken: 0, foreign: 0, refused: 0, failed: 0 };

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#paths = options.paths.map(path => this.#open(path));
  }

  /** `beatOf`: the heartbeat for each path; each has its own counter. */
  send(beatOf: (path: number) => Heartbeat): void {
    for (const [index, path] of this.#paths.entries()) {
      if (path.send(encodeHeartbeat(beatOf(index), this.#options.mac))) this.counters.sent += 1;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#paths.map(path => path[Symbol.asyncDispose]()));
  }

  #open({ path, local, remote }: HeartbeatPath): BeatPath {
    const { port, clock, log, dials } = this.#options;
    const options: BeatPathOptions = { local, remote, port, clock, log, onBytes: bytes => this.#receive(bytes), onForeign: () => void (this.counters.foreign += 1), onFailure: () => void (this.counters.failed += 1) };
    return path === 'stream' ? new StreamPath({ ...options, dials }) : new DatagramPath(options);
  }

  #receive(bytes: Uint8Array): void {
    if (bytes.length > MAX_HEARTBEAT_BYTES) return void (this.counters.foreign += 1);
    const parsed = parseHeartbeat(bytes, this.#options.mac);
    if (!parsed.ok) return void (this.counters.refused += 1);
    this.counters.taken += 1;
    this.#options.onBeat(parsed.value);
  }
}
