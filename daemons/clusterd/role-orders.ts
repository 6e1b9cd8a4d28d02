/** What a change of the role asks of the Redis and the sipd of this node, one order after another. */
import type { SipdRequests } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import type { RpcLink } from '#kit/rpc-link.ts';
import type { Replication } from './replication.ts';

/** sipd loads, binds and answers within this, or is not promoted. */
const PROMOTE_MS = 8000;
const DEMOTE_MS = 3000;

export interface RoleOrdersDeps {
  readonly replication: Replication;
  readonly sipd: RpcLink<SipdRequests>;
  readonly log: Log;
  /** Still: an order may have waited for others. */
  isActive(term: number): boolean;
  onPrimary(): void;
  /** sipd said no. One that is away comes back, or makes this node unfit. */
  onNotPromoted(term: number, why: string): void;
  /** sipd has let go, or does not answer. */
  onDemoted(): void;
}

export class RoleOrders {
  readonly #deps: RoleOrdersDeps;
  #ordering: Promise<void> = Promise.resolve();

  constructor(deps: RoleOrdersDeps) {
    this.#deps = deps;
  }

  /** Redis first: what sipd writes must be taken. */
  promote(term: number): void {
    this.#inOrder(async () => {
      const { replication, sipd, log, isActive, onPrimary, onNotPromoted } = this.#deps;
      if (!isActive(term)) return;
      await replication.become('primary');
      onPrimary();
      try {
        await sipd.call('promote', { term }, { timeoutMs: PROMOTE_MS });
        log.warn({ term }, 'node.active');
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        log.error({ term, why: error.message }, 'node.not-promoted');
        if (error.code !== 'DAEMON_UNREACHABLE') onNotPromoted(term, error.message);
      }
    });
  }

  /** sipd first: as long as it speaks, it writes. */
  demote(why: string): void {
    this.#inOrder(async () => {
      const { replication, sipd, log, onDemoted } = this.#deps;
      await sipd.call('demote', {}, { timeoutMs: DEMOTE_MS }).catch((error: unknown) => {
        if (!(error instanceof GatewayError)) throw error;
        log.error({ why: error.message }, 'sipd.not-demoted');
      });
      onDemoted();
      await replication.become('replica');
      log.warn({ why }, 'node.standby');
    });
  }

  #inOrder(task: () => Promise<void>): void {
    this.#ordering = this.#ordering.then(task);
  }
}
