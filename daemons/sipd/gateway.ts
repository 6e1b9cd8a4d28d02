/** All parts of sipd, put together and wired to each other. Who opens closes: everything goes into the caller's Closer. */
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import type { RaiseAlarmParams, SipdRequests } from '#contracts/sipd.ts';
import type { ConfigSection, GatewayConfig } from '#core/config/schema.ts';
import { SipRecorder } from '#core/diagnose/recorder.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { Closer } from '#kit/closer.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import { processFigures } from '#kit/process-figures.ts';
import { systemRandom as random } from '#kit/random.ts';
import type { RpcHandlers } from '#kit/rpc.ts';
import { type SipEndpoint, type SipGate, openSipEndpoint } from '#kit/sip-endpoint.ts';
import type { SqliteStore } from '#kit/sqlite-store.ts';
import { Alarms, type WhenKept } from './alarms.ts';
import { Bans, requestLine } from './bans.ts';
import { Bandwidth, type Stream } from './bandwidth.ts';
import { AttemptLog } from './attempts.ts';
import { Cascades } from './cascades.ts';
import { Catalogs, type ChannelRef } from './catalogs.ts';
import { Controls } from './controls.ts';
import { Counters } from '#kit/counters.ts';
import { DeviceSubscriptions } from './device-subscriptions.ts';
import { type Arrival, type DeviceReach, Devices } from './devices.ts';
import { EventFeed } from './event-feed.ts';
import { Inlets } from './inlets.ts';
import { LegMemory } from './leg-memory.ts';
import { KeyPictures } from './key-pictures.ts';
import { LocalControls } from './local-controls.ts';
import { MediaNodes } from './media-nodes.ts';
import { MediaPool } from './media-pool.ts';
import { Outlets } from './outlets.ts';
import { PictureWatch } from './picture-watch.ts';
import { Positions } from './positions.ts';
import { Probes } from './probes.ts';
import { Relay } from './relay.ts';
import { Resources } from './resources.ts';
import type { MediadClient, Moved, Revived } from './moved.ts';
import { reviveBridges } from './revival.ts';
import { Routes } from './routes.ts';
import { Rows } from './rows.ts';
import { SessionNotices } from './session-notices.ts';
import { SessionStore } from './session-store.ts';
import { SinkMarks } from './sink-marks.ts';
import { Subscriptions } from './subscriptions.ts';
import { summaryOf, type SummaryDeps } from './summary.ts';
import { tracePage } from './trace-page.ts';
import { Upstreams } from './upstreams.ts';
import { UpstreamRows } from './upstream-rows.ts';
import { viewReport } from './view-report.ts';
import { Views } from './views.ts';
import { Voice } from './voice.ts';

/** After a takeover media has so long before all the rest; it needs a tenth of it. */
const MEDIA_FIRST_MS = 200;
const AT_ONCE: WhenKept = run => run();
const same = (endpoint: SipEndpoint): SipEndpoint => endpoint;

export class Gateway {
  readonly endpoint: SipEndpoint;
  readonly counters = new Counters();
  readonly devices: Devices;
  readonly bans: Bans;
  readonly catalogs: Catalogs;
  readonly resources: Resources;
  readonly views: Views;
  readonly media: MediaPool;
  readonly inlets: Inlets;
  readonly relay: Relay;
  readonly outlets: Outlets;
  readonly probes: Probes;
  readonly bandwidth: Bandwidth;
  readonly upstreams: Upstreams;
  readonly controls: Controls;
  readonly localControls: LocalControls;
  readonly events = new EventFeed(clock);
  readonly subscriptions: Subscriptions;
  readonly alarms: Alarms;
  readonly positions: Positions;
  readonly voice: Voice;
  readonly pictureWatch: PictureWatch;
  readonly sessionNotices: SessionNotices;
  readonly deviceSubscriptions: DeviceSubscriptions;
  readonly rows: Rows;
  readonly upstreamRows: UpstreamRows;
  readonly #sessions: SessionStore;
  readonly #sinkMarks: SinkMarks;
  readonly #keyPictures: KeyPictures;
  readonly #log: Log;
  readonly #summaryDeps: SummaryDeps;
  readonly #recorder: SipRecorder;
  readonly #whenKept: WhenKept;
  readonly #revived = new Set<string>();
  /** Of what is published nothing is told before it is known whole. */
  #isWhole = false;
  /** In force; all parts see it through `config()`. */
  #config: GatewayConfig;

