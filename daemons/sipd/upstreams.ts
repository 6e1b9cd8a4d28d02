/**
 * The platforms above us: what each may see, the IDs by which it knows it, and the answers to its queries
 * (gb28181.md 8.2, 8.5). Registration itself is upstream-link.
 */
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import { type ItemState, stateOf } from '#core/gb/catalog-changes.ts';
import { CatalogPager, MAX_UDP_MESSAGE_BYTES, SIP_OVERHEAD_BYTES } from '#core/gb/catalog-pages.ts';
import { CatalogTree, type SharedChannel } from '#core/gb/catalog-tree.ts';
import { civilCodeOf, normalizeCivilCode } from '#core/gb/device-id.ts';
import { IdMapping, type Share } from '#core/gb/id-mapping.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { buildDeviceInfoResponse, buildDeviceStatusResponse, buildResult } from '#core/gb/manscdp-write.ts';
import type { Resource } from '#core/gb/resource.ts';
import type { RegistrationState } from '#core/gb/registration-io.ts';
import { ShareRule } from '#core/gb/share-rule.ts';
import { parseIp } from '#core/ip.ts';
import { addMs } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { Flow, SipEndpoint } from '#kit/sip-endpoint.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { Counters } from './counters.ts';
import type { Resources } from './resources.ts';
import { UpstreamLink } from './upstream-link.ts';

const MANUFACTURER = 'ViewLink';
const MODEL = 'Gateway';
/** Catalogues of many devices that come together get their IDs together: each time waits for the disk. */
const ASSIGN_AFTER_MS = 100;

/** Configuration that is told to the platform when we register: a change of it means to register anew. */
const IDENTITY = ['enabled', 'id', 'domain', 'address', 'port', 'transport', 'localId', 'localAddress', 'username', 'realm', 'password', 'ha1', 'version', 'expiresS', 'retryS', 'keepaliveS', 'keepaliveMisses'] as const;

/** What of it makes another binding there. */
const BINDING = ['id', 'localId', 'localAddress', 'address', 'port', 'transport'] as const satisfies readonly (typeof IDENTITY)[number][];

export interface UpstreamsDeps {
  readonly endpoint: SipEndpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
  readonly store: StateStore;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  readonly resources: Resources;
  config(): GatewayConfig;
  /** No longer configured, or another platform under its name: its sessions end. */
  onRemoved(name: string): void;
  /** A Query or Control that a camera may answer. False: not one of those. */
  onCommand(link: UpstreamLink, message: Manscdp): boolean;
  /** Its registration ended, for now at least. */
  onOffline(name: string): void;
}

export class Upstreams implements Disposable {
  readonly #deps: UpstreamsDeps;
  readonly #links = new Map<string, UpstreamLink>();
  readonly #mapping: IdMapping;
  readonly #pagers = new Set<Alarm>();
  /** Devices whose channels may lack an ID. */
  readonly #changed = new Set<string>();
  readonly #assignSoon: Alarm;

  constructor(deps: UpstreamsDeps) {
    this.#deps = deps;
    this.#assignSoon = new Alarm(deps.clock, () => this.#assignChanged());
    this.#mapping = new IdMapping(deps.store.loadMappings(), upstream => deps.store.lastSerial(upstream));
  }

