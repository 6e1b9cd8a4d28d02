/**
 * What each platform above us sees: its view, the IDs by which it knows things, and what it may do with them now.
 *
 *   configuration, catalogs (changed) -> upstream-view -> IDs on disk before anybody hears of them
 *     -> catalogue answers, subscriptions, relay (live), controls, alarms, vlink view
 *   the edge of a time window -> onTime: what is permitted no more ends
 */
import { sameValue } from '#core/config/diff.ts';
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import type { Permission } from '#core/config/view-schema.ts';
import type { ItemState } from '#core/gb/catalog-changes.ts';
import type { CatalogTree } from '#core/gb/catalog-tree.ts';
import { FactBook } from '#core/gb/channel-facts.ts';
import { civilCodeOf } from '#core/gb/device-id.ts';
import { IdMapping } from '#core/gb/id-mapping.ts';
import { isPlatformId } from '#core/gb/origin.ts';
import { type WeekMinute, minutesToChange, weekMinuteOf } from '#core/gb/view-times.ts';
import { addMs } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import { Resources } from './resources.ts';
import { type SeenChannel, UpstreamView, type ViewWorld } from './upstream-view.ts';

/** Catalogues of many devices that come together get their IDs together: each time waits for the disk. */
const ASSIGN_AFTER_MS = 100;
const MINUTE_MS = 60_000;
/** The wall clock may be set: the week is looked at anew so often. */
const LONGEST_WAIT_MS = 600_000;

export interface ViewsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: StateStore;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  readonly resources: Resources;
  config(): GatewayConfig;
  isOnline(deviceId: string): boolean;
  placeOf(deviceId: string): { readonly address: string; readonly port: number } | undefined;
  /** A time window of some view began or ended. */
  onTime(): void;
}

export class Views implements Disposable {
  readonly #deps: ViewsDeps;
  readonly #mapping: IdMapping;
  readonly #views = new Map<string, UpstreamView>();
  readonly #world: ViewWorld;
  /** What all views depend on beside their own section. */
  #around: unknown;
  /** Devices whose channels may lack an ID. */
  readonly #changed = new Set<string>();
  readonly #assignSoon: Alarm;
  readonly #timer: Alarm;
  /** Platforms whose channels are never ours that came back. */
  #publishing: ReadonlySet<string> = new Set();
  /** Channel IDs of cameras and recorders; undefined: to be made anew when somebody asks. */
  #natives: ReadonlySet<string> | undefined;
  /** What each upstream has asked for since we started. */
  readonly #accessed = new Map<string, Set<string>>();

  constructor(deps: ViewsDeps) {
    this.#deps = deps;
    this.#mapping = new IdMapping(deps.store.loadMappings(), upstream => deps.store.lastSerial(upstream));
    this.#world = { catalogs: deps.catalogs, resources: deps.resources, isOnline: deps.isOnline, placeOf: deps.placeOf, isOwn: channel => this.#isOwn(channel) };
    this.#assignSoon = new Alarm(deps.clock, () => this.assignChanged());
    this.#timer = new Alarm(deps.clock, () => this.#onTime());
  }

