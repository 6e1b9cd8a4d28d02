/** The life of a gateway: opened, started or promoted, given another configuration. What it is made of is in parts.ts. */
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import type { ConfigSection, GatewayConfig } from '#core/config/schema.ts';
import { SipRecorder } from '#core/diagnose/recorder.ts';
import { addMs } from '#core/units.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { Closer } from '#kit/closer.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import { systemRandom as random } from '#kit/random.ts';
import { type SipEndpoint, type SipGate, openSipEndpoint } from '#kit/sip-endpoint.ts';
import type { SqliteStore } from '#kit/sqlite-store.ts';
import type { WhenKept } from './alarms.ts';
import type { EventFeed } from './event-feed.ts';
import { type GatewayHandlers, handlersOf } from './handlers.ts';
import type { MediaPool } from './media-pool.ts';
import { Parts } from './parts.ts';
import { Routes } from './routes.ts';

/** After a takeover media has so long before all the rest; it needs a tenth of it. */
const MEDIA_FIRST_MS = 200;
const AT_ONCE: WhenKept = run => run();
const same = (endpoint: SipEndpoint): SipEndpoint => endpoint;

export class Gateway {
  readonly #parts: Parts;
  readonly #store: SqliteStore;
  readonly #recorder: SipRecorder;
  readonly #log: Log;
  readonly #whenKept: WhenKept;
  /** In force; all parts see it through `config()`. */
  #config: GatewayConfig;

  private constructor(config: GatewayConfig, store: SqliteStore, endpoint: SipEndpoint, recorder: SipRecorder, log: Log, closer: Closer, whenKept: WhenKept) {
    this.#config = config;
    this.#store = store;
    this.#recorder = recorder;
    this.#log = log;
    this.#whenKept = whenKept;
    this.#parts = new Parts({ endpoint, store, log, whenKept, config: () => this.#config }, closer);
  }

  get endpoint(): SipEndpoint {
    return this.#parts.endpoint;
  }

  get events(): EventFeed {
    return this.#parts.events;
  }

  get media(): MediaPool {
    return this.#parts.media;
  }

  /** `store`: opened by the caller, who closes it too. `dress`: what the rest sees in place of the endpoint. */
  static async open(config: GatewayConfig, log: Log, closer: Closer, store: SqliteStore, { whenKept = AT_ONCE, dress = same }: { readonly whenKept?: WhenKept; readonly dress?: (endpoint: SipEndpoint) => SipEndpoint } = {}): Promise<Gateway> {
    // The endpoint asks about every datagram, and may do so before the rest stands.
    let parts: Parts | undefined;
    const isTrusted = (address: string): boolean => parts !== undefined && (parts.devices.isRegisteredAt(address) || parts.upstreams.isAddress(address));
    const gate: SipGate = { isBanned: address => parts?.bans.isBanned(address) === true, offence: evidence => parts?.bans.offence(evidence) };
    const { listen, userAgent, tcpMaxConnections, tcpMaxPerPeer, unknownRequestsPerS } = config.sip;
    const recorder = new SipRecorder(config.trace.sipKiB * 1024);
    const endpoint = closer.use(await openSipEndpoint({ listen, held: true, userAgent, tcpMaxConnections, tcpMaxPerPeer, unknownRequestsPerS, isTrusted, gate, recorder, clock, random, hashes, log }));
    const gateway = new Gateway(config, store, dress(endpoint), recorder, log, closer, run => store.whenSynced(() => whenKept(run)));
    parts = gateway.#parts;
    return gateway;
  }

  /** Takes up what ran before, then listens, then registers upward. */
  async start({ takesOver = false }: { readonly takesOver?: boolean } = {}): Promise<void> {
    const { media, relay, sinkMarks } = this.#parts;
    if (takesOver) await this.#takeOver();
    else {
      this.takeIn(false);
      this.#listen();
      await media.start();
    }
    // Where all media is here, each media process tells of its own bridges after a takeover, however long that takes.
    if (!takesOver || media.nodes.areTwo) relay.allKnown();
    if (takesOver) sinkMarks.start();
    else this.#goOn();
  }

  /** What ran before, from the store; nothing is sent. */
  takeIn(takesOver: boolean): void {
    this.#takeInSessions(takesOver);
    this.#takeInRest(takesOver);
  }

