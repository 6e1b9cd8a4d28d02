/**
 * What we have subscribed at devices below us (gb28181.md 5, 8.3), as `devices.subscribe` says.
 *
 *   device online -> SUBSCRIBE Catalog, Alarm -> NOTIFY -> catalogue, alarms
 *     refused: its catalogue is asked for every pollS        lost: subscribed again after a while, and the catalogue asked for
 */
import type { GatewayConfig } from '#core/config/schema.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE, buildManscdp } from '#core/gb/manscdp-write.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { sipUri } from '#core/sip/uri.ts';
import { addMs, seconds } from '#core/units.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { EndCause, IncomingRequest, SipEndpoint, Subscription } from '#kit/sip-endpoint.ts';
import type { Alarms } from './alarms.ts';
import type { Catalogs } from './catalogs.ts';
import type { Counters } from './counters.ts';
import { type DeviceReach, type Devices, ownAddress } from './devices.ts';

type Topic = 'Catalog' | 'Alarm';

/** A subscription that was lost is begun again after this. */
const AGAIN_MS = seconds(60);
/** After our start all devices are there at once. */
const BEGIN_EVERY_MS = 100;
const BEGIN_AT_ONCE = 20;

interface Entry {
  readonly subscriptions: Map<Topic, Subscription>;
  /** Topics that it refused; asked for again when it registers anew. */
  readonly refused: Set<Topic>;
  timer: Disposable | undefined;
}

export interface DeviceSubscriptionsDeps {
  readonly endpoint: SipEndpoint;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly devices: Devices;
  readonly catalogs: Catalogs;
  readonly alarms: Alarms;
  config(): GatewayConfig;
  reach(deviceId: string): DeviceReach | null;
}

export class DeviceSubscriptions implements Disposable {
  readonly #deps: DeviceSubscriptionsDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #toBegin = new Set<string>();
  #beginning: Disposable | undefined;
  #sn = 0;

  constructor(deps: DeviceSubscriptionsDeps) {
    this.#deps = deps;
  }

