/**
 * What we have subscribed at devices below us (gb28181.md 5, 8.3), as `devices.subscribe` says.
 *
 *   device online -> SUBSCRIBE Catalog, Alarm, MobilePosition -> NOTIFY -> catalogue, alarms, positions
 *   a platform subscribes the position of a channel -> the same is subscribed at its device, as long as it lasts
 *     refused: its catalogue is asked for every pollS        lost: subscribed again after a while, and the catalogue asked for
 */
import type { GatewayConfig } from '#core/config/schema.ts';
import type { Charset } from '#core/gb/dialect.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE, buildManscdp } from '#core/gb/manscdp-write.ts';
import { xmlText } from '#core/gb/xml-text.ts';
import { nameAddr } from '#core/sip/headers.ts';
import type { SipRequest } from '#core/sip/message.ts';
import { sipUri } from '#core/sip/uri.ts';
import { addMs, seconds } from '#core/units.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { EndCause, Flow, IncomingRequest, SipEndpoint, Subscription } from '#kit/sip-endpoint.ts';
import type { Alarms, WhenKept } from './alarms.ts';
import type { Catalogs } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import { type DeviceReach, type Devices, ownAddress } from './devices.ts';
import type { Positions } from './positions.ts';
import type { PositionWish } from './subscriptions.ts';

type Topic = 'Catalog' | 'Alarm' | 'MobilePosition' | 'PTZPosition';

/** One subscription that we want at a device. */
interface Wish {
  /** Tells it from the others of this device. */
  readonly key: string;
  readonly topic: Topic;
  /** The device, or the channel whose position is wanted. */
  readonly targetId: string;
  /** Of positions. */
  readonly intervalS: number | undefined;
}

/** A subscription that was lost is begun again after this. */
const AGAIN_MS = seconds(60);
/** After our start all devices are there at once. */
const BEGIN_EVERY_MS = 100;
const BEGIN_AT_ONCE = 20;

const isAlarm = ({ cmdType, root }: Manscdp): boolean => cmdType === 'Alarm' && root === 'Notify';

interface Entry {
  /** By the keys of wishes. */
  readonly subscriptions: Map<string, Subscription>;
  /** Keys that it refused; asked for again when it registers anew. */
  readonly refused: Set<string>;
  timer: Disposable | undefined;
}