  private constructor(config: GatewayConfig, store: SqliteStore, endpoint: SipEndpoint, recorder: SipRecorder, log: Log, closer: Closer, whenKept: WhenKept) {
    this.#config = config;
    this.#whenKept = whenKept;
    this.#log = log;
    this.endpoint = endpoint;
    this.#recorder = recorder;
    const common = { endpoint, whenKept, clock, random, hashes, log, store, counters: this.counters, events: this.events, config: (): GatewayConfig => this.#config, reach: (deviceId: string): DeviceReach | null => this.devices.reach(deviceId) };
    this.devices = closer.use(new Devices({ ...common, manufacturerOf: deviceId => this.catalogs.facts(deviceId).manufacturer, onOnline: (deviceId, how) => this.#deviceOnline(deviceId, how), onOffline: (deviceId, reason) => this.#deviceOffline(deviceId, reason), onOffence: (offence, { request, flow }, proven) => this.bans.offence({ address: flow.remoteAddress, offence, proven, line: () => requestLine(request) }) }));
    this.bans = closer.use(new Bans({ ...common, isRegisteredAt: address => this.devices.isRegisteredAt(address), registeredAddresses: () => this.devices.addresses() }));
    this.catalogs = closer.use(new Catalogs({ ...common, onChanged: deviceId => this.#channelsChanged(deviceId), onStates: (deviceId, channelIds) => this.#channelStates(deviceId, channelIds) }));
    const isOnline = (deviceId: string): boolean => this.inlets.owns(deviceId) || this.devices.binding(deviceId)?.online === true;
    this.resources = new Resources({ ...common, catalogs: this.catalogs, isOnline, isPlaying: channel => this.relay.isPlaying(channel) });
    this.views = closer.use(new Views({ ...common, catalogs: this.catalogs, resources: this.resources, isOnline, placeOf: deviceId => this.devices.reach(deviceId)?.target, onTime: () => this.#onTime() }));
    this.media = closer.use(
      new MediaPool({
        ...common,
        nodes: new MediaNodes(config),
        onEvent: (event, instance) => {
          this.inlets.onMediaEvent(event, instance);
          cascades.onMediaEvent(event);
          this.relay.onMediaEvent(event);
          if (event.type === 'strain') this.relay.onMediaStrained(instance);
          keyPictures.onMediaEvent(event);
          this.pictureWatch.onMediaEvent(event);
          this.voice.onMediaEvent(event);
        },
        onLost: bridgeIds => {
          this.relay.onMediaLost(bridgeIds);
          cascades.onMediaLost(bridgeIds);
          this.voice.onMediaLost(bridgeIds);
        },
        onAttached: (instance, bridges) => {
          this.relay.onMediaAttached(instance, bridges);
          void this.inlets.onAttached(instance);
        },
        onGone: instance => this.inlets.onGone(instance),
        move: (bridgeIds, from, client) => this.#move(bridgeIds, from, client),
        onMoved: (moved, to) => {
          this.relay.onMediaMoved(moved, to);
          cascades.onMediaLost(moved.map(({ bridgeId }) => bridgeId));
        },
      }),
    );
    const cascades = new Cascades({ ...common, media: this.media });
    this.inlets = closer.use(new Inlets({ ...common, catalogs: this.catalogs, media: this.media }));
    const keyPictures = (this.#keyPictures = new KeyPictures({ ...common, catalogs: this.catalogs, channelOf: bridgeId => this.relay.sources.find(source => source.bridgeId === bridgeId)?.channel }));
    const legMemory = new LegMemory(store, clock);
    this.pictureWatch = closer.use(new PictureWatch({ ...common, catalogs: this.catalogs, channelOf: bridgeId => this.relay.sources.find(source => source.bridgeId === bridgeId && source.plan.history === undefined)?.channel }));
    const attempts = new AttemptLog(this.media, legMemory, clock);
    const sessions = (this.#sessions = new SessionStore(store));
    this.#sinkMarks = closer.use(new SinkMarks(this.media, sessions, clock));
    this.relay = closer.use(new Relay({ ...common, pictureFlows: channel => this.pictureWatch.flows(channel), pictureLost: channel => this.pictureWatch.lost(channel), media: this.media, inlets: this.inlets, attempts, legMemory, store: sessions, primaryOf: channel => this.resources.primaryOf(channel), waysTo: channel => this.resources.byReadiness(channel), resolve: (upstream, requestedId, what) => this.#resolveFor(upstream, requestedId, what), overQuota: (upstream, channel) => this.bandwidth.overQuota(upstream, channel) }));
    const streams = (): readonly Stream[] => this.relay.viewers.map(({ plan, source }) => ({ upstream: plan.upstream, sinkId: plan.sinkId, channel: source.channel }));
    this.bandwidth = closer.use(new Bandwidth({ ...common, media: this.media, streams }));
    this.outlets = closer.use(new Outlets({ ...common, relay: this.relay, catalogs: this.catalogs, cascades, nodes: this.media.nodes }));
    this.probes = closer.use(new Probes({ ...common, relay: this.relay, catalogs: this.catalogs, media: this.media }));
    this.voice = closer.use(new Voice({ ...common, media: this.media, catalogs: this.catalogs, views: this.views, ssrcs: this.relay.ssrcs, ownAddresses: () => this.relay.ownAddresses() }));
    this.upstreams = closer.use(
      new Upstreams({
        ...common,
        catalogs: this.catalogs,
        views: this.views,
        isOnline,
        onCommand: (link, message) => {
          sessionNotices.command(link, message);
          return this.voice.command(link, message) || this.controls.command(link, message);
        },
        onOffline: name => {
          this.controls.upstreamGone(name);
          this.voice.upstreamGone(name);
        },
        onRemoved: name => {
          this.relay.stopUpstream(name, 'this upstream is no longer configured');
          this.subscriptions.dropUpstream(name);
          this.alarms.dropUpstream(name);
        },
      }),
    );
    const sessionNotices = (this.sessionNotices = new SessionNotices({ ...common, upstreams: this.upstreams, views: this.views }));
    this.subscriptions = closer.use(new Subscriptions({ ...common, upstreams: this.upstreams, views: this.views, onPositionWish: deviceId => this.deviceSubscriptions.wishesChanged(deviceId) }));
    this.alarms = closer.use(new Alarms({ ...common, catalogs: this.catalogs, upstreams: this.upstreams, views: this.views, subscriptions: this.subscriptions }));
    this.positions = closer.use(new Positions({ ...common, catalogs: this.catalogs, upstreams: this.upstreams, views: this.views, subscriptions: this.subscriptions }));
    this.deviceSubscriptions = closer.use(
      new DeviceSubscriptions({ ...common, devices: this.devices, catalogs: this.catalogs, alarms: this.alarms, positions: this.positions, positionWishes: deviceId => this.subscriptions.positionWishes(deviceId) }),
    );
    this.localControls = closer.use(new LocalControls({ ...common, channelNamed: text => this.rows.channelNamed(text) }));
    this.controls = closer.use(new Controls({ ...common, catalogs: this.catalogs, upstreams: this.upstreams, views: this.views, giveLocal: answer => this.localControls.give(answer) }));
    this.localControls.use(this.controls);
    this.upstreamRows = new UpstreamRows({ ...common, catalogs: this.catalogs, resources: this.resources, upstreams: this.upstreams, views: this.views, relay: this.relay, bandwidth: this.bandwidth });
    this.#summaryDeps = { ...common, devices: this.devices, catalogs: this.catalogs, inlets: this.inlets, upstreams: this.upstreams, relay: this.relay };
    this.rows = new Rows({ ...common, inlets: this.inlets, devices: this.devices, catalogs: this.catalogs, upstreams: this.upstreams, views: this.views, relay: this.relay, media: this.media, attempts, legMemory });
  }

  /** `store`: opened by the caller, who closes it too. `dress`: what the rest sees in place of the endpoint. */
  static async open(config: GatewayConfig, log: Log, closer: Closer, store: SqliteStore, { whenKept = AT_ONCE, dress = same }: { readonly whenKept?: WhenKept; readonly dress?: (endpoint: SipEndpoint) => SipEndpoint } = {}): Promise<Gateway> {
    // The endpoint asks about every datagram, and may do so before the rest stands.
    let gateway: Gateway | undefined;
    const isTrusted = (address: string): boolean => gateway !== undefined && (gateway.devices.isRegisteredAt(address) || gateway.upstreams.isAddress(address));
    const gate: SipGate = { isBanned: address => gateway?.bans.isBanned(address) === true, offence: evidence => gateway?.bans.offence(evidence) };
    const { listen, userAgent, tcpMaxConnections, tcpMaxPerPeer, unknownRequestsPerS } = config.sip;
    const recorder = new SipRecorder(config.trace.sipKiB * 1024);
    const endpoint = closer.use(await openSipEndpoint({ listen, held: true, userAgent, tcpMaxConnections, tcpMaxPerPeer, unknownRequestsPerS, isTrusted, gate, recorder, clock, random, hashes, log }));
    gateway = new Gateway(config, store, dress(endpoint), recorder, log, closer, run => store.whenSynced(() => whenKept(run)));
    return gateway;
  }

  /** Takes up what ran before, then listens, then registers upward. */
  async start({ takesOver = false }: { readonly takesOver?: boolean } = {}): Promise<void> {
    if (takesOver) await this.#takeOver();
    else {
      this.takeIn(false);
      this.#listen();
      await this.media.start();
    }
    // Where all media is here, each media process tells of its own bridges after a takeover, however long that takes.
    if (!takesOver || this.media.nodes.areTwo) this.relay.allKnown();
    if (takesOver) this.#sinkMarks.start();
    else this.#goOn();
  }

  /** What ran before, from the store; nothing is sent. */
  takeIn(takesOver: boolean): void {
    this.#takeInSessions(takesOver);
    this.#takeInRest(takesOver);
  }

  #takeInSessions(takesOver: boolean): void {
    this.inlets.configure();
    this.#forgetStrangers();
    this.relay.restore(takesOver);
  }

  #takeInRest(takesOver: boolean): void {
    this.#isWhole = true;
    this.subscriptions.restore();
    // Whoever raises an alarm from now on is heard by those who see him, though they are not registered with yet.
    this.views.configure();
    this.upstreams.prepare(takesOver);
    this.alarms.restore();
  }

  #listen(): void {
    const routes = new Routes({ ...this, clock, log: this.#log, whenKept: this.#whenKept, config: () => this.#config });
    this.endpoint.onRequest = incoming => routes.request(incoming);
    this.endpoint.onInvite = incoming => routes.invite(incoming);
    this.endpoint.onSubscribe = incoming => routes.subscribe(incoming);
    this.endpoint.onFlowClosed = flow => {
      this.devices.flowClosed(flow);
      this.upstreams.flowClosed(flow);
    };
    this.endpoint.begin();
  }

  /** Nobody above or below shall notice. Pictures first: a large catalogue takes its time, and what is said meanwhile waits. */
  async #takeOver(): Promise<void> {
    this.#takeInSessions(true);
    // Where both carry media, what another node left is moved here as soon as its address is, and what this one had all the time stands.
    this.media.revival = this.media.nodes.areTwo ? async instance => this.relay.onMediaRevived(instance, []) : (instance, client) => this.#revive(instance, client);
    const started = this.media.start();
    const late = Promise.withResolvers<void>();
    using _limit = clock.schedule(addMs(clock.now(), MEDIA_FIRST_MS), late.resolve);
    await Promise.race([started, late.promise]);
    this.#takeInRest(true);
    this.#listen();
    this.#goOn();
    await started;
  }

  #goOn(): void {
    this.bandwidth.configure();
    this.upstreams.configure();
    this.subscriptions.resync();
    this.controls.restore();
    this.deviceSubscriptions.configure();
  }

  /** Applies what changed without touching running sessions, or says why it cannot. */
  apply(next: GatewayConfig, changed: readonly ConfigSection[]): string | null {
    const refused = needsRestart(this.#config, next);
    if (refused !== null) return refused;
    // Who may move what may change now, and the STOP of somebody who may no more would not pass: nothing goes on moving over it.
    if (changed.includes('upstreams') || changed.includes('devices')) for (const { config } of this.upstreams.links) this.controls.stopMoving(config.name);
    this.#config = next;
    this.#log.level = next.log.level;
    this.#recorder.resize(next.trace.sipKiB * 1024);
    // Each has its say in the other: IDs of platforms are no device's, and channels of devices get IDs at platforms.
    if (changed.some(section => PUBLISHING.has(section))) {
      this.resources.changed();
      this.devices.configure();
      this.inlets.configure();
      this.#forgetStrangers();
      this.views.configure();
      this.bandwidth.configure();
      this.upstreams.configure();
      this.relay.endUnshared();
      this.subscriptions.changed();
      this.deviceSubscriptions.configure();
    }
    this.bans.configure();
    this.#log.info({ changed }, 'config.reloaded');
    return null;
  }

  /** Why a configuration cannot be taken over without a restart; null when it can. */
  refusalOf(next: GatewayConfig): string | null {
    return needsRestart(this.#config, next);
  }

  handlers(reload: (params: ReloadParams) => Promise<ReloadAnswer>): GatewayHandlers {
    const { rows } = this;
    return {
      summary: () => summaryOf(this.#summaryDeps),
      raiseAlarm: params => this.#raiseAlarm(params),
      listDevices: () => rows.devices(),
      listChannels: params => rows.channels(params),
      channel: params => rows.channel(params),
      listUpstreams: () => this.upstreamRows.rows(),
      totals: () => this.upstreamRows.totals(),
      view: params => viewReport({ views: this.views, catalogs: this.catalogs, refusalOf: next => this.refusalOf(next) }, params),
      listSessions: () => rows.sessions(),
      listResources: () => this.resources.rows(),
      counters: () => ({ ...this.counters.snapshot(), ...this.endpoint.counters, ...processFigures() }),
      listBans: () => this.bans.rows(),
      removeBan: ({ address }) => ({ removed: this.bans.pardon(address) }),
      why: params => rows.why(params),
      openProbe: params => this.probes.open(params),
      closeProbe: ({ probeId }) => this.probes.close(probeId),
      probeQuery: params => this.probes.ask(params),
      traceMessages: params => tracePage(this.#recorder, params),
      openOutlet: params => this.outlets.open(params),
      closeOutlet: ({ leaseId }) => this.outlets.close(leaseId),
      refreshCatalog: ({ deviceId }) => this.#refreshCatalog(deviceId),
      ptz: params => this.localControls.ptz(params),
      control: params => this.localControls.control(params),
      presets: params => this.localControls.presets(params),
      records: params => this.localControls.records(params),
      reload,
    };
  }

  /** Once, and again where that was cut short: what a media process loses later is lost. */
  async #revive(instance: string, client: MediadClient): Promise<void> {
    if (this.#revived.has(instance)) return;
    const { revived } = await reviveBridges({ store: this.#sessions, instance, client, log: this.#log });
    this.#revived.add(instance);
    this.relay.onMediaRevived(instance, revived);
    this.#catchUp(revived);
  }

  async #move(bridgeIds: readonly string[], instance: string, client: MediadClient): Promise<readonly Moved[]> {
    const { revived, present } = await reviveBridges({ store: this.#sessions, instance, bridgeIds, client, log: this.#log });
    this.#catchUp(revived);
    return [...revived.map(each => ({ bridgeId: each.bridgeId, revived: each })), ...bridgeIds.filter(id => present.has(id)).map(bridgeId => ({ bridgeId, revived: undefined }))];
  }

  /** What was lost meanwhile is behind the next key picture. */
  #catchUp(revived: readonly Revived[]): void {
    if (revived.length > 0) this.#log.warn({ bridges: revived.length }, 'bridges.revived');
    for (const { bridgeId } of revived) this.#keyPictures.onMediaEvent({ type: 'key-picture-wanted', bridgeId, why: 'loss' });
  }

  /** Channels of devices that the configuration admits no more. */
  #forgetStrangers(): void {
    for (const id of this.catalogs.deviceIds) if (!this.devices.mayRegister(id) && !this.inlets.owns(id)) this.catalogs.forget(id);
  }

  async #raiseAlarm(params: RaiseAlarmParams): Promise<{ upstreams: number }> {
    const upstreams = this.alarms.ofOurselves(params);
    await new Promise<void>(this.#whenKept);
    return { upstreams };
  }

  #refreshCatalog(deviceId: string): null {
    if (this.devices.reach(deviceId) === null) throw new GatewayError(this.devices.binding(deviceId) === undefined ? 'PEER_UNKNOWN' : 'PEER_OFFLINE', { deviceId });
    this.catalogs.refresh(deviceId);
    return null;
  }

  /** Asked for, which is counted, and permitted now. */
  #resolveFor(upstream: string, requestedId: string, what: 'live' | 'playback'): ChannelRef | 'unknown' | 'not-shared' {
    const channel = this.views.resolveFor(upstream, requestedId, what);
    if (typeof channel !== 'string') this.views.accessed(upstream, channel);
    return channel;
  }

  /** What is permitted no more at this time of the week ends. */
  #onTime(): void {
    this.relay.endUnshared();
    this.controls.endUnpermitted();
  }

  #channelStates(deviceId: string, channelIds: readonly string[]): void {
    if (!this.#isWhole) return;
    this.subscriptions.statesChanged(deviceId, channelIds);
    this.events.channelStates(deviceId, channelIds, channelId => (this.catalogs.channels(deviceId).get(channelId)?.status === 'OFF' ? 'OFF' : 'ON'));
  }

  #deviceOnline(deviceId: string, how: Arrival): void {
    if (how !== 'refreshed') this.events.say(() => ({ type: 'device-online', deviceId, address: this.devices.binding(deviceId)?.source.address ?? null }));
    if (how === 'new') this.relay.deviceOffline(deviceId, 'it registered anew');
    this.catalogs.deviceOnline(deviceId, how !== 'back');
    this.controls.deviceOnline(deviceId);
    this.subscriptions.statesChanged(deviceId);
    this.deviceSubscriptions.deviceOnline(deviceId, how !== 'back');
  }

  #channelsChanged(deviceId: string): void {
    if (!this.#isWhole) return this.resources.changed();
    this.events.say(() => ({ type: 'channels-changed', deviceId, channels: this.catalogs.channels(deviceId).size }));
    this.resources.changed();
    this.views.channelsChanged(deviceId);
    this.subscriptions.changed();
  }

  #deviceOffline(deviceId: string, reason: string): void {
    this.events.say(() => ({ type: 'device-offline', deviceId, reason }));
    this.catalogs.deviceOffline(deviceId);
    this.controls.deviceOffline(deviceId);
    this.subscriptions.statesChanged(deviceId);
    this.deviceSubscriptions.deviceOffline(deviceId);
    this.relay.deviceOffline(deviceId, reason);
    this.voice.deviceOffline(deviceId);
  }
}

/** Without what is about the pair (duty.ts). */
export type GatewayHandlers = Omit<RpcHandlers<SipdRequests>, 'duty' | 'promote' | 'demote' | 'pair'>;

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
