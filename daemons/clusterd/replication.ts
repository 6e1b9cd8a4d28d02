/** The Redis of this node: primary on the active one, on the other a copy of that. */
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { type RedisLink, type RedisPlace, openRedis } from '#kit/redis-link.ts';

const LOOK_EVERY_MS = 1000;
/** A Redis that hangs does not hold up a takeover. */
const PATIENCE_MS = 200;

export type ReplicationRole = 'primary' | 'replica';

export interface ReplicationOptions {
  readonly place: RedisPlace;
  /** Our address on the link. */
  readonly own: string;
  readonly peer: { readonly host: string; readonly port: number };
  readonly clock: Clock;
  readonly log: Log;
}

export class Replication implements AsyncDisposable {
  readonly #options: ReplicationOptions;
  readonly #redis: RedisLink;
  #wanted: ReplicationRole;
  #timer: Disposable | undefined;
  /** Connected to the primary, with everything that it has. */
  inSync = false;

  constructor(options: ReplicationOptions, wanted: ReplicationRole) {
    this.#options = options;
    this.#wanted = wanted;
    this.#redis = openRedis(options.place, { log: options.log, onUp: () => void this.#takesOurs().then(() => this.#apply()), onDown: () => void (this.inSync = false) });
    this.#look();
  }

  get role(): ReplicationRole | 'away' {
    return this.#redis.up ? this.#wanted : 'away';
  }

  /** Settles when Redis has it, or is not waited for: it gets it when it is back. */
  async become(role: ReplicationRole): Promise<void> {
    this.#wanted = role;
    this.inSync = false;
    const { clock, log } = this.#options;
    const late = Promise.withResolvers<void>();
    using _limit = clock.schedule(addMs(clock.now(), PATIENCE_MS), () => {
      log.warn({ role }, 'redis.late');
      late.resolve();
    });
    await Promise.race([this.#apply(), late.promise]);
  }

  /** Whoever comes with the key that is about to be that of the pair is let in too, until we start anew with it ourselves. */
  async alsoTakes(password: string): Promise<void> {
    try {
      await this.#redis.command(['ACL', 'SETUSER', 'default', `>${password}`]);
    } catch (error) {
      this.#options.log.warn({ why: (error as Error).message }, 'redis.not-rekeyed');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await this.#redis[Symbol.asyncDispose]();
  }

  /** Our password and no other; whoever came over the link with one of before is put out. */
  async #takesOurs(): Promise<void> {
    const { place, own, log } = this.#options;
    try {
      if (passwordsOf(await this.#redis.command(['ACL', 'GETUSER', 'default'])) <= 1) return;
      for (const name of ['masterauth', 'requirepass']) await this.#redis.command(['CONFIG', 'SET', name, place.password]);
      await this.#redis.command(['CLIENT', 'KILL', 'LADDR', `${own}:${place.port}`]);
      log.warn({}, 'redis.rekeyed');
    } catch (error) {
      log.warn({ why: (error as Error).message }, 'redis.not-rekeyed');
    }
  }

  async #apply(): Promise<void> {
    const { peer, log } = this.#options;
    if (!this.#redis.up) return;
    try {
      await this.#redis.command(this.#wanted === 'primary' ? ['REPLICAOF', 'NO', 'ONE'] : ['REPLICAOF', peer.host, String(peer.port)]);
    } catch (error) {
      log.warn({ role: this.#wanted, why: (error as Error).message }, 'redis.role-refused');
    }
  }

  #look(): void {
    const { clock } = this.#options;
    this.#timer = clock.schedule(addMs(clock.now(), LOOK_EVERY_MS), () => {
      void this.#ask();
      this.#look();
    });
  }

  async #ask(): Promise<void> {
    if (!this.#redis.up) return;
    const text = await this.#redis.command(['INFO', 'replication']).catch(() => undefined);
    if (typeof text !== 'string') return;
    const isPrimary = text.includes('role:master');
    this.inSync = isPrimary ? text.includes('state=online') : text.includes('master_link_status:up');
    // Redis was started anew, or somebody else turned it.
    if (isPrimary !== (this.#wanted === 'primary')) await this.#apply();
  }
}

/** How many: the answer to ACL GETUSER is a flat list of names and values. */
function passwordsOf(answer: unknown): number {
  const at = Array.isArray(answer) ? answer.indexOf('passwords') : -1;
  const passwords: unknown = at < 0 ? undefined : (answer as readonly unknown[])[at + 1];
  return Array.isArray(passwords) ? passwords.length : 0;
}
