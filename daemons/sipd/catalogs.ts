/**
 * What the devices below us have: DeviceInfo and catalogue, asked for when they register and kept over restarts.
 *
 *   NOTIFY (device-subscriptions) -> core/gb/catalog-notice -> store, upstreams
 *   onOnline -> DeviceInfo, Catalog query -> MESSAGE Response (routes) -> core/gb/catalog-collector -> store, upstreams
 */
import type { GatewayConfig } from '#core/config/schema.ts';
import { CatalogCollector, type CatalogOutput, type CatalogResult, MAX_CATALOG_ITEMS } from '#core/gb/catalog-collector.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { applyNotice } from '#core/gb/catalog-notice.ts';
import { kindOf, normalizeCivilCode } from '#core/gb/device-id.ts';
import type { Charset } from '#core/gb/dialect.ts';
import type { DeviceInfoBody, Manscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE, buildCatalogQuery, buildDeviceInfoQuery } from '#core/gb/manscdp-write.ts';
import type { PublishedGroups } from '#core/gb/published-groups.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { sipUri } from '#core/sip/uri.ts';
import { addMs, seconds } from '#core/units.ts';
import { encodeBody } from '#kit/charset.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { SipEndpoint } from '#kit/sip-endpoint.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Counters } from '#kit/counters.ts';
import { type CatalogView, DeviceCatalog, type DeviceFacts, NO_CATALOG, NO_FACTS, withoutExtras } from './device-catalog.ts';
import { type DeviceReach, ownAddress } from './devices.ts';

/** A device that gave no answer is asked again after this, as long as it is online. */
const RETRY_MS = seconds(60);
/** Items that come after the end of a collection are taken over together so long after the first of them. */
const LATE_MS = 500;
const DEFAULT_CHARSET: Charset = 'gb2312';

export interface ChannelRef {
  readonly deviceId: string;
  readonly channelId: string;
}

export interface CatalogsDeps {
  readonly endpoint: SipEndpoint;
  readonly clock: Clock;
  readonly log: Log;
  readonly store: StateStore;
  readonly counters: Counters;
  config(): GatewayConfig;
  reach(deviceId: string): DeviceReach | null;
  /** Channels of this device came, went or changed. */
  onChanged(deviceId: string): void;
  /** Only the states of these channels are others. */
  onStates(deviceId: string, channelIds: readonly string[]): void;
}

export class Catalogs implements Disposable {
  readonly #deps: CatalogsDeps;
  readonly #devices = new Map<string, DeviceCatalog>();
  #sn = 0;

  constructor(deps: CatalogsDeps) {
    this.#deps = deps;
    for (const { id, name, manufacturer, model, firmware, channelCount } of deps.store.loadDevices()) this.#of(id).facts = { name, manufacturer, model, firmware, channelCount };
    for (const row of deps.store.loadChannels()) this.#of(row.deviceId).items.set(row.channelId, JSON.parse(row.itemJson) as CatalogItem);
    for (const device of this.#devices.values()) {
      device.rebuild();
      if (device.items.size > 0) device.view = { ...NO_CATALOG, state: 'complete', expected: device.items.size, received: device.items.size };
    }
  }