  /** Views that are as they were keep what they know: a reload looks at ten thousand channels only for those that are others. */
  configure(): void {
    this.assignChanged();
    const config = this.#deps.config();
    const around = aroundOf(config);
    const keeps = sameValue(around, this.#around);
    this.#around = around;
    this.#natives = undefined;
    this.#publishing = new Set(config.devices.known.filter(({ returned }) => returned === 'publish').map(({ id }) => id));
    const facts = new FactBook(config.channels);
    const before = new Map(this.#views);
    this.#views.clear();
    const added: UpstreamView[] = [];
    for (const upstream of config.upstreams) {
      const known = before.get(upstream.name);
      const view = keeps && known !== undefined && sameValue(known.config, upstream) ? known : new UpstreamView(upstream, config, facts, this.#mapping, this.#world);
      this.#views.set(upstream.name, view);
      if (view !== known) added.push(view);
    }
    for (const name of this.#accessed.keys()) if (!this.#views.has(name)) this.#accessed.delete(name);
    for (const view of added) this.#assign(view, [undefined]);
    this.#armTimer();
  }

  [Symbol.dispose](): void {
    this.assignChanged();
    this.#assignSoon[Symbol.dispose]();
    this.#timer[Symbol.dispose]();
  }

  /** Of a configured upstream; undefined for any other name. */
  of(upstream: string): UpstreamView | undefined {
    this.assignChanged();
    return this.#views.get(upstream);
  }

  /** What another configuration would show, without giving any ID away. Undefined: it has no such upstream. */
  candidate(upstream: string, config: GatewayConfig): UpstreamView | undefined {
    this.assignChanged();
    const wanted = config.upstreams.find(({ name }) => name === upstream);
    if (wanted === undefined) return undefined;
    const mapping = this.#mapping.copyOf(upstream);
    const { catalogs, isOnline } = this.#deps;
    const view = new UpstreamView(wanted, config, new FactBook(config.channels), mapping, { ...this.#world, resources: new Resources({ catalogs, isOnline, config: () => config }) });
    mapping.assign(view.mapping, [...view.shares()]);
    return view;
  }

  /** Channels of this device came, went or changed: what is seen of them gets its ID before anybody hears of it. */
  channelsChanged(deviceId: string): void {
    if (this.#changed.size === 0) this.#assignSoon.arm(addMs(this.#deps.clock.now(), ASSIGN_AFTER_MS));
    this.#changed.add(deviceId);
    this.#natives = undefined;
    for (const view of this.#views.values()) view.changed();
  }

  /** Channels that this upstream sees, one for each camera. */
  shares({ name }: UpstreamConfig): SeenChannel[] {
    return [...(this.of(name)?.channels() ?? [])];
  }

  /** Whether it may do this now with any channel of the device. */
  permitsAny({ name }: UpstreamConfig, deviceId: string, what: Permission): boolean {
    for (const channelId of this.#deps.catalogs.channels(deviceId).keys()) if (this.permits(name, { deviceId, channelId }, what)) return true;
    return false;
  }

  tree({ name }: UpstreamConfig): CatalogTree | undefined {
    return this.of(name)?.tree().tree;
  }

  idOf(upstream: string, channel: ChannelRef): string | undefined {
    return this.of(upstream)?.idOf(channel);
  }

  /** The device that is an item of this view under that ID. */
  deviceOf(upstream: string, requestedId: string): string | undefined {
    const owner = this.#mapping.resolve(upstream, requestedId);
    return owner !== undefined && owner.deviceId === owner.channelId && this.of(upstream)?.deviceNodeOf(owner.deviceId) === requestedId ? owner.deviceId : undefined;
  }

  /** The channel that is meant; of several ways to one camera the best that is there now. */
  resolve(upstream: string, requestedId: string): ChannelRef | 'unknown' | 'not-shared' {
    const view = this.of(upstream);
    if (view === undefined) return 'unknown';
    const { catalogs, resources } = this.#deps;
    const channel = this.#mapping.resolve(upstream, requestedId);
    const best = channel && resources.byReadiness(channel)[0]!;
    if (best !== undefined && catalogs.channels(best.deviceId).has(best.channelId)) return view.see(best) === undefined ? 'not-shared' : best;
    for (const { channelId } of catalogs.allChannels()) if (channelId === requestedId) return 'not-shared';
    return 'unknown';
  }

  /** As `resolve`; also `not-shared` when this may not be done with it now. */
  resolveFor(upstream: string, requestedId: string, what: Permission): ChannelRef | 'unknown' | 'not-shared' {
    const channel = this.resolve(upstream, requestedId);
    return typeof channel === 'string' || this.permits(upstream, channel, what) ? channel : 'not-shared';
  }

  /** Whether it may do this with the channel now. */
  permits(upstream: string, channel: ChannelRef, what: Permission): boolean {
    return this.of(upstream)?.permits(channel, what, this.now) ?? false;
  }

  /** At some time of the week. */
  everPermits(upstream: string, channel: ChannelRef, what: Permission): boolean {
    return this.of(upstream)?.permits(channel, what, 'ever') ?? false;
  }

  get now(): WeekMinute {
    return weekMinuteOf(this.#deps.clock.wall());
  }

  /** Region of something that it sees; of our system itself for our own ID. */
  regionOf(config: UpstreamConfig, mappedId: string): string | undefined {
    const channel = this.resolve(config.name, mappedId);
    return (typeof channel === 'string' ? undefined : this.of(config.name)?.see(channel)?.seen.region) ?? civilCodeOf(config.localId);
  }

  /** Channels of this device that it sees, or those named, and how they are; the device too where it is an item. */
  statesOf({ name }: UpstreamConfig, deviceId: string, channelIds?: readonly string[]): { readonly mappedId: string; readonly state: ItemState }[] {
    const view = this.of(name);
    if (view === undefined) return [];
    const states: { mappedId: string; state: ItemState }[] = [];
    const device = channelIds === undefined ? view.deviceNodeOf(deviceId) : undefined;
    const deviceState = view.view.stateOf({ deviceId }, this.#deps.isOnline(deviceId));
    if (device !== undefined && deviceState !== undefined) states.push({ mappedId: device, state: deviceState });
    for (const channelId of channelIds ?? this.#deps.catalogs.channels(deviceId).keys()) {
      const seen = view.see({ deviceId, channelId });
      const mappedId = seen && view.idOf(seen);
      const state = seen && view.stateOf(seen);
      if (mappedId !== undefined && state !== undefined) states.push({ mappedId, state });
    }
    return states;
  }

  /** It asked for this channel: counted once. */
  accessed(upstream: string, channel: ChannelRef): void {
    const { deviceId, channelId } = this.#deps.resources.primaryOf(channel);
    const known = this.#accessed.get(upstream) ?? new Set<string>();
    this.#accessed.set(upstream, known.add(`${deviceId}\n${channelId}`));
  }

  accessedBy(upstream: string): ReadonlySet<string> {
    return this.#accessed.get(upstream) ?? new Set();
  }

  /** One device after another, in the order in which they came; all other channels have theirs already. */
  assignChanged(): void {
    if (this.#changed.size === 0) return;
    const devices = [...this.#changed];
    this.#changed.clear();
    const byDevice = devices.map(deviceId => [...this.#deps.catalogs.channels(deviceId).keys()].map(channelId => ({ deviceId, channelId })));
    for (const view of this.#views.values()) {
      this.#assign(view, byDevice);
      view.changed();
    }
    this.#countReturned(devices);
  }

  /** Stored before anybody hears of it. Undefined: everything that there is. */
  #assign(view: UpstreamView, groups: readonly (readonly ChannelRef[] | undefined)[]): void {
    const { store, log } = this.#deps;
    const assigned = groups.map(channels => this.#mapping.assign(view.mapping, [...view.shares(channels)]));
    const released = assigned.flatMap(each => each.released);
    const rows = assigned.flatMap(each => each.rows);
    const failed = assigned.reduce((sum, each) => sum + each.failed.length, 0);
    const upstream = view.config.name;
    if (released.length > 0) store.deleteMappings(released.map(channel => ({ upstream, ...channel })));
    if (rows.length > 0) store.putMappings(rows);
    if (released.length > 0) log.info({ upstream, channels: released.length }, 'view.ids-changed');
    if (failed > 0) log.error({ upstream, channels: failed }, 'upstream.ids-exhausted');
  }

  /**
   * A platform that lists something under an ID that only we can have given, or under that of a camera of ours, has it from us
   * (core/gb/origin). Cameras that the engineer joined are told apart by that.
   */
  #isOwn({ deviceId, channelId }: ChannelRef): boolean {
    if (!isPlatformId(deviceId)) return false;
    const { catalogs, resources } = this.#deps;
    if (this.#publishing.has(deviceId) || resources.sourcesOf({ deviceId, channelId }).length > 1) return false;
    this.#natives ??= new Set([...catalogs.allChannels()].filter(channel => !isPlatformId(channel.deviceId)).map(channel => channel.channelId));
    if (this.#natives.has(channelId)) return true;
    for (const name of this.#views.keys()) {
      const owner = this.#mapping.resolve(name, channelId);
      if (owner !== undefined && owner.deviceId !== deviceId && owner.channelId !== channelId && catalogs.channels(owner.deviceId).has(owner.channelId)) return true;
    }
    return false;
  }

  /** So that nobody looks for them in vain. */
  #countReturned(devices: readonly string[]): void {
    const { catalogs, counters, log } = this.#deps;
    for (const deviceId of devices.filter(isPlatformId)) {
      const channels = [...catalogs.channels(deviceId).keys()].filter(channelId => this.#isOwn({ deviceId, channelId }));
      if (channels.length === 0) continue;
      counters.add('view.returned', channels.length);
      log.warn({ deviceId, channels: channels.length, first: channels[0] }, 'view.returned');
    }
  }

  #onTime(): void {
    this.#armTimer();
    this.#deps.onTime();
  }

  #armTimer(): void {
    const { clock } = this.#deps;
    const minutes = minutesToChange([...this.#views.values()].flatMap(({ view }) => view.allowances), this.now);
    if (minutes === undefined) return this.#timer[Symbol.dispose]();
    // The edge lies at the beginning of its minute.
    const wait = minutes * MINUTE_MS - (clock.wall() % MINUTE_MS);
    this.#timer.arm(addMs(clock.now(), Math.min(wait, LONGEST_WAIT_MS)));
  }
}

const aroundOf = ({ node, sip, upstreams, channels, resources, resourceRules, devices }: GatewayConfig): unknown => ({
  node, sip: sip.id, platforms: upstreams.map(({ id, localId }) => [id, localId]), channels, resources, resourceRules, returned: devices.known.filter(({ returned }) => returned === 'publish').map(({ id }) => id),
});