  /** Opens the links of the configuration, closes those that are gone; unchanged ones are not touched. */
  configure(): void {
    const wanted = new Map(this.#deps.config().upstreams.map(upstream => [upstream.name, upstream]));
    for (const [name, link] of this.#links) {
      const next = wanted.get(name);
      if (next !== undefined && sameIdentity(link.config, next)) link.config = next;
      else this.#close(name, link, next);
    }
    for (const [name, config] of wanted) if (!this.#links.has(name)) this.#open(config);
    this.#changed.clear();
    for (const { config } of this.#links.values()) this.#assign(config, [this.shares(config)]);
  }

  [Symbol.dispose](): void {
    for (const link of this.#links.values()) link[Symbol.dispose]();
    for (const alarm of this.#pagers) alarm[Symbol.dispose]();
    this.#assignChanged();
    this.#assignSoon[Symbol.dispose]();
  }

  get links(): readonly UpstreamLink[] {
    return [...this.#links.values()];
  }

  link(name: string): UpstreamLink | undefined {
    return this.#links.get(name);
  }

  /** Whether an upstream may send from here: its requests are not rate-limited as unknown. */
  isAddress(address: string): boolean {
    const ip = parseIp(address);
    if (ip === undefined) return false;
    for (const link of this.#links.values()) if (link.config.enabled && link.owns(ip)) return true;
    return false;
  }

  /** A TCP connection ended: whoever was registered over it registers anew. */
  flowClosed(flow: Flow): void {
    for (const link of this.#links.values()) {
      const { target } = link;
      if (flow.transport === 'TCP' && target.transport === 'TCP' && flow.remoteAddress === target.address && flow.remotePort === target.port) link.flowLost();
    }
  }

  /** Channels that this upstream may see, one for each camera. */
  shares(config: UpstreamConfig): ChannelRef[] {
    return [...this.#deps.catalogs.allChannels()].filter(channel => this.#deps.resources.isPrimary(channel) && this.#isShared(config, channel));
  }

  /** What came from a platform is not offered back to it, whatever other way there is (gb28181.md 8.4). */
  #isShared(config: UpstreamConfig, channel: ChannelRef): boolean {
    const sources = this.#deps.resources.sourcesOf(channel);
    return sources.every(({ deviceId }) => deviceId !== config.id) && sources.some(source => isCovered(config, source));
  }

  /** Channels of this device came, went or changed: the shared ones get their ID before anybody hears of them. */
  channelsChanged(deviceId: string): void {
    if (this.#changed.size === 0) this.#assignSoon.arm(addMs(this.#deps.clock.now(), ASSIGN_AFTER_MS));
    this.#changed.add(deviceId);
  }

  /** Whether it sees any channel of this device. */
  seesAny(config: UpstreamConfig, deviceId: string): boolean {
    for (const channelId of this.#deps.catalogs.channels(deviceId).keys()) if (this.#isShared(config, { deviceId, channelId })) return true;
    return false;
  }

  /** Region of something that it sees; of our system itself for our own ID. */
  regionOf(config: UpstreamConfig, mappedId: string): string | undefined {
    const channel = this.resolve(config.name, mappedId);
    if (typeof channel === 'string') return civilCodeOf(config.localId);
    const item = this.#deps.catalogs.channels(channel.deviceId).get(channel.channelId);
    return (item?.civilCode === undefined ? undefined : normalizeCivilCode(item.civilCode)) ?? civilCodeOf(channel.channelId) ?? civilCodeOf(config.localId);
  }

  /** Channels of this device that it sees, or those named, and how they are. */
  statesOf(config: UpstreamConfig, deviceId: string, channelIds?: readonly string[]): { readonly mappedId: string; readonly state: ItemState }[] {
    const { catalogs, resources } = this.#deps;
    return [...(channelIds ?? catalogs.channels(deviceId).keys())].flatMap(channelId => {
      const channel = { deviceId, channelId };
      const shown = this.#isShared(config, channel) ? resources.shown(channel) : undefined;
      const mappedId = shown && this.idOf(config.name, channel);
      return shown === undefined || mappedId === undefined ? [] : [{ mappedId, state: stateOf(shown.item, shown.online) }];
    });
  }

  idOf(upstream: string, channel: ChannelRef): string | undefined {
    this.#assignChanged();
    return this.#idOf(upstream, channel);
  }

  /** Whoever of its sources was given one first: an ID that an upstream knows stays. */
  #idOf(upstream: string, channel: ChannelRef): string | undefined {
    for (const source of this.#deps.resources.sourcesOf(channel)) {
      const id = this.#mapping.idOf(upstream, source);
      if (id !== undefined) return id;
    }
    return undefined;
  }

  /** The channel that is meant; of several ways to one camera the best that is there now. */
  resolve(upstream: string, requestedId: string): ChannelRef | 'unknown' | 'not-shared' {
    const config = this.#links.get(upstream)?.config;
    if (config === undefined) return 'unknown';
    this.#assignChanged();
    const channel = this.#mapping.resolve(upstream, requestedId);
    const best = channel && this.#deps.resources.byReadiness(channel)[0]!;
    if (best !== undefined && this.#deps.catalogs.channels(best.deviceId).has(best.channelId)) return this.#isShared(config, best) ? best : 'not-shared';
    for (const { channelId } of this.#deps.catalogs.allChannels()) if (channelId === requestedId) return 'not-shared';
    return 'unknown';
  }

  /** A Query or Control of this platform, already answered with 200. */
  message(link: UpstreamLink, message: Manscdp): void {
    const head = { sn: message.sn, deviceId: message.deviceId };
    this.#deps.counters.add(`upstream.${message.root}.${message.known ? message.cmdType : 'unknown'}`);
    if (!message.known) return;
    switch (message.body.kind) {
      case 'catalog-query':
        return this.#answerCatalog(link, message);
      case 'device-info-query':
        return this.#say(link, this.#deviceInfo(link, head));
      case 'device-status-query':
        if (head.deviceId === link.config.localId || !this.#deps.onCommand(link, message)) this.#say(link, this.deviceStatus(link, head));
        return;
      default:
        if (this.#deps.onCommand(link, message)) return;
        if (message.root === 'Query' || message.root === 'Control') this.#say(link, buildResult(message.cmdType, head, 'ERROR'));
    }
  }

  /** What this upstream sees. */
  tree(config: UpstreamConfig): CatalogTree {
    const { catalogs, resources } = this.#deps;
    this.#assignChanged();
    const channels = this.shares(config).flatMap((channel): SharedChannel[] => {
      const mappedId = this.#idOf(config.name, channel);
      const shown = resources.shown(channel);
      if (mappedId === undefined || shown === undefined) return [];
      const { manufacturer, model } = catalogs.facts(channel.deviceId);
      return [{ mappedId, ...shown, manufacturer: manufacturer ?? undefined, model: model ?? undefined }];
    });
    const { name } = this.#deps.config().node;
    return new CatalogTree({ localId: config.localId, name, manufacturer: MANUFACTURER, model: MODEL, civilTree: config.catalog.civilTree, civilNames: catalogs.civilNames() }, channels);
  }

  #open(config: UpstreamConfig): void {
    const { endpoint, clock, random, hashes, log } = this.#deps;
    const link = new UpstreamLink(config, { endpoint, clock, random, hashes, log, onState: state => this.#onState(config.name, state) });
    this.#links.set(config.name, link);
    link.start();
  }

  #onState(name: string, state: RegistrationState): void {
    this.#deps.counters.add(`upstream.state.${state}`);
    if (state !== 'online') this.#deps.onOffline(name);
  }

  /** Where we stay registered under the same ID, the next link's REGISTER takes the binding over: unregistering would end it there first. */
  #close(name: string, link: UpstreamLink, next: UpstreamConfig | undefined): void {
    if (next?.enabled === true && BINDING.every(key => link.config[key] === next[key])) link[Symbol.dispose]();
    else link.stop();
    this.#links.delete(name);
    if (next === undefined || next.id !== link.config.id || !next.enabled) this.#deps.onRemoved(name);
  }

  /** One device after another, in the order in which they came; all other channels have theirs already. */
  #assignChanged(): void {
    if (this.#changed.size === 0) return;
    const byDevice = [...this.#changed].map(deviceId => [...this.#deps.catalogs.channels(deviceId).keys()].map(channelId => ({ deviceId, channelId })));
    this.#changed.clear();
    for (const { config } of this.#links.values()) this.#assign(config, byDevice.map(channels => channels.filter(channel => this.#deps.resources.isPrimary(channel) && this.#isShared(config, channel))));
  }

  /** Stored before anybody hears of it. */
  #assign(config: UpstreamConfig, groups: readonly (readonly ChannelRef[])[]): void {
    const { sip, upstreams } = this.#deps.config();
    const asked = { name: config.name, localId: config.localId, reserved: [sip.id, ...upstreams.flatMap(({ id, localId }) => [id, localId])] };
    const { resources: known } = this.#deps;
    // Not those whose camera has one by another way.
    const needs = (channel: ChannelRef): boolean => this.#mapping.idOf(config.name, channel) !== undefined || this.#idOf(config.name, channel) === undefined;
    const assigned = groups.map(shares => this.#mapping.assign(asked, shares.filter(needs).map((channel): Share => ({ ...channel, wantedId: wantedIdOf(known.resourceOf(channel)) }))));
    const rows = assigned.flatMap(each => each.rows);
    const failed = assigned.reduce((sum, each) => sum + each.failed.length, 0);
    if (rows.length > 0) this.#deps.store.putMappings(rows);
    if (failed > 0) this.#deps.log.error({ upstream: config.name, channels: failed }, 'upstream.ids-exhausted');
  }

  #say(link: UpstreamLink, xml: string): void {
    void link.message(xml).then(status => {
      if (status === undefined || status >= 300) this.#deps.log.info({ upstream: link.config.name, status: status ?? null }, 'upstream.answer-unaccepted');
    });
  }

  /** Pages go out one after another, each when the one before was accepted. */
  #answerCatalog(link: UpstreamLink, { sn, deviceId }: Manscdp): void {
    const { config, dialect } = link;
    const { clock, log } = this.#deps;
    const items = this.tree(config).select(deviceId) ?? [];
    const pager = new CatalogPager({
      head: { sn, deviceId },
      items,
      version: dialect.version,
      charset: config.charset,
      itemsPerMessage: config.catalog.itemsPerMessage,
      bodyBudget: config.transport === 'udp' ? MAX_UDP_MESSAGE_BYTES - SIP_OVERHEAD_BYTES : undefined,
    });
    const feed = (input: Parameters<CatalogPager['handle']>[0]): void => {
      for (const output of pager.handle(input, clock.now())) {
        if (output.type === 'send') {
          const { page } = output;
          void link.message(output.body).then(status => feed({ type: status !== undefined && status < 300 ? 'accepted' : 'failed', page }));
        } else {
          this.#pagers.delete(alarm);
          log.info({ upstream: config.name, deviceId, items: items.length, pages: output.pages, accepted: output.accepted, gaveUp: output.gaveUp }, 'upstream.catalog-sent');
        }
      }
      alarm.arm(pager.deadline);
    };
    const alarm = new Alarm(clock, () => feed({ type: 'tick' }));
    this.#pagers.add(alarm);
    feed({ type: 'start' });
  }

  #deviceInfo(link: UpstreamLink, head: { sn: number; deviceId: string }): string {
    const { catalogs, config } = this.#deps;
    if (head.deviceId === link.config.localId) {
      return buildDeviceInfoResponse(head, { deviceName: config().node.name, manufacturer: MANUFACTURER, model: MODEL, channel: this.shares(link.config).length });
    }
    const channel = this.resolve(link.config.name, head.deviceId);
    if (typeof channel === 'string') return buildDeviceInfoResponse(head, { result: 'ERROR' });
    const item = catalogs.channels(channel.deviceId).get(channel.channelId);
    const facts = catalogs.facts(channel.deviceId);
    return buildDeviceInfoResponse(head, {
      deviceName: item?.name,
      manufacturer: item?.manufacturer ?? facts.manufacturer ?? undefined,
      model: item?.model ?? facts.model ?? undefined,
      firmware: facts.firmware ?? undefined,
      channel: 1,
    });
  }

  /** What we know of it ourselves. */
  deviceStatus(link: UpstreamLink, head: { sn: number; deviceId: string }): string {
    const { clock } = this.#deps;
    if (head.deviceId === link.config.localId) return buildDeviceStatusResponse(head, { online: true, status: 'OK', encode: true, record: false, deviceTime: clock.wall() });
    const channel = this.resolve(link.config.name, head.deviceId);
    if (typeof channel === 'string') return buildDeviceStatusResponse(head, { result: 'ERROR', online: false, status: 'ERROR', reason: channel });
    const online = this.#deps.resources.isOn(channel);
    return buildDeviceStatusResponse(head, { online, status: online ? 'OK' : 'ERROR', encode: online, record: false, deviceTime: clock.wall() });
  }
}

const shareRules = new WeakMap<UpstreamConfig, ShareRule>();

function isCovered(config: UpstreamConfig, channel: ChannelRef): boolean {
  let rule = shareRules.get(config);
  if (rule === undefined) shareRules.set(config, (rule = new ShareRule(config.share)));
  return rule.covers(channel);
}

/** The engineer's ID for it. */
const wantedIdOf = (resource: Resource | undefined): string | undefined => (resource?.rule === 'configured' ? resource.id : undefined);

const sameIdentity = (a: UpstreamConfig, b: UpstreamConfig): boolean => IDENTITY.every(key => a[key] === b[key]);