  /** Devices notice at the next refresh that does not come. */
  [Symbol.dispose](): void {
    this.#beginning?.[Symbol.dispose]();
    for (const { timer } of this.#entries.values()) timer?.[Symbol.dispose]();
  }

  /** At our start, and when the configuration changed. */
  configure(): void {
    const topics = this.#topics();
    for (const [deviceId, { subscriptions }] of this.#entries) {
      for (const [topic, subscription] of subscriptions) if (!topics.includes(topic)) void subscription.unsubscribe();
      if (topics.length === 0) this.#forget(deviceId);
    }
    for (const deviceId of topics.length === 0 ? [] : this.#deps.devices.ids()) this.#beginSoon(deviceId);
  }

  /** `anew`: it has forgotten what was subscribed. */
  deviceOnline(deviceId: string, anew: boolean): void {
    if (anew) this.#forget(deviceId);
    if (this.#topics().length > 0) this.#beginSoon(deviceId);
  }

  deviceOffline(deviceId: string): void {
    this.#toBegin.delete(deviceId);
    this.#forget(deviceId);
  }

  #topics(): Topic[] {
    const { catalog, alarm } = this.#deps.config().devices.subscribe;
    return [...(catalog ? ['Catalog' as const] : []), ...(alarm ? ['Alarm' as const] : [])];
  }

  #forget(deviceId: string): void {
    const entry = this.#entries.get(deviceId);
    this.#entries.delete(deviceId);
    entry?.timer?.[Symbol.dispose]();
    for (const subscription of entry?.subscriptions.values() ?? []) subscription.replace();
  }

  #beginSoon(deviceId: string): void {
    this.#toBegin.add(deviceId);
    const { clock } = this.#deps;
    this.#beginning ??= clock.schedule(addMs(clock.now(), BEGIN_EVERY_MS), () => {
      this.#beginning = undefined;
      for (const id of [...this.#toBegin].slice(0, BEGIN_AT_ONCE)) {
        this.#toBegin.delete(id);
        this.#begin(id);
      }
      const [next] = this.#toBegin;
      if (next !== undefined) this.#beginSoon(next);
    });
  }

  #begin(deviceId: string): void {
    const reach = this.#deps.reach(deviceId);
    if (reach === null) return;
    const entry = this.#entryOf(deviceId);
    for (const topic of this.#topics()) if (!entry.subscriptions.has(topic) && !entry.refused.has(topic)) this.#subscribe(reach, entry, topic);
  }

  #entryOf(deviceId: string): Entry {
    let entry = this.#entries.get(deviceId);
    if (entry === undefined) this.#entries.set(deviceId, (entry = { subscriptions: new Map(), refused: new Set(), timer: undefined }));
    return entry;
  }

  #subscribe({ id: deviceId, target, config: policy }: DeviceReach, entry: Entry, topic: Topic): void {
    const { endpoint, catalogs, config } = this.#deps;
    const sn = (this.#sn += 1);
    const uri = sipUri(deviceId, target.address, target.port);
    const body = encodeBody(buildManscdp('Query', topic, { sn, deviceId }), policy.charset ?? catalogs.charset(deviceId));
    const subscription = endpoint.subscribe(
      { uri, from: ownAddress(config()), to: nameAddr(uri), event: `${topic === 'Catalog' ? 'Catalog' : 'presence'};id=${sn}`, expires: config().devices.subscribe.expiresS, contentType: MANSCDP_TYPE, body },
      target,
    );
    entry.subscriptions.set(topic, subscription);
    let isGranted = false;
    subscription.onActive = (): void => {
      if (!isGranted) this.#deps.counters.add(`device-subscription.${topic}`);
      isGranted = true;
    };
    subscription.onNotify = (incoming): void => this.#notified(deviceId, incoming);
    subscription.onEnded = (cause, status): void => this.#ended(deviceId, entry, topic, subscription, cause, status);
  }

  /** By what is in it, whatever was subscribed. */
  #notified(deviceId: string, incoming: IncomingRequest): void {
    const { devices, catalogs, alarms, counters } = this.#deps;
    const { request, flow } = incoming;
    devices.seen(deviceId);
    if (request.body.length === 0) return incoming.respond(200);
    const { text, charset } = decodeBody(request.body, { override: devices.policy(deviceId, flow.remoteAddress).charset });
    const parsed = parseManscdp(text);
    if (!parsed.ok) {
      counters.add('manscdp.malformed');
      return incoming.respond(400);
    }
    const message: Manscdp = parsed.value;
    if (message.cmdType === 'Alarm' && message.root === 'Notify') {
      if (!alarms.hasRoom) return incoming.respond(503);
      alarms.fromDevice(deviceId, message);
    }
    incoming.respond(200);
    if (message.body.kind === 'catalog') catalogs.notified(deviceId, message.body.items, charset);
    else if (message.cmdType !== 'Alarm') counters.add(`device.ignored.${message.known ? message.cmdType : 'unknown'}`);
  }

  #ended(deviceId: string, entry: Entry, topic: Topic, subscription: Subscription, cause: EndCause, status: number | undefined): void {
    const { log, counters } = this.#deps;
    if (entry.subscriptions.get(topic) !== subscription) return;
    entry.subscriptions.delete(topic);
    counters.add(`device-subscription.ended.${cause.replace(/:.*/, '')}`);
    if (this.#entries.get(deviceId) !== entry || !this.#topics().includes(topic)) return;
    log.info({ deviceId, topic, cause, status: status ?? null }, 'device-subscription.ended');
    if (cause === 'rejected') entry.refused.add(topic);
    this.#later(deviceId, entry);
  }

  /** What was refused is polled for; what was lost is begun again, and what was missed meanwhile is asked for. */
  #later(deviceId: string, entry: Entry): void {
    const { clock, config, catalogs } = this.#deps;
    const isLost = this.#topics().some(topic => !entry.subscriptions.has(topic) && !entry.refused.has(topic));
    const polls = entry.refused.has('Catalog') && config().devices.subscribe.catalog;
    entry.timer?.[Symbol.dispose]();
    entry.timer = undefined;
    if (!isLost && !polls) return;
    const waitMs = isLost ? AGAIN_MS : seconds(config().devices.subscribe.pollS);
    entry.timer = clock.schedule(addMs(clock.now(), waitMs), () => {
      if (this.#deps.reach(deviceId) === null) return;
      catalogs.refresh(deviceId);
      this.#begin(deviceId);
      this.#later(deviceId, entry);
    });
  }
}
