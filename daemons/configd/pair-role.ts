/** What clusterd says of this node: whether it is the one that may change the configuration of the pair. */
import { join } from 'node:path';
import type { ClusterReport, ClusterdRequests } from '#contracts/clusterd.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { RpcLink } from '#kit/rpc-link.ts';

const LOOK_EVERY_MS = 500;
const ANSWER_MS = 1000;

/** Null: clusterd does not say. */
export type KnownRole = Pick<ClusterReport, 'role' | 'term'> | null;

export class PairRole implements AsyncDisposable {
  readonly #clusterd: RpcLink<ClusterdRequests>;
  readonly #clock: Clock;
  #known: KnownRole = null;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(directory: string, clock: Clock, log: Log) {
    this.#clock = clock;
    this.#clusterd = new RpcLink<ClusterdRequests>(join(directory, 'clusterd.sock'), { clock, log });
  }

  /** Returns after the first answer, or when there is none. */
  async start(): Promise<void> {
    await this.#clusterd.start();
    await this.ask();
    this.#again();
  }

  /** As it was when it was looked at last. */
  get known(): KnownRole {
    return this.#known;
  }

  get active(): boolean {
    return this.#known?.role === 'active';
  }

  /** The term that a change made here belongs to; 0: it is not for this node to change anything. */
  get term(): number {
    return this.active ? this.#known!.term : 0;
  }

  async ask(): Promise<KnownRole> {
    try {
      const { role, term } = await this.#clusterd.call('report', {}, { timeoutMs: ANSWER_MS });
      this.#known = { role, term };
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#known = null;
    }
    return this.#known;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#clusterd[Symbol.asyncDispose]();
  }

  #again(): void {
    if (this.#closed) return;
    this.#timer = this.#clock.schedule(addMs(this.#clock.now(), LOOK_EVERY_MS), () => void this.ask().then(() => this.#again()));
  }
}