  #takeInSessions(takesOver: boolean): void {
    const { inlets, relay } = this.#parts;
    inlets.configure();
    this.#forgetStrangers();
    relay.restore(takesOver);
  }

  #takeInRest(takesOver: boolean): void {
    const { subscriptions, views, upstreams, alarms } = this.#parts;
    this.#parts.becameWhole();
    subscriptions.restore();
    // Whoever raises an alarm from now on is heard by those who see him, though they are not registered with yet.
    views.configure();
    upstreams.prepare(takesOver);
    alarms.restore();
  }

  #listen(): void {
    const { endpoint, devices, upstreams } = this.#parts;
    const routes = new Routes({ ...this.#parts, clock, log: this.#log, whenKept: this.#whenKept, config: () => this.#config });
    endpoint.onRequest = incoming => routes.request(incoming);
    endpoint.onInvite = incoming => routes.invite(incoming);
    endpoint.onSubscribe = incoming => routes.subscribe(incoming);
    endpoint.onStrayNotify = (request, flow) => routes.strayNotify(request, flow);
    endpoint.onFlowClosed = flow => {
      devices.flowClosed(flow);
      upstreams.flowClosed(flow);
    };
    endpoint.begin();
  }

  /** Nobody above or below shall notice. Pictures first: a large catalogue takes its time, and what is said meanwhile waits. */
  async #takeOver(): Promise<void> {
    const { media, relay, revivals } = this.#parts;
    this.#takeInSessions(true);
    // Where both carry media, what another node left is moved here as soon as its address is, and what this one had all the time stands.
    media.revival = media.nodes.areTwo ? async instance => relay.onMediaRevived(instance, []) : (instance, client) => revivals.takeOver(instance, client);
    const started = media.start();
    const late = Promise.withResolvers<void>();
    using _limit = clock.schedule(addMs(clock.now(), MEDIA_FIRST_MS), late.resolve);
    await Promise.race([started, late.promise]);
    this.#takeInRest(true);
    this.#listen();
    this.#goOn();
    await started;
  }

  #goOn(): void {
    const { bandwidth, upstreams, subscriptions, controls, deviceSubscriptions } = this.#parts;
    bandwidth.configure();
    upstreams.configure();
    subscriptions.resync();
    controls.restore();
    deviceSubscriptions.configure();
  }

  /** Applies what changed without touching running sessions, or says why it cannot. */
  apply(next: GatewayConfig, changed: readonly ConfigSection[]): string | null {
    const refused = needsRestart(this.#config, next);
    if (refused !== null) return refused;
    const { upstreams, controls, bans } = this.#parts;
    // Who may move what may change now, and the STOP of somebody who may no more would not pass: nothing goes on moving over it.
    if (changed.includes('upstreams') || changed.includes('devices')) for (const { config } of upstreams.links) controls.stopMoving(config.name);
    this.#config = next;
    this.#log.level = next.log.level;
    this.#recorder.resize(next.trace.sipKiB * 1024);
    if (changed.some(section => PUBLISHING.has(section))) this.#publishAnew();
    bans.configure();
    this.#log.info({ changed }, 'config.reloaded');
    return null;
  }

  /** Each has its say in the other: IDs of platforms are no device's, and channels of devices get IDs at platforms. */
  #publishAnew(): void {
    const { resources, devices, inlets, views, bandwidth, upstreams, relay, subscriptions, deviceSubscriptions } = this.#parts;
    resources.changed();
    devices.configure();
    inlets.configure();
    this.#forgetStrangers();
    views.configure();
    bandwidth.configure();
    upstreams.configure();
    relay.endUnshared();
    subscriptions.changed();
    deviceSubscriptions.configure();
  }

  /** Why a configuration cannot be taken over without a restart; null when it can. */
  refusalOf(next: GatewayConfig): string | null {
    return needsRestart(this.#config, next);
  }

  handlers(reload: (params: ReloadParams) => Promise<ReloadAnswer>): GatewayHandlers {
    return handlersOf({ parts: this.#parts, recorder: this.#recorder, clock, store: this.#store, whenKept: this.#whenKept, config: () => this.#config, refusalOf: next => this.refusalOf(next), reload });
  }

  /** Channels of devices that the configuration admits no more. */
  #forgetStrangers(): void {
    const { catalogs, devices, inlets } = this.#parts;
    for (const id of catalogs.deviceIds) if (!devices.mayRegister(id) && !inlets.owns(id)) catalogs.forget(id);
  }
}

/** Sections that say what is published to whom. */
const PUBLISHING: ReadonlySet<ConfigSection> = new Set(['upstreams', 'devices', 'channels', 'resources', 'resourceRules', 'inlets']);

/** What cannot change under a running daemon, as a sentence. */
function needsRestart(before: GatewayConfig, after: GatewayConfig): string | null {
  const differs = (pick: (config: GatewayConfig) => unknown): boolean => JSON.stringify(pick(before)) !== JSON.stringify(pick(after));
  if (differs(config => config.rpc)) return 'rpc.directory: needs a restart of viewlink.target';
  if (differs(config => config.cluster)) return 'cluster: a change here needs a restart of viewlink-sipd';
  if (differs(config => config.media.instances)) return 'media.instances: needs a restart of viewlink.target';
  if (differs(config => config.sip)) return 'sip: a change here needs a restart of viewlink-sipd (sessions go on)';
  return differs(config => config.state) ? 'state.directory: needs a restart of viewlink-sipd' : null;
}
