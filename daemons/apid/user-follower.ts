/**
 * Users and tokens of the other node of a pair, once a second. A node that joins gives up its own and takes those of the active
 * one; from then on whoever is made, changed or shut out at one node is so at the other.
 *
 *   started --other line--> who is active? --the other node--> cleared --> following
 *      | same line                         --we, or nobody--> asked again
 *      +------------------------------------------------------------------> following
 */
import { join } from 'node:path';
import type { ApidRequests } from '#contracts/apid.ts';
import type { ClusterdRequests } from '#contracts/clusterd.ts';
import { pairOf } from '#core/config/cluster-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Counters } from '#kit/counters.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import { connectRpc } from '#kit/rpc.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import type { UserJournal } from './user-journal.ts';

const ASK_EVERY_MS = 1000;
const ANSWER_MS = 5000;
const LINE_BYTES = 12;

export interface UserFollowerDeps {
  readonly journal: UserJournal;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
  readonly log: Log;
  /** What they may is another thing now. */
  readonly onChanged: (users: readonly string[]) => void;
  /** All users are others. */
  readonly onReplaced: () => void;
}

export class UserFollower implements AsyncDisposable {
  readonly #deps: UserFollowerDeps;
  #link: RpcLink<ApidRequests> | undefined;
  #timer: Disposable | undefined;
  #directory = '';
  #closed = false;

  constructor(deps: UserFollowerDeps) {
    this.#deps = deps;
  }

  /** Begins where there is a pair, ends where there is none. */
  async configure(config: GatewayConfig): Promise<void> {
    const wanted = pairOf(config) !== undefined;
    if (wanted === (this.#link !== undefined) || this.#closed) return;
    if (!wanted) return await this.#end();
    const { journal, random, clock, log } = this.#deps;
    if (journal.line === '') journal.line = random.hex(LINE_BYTES);
    this.#directory = config.rpc.directory;
    this.#link = new RpcLink<ApidRequests>(join(this.#directory, 'peer/apid.sock'), { clock, log });
    await this.#link.start();
    this.#again(this.#link);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    const link = this.#link;
    this.#link = undefined;
    await link?.[Symbol.asyncDispose]();
  }

  #again(link: RpcLink<ApidRequests>): void {
    const { clock } = this.#deps;
    if (this.#link !== link) return;
    this.#timer = clock.schedule(addMs(clock.now(), ASK_EVERY_MS), () => void this.#ask(link).then(() => this.#again(link)));
  }

  async #ask(link: RpcLink<ApidRequests>): Promise<void> {
    const { journal, counters, log } = this.#deps;
    try {
      for (let isLast = !link.up; !isLast; ) {
        const changes = await link.call('userChanges', { sinceSeq: journal.peerSeq }, { timeoutMs: ANSWER_MS });
        if (this.#link !== link) return;
        if (changes.line !== journal.line) {
          if (!(await this.#isOtherActive())) return;
          log.warn({ line: changes.line }, 'users.replaced');
          journal.clear(changes.line);
          this.#deps.onReplaced();
          continue;
        }
        // The other one began anew, from a backup.
        if (changes.seq < journal.peerSeq) {
          journal.line = changes.line;
          continue;
        }
        const { users, clashes } = journal.take(changes);
        for (const user of clashes) log.error({ user }, 'users.certificate-clash');
        if (users.length > 0) this.#deps.onChanged(users);
        counters.add('users.taken', users.length);
        isLast = changes.last;
      }
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      log.debug({ why: error.message }, 'users.follow-failed');
    }
  }

  /** Not known: no. */
  async #isOtherActive(): Promise<boolean> {
    await using clusterd = await connectRpc<ClusterdRequests>(join(this.#directory, 'clusterd.sock'));
    const { role, peer } = await clusterd.call('report', {});
    return role !== 'active' && peer.alive && peer.role === 'active';
  }
}