export interface DeviceSubscriptionsDeps {
  readonly endpoint: SipEndpoint;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly devices: Devices;
  readonly catalogs: Catalogs;
  readonly whenKept: WhenKept;
  readonly alarms: Alarms;
  readonly positions: Positions;
  /** Channels of a device whose positions platforms want. */
  positionWishes(deviceId: string): readonly PositionWish[];
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
    for (const deviceId of new Set([...this.#deps.devices.ids(), ...this.#entries.keys()])) this.wishesChanged(deviceId);
  }

  /** What is wanted no more ends, what is new begins. */
  wishesChanged(deviceId: string): void {
    const wished = this.#wishes(deviceId);
    for (const [key, subscription] of this.#entries.get(deviceId)?.subscriptions ?? []) if (!wished.some(wish => wish.key === key)) void subscription.unsubscribe();
    if (wished.length === 0) this.#forgetTimer(deviceId);
    else this.#beginSoon(deviceId);
  }

  /** `anew`: it has forgotten what was subscribed. */
  deviceOnline(deviceId: string, anew: boolean): void {
    if (anew) this.#forget(deviceId);
    if (this.#wishes(deviceId).length > 0) this.#beginSoon(deviceId);
  }

  deviceOffline(deviceId: string): void {
    this.#toBegin.delete(deviceId);
    this.#forget(deviceId);
  }

  #wishes(deviceId: string): Wish[] {
    const { catalog, alarm, position, positionIntervalS } = this.#deps.config().devices.subscribe;
    const ofDevice = (topic: Topic, intervalS?: number): Wish => ({ key: topic, topic, targetId: deviceId, intervalS });
    const channels = this.#deps.positionWishes(deviceId).filter(({ topic }) => topic !== 'MobilePosition' || !position);
    return [
      ...(catalog ? [ofDevice('Catalog')] : []),
      ...(alarm ? [ofDevice('Alarm')] : []),
      ...(position ? [ofDevice('MobilePosition', positionIntervalS)] : []),
      ...channels.map(({ topic, channelId, intervalS }) => ({ key: `${topic} ${channelId} ${intervalS}`, topic, targetId: channelId, intervalS })),
    ];
  }

  #forgetTimer(deviceId: string): void {
    const entry = this.#entries.get(deviceId);
    entry?.timer?.[Symbol.dispose]();
    if (entry !== undefined) entry.timer = undefined;
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
    for (const wish of this.#wishes(deviceId)) if (!entry.subscriptions.has(wish.key) && !entry.refused.has(wish.key)) this.#subscribe(reach, entry, wish);
  }

  #entryOf(deviceId: string): Entry {
    let entry = this.#entries.get(deviceId);
    if (entry === undefined) this.#entries.set(deviceId, (entry = { subscriptions: new Map(), refused: new Set(), timer: undefined }));
    return entry;
  }

  #subscribe({ id: deviceId, target, config: policy }: DeviceReach, entry: Entry, wish: Wish): void {
    const { topic, targetId, intervalS } = wish;
    const { endpoint, catalogs, config } = this.#deps;
    const sn = (this.#sn += 1);
    const uri = sipUri(targetId, target.address, target.port);
    const content = topic === 'MobilePosition' ? `${xmlText('Interval', intervalS)}\r\n` : '';
    const body = encodeBody(buildManscdp('Query', topic, { sn, deviceId: targetId }, content), policy.charset ?? catalogs.charset(deviceId));
    const subscription = endpoint.subscribe(
      { uri, from: ownAddress(config()), to: nameAddr(uri), event: `${topic === 'Catalog' ? 'Catalog' : 'presence'};id=${sn}`, expires: config().devices.subscribe.expiresS, contentType: MANSCDP_TYPE, body },
      target,
    );
    entry.subscriptions.set(wish.key, subscription);
    let isGranted = false;
    subscription.onActive = (): void => {
      if (!isGranted) this.#deps.counters.add(`device-subscription.${topic}`);
      isGranted = true;
    };
    subscription.onNotify = (incoming): void => this.#notified(deviceId, targetId, incoming);
    subscription.onEnded = (cause, status): void => this.#ended(deviceId, entry, wish, subscription, cause, status);
  }

  /** By what is in it, whatever was subscribed. */
  #notified(deviceId: string, targetId: string, incoming: IncomingRequest): void {
    const { devices, catalogs, alarms, positions, counters } = this.#deps;
    devices.seen(deviceId);
    if (incoming.request.body.length === 0) return incoming.respond(200);
    const read = this.#read(deviceId, incoming.request, incoming.flow);
    if (read === undefined) return incoming.respond(400);
    const { message, charset } = read;
    if (isAlarm(message)) {
      if (!alarms.hasRoom) return incoming.respond(503);
      alarms.fromDevice(deviceId, message);
      return this.#deps.whenKept(() => incoming.respond(200));
    }
    incoming.respond(200);
    if (message.body.kind === 'catalog') catalogs.notified(deviceId, message.body.items, charset);
    else if (positions.fromDevice(deviceId, message, targetId)) return;
    else counters.add(`device.ignored.${message.known ? message.cmdType : 'unknown'}`);
  }

  /**
   * In a dialog that ended with an earlier process, or at the other node: the 481 makes the device forget it, and it is subscribed
   * anew. An alarm is taken out of it all the same, since nobody sends it twice.
   */
  stray(deviceId: string, request: SipRequest, flow: Flow): void {
    const { alarms, counters } = this.#deps;
    if (this.#wishes(deviceId).length > 0) this.#beginSoon(deviceId);
    const message = request.body.length === 0 ? undefined : this.#read(deviceId, request, flow)?.message;
    if (message === undefined || !isAlarm(message) || !alarms.hasRoom) return;
    counters.add('alarm.in-stray-notify');
    alarms.fromDevice(deviceId, message);
  }

  #read(deviceId: string, { body }: SipRequest, flow: Flow): { readonly message: Manscdp; readonly charset: Charset } | undefined {
    const { devices, counters } = this.#deps;
    const { text, charset } = decodeBody(body, { override: devices.policy(deviceId, flow.remoteAddress).charset });
    const parsed = parseManscdp(text);
    if (parsed.ok) return { message: parsed.value, charset };
    counters.add('manscdp.malformed');
    return undefined;
  }

  #ended(deviceId: string, entry: Entry, { key, topic }: Wish, subscription: Subscription, cause: EndCause, status: number | undefined): void {
    const { log, counters } = this.#deps;
    if (entry.subscriptions.get(key) !== subscription) return;
    entry.subscriptions.delete(key);
    counters.add(`device-subscription.ended.${cause.replace(/:.*/, '')}`);
    if (this.#entries.get(deviceId) !== entry || !this.#wishes(deviceId).some(wish => wish.key === key)) return;
    log.info({ deviceId, topic, cause, status: status ?? null }, 'device-subscription.ended');
    if (cause === 'rejected') entry.refused.add(key);
    this.#later(deviceId, entry);
  }

  /** What was refused is polled for; what was lost is begun again, and what was missed meanwhile is asked for. */
  #later(deviceId: string, entry: Entry): void {
    const { clock, config, catalogs } = this.#deps;
    const isLost = this.#wishes(deviceId).some(({ key }) => !entry.subscriptions.has(key) && !entry.refused.has(key));
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