  [Symbol.dispose](): void {
    for (const device of this.#devices.values()) device.stopTimers();
  }

  get deviceIds(): readonly string[] {
    return [...this.#devices.keys()];
  }

  facts(deviceId: string): DeviceFacts {
    return this.#devices.get(deviceId)?.facts ?? NO_FACTS;
  }

  /** How the device writes, as far as it has written. */
  charset(deviceId: string): Charset {
    return this.#devices.get(deviceId)?.charset ?? DEFAULT_CHARSET;
  }

  view(deviceId: string): CatalogView {
    const device = this.#devices.get(deviceId);
    if (device?.collecting === undefined) return device?.view ?? NO_CATALOG;
    const { expected, received } = device.collecting.collector.progress;
    return { state: 'running', expected, received, atWallMs: null };
  }

  channels(deviceId: string): ReadonlyMap<string, CatalogItem> {
    return this.#devices.get(deviceId)?.channels ?? new Map<string, CatalogItem>();
  }

  /** Everything that it lists, by ID. */
  items(deviceId: string): ReadonlyMap<string, CatalogItem> {
    return this.#devices.get(deviceId)?.items ?? new Map<string, CatalogItem>();
  }

  /** What stands above a channel in its device's catalogue, the device last. */
  nodesOf(deviceId: string, item: CatalogItem): readonly string[] {
    return this.#devices.get(deviceId)?.nodesOf(item) ?? [deviceId];
  }

  /** Groups and organisations as this device publishes them. */
  groupsOf(deviceId: string): PublishedGroups | undefined {
    return this.#devices.get(deviceId)?.groups;
  }

  *allChannels(): Generator<ChannelRef & { readonly item: CatalogItem }> {
    for (const [deviceId, { channels }] of this.#devices) for (const [channelId, item] of channels) yield { deviceId, channelId, item };
  }

  /** Names of civil regions as devices gave them. */
  civilNames(): ReadonlyMap<string, string> {
    const names = new Map<string, string>();
    for (const { items } of this.#devices.values()) {
      for (const { deviceId, name } of items.values()) {
        const code = kindOf(deviceId) === 'civil' ? normalizeCivilCode(deviceId) : undefined;
        if (code !== undefined && name !== undefined) names.set(code, name);
      }
    }
    return names;
  }

  /** `fresh`: it registered; otherwise it is only back, and is asked for what we do not have. */
  deviceOnline(deviceId: string, fresh: boolean): void {
    const device = this.#of(deviceId);
    if (!fresh && device.items.size > 0) return;
    // A device that began anew has forgotten what it was asked.
    if (fresh) this.#finish(deviceId, device);
    void this.ask(deviceId, buildDeviceInfoQuery({ sn: this.#nextSn(), deviceId }));
    if (this.#deps.config().devices.catalogOnRegister || device.items.size === 0) this.refresh(deviceId);
  }

  deviceOffline(deviceId: string): void {
    const device = this.#devices.get(deviceId);
    device?.again?.[Symbol.dispose]();
    // What has come until now is kept: the device may be back before it is asked again.
    if (device?.collecting !== undefined) this.#finish(deviceId, device);
  }

  /** The device is no longer ours: its channels are taken back from everybody. IDs that they were given stay given. */
  forget(deviceId: string): void {
    const device = this.#devices.get(deviceId);
    if (device === undefined) return;
    device.stopTimers();
    this.#devices.delete(deviceId);
    this.#deps.store.deleteDevice(deviceId);
    this.#deps.log.info({ deviceId, channels: device.channels.size }, 'catalog.forgotten');
    this.#deps.onChanged(deviceId);
  }

  /** Asks for the whole catalogue; nothing while an answer is being collected. */
  refresh(deviceId: string): void {
    const device = this.#of(deviceId);
    if (device.collecting !== undefined) return;
    const sn = this.#nextSn();
    const collector = new CatalogCollector(this.#deps.clock.now());
    const alarm = new Alarm(this.#deps.clock, () => this.#take(deviceId, device, collector.tick(this.#deps.clock.now())));
    device.collecting = { sn, collector, alarm };
    alarm.arm(collector.deadline);
    void this.ask(deviceId, buildCatalogQuery({ sn, deviceId })).then(accepted => {
      if (!accepted && device.collecting?.sn === sn) this.#finish(deviceId, device);
    });
  }

  /** Channels that are not those of a device which could be asked: all of them, as they are now. */
  publish(deviceId: string, facts: DeviceFacts, items: readonly CatalogItem[]): void {
    const device = this.#of(deviceId);
    const before = new Map(device.items);
    const isSame = (item: CatalogItem, old: CatalogItem | undefined): boolean => JSON.stringify({ ...item, status: '' }) === JSON.stringify({ ...old, status: '' });
    const changed = items.length !== before.size || items.some(item => !isSame(item, before.get(item.deviceId)));
    const states = items.filter(item => item.status !== before.get(item.deviceId)?.status).map(item => item.deviceId);
    if (!changed && states.length === 0) return;
    device.facts = facts;
    device.items.clear();
    for (const item of items) device.items.set(item.deviceId, item);
    device.view = { state: 'complete', expected: items.length, received: items.length, atWallMs: this.#deps.clock.wall() };
    if (changed) device.rebuild();
    else device.restate(states);
    this.#deps.store.putDevice({ id: deviceId, ...facts, infoJson: null });
    this.#store(deviceId, device, changed ? [...device.items.keys()] : states, changed);
    if (changed) this.#deps.onChanged(deviceId);
    else this.#deps.onStates(deviceId, states);
  }

  /** A Response of this device, already answered with 200. True when it was one of ours to take. */
  response(deviceId: string, message: Manscdp, charset: Charset): boolean {
    const device = this.#of(deviceId);
    device.charset = charset;
    if (message.body.kind === 'device-info') {
      this.#takeInfo(deviceId, device, message.body);
      return true;
    }
    if (message.body.kind !== 'catalog') return false;
    const { collecting } = device;
    if (collecting === undefined || message.sn !== collecting.sn) {
      this.#deps.counters.add('catalog.unasked');
      if (message.body.items.length > 0 && message.sn === this.#lastSn.get(deviceId)) this.#takeLate(deviceId, device, message.body.items);
      return true;
    }
    this.#take(deviceId, device, collecting.collector.part(message.body, this.#deps.clock.now()));
    collecting.alarm.arm(collecting.collector.deadline);
    return true;
  }

  /** Items of a NOTIFY, already answered with 200. */
  notified(deviceId: string, notices: readonly CatalogItem[], charset: Charset): void {
    const device = this.#of(deviceId);
    device.charset = charset;
    this.#deps.counters.add('catalog.notified', notices.length);
    if (device.collecting !== undefined && device.meanwhile.length + notices.length <= MAX_CATALOG_ITEMS) device.meanwhile.push(...notices);
    this.#applyNotice(deviceId, device, notices);
  }

  /** What we see of a channel ourselves; undefined: it is fine. One that its device has declared OFF stays so. */
  observed({ deviceId, channelId }: ChannelRef, fault: 'VLOST' | 'DEFECT' | undefined): void {
    const item = this.channels(deviceId).get(channelId);
    if (item === undefined || (fault === undefined ? item.fault === undefined : item.status === 'OFF' && item.fault === undefined)) return;
    this.#applyNotice(deviceId, this.#of(deviceId), [{ deviceId: channelId, event: fault ?? 'ON' }]);
  }

  /** A state of something unknown says that something was missed. */
  #applyNotice(deviceId: string, device: DeviceCatalog, notices: readonly CatalogItem[]): void {
    const { store, reach, counters } = this.#deps;
    const ignoresStates = reach(deviceId)?.config.notifiedStatus === 'ignore';
    const { changed, states, gone, unknown } = applyNotice(device.items, notices, { ignoresStates, maxItems: MAX_CATALOG_ITEMS });
    if (changed.size + gone.size > 0) device.rebuild();
    else device.restate(states);
    if (gone.size > 0) store.deleteChannels(deviceId, [...gone]);
    this.#store(deviceId, device, [...changed, ...states], false);
    if (changed.size + gone.size > 0) this.#deps.onChanged(deviceId);
    else if (states.size > 0) this.#deps.onStates(deviceId, [...states]);
    if (unknown.size > 0) {
      counters.add('catalog.notified-unknown', unknown.size);
      this.refresh(deviceId);
    }
  }

  #store(deviceId: string, device: DeviceCatalog, ids: readonly string[], replace: boolean): void {
    if (ids.length === 0 && !replace) return;
    this.#deps.store.putChannels(deviceId, device.rowsOf(ids), { replace });
  }

  /** SN of the last finished collection: what still comes for it belongs to it (quirk 31). */
  readonly #lastSn = new Map<string, number>();

  #take(deviceId: string, device: DeviceCatalog, outputs: readonly CatalogOutput[]): void {
    for (const output of outputs) {
      if (output.type === 'extra') this.#takeLate(deviceId, device, output.items);
      else this.#done(deviceId, device, output.result);
    }
    device.collecting?.alarm.arm(device.collecting.collector.deadline);
  }

  /** Ends a collection before its time with what has come. */
  #finish(deviceId: string, device: DeviceCatalog): void {
    const { collecting } = device;
    if (collecting !== undefined) this.#take(deviceId, device, collecting.collector.tick(collecting.collector.deadline));
  }

  #done(deviceId: string, device: DeviceCatalog, result: CatalogResult): void {
    const { log, counters, clock, config } = this.#deps;
    if (device.collecting !== undefined) this.#lastSn.set(deviceId, device.collecting.sn);
    device.collecting?.alarm[Symbol.dispose]();
    device.collecting = undefined;
    counters.add(`catalog.${result.state}`);
    counters.add('catalog.duplicates', result.duplicates);
    log.info({ deviceId, state: result.state, why: result.why, expected: result.expected, items: result.items.length, duplicates: result.duplicates, dropped: result.dropped }, 'catalog.collected');
    device.view = { state: result.state, expected: result.expected, received: result.items.length, atWallMs: clock.wall() };
    if (result.items.length > 0 || result.state === 'complete') this.#merge(deviceId, device, result.items, result.state === 'complete');
    const meanwhile = device.meanwhile.splice(0);
    if (meanwhile.length > 0) this.#applyNotice(deviceId, device, meanwhile.filter(({ event, deviceId: id }) => event === 'ADD' || event === 'DEL' || device.items.has(id)));
    const everyMs = config().devices.catalogEveryS * 1000;
    const waitMs = result.state === 'complete' ? everyMs : RETRY_MS;
    device.again?.[Symbol.dispose]();
    if (waitMs > 0 && this.#deps.reach(deviceId) !== null) device.again = clock.schedule(addMs(clock.now(), waitMs), () => this.refresh(deviceId));
  }

  /** Devices that go on after their SumNum send item by item: each one for itself would cost as much as the whole catalogue. */
  #takeLate(deviceId: string, device: DeviceCatalog, items: readonly CatalogItem[]): void {
    const { clock, counters } = this.#deps;
    counters.add('catalog.late-items', items.length);
    for (const item of items) if (device.late.length < MAX_CATALOG_ITEMS) device.late.push(item);
    device.lateTimer ??= clock.schedule(addMs(clock.now(), LATE_MS), () => {
      device.lateTimer = undefined;
      this.#merge(deviceId, device, device.late.splice(0), false);
    });
  }

  /** Takes items over; only a complete catalogue says which ones are gone (fault 43). */
  #merge(deviceId: string, device: DeviceCatalog, items: readonly CatalogItem[], complete: boolean): void {
    if (complete) {
      device.items.clear();
      device.late.length = 0;
    }
    const taken = items.filter(item => device.items.has(item.deviceId) || device.items.size < MAX_CATALOG_ITEMS);
    for (const item of taken) device.items.set(item.deviceId, withoutExtras(item));
    device.rebuild();
    this.#store(deviceId, device, [...new Set(taken.map(item => item.deviceId))], complete);
    this.#deps.onChanged(deviceId);
  }

  #takeInfo(deviceId: string, device: DeviceCatalog, body: DeviceInfoBody): void {
    const { deviceName, manufacturer, model, firmware, channel } = body;
    device.facts = { name: deviceName ?? null, manufacturer: manufacturer ?? null, model: model ?? null, firmware: firmware ?? null, channelCount: channel ?? null };
    this.#deps.store.putDevice({ id: deviceId, ...device.facts, infoJson: null });
  }

  /** One Query or Control to the device; false when it was not accepted. */
  async ask(deviceId: string, xml: string): Promise<boolean> {
    const { endpoint, config, log } = this.#deps;
    const device = this.#deps.reach(deviceId);
    if (device === null) return false;
    const { target } = device;
    const uri = sipUri(deviceId, target.address, target.port);
    const charset = device.config.charset ?? this.#of(deviceId).charset ?? DEFAULT_CHARSET;
    const outcome = await endpoint.request({ method: 'MESSAGE', uri, from: ownAddress(config()), to: nameAddr(uri), contentType: MANSCDP_TYPE, body: encodeBody(xml, charset) }, target);
    const accepted = outcome.type === 'response' && outcome.response.status < 300;
    if (!accepted) log.info({ deviceId, outcome: outcome.type, status: outcome.type === 'response' ? outcome.response.status : null }, 'device.query-failed');
    return accepted;
  }

  #nextSn(): number {
    this.#sn = (this.#sn % 0x7ffffffe) + 1;
    return this.#sn;
  }

  #of(deviceId: string): DeviceCatalog {
    let device = this.#devices.get(deviceId);
    if (device === undefined) this.#devices.set(deviceId, (device = new DeviceCatalog(deviceId)));
    return device;
  }
}
