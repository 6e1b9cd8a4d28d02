/**
 * The state of the other node on its way into the SQLite file of this one, while this one is standby: what the Redis here, a replica,
 * gets to know. Whoever becomes active finds all of it in his own file.
 *
 *             connected                  all tables taken over
 *   AWAY ---------------> COMPARING ---------------------------> FOLLOWING --connection lost--> AWAY
 *                             ^                                      |
 *                             +--- another mark, or entries missed --+
 *                                  by us or by our disk
 */
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import { openRedis, type RedisLink, type RedisPlace } from './redis-link.ts';
import { isBehind, lastEntry, readLog, readTable, readTerm, wholeMark } from './redis-state.ts';
import type { SqliteStore } from './sqlite-store.ts';
import type { RowChange } from './store-rows.ts';
import { TABLE_NAMES } from './sqlite-tables.ts';

/** How long one look at the stream lasts; the mark is looked at in between. */
const WAIT_MS = 500;
const ENTRIES = 100;
const RETRY_MS = 200;
/** A Redis that hangs holds up no takeover: one that has answered nothing at so many looks is given up. */
const LOOK_EVERY_MS = 200;
const MOST_LOOKS = 10;

export interface RedisFollowerOptions {
  readonly store: SqliteStore;
  readonly place: RedisPlace;
  readonly clock: Clock;
  readonly log: Log;
  /** It has everything, first or again. */
  readonly onWhole?: () => void;
  /** These came after that. */
  readonly onTaken?: (changes: readonly RowChange[]) => void;
}

export class RedisFollower implements AsyncDisposable {
  readonly #options: RedisFollowerOptions;
  readonly #redis: RedisLink;
  /** One connection waits for news, the other asks. */
  readonly #asking: RedisLink;
  #closed = false;
  #running: Promise<void> | undefined;
  #at: string | undefined;
  #retry: Disposable | undefined;
  #term = 0;
  #mark: string | null = null;
  #lost = 0;
  /** Of the questions that were answered. */
  #answers = 0;
  /** Rows taken over. */
  taken = 0;

  constructor(options: RedisFollowerOptions) {
    this.#options = options;
    const { place, log } = options;
    this.#asking = this.#counted(openRedis(place, { log, onUp: () => this.#start() }));
    this.#redis = openRedis(place, { log, onUp: () => this.#start() });
  }

  /** It holds what the Redis here held a moment ago. */
  get following(): boolean {
    return this.#at !== undefined;
  }

  /** Of the last writer that it saw. */
  get term(): number {
    return this.#term;
  }

  /** Takes what has arrived by now and stops. False: Redis could not be asked, and the file is as old as it is. */
  async drain(): Promise<boolean> {
    using _watch = this.#endsWhatHangs();
    await this.#stop();
    try {
      if (await this.#isOff()) await this.#compare();
      while (await this.#take(0));
      return true;
    } catch (error) {
      this.#options.log.error({ why: (error as Error).message }, 'follower.not-drained');
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await this.#asking[Symbol.asyncDispose]();
  }

  #counted(link: RedisLink): RedisLink {
    const command = async (words: readonly string[]): Promise<unknown> => {
      const answer = await link.command(words);
      this.#answers += 1;
      return answer;
    };
    return {
      get up() {
        return link.up;
      },
      command,
      [Symbol.asyncDispose]: () => link[Symbol.asyncDispose](),
    };
  }

  /** Looks, and not a time: while we have much to do ourselves nobody can answer. */
  #endsWhatHangs(): Disposable {
    const { clock, log } = this.#options;
    let timer: Disposable | undefined;
    let looks = 0;
    let before = this.#answers;
    const look = (): void => {
      looks = this.#answers === before ? looks + 1 : 0;
      before = this.#answers;
      if (looks >= MOST_LOOKS) {
        log.error({ lookMs: LOOK_EVERY_MS, looks }, 'follower.redis-hangs');
        void this.#asking[Symbol.asyncDispose]();
      } else timer = clock.schedule(addMs(clock.now(), LOOK_EVERY_MS), look);
    };
    timer = clock.schedule(addMs(clock.now(), LOOK_EVERY_MS), look);
    return { [Symbol.dispose]: () => timer?.[Symbol.dispose]() };
  }

  async #stop(): Promise<void> {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    // Ends the look that waits.
    await this.#redis[Symbol.asyncDispose]();
    await this.#running;
  }

  #start(): void {
    if (this.#running !== undefined || this.#closed || !this.#redis.up || !this.#asking.up) return;
    this.#running = this.#run().finally(() => (this.#running = undefined));
  }

  async #run(): Promise<void> {
    try {
      await this.#compare();
      while (!this.#closed) {
        await this.#take(WAIT_MS);
        if (await this.#isOff()) await this.#compare();
      }
    } catch (error) {
      if (this.#closed) return;
      const { clock, log } = this.#options;
      log[this.#at === undefined ? 'debug' : 'warn']({ why: (error as Error).message }, 'follower.interrupted');
      this.#at = undefined;
      this.#retry = clock.schedule(addMs(clock.now(), RETRY_MS), () => this.#start());
    }
  }

  /** Everything anew. What changes meanwhile comes again from the stream. */
  async #compare(): Promise<void> {
    const { store, log } = this.#options;
    const at = await lastEntry(this.#asking);
    const term = await readTerm(this.#asking);
    // An empty Redis, or one that is being filled, says nothing of what we know.
    const mark = await wholeMark(this.#asking);
    if (mark === null) throw new GatewayError('DAEMON_UNREACHABLE', { why: 'the state in Redis is not whole' });
    this.#lost = store.lost;
    let differed = 0;
    for (const table of TABLE_NAMES) differed += store.rows.applyAll(table, await readTable(this.#asking, table));
    this.taken += differed;
    log.info({ term, differed }, 'follower.compared');
    this.#term = term;
    this.#mark = mark;
    this.#at = at;
    this.#options.onWhole?.();
  }

  async #isOff(): Promise<boolean> {
    return this.#at === undefined || this.#options.store.lost !== this.#lost || (await wholeMark(this.#asking)) !== this.#mark || (await isBehind(this.#asking, this.#at));
  }

  /** True when there was something. */
  async #take(waitMs: number): Promise<boolean> {
    const entries = await readLog(waitMs > 0 ? this.#redis : this.#asking, this.#at!, { count: ENTRIES, waitMs });
    for (const { id, term, changes } of entries) {
      this.#term = term;
      this.#options.store.rows.apply(changes);
      this.taken += changes.length;
      this.#at = id;
      this.#options.onTaken?.(changes);
    }
    return entries.length > 0;
  }
}
