/**
 * What sipd does in a pair of nodes. The one of the standby node runs with nothing open but its file, which it keeps as the other
 * one writes it; promoted, it takes everything up as after a restart of its own.
 *
 *            promote(term): what has arrived is taken, addresses are bound, sessions go on
 *   STANDBY ----------------------------------------------------------------------------> ACTIVE
 *      ^                                                                                     |
 *      +--- demote, or refused by Redis: sockets close; bridges here end a moment later (farewell.ts) --+
 */
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import type { PairWord, SipdDuty, SipdRequests } from '#contracts/sipd.ts';
import { type ClusterConfig, bothCarryMedia } from '#core/config/cluster-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { type Ms, addMs } from '#core/units.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import type { ConfigStore } from '#kit/config-store.ts';
import type { Log } from '#kit/log.ts';
import { mediadSocket } from '#kit/mediad-socket.ts';
import { redisPassword } from '#kit/pair-keys.ts';
import { systemRandom as random } from '#kit/random.ts';
import { RedisFollower } from '#kit/redis-follower.ts';
import type { RedisPlace } from '#kit/redis-link.ts';
import { RedisMirror } from '#kit/redis-mirror.ts';
import { answerReload } from '#kit/reload.ts';
import { sipdRequestSchemas } from '#kit/request-schemas.ts';
import type { RpcHandlers } from '#kit/rpc.ts';
import type { RpcPeer } from '#kit/rpc-peers.ts';
import type { SqliteStore } from '#kit/sqlite-store.ts';
import type { RowChange } from '#kit/store-rows.ts';
import { Farewell } from './farewell.ts';
import type { WhenKept } from './alarms.ts';
import { Gateway } from './gateway.ts';
import type { GatewayHandlers } from './handlers.ts';
import { rehearse } from './rehearsal.ts';

/** keepalived tells of an address in the moment that it adds it. */
const BIND_WITHIN_MS = 1000;
const BIND_EVERY_MS = 20;
/** What is still to be replicated is given so long at a demotion. */
const SETTLE_MS = 300;
/** A media process that hangs holds up no takeover. */
const RECALL_MS = 500;
/** What must not be lost with this node is not waited for longer until the other one has it too. */
const KEPT_MS = 300;

interface Active {
  readonly gateway: Gateway;
  readonly handlers: GatewayHandlers;
  readonly mirror: RedisMirror;
  readonly term: number;
  readonly closer: Closer;
}

export interface DutyOptions {
  readonly config: ConfigStore;
  readonly cluster: ClusterConfig;
  readonly store: SqliteStore;
  readonly log: Log;
  readonly onActive: (gateway: Gateway) => void;
}

