/**
 * The mediad instances as one pool: picks the least loaded for a new bridge (core/media/placement.ts), hands events to their bridge's
 * owner, and tells which bridges are gone when an instance dies (media-instance.ts).
 *
 * An instance that was restarted answers with fewer bridges than we know: those are lost. One that does not come back
 * within its time has lost them all.
 *
 * Of a pair whose nodes each have a media address the instances of both are in it, those of the other node through clusterd. There
 * a bridge goes where the address of its legs is: to this node when the other one dies, and home again when that has it back.
 */
import type { BridgeStats, Endpoint, MediadLoad, MediadRequests, OpenInletParams, OpenSourceParams, StrainReport, StrayReport } from '#contracts/mediad.ts';
import type { PairWord } from '#contracts/sipd.ts';
import { leastLoaded, placeFor } from '#core/media/placement.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { AnswerOf, ParamsOf } from '#kit/rpc.ts';
import { type InstanceHandlers, MediaInstance, PATIENCE_MS, type Revival } from './media-instance.ts';
import { MediaMoves, type MoveHandlers } from './media-moves.ts';
import type { MediaNodes } from './media-nodes.ts';

const START_MS = 500;
/** A connection, four questions with an answer each, and one more of them with a password. */
const INLET_MS = 30_000;
const LOAD_EVERY_MS = 1000;
/** Of core/media/strain. */
const NOTHING_NEW = 3;

export interface MediaPoolOptions extends MoveHandlers, InstanceHandlers {
  readonly nodes: MediaNodes;
  readonly clock: Clock;
  readonly log: Log;
}

export class MediaPool implements AsyncDisposable {
  readonly #options: MediaPoolOptions;
  readonly #instances: readonly MediaInstance[];
  #watch: Disposable | undefined;
  readonly #moves: MediaMoves;
  /** After a takeover. */
  revival: Revival | undefined;

  constructor(options: MediaPoolOptions) {
    this.#options = options;
    const isOurs = (bridgeId: string): boolean => this.#instances.some(({ bridges }) => bridges.has(bridgeId));
    const deps = { ...options, inPair: options.nodes.areTwo, revival: () => this.revival, isOurs, isMoving: () => this.#moves.busy, onSettled: () => void this.#moves.settle() };
    this.#instances = options.nodes.places().map(place => new MediaInstance(place, deps));
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
    for (const instance of this.#instances) instance.expect();
    this.#watchLoad();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    this.#moves[Symbol.dispose]();
    await Promise.all(this.#instances.map(instance => instance[Symbol.asyncDispose]()));
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
    const isAtHome = ({ node }: MediaInstance): boolean => node === undefined || (this.#options.nodes.ownerOf(node) === node && !this.#moves.awaits(node));
    const place = placeFor(running, { isAtHome, answers: ({ answers }) => answers });
    if ('refuses' in place) throw new GatewayError('CAPACITY_EXHAUSTED', { why: place.refuses });
    return place.name;
  }

  /** Asks every instance how it does, once a second. */
  #watchLoad(): void {
    const { clock } = this.#options;
    this.#watch = clock.schedule(addMs(clock.now(), LOAD_EVERY_MS), () => {
      for (const instance of this.#instances) if (instance.attached) void instance.look();
      this.#watchLoad();
    });
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
        this.#find(name).suspect();
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
    return leastLoaded(this.#instances.filter(({ name, attached }) => attached && !tried.has(name)))?.name ?? last;
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
    const ask = async (instance: MediaInstance): Promise<{ name: string; answer: AnswerOf<MediadRequests, Method> }[]> => {
      try {
        return [{ name: instance.name, answer: await instance.link.call(method, params, { timeoutMs: PATIENCE_MS }) }];
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        instance.suspect();
        return [];
      }
    };
    return (await Promise.all(this.#instances.filter(({ attached, answers }) => attached && answers).map(ask))).flat();
  }

  async reload(sections: readonly string[]): Promise<string | null> {
    for (const { link, name, isHere } of this.#instances) {
      if (!link.up || !isHere) continue;
      const { refused } = await link.call('reload', { sections });
      if (refused !== null) return `mediad@${name}: ${refused}`;
    }
    return null;
  }

  #find(name: string): MediaInstance {
    const found = this.#instances.find(instance => instance.name === name);
    if (found === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { instance: name, why: 'no such media process' });
    return found;
  }

  #ignoreGone(error: unknown): void {
    if (error instanceof GatewayError && (error.code === 'BRIDGE_UNKNOWN' || error.code === 'DAEMON_UNREACHABLE')) return;
    throw error;
  }
}
