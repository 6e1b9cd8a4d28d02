/** All parts of sipd, put together, and what happens to one because of another. Who opens closes: everything goes into the caller's Closer. */
import type { GatewayConfig } from '#core/config/schema.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { Closer } from '#kit/closer.ts';
import { Counters } from '#kit/counters.ts';
import { systemHashes as hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import { systemRandom as random } from '#kit/random.ts';
import type { SipEndpoint } from '#kit/sip-endpoint.ts';
import type { SqliteStore } from '#kit/sqlite-store.ts';
import { Alarms, type WhenKept } from './alarms.ts';
import { AttemptLog } from './attempts.ts';
import { Bandwidth, type Stream } from './bandwidth.ts';
import { Bans, requestLine } from './bans.ts';
import { Cascades } from './cascades.ts';
import { Catalogs, type ChannelRef } from './catalogs.ts';
import { Controls } from './controls.ts';
import { DeviceSubscriptions } from './device-subscriptions.ts';
import { type Arrival, type DeviceReach, Devices } from './devices.ts';
import { EventFeed } from './event-feed.ts';
import { Inlets } from './inlets.ts';
import { KeyPictures } from './key-pictures.ts';
import { LegMemory } from './leg-memory.ts';
import { LocalControls } from './local-controls.ts';
import { MediaNodes } from './media-nodes.ts';
import { MediaPool } from './media-pool.ts';
import { Outlets } from './outlets.ts';
import { PictureWatch } from './picture-watch.ts';
import { Positions } from './positions.ts';
import { Probes } from './probes.ts';
import { Relay } from './relay.ts';
import { Resources } from './resources.ts';
import { Revivals } from './revival.ts';
import { Rows } from './rows.ts';
import { SessionNotices } from './session-notices.ts';
import { SessionStore } from './session-store.ts';
import { SinkMarks } from './sink-marks.ts';
import { Subscriptions } from './subscriptions.ts';
import { Upstreams } from './upstreams.ts';
import { Views } from './views.ts';
import { Voice } from './voice.ts';

export interface PartsDeps {
  readonly endpoint: SipEndpoint;
  readonly store: SqliteStore;
  readonly log: Log;
  readonly whenKept: WhenKept;
  /** In force now. */
  config(): GatewayConfig;
}

export class Parts {
  readonly endpoint: SipEndpoint;
  readonly counters = new Counters();
  readonly devices: Devices;
  readonly bans: Bans;
  readonly catalogs: Catalogs;
  readonly resources: Resources;
  readonly views: Views;
  readonly media: MediaPool;
  readonly inlets: Inlets;
  readonly sinkMarks: SinkMarks;
  readonly relay: Relay;
  readonly revivals: Revivals;
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
  #isWhole = false;

  constructor(deps: PartsDeps, closer: Closer) {
    const { store, log } = deps;
    this.endpoint = deps.endpoint;
    const common = { ...deps, clock, random, hashes, counters: this.counters, events: this.events, reach: (deviceId: string): DeviceReach | null => this.devices.reach(deviceId) };
    this.devices = closer.use(new Devices({ ...common, manufacturerOf: deviceId => this.catalogs.facts(deviceId).manufacturer, onOnline: (deviceId, how) => this.#deviceOnline(deviceId, how), onOffline: (deviceId, reason) => this.#deviceOffline(deviceId, reason), onOffence: (offence, { request, flow }, proven) => this.bans.offence({ address: flow.remoteAddress, offence, proven, line: () => requestLine(request) }) }));
    this.bans = closer.use(new Bans({ ...common, isRegisteredAt: address => this.devices.isRegisteredAt(address), registeredAddresses: () => this.devices.addresses() }));
    this.catalogs = closer.use(new Catalogs({ ...common, onChanged: deviceId => this.#channelsChanged(deviceId), onStates: (deviceId, channelIds) => this.#channelStates(deviceId, channelIds) }));
    const isOnline = (deviceId: string): boolean => this.inlets.owns(deviceId) || this.devices.binding(deviceId)?.online === true;
    this.resources = new Resources({ ...common, catalogs: this.catalogs, isOnline, isPlaying: channel => this.relay.isPlaying(channel) });
    this.views = closer.use(new Views({ ...common, catalogs: this.catalogs, resources: this.resources, isOnline, placeOf: deviceId => this.devices.reach(deviceId)?.target, onTime: () => this.#onTime() }));
    this.media = closer.use(
      new MediaPool({
        ...common,
        nodes: new MediaNodes(deps.config()),
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
        move: (bridgeIds, from, client) => this.revivals.move(bridgeIds, from, client),
        onMoved: (moved, to) => {
          this.relay.onMediaMoved(moved, to);
          cascades.onMediaLost(moved.map(({ bridgeId }) => bridgeId));
        },
      }),
    );
    const cascades = new Cascades({ ...common, media: this.media });
    this.inlets = closer.use(new Inlets({ ...common, catalogs: this.catalogs, media: this.media }));
    const keyPictures = new KeyPictures({ ...common, catalogs: this.catalogs, channelOf: bridgeId => this.relay.sources.find(source => source.bridgeId === bridgeId)?.channel });
    const legMemory = new LegMemory(store, clock);
    this.pictureWatch = closer.use(new PictureWatch({ ...common, catalogs: this.catalogs, channelOf: bridgeId => this.relay.sources.find(source => source.bridgeId === bridgeId && source.plan.history === undefined)?.channel }));
    const attempts = new AttemptLog(this.media, legMemory, clock);
    const sessions = new SessionStore(store);
    this.sinkMarks = closer.use(new SinkMarks(this.media, sessions, clock));
    this.relay = closer.use(new Relay({ ...common, pictureFlows: channel => this.pictureWatch.flows(channel), pictureLost: channel => this.pictureWatch.lost(channel), media: this.media, inlets: this.inlets, attempts, legMemory, store: sessions, primaryOf: channel => this.resources.primaryOf(channel), waysTo: channel => this.resources.byReadiness(channel), resolve: (upstream, requestedId, what) => this.#resolveFor(upstream, requestedId, what), overQuota: (upstream, channel) => this.bandwidth.overQuota(upstream, channel) }));
    this.revivals = new Revivals({ store: sessions, log, onRevived: (instance, revived) => this.relay.onMediaRevived(instance, revived), wantKeyPicture: bridgeId => keyPictures.onMediaEvent({ type: 'key-picture-wanted', bridgeId, why: 'loss' }) });
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
    this.rows = new Rows({ ...common, inlets: this.inlets, devices: this.devices, catalogs: this.catalogs, upstreams: this.upstreams, views: this.views, relay: this.relay, media: this.media, attempts, legMemory });
  }

  /** What is published is known whole from now on. Before, nothing is told of how it changes. */
  becameWhole(): void {
    this.#isWhole = true;
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