export class Duty implements AsyncDisposable {
  readonly #options: DutyOptions;
  readonly #place: RedisPlace;
  readonly #farewell: Farewell;
  #follower: RedisFollower | undefined;
  #active: Active | undefined;
  #promoting = false;
  /** What clusterd said last. */
  #word: PairWord | undefined;
  readonly #rehearsed = new Set<'state' | 'session'>();
  #rehearsing: Promise<void> = Promise.resolve();
  #closed = false;
  /** One change at a time. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: DutyOptions) {
    this.#options = options;
    this.#place = { host: '127.0.0.1', port: options.cluster.redisPort, password: redisPassword(options.cluster.key ?? '') };
    this.#farewell = new Farewell(clock, options.log);
    this.#follow();
  }

  /** Of a standby, everything but its duty is NODE_STANDBY. */
  handlers(): RpcHandlers<SipdRequests> {
    const methods = (Object.keys(sipdRequestSchemas) as (keyof SipdRequests)[]).map(method => [method, (params: never, peer: RpcPeer) => this.#serving(method as keyof GatewayHandlers)(params, peer)]);
    const served = Object.fromEntries(methods) as GatewayHandlers;
    return { ...served, duty: () => this.duty, promote: ({ term }) => this.promote(term), demote: () => this.demote(), pair: word => this.#pairSaid(word), reload: params => this.#answerReload(params) };
  }

  get gateway(): Gateway | undefined {
    return this.#active?.gateway;
  }

  get duty(): SipdDuty {
    if (this.#active !== undefined) return { state: 'active', term: this.#active.term, replication: this.#active.mirror.state, waiting: this.#active.mirror.waiting };
    return { state: this.#promoting ? 'promoting' : 'standby', term: null, replication: this.#follower?.following === true ? 'in-step' : 'away', waiting: 0 };
  }

  #pairSaid(word: PairWord): null {
    this.#word = word;
    this.gateway?.media.pairSaid(word);
    return null;
  }

  promote(term: number): Promise<null> {
    return this.#change(async () => {
      if (this.#active?.term === term) return null;
      if (this.#active !== undefined) await this.#letGo(false);
      this.#promoting = true;
      try {
        await this.#takeUp(term);
        return null;
      } catch (error) {
        this.#follow();
        throw error;
      } finally {
        this.#promoting = false;
      }
    });
  }

  demote(): Promise<null> {
    return this.#change(async () => {
      await this.#letGo(true);
      this.#follow();
      return null;
    });
  }

  async reload(): Promise<string | null> {
    return (await this.#options.config.reload((next, changed) => this.#refusalOf(next) ?? this.gateway?.apply(next, changed) ?? null)).refused;
  }

  /** A stop of this daemon alone leaves sessions and media running, as that of a single node does. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#changing;
    await this.#rehearsing;
    await this.#letGo(false);
    await this.#farewell.now();
    await this.#follower?.[Symbol.asyncDispose]();
  }

  #change(run: () => Promise<null>): Promise<null> {
    const done = this.#changing.then(run);
    this.#changing = done.catch(() => undefined);
    return done;
  }

  #follow(): void {
    if (this.#closed || this.#follower !== undefined) return;
    const { store, log } = this.#options;
    this.#follower = new RedisFollower({ store, place: this.#place, clock, log, onWhole: () => this.#rehearse(false), onTaken: changes => this.#rehearse(changes.some(isSession)) });
  }

  /** Once with what there is, and once more with the first session. What was active before needs none. */
  #rehearse(hasSession: boolean): void {
    const scope = hasSession ? 'session' : 'state';
    if (this.#promoting || this.#closed || this.#rehearsed.has(scope) || this.#rehearsed.has('session')) return;
    this.#rehearsed.add(scope);
    const { store, log, config } = this.#options;
    this.#rehearsing = this.#rehearsing.then(() => rehearse({ config: config.current, store, log, isOver: () => this.#promoting || this.#active !== undefined || this.#closed }));
  }

  async #takeUp(term: number): Promise<void> {
    const { store, log, config, onActive } = this.#options;
    const beganAt = clock.now();
    const [complete] = await Promise.all([this.#follower?.drain(), this.#within(RECALL_MS, this.#farewell.recall(this.#leftovers(term)))]);
    await this.#follower?.[Symbol.asyncDispose]();
    this.#follower = undefined;
    await using failing = new Closer();
    const mirror = failing.use(new RedisMirror({ store, place: this.#place, term, clock, random, log, onRefused: () => void this.demote() }));
    const opening = failing.use(new Closer());
    const whenKept: WhenKept = run => void this.#within(KEPT_MS, mirror.confirm()).then(run);
    const gateway = await this.#open(opening, addMs(beganAt, BIND_WITHIN_MS), whenKept);
    if (this.#word !== undefined) gateway.media.pairSaid(this.#word);
    await gateway.start({ takesOver: true });
    const handlers = gateway.handlers(params => this.#answerReload(params));
    this.#rehearsed.add('session');
    this.#active = { gateway, handlers, mirror, term, closer: opening.release() };
    if (this.#word !== undefined) gateway.media.pairSaid(this.#word);
    failing.release();
    onActive(gateway);
    log.warn({ term, complete, tookMs: Math.round(clock.now() - beganAt), listen: config.current.sip.listen.length }, 'duty.active');
  }

  /**
   * Media processes in which bridges may stand that another node has gone on with since: the last one who wrote the state was not active
   * with this term. Who is made active again with the same one has been so all the time.
   */
  #leftovers(term: number): readonly string[] {
    const { cluster, config: { current: { rpc, media } } } = this.#options;
    const lastTerm = this.#follower?.term ?? 0;
    if (lastTerm === 0 || lastTerm === term || bothCarryMedia(cluster)) return [];
    return Array.from({ length: media.instances }, (_, i) => mediadSocket(rpc.directory, String(i + 1)));
  }

  /** Again while the addresses are not there yet. */
  async #open(opening: Closer, until: Ms, whenKept: WhenKept): Promise<Gateway> {
    const { config, log, store } = this.#options;
    for (;;) {
      try {
        return await Gateway.open(config.current, log, opening, store, { whenKept });
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        const isAbsent = code === 'EADDRNOTAVAIL' || message.includes('EADDRNOTAVAIL');
        if (!isAbsent || clock.now() >= until) throw isAbsent ? new GatewayError('CONFIG_INVALID', { why: message }, { cause: error }) : error;
        const again = Promise.withResolvers<void>();
        clock.schedule(addMs(clock.now(), BIND_EVERY_MS), again.resolve);
        await again.promise;
      }
    }
  }

  /** `endsMedia`: another node goes on with the bridges. */
  async #letGo(endsMedia: boolean): Promise<void> {
    const active = this.#active;
    this.#active = undefined;
    if (active === undefined) return;
    this.#options.log.warn({ term: active.term }, 'duty.standby');
    // Where each node has its own media address, media does not move with SIP.
    if (endsMedia && !bothCarryMedia(this.#options.cluster)) this.#farewell.begin(active.gateway.media.held);
    await active.closer[Symbol.asyncDispose]();
    await this.#within(SETTLE_MS, active.mirror.settle());
    await active.mirror[Symbol.asyncDispose]();
  }

  async #within(limitMs: number, task: Promise<unknown>): Promise<void> {
    const late = Promise.withResolvers<void>();
    using _limit = clock.schedule(addMs(clock.now(), limitMs), late.resolve);
    await Promise.race([task, late.promise]);
  }

  #serving<Method extends keyof GatewayHandlers>(method: Method): GatewayHandlers[Method] {
    if (this.#active === undefined) throw new GatewayError('NODE_STANDBY', { why: 'the other node is active' });
    return this.#active.handlers[method];
  }

  #answerReload(params: ReloadParams): Promise<ReloadAnswer> {
    const { config, log } = this.#options;
    return answerReload(params, () => config.check(next => this.#refusalOf(next)), () => this.reload(), log);
  }

  #refusalOf(next: GatewayConfig): string | null {
    const { cluster, node, state, rpc } = this.#options.config.current;
    if (JSON.stringify([cluster, node, state, rpc]) !== JSON.stringify([next.cluster, next.node, next.state, next.rpc])) return 'cluster: a change here needs a restart of viewlink-sipd and viewlink-clusterd';
    return this.gateway?.refusalOf(next) ?? null;
  }
}

/** Of somebody who watches (session-store.ts). */
const isSession = ({ table, row }: RowChange): boolean => table === 'sessions' && row?.includes('"viewer"') === true;
