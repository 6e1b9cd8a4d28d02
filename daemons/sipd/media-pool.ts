/**
 * The mediad instances as one pool: picks the least loaded for a new bridge, hands events to their bridge's owner, and
 * tells which bridges are gone when an instance dies.
 *
 * An instance that was restarted answers with fewer bridges than we know: those are lost. One that does not come back
 * within its time has lost them all.
 *
 * Of a pair whose nodes each have a media address the instances of both are in it, those of the other node through clusterd. There
 * a bridge goes where the address of its legs is: to this node when the other one dies, and home again when that has it back.
 */
import type { BridgeStats, Endpoint, MediadEvent, MediadLoad, MediadRequests, OpenInletParams, OpenSourceParams, StrainReport, StrayReport } from '#contracts/mediad.ts';
import type { PairWord } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import { addMs, ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import type { AnswerOf, ParamsOf, RpcClient } from '#kit/rpc.ts';
import { isLessLoaded } from './media-load.ts';
import { type Instance, MediaMoves, type MoveHandlers } from './media-moves.ts';
import type { MediaNodes, MediaPlace } from './media-nodes.ts';

/** systemd restarts a daemon within 200 ms; twice that and some. */
const GRACE_MS = 1000;
/** In a pair another node goes on with its bridges when it stays away: clusterd gives it 2 s, then the address moves. */
const PAIR_GRACE_MS = 5000;
/** Of the other node: its media flows whether we hear of it or not, and a dead node is known by other means. */
const FAR_GRACE_MS = 30_000;
const START_MS = 500;
/** An instance that does not answer for so long hangs: a new bridge goes elsewhere, and nobody waits for its figures. */
const PATIENCE_MS = 2000;
/** And it is given no new one for this long, unless there is no other. */
const SUSPECT_MS = 10_000;

/** A connection, four questions with an answer each, and one more of them with a password. */
const INLET_MS = 30_000;

export interface MediaPoolOptions extends MoveHandlers {
  readonly nodes: MediaNodes;
  readonly clock: Clock;
  readonly log: Log;
  readonly onEvent: (event: MediadEvent, instance: string) => void;
  readonly onLost: (bridgeIds: readonly string[]) => void;
  /** The instance answers, first or again; what it lost was told before. */
  readonly onAttached: (instance: string, bridges: readonly BridgeStats[]) => void;
  /** It did not come back within its time; what it lost was told before. */
  readonly onGone: (instance: string) => void;
}

const LOAD_EVERY_MS = 1000;
/** Of core/media/strain. */
const NOTHING_NEW = 3;

export class MediaPool implements AsyncDisposable {
  readonly #options: MediaPoolOptions;
  readonly #instances: Instance[];
  #watch: Disposable | undefined;
  readonly #moves: MediaMoves;
  /** After a takeover: opens what the other node had, before it is told what is gone. */
  revival: ((instance: string, client: RpcClient<MediadRequests>) => Promise<void>) | undefined;

  constructor(options: MediaPoolOptions) {
    this.#options = options;
    this.#instances = options.nodes.places().map(place => this.#instance(place));
    this.#moves = new MediaMoves({ ...options, instances: this.#instances, close: (instance, bridgeId) => this.closeBridge(instance, bridgeId) });
  }

  /**
   * Returns when every instance of this node was tried once, and what can be moved to it was, or after START_MS: one that hangs holds
   * up nobody's signalling. Bridges that were adopted before are looked for as soon as their instance answers; those of one that does
   * not come are lost like any others.
   */
  async start(): Promise<void> {
    const { clock } = this.#options;
    const trying = this.#instances.map(({ link, isHere }) => ({ isHere, tried: link.start() }));
    const tried = Promise.all(trying.filter(({ isHere }) => isHere).map(each => each.tried)).then(() => this.#moves.settle());
    const late = Promise.withResolvers<void>();
    using _limit = clock.schedule(addMs(clock.now(), START_MS), late.resolve);
    await Promise.race([tried, late.promise]);
    for (const instance of this.#instances) if (!instance.link.up) this.#armGrace(instance);
    this.#watchLoad();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    this.#moves[Symbol.dispose]();
    for (const instance of this.#instances) instance.grace?.[Symbol.dispose]();
    await Promise.all(this.#instances.map(instance => instance.link[Symbol.asyncDispose]()));
  }

  /** What clusterd says of the pair. */
  pairSaid(word: PairWord): void {
    const { nodes } = this.#options;
    nodes.heard(word);
    // A moment without heartbeats is not yet a death.
    for (const { link, isHere, node } of this.#instances) if (!isHere && !nodes.peerIsAlive && nodes.ownerOf(node!) !== null) link.drop();
    void this.#moves.settle();
  }

  /**
   * The instance that is up and has the least to do, as it said a second ago and by what it was given since; one of this node when all
   * are equal. MEDIA_UNAVAILABLE when none is up, CAPACITY_EXHAUSTED when none takes more. `here`: on this node.
   */
  pick({ here = false }: { readonly here?: boolean } = {}): string {
    const running = this.#instances.filter(instance => instance.attached && (instance.isHere || !here));
    if (running.length === 0) throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'no media process is running' });
    const atHome = running.filter(({ node }) => node === undefined || (this.#options.nodes.ownerOf(node) === node && !this.#moves.awaits(node)));
    const placed = atHome.length > 0 ? atHome : running;
    const answering = placed.filter(instance => this.#options.clock.now() >= instance.suspectUntil);
    const up = answering.length > 0 ? answering : placed;
    const free = up.filter(({ load }) => load === undefined || load.refuses === null);
    if (free.length === 0) throw new GatewayError('CAPACITY_EXHAUSTED', { why: up[0]!.load!.refuses! });
    return free.reduce((best, instance) => (isLessLoaded(instance, best) ? instance : best)).name;
  }

  /** Asks every instance how it does, once a second. */
  #watchLoad(): void {
    const { clock } = this.#options;
    this.#watch = clock.schedule(addMs(clock.now(), LOAD_EVERY_MS), () => {
      for (const instance of this.#instances) if (instance.attached) void this.#askLoad(instance);
      this.#watchLoad();
    });
  }

  async #askLoad(instance: Instance): Promise<void> {
    const load = (instance.load = await instance.link.call('load', {}, { timeoutMs: PATIENCE_MS }).catch(() => undefined));
    if (load === undefined || load.bridges >= instance.bridges.size || this.#moves.busy) instance.missing = new Set();
    else await this.#count(instance).catch(() => undefined);
  }

  /** It has fewer bridges than it should: one that is not there twice is lost, though nobody said so. */
  async #count(instance: Instance): Promise<void> {
    const before = [...instance.bridges.keys()];
    const { bridges } = await instance.link.call('listBridges', {}, { timeoutMs: PATIENCE_MS });
    if (!instance.attached || this.#moves.busy) return;
    const there = new Set(bridges.map(({ bridgeId }) => bridgeId));
    const missing = before.filter(id => !there.has(id));
    this.#lose(instance, missing.filter(id => instance.missing.has(id)));
    instance.missing = new Set(missing);
  }

  /** Why no session may be added there, not even to a source that runs (media.strain); null: one may. */
  strainOf(instance: string): string | null {
    const strain = this.#strainIn(instance);
    return strain !== undefined && strain.level >= NOTHING_NEW ? strain.says : null;
  }

  /** Undefined: it has not said, or it is none of ours any more. */
  #strainIn(instance: string): StrainReport | undefined {
    return this.#instances.find(({ name }) => name === instance)?.load?.strain;
  }

  /** It gives something up for want of memory or processor (media.strain). */
  isShort(instance: string): boolean {
    return (this.#strainIn(instance)?.level ?? 0) > 0;
  }

  get nodes(): MediaNodes {
    return this.#options.nodes;
  }

  get instanceNames(): readonly { readonly name: string; readonly up: boolean }[] {
    return this.#instances.map(({ name, attached }) => ({ name, up: attached }));
  }

  async call<Method extends keyof MediadRequests & string>(instance: string, method: Method, params: ParamsOf<MediadRequests, Method>): Promise<AnswerOf<MediadRequests, Method>> {
    return this.#find(instance).link.call(method, params);
  }

  /** Opens a new bridge with its first source leg; on another instance when this one does not answer. */
  async openBridge(instance: string, params: OpenSourceParams, { elsewhere }: { readonly elsewhere: boolean }): Promise<{ readonly instance: string; readonly local: Endpoint }> {
    const tried = new Set<string>();
    for (let name = instance; ; name = this.#pickOther(tried, name)) {
      tried.add(name);
      // What goes on there has its ports before anybody new.
      await this.#find(name).reviving;
      const { nodes } = this.#options;
      // Elsewhere it has another address, where it would have had that of its node.
      const localAddress = params.localAddress === nodes.addressOf(instance) ? nodes.addressOf(name)! : params.localAddress;
      this.adopt(name, params.bridgeId, localAddress);
      try {
        const { local } = await this.#find(name).link.call('openSource', { ...params, localAddress }, { timeoutMs: PATIENCE_MS });
        return { instance: name, local };
      } catch (error) {
        if (!(error instanceof GatewayError) || error.code !== 'DAEMON_UNREACHABLE' || !elsewhere || !this.#hasOther(tried)) throw error;
        this.#options.log.warn({ instance: name, bridgeId: params.bridgeId }, 'mediad.hangs');
        this.#suspect(name);
        // When it wakes it opens what nobody wants any more, and is told next.
        void this.closeBridge(name, params.bridgeId).catch(() => undefined);
      }
    }
  }

  /** Opens a bridge that an inlet feeds. Settles when it plays. */
  async openInlet(instance: string, params: OpenInletParams): Promise<void> {
    this.adopt(instance, params.bridgeId);
    await this.#find(instance).link.call('openInlet', params, { timeoutMs: INLET_MS });
  }

  #hasOther(tried: ReadonlySet<string>): boolean {
    return this.#instances.some(({ name, attached }) => attached && !tried.has(name));
  }

  #pickOther(tried: ReadonlySet<string>, last: string): string {
    const others = this.#instances.filter(({ name, attached }) => attached && !tried.has(name));
    return others.reduce<Instance | undefined>((best, each) => (best === undefined || isLessLoaded(each, best) ? each : best), undefined)?.name ?? last;
  }

  #suspect(name: string): void {
    this.#find(name).suspectUntil = addMs(this.#options.clock.now(), SUSPECT_MS);
  }

  /** On this node, or there are no nodes. */
  isHere(instance: string): boolean {
    return this.#instances.some(({ name, isHere }) => name === instance && isHere);
  }

  has(instance: string): boolean {
    return this.#instances.some(({ name }) => name === instance);
  }

  /** From here on the bridge counts as ours; `onLost` names it when it vanishes. `address`: of its legs; default: that of its node. */
  adopt(instance: string, bridgeId: string, address = this.#options.nodes.addressOf(instance)): void {
    this.#find(instance).bridges.set(bridgeId, address);
  }

  /** Closes and forgets. A bridge on a dead instance is gone already. */
  async closeBridge(instance: string, bridgeId: string): Promise<void> {
    this.#find(instance).bridges.delete(bridgeId);
    await this.call(instance, 'closeBridge', { bridgeId }).catch(error => this.#ignoreGone(error));
  }

  /** Where the numbers of the sinks stand, on every instance that answers. */
  async sinkMarks(): Promise<{ name: string; marks: Readonly<Record<string, number>> }[]> {
    return (await this.#askAll('sinkMarks', {})).map(({ name, answer }) => ({ name, marks: answer }));
  }

  /** Every bridge that is ours, by the socket of its instance. */
  get held(): ReadonlyMap<string, readonly string[]> {
    return new Map(this.#instances.map(({ link, bridges }) => [link.path, [...bridges.keys()]]));
  }

  async closeSource(instance: string, bridgeId: string, legId: string): Promise<void> {
    await this.call(instance, 'closeSource', { bridgeId, legId }).catch(error => this.#ignoreGone(error));
  }

  async closeSink(instance: string, bridgeId: string, sinkId: string): Promise<void> {
    await this.call(instance, 'closeSink', { bridgeId, sinkId }).catch(error => this.#ignoreGone(error));
  }

  /** What every instance carries now that answers. */
  async list(): Promise<{ bridges: (BridgeStats & { instance: string })[]; strays: StrayReport[] }> {
    const answers = await this.#askAll('listBridges', {});
    return {
      bridges: answers.flatMap(({ name, answer }) => answer.bridges.map(bridge => ({ ...bridge, instance: name }))),
      strays: answers.flatMap(({ answer }) => answer.strays),
    };
  }

  async loads(): Promise<MediadLoad[]> {
    return (await this.#askAll('load', {})).map(({ name, answer }) => ({ ...answer, instance: this.#options.nodes.shown(name) }));
  }

  /** One that hangs is waited for once, and then left out for a while. */
  async #askAll<Method extends 'listBridges' | 'load' | 'sinkMarks'>(method: Method, params: ParamsOf<MediadRequests, Method>): Promise<{ name: string; answer: AnswerOf<MediadRequests, Method> }[]> {
    const ask = async ({ name, link }: Instance): Promise<{ name: string; answer: AnswerOf<MediadRequests, Method> }[]> => {
      try {
        return [{ name, answer: await link.call(method, params, { timeoutMs: PATIENCE_MS }) }];
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        this.#suspect(name);
        return [];
      }
    };
    const now = this.#options.clock.now();
    return (await Promise.all(this.#instances.filter(({ attached, suspectUntil }) => attached && now >= suspectUntil).map(ask))).flat();
  }

  async reload(sections: readonly string[]): Promise<string | null> {
    for (const { link, name, isHere } of this.#instances) {
      if (!link.up || !isHere) continue;
      const { refused } = await link.call('reload', { sections });
      if (refused !== null) return `mediad@${name}: ${refused}`;
    }
    return null;
  }

  #find(name: string): Instance {
    const found = this.#instances.find(instance => instance.name === name);
    if (found === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { instance: name, why: 'no such media process' });
    return found;
  }

  #instance(place: MediaPlace): Instance {
    const { clock, log, onEvent } = this.#options;
    const link = new RpcLink<MediadRequests, MediadEvent>(place.socket, {
      clock,
      log,
      onEvent: event => {
        if (event.type === 'strain') this.#onStrain(instance, event);
        if (!this.#isLeftover(event, instance)) onEvent(event, place.name);
      },
      onUp: client => this.#onUp(instance, client),
      onDown: () => this.#armGrace(instance),
    });
    const instance: Instance = { ...place, link, bridges: new Map(), attached: false, reviving: undefined, grace: undefined, load: undefined, suspectUntil: ms(0), missing: new Set() };
    return instance;
  }

  /** Of a bridge that goes on elsewhere: what a node that was away still has of it says nothing of that. */
  #isLeftover(event: MediadEvent, instance: Instance): boolean {
    return 'bridgeId' in event && !instance.bridges.has(event.bridgeId) && this.#instances.some(({ bridges }) => bridges.has(event.bridgeId));
  }

  /** Whatever comes next is judged by what is so now. */
  #onStrain(instance: Instance, { level, says }: Pick<StrainReport, 'level' | 'says'>): void {
    if (instance.load?.strain !== undefined) instance.load = { ...instance.load, strain: { ...instance.load.strain, level, says } };
    if (instance.attached) void this.#askLoad(instance);
  }

  /** From the first failure on: one that is tried again and again is not given more time. */
  #armGrace(instance: Instance): void {
    const { clock, nodes } = this.#options;
    instance.attached = false;
    instance.missing = new Set();
    instance.load = undefined;
    if (instance.grace !== undefined) return;
    const graceMs = !nodes.areTwo ? GRACE_MS : instance.isHere ? PAIR_GRACE_MS : FAR_GRACE_MS;
    instance.grace = clock.schedule(addMs(clock.now(), graceMs), () => {
      this.#lose(instance, [...instance.bridges.keys()]);
      this.#options.onGone(instance.name);
    });
  }

  #endGrace(instance: Instance): void {
    instance.grace?.[Symbol.dispose]();
    instance.grace = undefined;
  }

  /** What it lost is told; what nobody here knows is closed: its session ended while we were away. */
  async #onUp(instance: Instance, client: RpcClient<MediadRequests>): Promise<void> {
    instance.suspectUntil = ms(0);
    // It is there: however long it takes to open what the other node had, nothing of that is lost meanwhile. One that goes away gets its time anew.
    if (this.revival !== undefined) this.#endGrace(instance);
    await (instance.reviving = this.revival?.(instance.name, client));
    // What is opened while it answers may be in the answer or not.
    const before = [...instance.bridges.keys()];
    const { bridges } = await client.call('listBridges', {});
    this.#endGrace(instance);
    instance.attached = true;
    const there = new Set(bridges.map(({ bridgeId }) => bridgeId));
    this.#lose(instance, before.filter(id => !there.has(id)));
    const orphans = bridges.filter(({ bridgeId }) => !instance.bridges.has(bridgeId));
    for (const { bridgeId } of orphans) await client.call('closeBridge', { bridgeId });
    // First what nobody knows any more is given up: what ended may want its place.
    this.#options.onAttached(instance.name, bridges);
    for (const bridge of bridges) if (instance.bridges.has(bridge.bridgeId)) this.#catchUp(bridge, instance.name);
    if (orphans.length > 0) this.#options.log.warn({ instance: instance.name, bridges: orphans.length }, 'mediad.orphans-closed');
    void this.#moves.settle();
  }

  /** Tells again what ended while nobody listened: events are not kept, states are. */
  #catchUp({ bridgeId, source, replacement, sinks }: BridgeStats, instance: string): void {
    const onEvent = (event: MediadEvent): void => this.#options.onEvent(event, instance);
    for (const { sinkId, state } of sinks) if (state === 'closed') onEvent({ type: 'sink-closed', bridgeId, sinkId, why: 'peer-closed' });
    // The running leg first: it may have taken over meanwhile.
    for (const leg of [source, replacement]) {
      if (leg === null) continue;
      const { legId, state, ssrc, remote, lastPacketAgeMs } = leg;
      if (state === 'flowing' && leg === source && remote !== null) onEvent({ type: 'source-flowing', bridgeId, legId, ssrc, remote });
      if (state === 'closed') onEvent({ type: 'source-closed', bridgeId, legId, why: 'peer-closed' });
      if (state === 'silent') onEvent({ type: 'source-silent', bridgeId, legId, silentMs: lastPacketAgeMs ?? 0 });
    }
  }

  #lose(instance: Instance, bridgeIds: readonly string[]): void {
    const lost = bridgeIds.filter(id => instance.bridges.has(id));
    if (lost.length === 0) return;
    for (const id of lost) instance.bridges.delete(id);
    this.#options.log.error({ instance: instance.name, bridges: lost.length }, 'mediad.bridges-lost');
    this.#options.onLost(lost);
  }

  #ignoreGone(error: unknown): void {
    if (error instanceof GatewayError && (error.code === 'BRIDGE_UNKNOWN' || error.code === 'DAEMON_UNREACHABLE')) return;
    throw error;
  }
}
