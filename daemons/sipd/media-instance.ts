/**
 * One mediad instance as sipd knows it: whether it is there, which bridges are ours in it, what it carries.
 *
 *           its link is up: what another node had is opened in it (after a takeover), what it lost is told, strangers are closed
 *   AWAY ----------------------------------------------------------------------------------------------------------> ATTACHED
 *    ^ |  its time is over: all it had is lost                                                                          |
 *    | +--> AWAY                                                                                                        |
 *    +------------------------------------ its link is down: its time begins -------------------------------------------+
 */
import type { BridgeStats, MediadEvent, MediadLoad, MediadRequests, StrainReport } from '#contracts/mediad.ts';
import { type Ms, addMs, ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import type { RpcClient } from '#kit/rpc.ts';
import type { MediaPlace } from './media-nodes.ts';

/** systemd restarts a daemon within 200 ms; twice that and some. */
const GRACE_MS = 1000;
/** In a pair another node goes on with its bridges when it stays away: clusterd gives it 2 s, then the address moves. */
const PAIR_GRACE_MS = 5000;
/** Of the other node: its media flows whether we hear of it or not, and a dead node is known by other means. */
const FAR_GRACE_MS = 30_000;
/** An instance that does not answer for so long hangs: a new bridge goes elsewhere, and nobody waits for its figures. */
export const PATIENCE_MS = 2000;
/** And it is given no new one for this long, unless there is no other. */
const SUSPECT_MS = 10_000;

/** Opens what another node had, before it is told what is gone. */
export type Revival = (instance: string, client: RpcClient<MediadRequests>) => Promise<void>;

export interface InstanceHandlers {
  readonly onEvent: (event: MediadEvent, instance: string) => void;
  readonly onLost: (bridgeIds: readonly string[]) => void;
  /** The instance answers, first or again; what it lost was told before. */
  readonly onAttached: (instance: string, bridges: readonly BridgeStats[]) => void;
  /** It did not come back within its time; what it lost was told before. */
  readonly onGone: (instance: string) => void;
}

export interface InstanceDeps extends InstanceHandlers {
  readonly clock: Clock;
  readonly log: Log;
  /** Both nodes of a pair carry media. */
  readonly inPair: boolean;
  readonly revival: () => Revival | undefined;
  /** A bridge of ours, in whatever instance. */
  readonly isOurs: (bridgeId: string) => boolean;
  /** Bridges count as ours where they do not stand yet: none of them is missed. */
  readonly isMoving: () => boolean;
  /** After `onAttached`, and what ended while nobody listened. */
  readonly onSettled: () => void;
}

export class MediaInstance implements AsyncDisposable {
  readonly name: string;
  /** Undefined: there are no nodes. */
  readonly node: string | undefined;
  /** On this machine. */
  readonly isHere: boolean;
  readonly link: RpcLink<MediadRequests, MediadEvent>;
  /** Bridges that we opened there and did not close, with the local address of their legs where nodes have one. */
  readonly bridges = new Map<string, string | undefined>();
  readonly #deps: InstanceDeps;
  #attached = false;
  #reviving: Promise<void> | undefined;
  #grace: Disposable | undefined;
  #load: MediadLoad | undefined;
  #suspectUntil: Ms = ms(0);
  /** Ours, and not there when it was asked last. */
  #missing: ReadonlySet<string> = new Set();

  constructor({ name, node, isHere, socket }: MediaPlace, deps: InstanceDeps) {
    this.name = name;
    this.node = node;
    this.isHere = isHere;
    this.#deps = deps;
    const { clock, log, onEvent } = deps;
    this.link = new RpcLink<MediadRequests, MediadEvent>(socket, {
      clock,
      log,
      onEvent: event => {
        if (event.type === 'strain') this.#onStrain(event);
        if (!this.#isLeftover(event)) onEvent(event, name);
      },
      onUp: client => this.#onUp(client),
      onDown: () => this.#onDown(),
    });
  }

  /** It answers, and what it has is known. */
  get attached(): boolean {
    return this.#attached;
  }

  /** After a takeover: under way, or over. */
  get reviving(): Promise<void> | undefined {
    return this.#reviving;
  }

  /** What it said last; undefined: nothing since it came. */
  get load(): MediadLoad | undefined {
    return this.#load;
  }

  /** It did not hang a moment ago. */
  get answers(): boolean {
    return this.#deps.clock.now() >= this.#suspectUntil;
  }

  /** It did not answer in time. */
  suspect(): void {
    this.#suspectUntil = addMs(this.#deps.clock.now(), SUSPECT_MS);
  }

  /** Its time begins now if it is not there: one that never comes has lost what was in it before. */
  expect(): void {
    if (!this.link.up) this.#onDown();
  }

  /** Asks how it does. */
  async look(): Promise<void> {
    const load = (this.#load = await this.link.call('load', {}, { timeoutMs: PATIENCE_MS }).catch(() => undefined));
    if (load === undefined || load.bridges >= this.bridges.size || this.#deps.isMoving()) this.#missing = new Set();
    else await this.#count().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#endGrace();
    await this.link[Symbol.asyncDispose]();
  }

  /** It has fewer bridges than it should: one that is not there twice is lost, though nobody said so. */
  async #count(): Promise<void> {
    const before = [...this.bridges.keys()];
    const { bridges } = await this.link.call('listBridges', {}, { timeoutMs: PATIENCE_MS });
    if (!this.#attached || this.#deps.isMoving()) return;
    const there = new Set(bridges.map(({ bridgeId }) => bridgeId));
    const missing = before.filter(id => !there.has(id));
    this.#lose(missing.filter(id => this.#missing.has(id)));
    this.#missing = new Set(missing);
  }

  /** Of a bridge that goes on elsewhere: what a node that was away still has of it says nothing of that. */
  #isLeftover(event: MediadEvent): boolean {
    return 'bridgeId' in event && !this.bridges.has(event.bridgeId) && this.#deps.isOurs(event.bridgeId);
  }

  /** Whatever comes next is judged by what is so now. */
  #onStrain({ level, says }: Pick<StrainReport, 'level' | 'says'>): void {
    if (this.#load?.strain !== undefined) this.#load = { ...this.#load, strain: { ...this.#load.strain, level, says } };
    if (this.#attached) void this.look();
  }

  /** From the first failure on: one that is tried again and again is not given more time. */
  #onDown(): void {
    const { clock, inPair, onGone } = this.#deps;
    this.#attached = false;
    this.#missing = new Set();
    this.#load = undefined;
    if (this.#grace !== undefined) return;
    const graceMs = !inPair ? GRACE_MS : this.isHere ? PAIR_GRACE_MS : FAR_GRACE_MS;
    this.#grace = clock.schedule(addMs(clock.now(), graceMs), () => {
      this.#lose([...this.bridges.keys()]);
      onGone(this.name);
    });
  }

  #endGrace(): void {
    this.#grace?.[Symbol.dispose]();
    this.#grace = undefined;
  }

  /** What it lost is told; what nobody here knows is closed: its session ended while we were away. */
  async #onUp(client: RpcClient<MediadRequests>): Promise<void> {
    const { log, onEvent, onAttached, onSettled } = this.#deps;
    const revival = this.#deps.revival();
    this.#suspectUntil = ms(0);
    // It is there: however long it takes to open what the other node had, nothing of that is lost meanwhile. One that goes away gets its time anew.
    if (revival !== undefined) this.#endGrace();
    await (this.#reviving = revival?.(this.name, client));
    // What is opened while it answers may be in the answer or not.
    const before = [...this.bridges.keys()];
    const { bridges } = await client.call('listBridges', {});
    this.#endGrace();
    this.#attached = true;
    const there = new Set(bridges.map(({ bridgeId }) => bridgeId));
    this.#lose(before.filter(id => !there.has(id)));
    const orphans = bridges.filter(({ bridgeId }) => !this.bridges.has(bridgeId));
    for (const { bridgeId } of orphans) await client.call('closeBridge', { bridgeId });
    // First what nobody knows any more is given up: what ended may want its place.
    onAttached(this.name, bridges);
    for (const bridge of bridges) if (this.bridges.has(bridge.bridgeId)) for (const event of missedEvents(bridge)) onEvent(event, this.name);
    if (orphans.length > 0) log.warn({ instance: this.name, bridges: orphans.length }, 'mediad.orphans-closed');
    onSettled();
  }

  #lose(bridgeIds: readonly string[]): void {
    const lost = bridgeIds.filter(id => this.bridges.has(id));
    if (lost.length === 0) return;
    for (const id of lost) this.bridges.delete(id);
    this.#deps.log.error({ instance: this.name, bridges: lost.length }, 'mediad.bridges-lost');
    this.#deps.onLost(lost);
  }
}

/** Tells again what ended while nobody listened: events are not kept, states are. */
function missedEvents({ bridgeId, source, replacement, sinks }: BridgeStats): MediadEvent[] {
  const events: MediadEvent[] = [];
  for (const { sinkId, state } of sinks) if (state === 'closed') events.push({ type: 'sink-closed', bridgeId, sinkId, why: 'peer-closed' });
  // The running leg first: it may have taken over meanwhile.
  for (const leg of [source, replacement]) {
    if (leg === null) continue;
    const { legId, state, ssrc, remote, lastPacketAgeMs } = leg;
    if (state === 'flowing' && leg === source && remote !== null) events.push({ type: 'source-flowing', bridgeId, legId, ssrc, remote });
    if (state === 'closed') events.push({ type: 'source-closed', bridgeId, legId, why: 'peer-closed' });
    if (state === 'silent') events.push({ type: 'source-silent', bridgeId, legId, silentMs: lastPacketAgeMs ?? 0 });
  }
  return events;
}
