/**
 * Bridges that this node leaves to the other one. They go on until the addresses have moved, so that nobody misses a picture that could
 * still be sent; what is closed after that says nothing to anybody, for a connection without its address has no way out.
 *
 * A sipd that ended before its node lost the role has left its bridges without a farewell. They are as old as that, and in the way of
 * whoever opens them anew: who takes over after another node has them closed first.
 */
import type { MediadRequests } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { type RpcClient, connectRpc } from '#kit/rpc.ts';

/** keepalived takes the addresses off within a few milliseconds; clusterd sees to it otherwise. */
const AFTER_MS = 1000;

/** Bridges by the socket of their media process. */
export type LeftBridges = ReadonlyMap<string, readonly string[]>;

export class Farewell {
  readonly #clock: Clock;
  readonly #log: Log;
  #left: LeftBridges = new Map();
  /** Of the last farewell, until it is over. */
  #ours: ReadonlySet<string> = new Set();
  #timer: Disposable | undefined;
  #closing: Promise<unknown> = Promise.resolve();
  /** Those that are being closed are wanted again. */
  #recalled = false;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  begin(left: LeftBridges): void {
    this.#forget();
    this.#left = left;
    this.#ours = new Set([...left.values()].flat());
    this.#timer = this.#clock.schedule(addMs(this.#clock.now(), AFTER_MS), () => void this.now());
  }

  /** Closes what is left. */
  async now(): Promise<void> {
    const left = this.#left;
    this.#forget();
    this.#recalled = false;
    await (this.#closing = Promise.all([...left].map(([socket, bridgeIds]) => this.#close(socket, bridgeIds))));
    if (!this.#recalled) this.#ours = new Set();
  }

  /**
   * This node goes on with them itself: once it settles none of those that are there is closed any more. `sockets`: another node was
   * active meanwhile, and what else is in these media processes was left there long ago.
   */
  async recall(sockets: readonly string[] = []): Promise<void> {
    this.#forget();
    this.#recalled = true;
    await Promise.all([this.#closing, ...sockets.map(socket => this.#clear(socket))]);
  }

  #forget(): void {
    this.#timer?.[Symbol.dispose]();
    this.#left = new Map();
  }

  async #clear(socket: string): Promise<void> {
    await this.#asking(socket, async client => {
      const { bridges } = await client.call('listBridges', {});
      const old = bridges.filter(({ bridgeId }) => !this.#ours.has(bridgeId));
      if (old.length > 0) this.#log.warn({ socket, bridges: old.length }, 'farewell.belated');
      await Promise.all(old.map(({ bridgeId }) => client.call('closeBridge', { bridgeId })));
    });
  }

  async #close(socket: string, bridgeIds: readonly string[]): Promise<void> {
    if (bridgeIds.length === 0) return;
    await this.#asking(socket, async client => {
      for (const bridgeId of bridgeIds) if (!this.#recalled) await client.call('closeBridge', { bridgeId });
    });
  }

  async #asking(socket: string, ask: (client: RpcClient<MediadRequests>) => Promise<void>): Promise<void> {
    try {
      await using client = await connectRpc<MediadRequests>(socket);
      await ask(client);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#log.info({ socket, why: error.message }, 'farewell.unheard');
    }
  }
}
