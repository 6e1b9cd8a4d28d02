/**
 * Positions of what moves and where cameras look, from devices to the platforms that subscribed them (gb28181.md 3.11, 5).
 *
 *   NOTIFY or MESSAGE -> fromDevice -> for each subscription that covers the channel: core/gb/latest-feed -> NOTIFY
 *
 * Nothing is kept: a position that nobody hears in time is an old one.
 */
import { isVoiceOutput } from '#core/gb/device-id.ts';
import type { GbVersion } from '#core/gb/dialect.ts';
import { LatestFeed } from '#core/gb/latest-feed.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE } from '#core/gb/manscdp-write.ts';
import { type MobilePosition, type PtzPosition, buildMobilePositions, buildPtzPosition, readMobilePositions, readPtzPosition } from '#core/gb/position.ts';
import { seconds } from '#core/units.ts';
import { encodeBody } from '#kit/charset.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Catalogs } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { PositionSubscriber, Subscriptions } from './subscriptions.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';

/** Items of a 2022 message over UDP: about 250 octets each within 1300. */
const ITEMS_PER_MESSAGE = 3;
const ONE = 1;

type Told = { readonly channelId: string } & ({ readonly mobile: MobilePosition } | { readonly ptz: PtzPosition });

interface Line {
  readonly feed: LatestFeed<Told>;
  readonly timer: Alarm;
  readonly intervalS: number;
  sn: number;
}

export interface PositionsDeps {
  readonly clock: Clock;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  readonly upstreams: Upstreams;
  readonly views: Views;
  readonly subscriptions: Subscriptions;
}

export class Positions implements Disposable {
  readonly #deps: PositionsDeps;
  /** By subscription. */
  readonly #lines = new Map<string, Line>();

  constructor(deps: PositionsDeps) {
    this.#deps = deps;
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#lines.keys()]) this.#drop(id);
  }

  /** Notify/MobilePosition or PTZPosition of a device; true when it was one. `subscribedId`: the channel whose subscription brought it. */
  fromDevice(deviceId: string, message: Manscdp, subscribedId?: string): boolean {
    if (message.root === 'Query' || message.root === 'Control') return false;
    if (message.cmdType === 'MobilePosition') this.#mobile(deviceId, message, subscribedId);
    else if (message.cmdType === 'PTZPosition' && message.root === 'Notify') this.#ptz(deviceId, message, subscribedId);
    else return false;
    return true;
  }

  #mobile(deviceId: string, message: Manscdp, subscribedId: string | undefined): void {
    const { counters } = this.#deps;
    const { positions, dropped } = readMobilePositions(message);
    counters.add('position.in', positions.length);
    if (dropped > 0) counters.add('position.malformed', dropped);
    for (const position of positions) {
      const channelId = this.#channelOf(deviceId, position.deviceId, subscribedId);
      if (channelId === undefined) counters.add('position.unknown-channel');
      else this.#tell('MobilePosition', deviceId, channelId, mappedId => ({ channelId: mappedId, mobile: { ...position, deviceId: mappedId } }));
    }
  }

  #ptz(deviceId: string, message: Manscdp, subscribedId: string | undefined): void {
    const { counters } = this.#deps;
    const ptz = readPtzPosition(message);
    counters.add(ptz === undefined ? 'position.malformed' : 'position.in');
    const channelId = this.#channelOf(deviceId, message.deviceId, subscribedId);
    if (ptz === undefined) return;
    if (channelId === undefined) counters.add('position.unknown-channel');
    else this.#tell('PTZPosition', deviceId, channelId, mappedId => ({ channelId: mappedId, ptz }));
  }

  /** The channel that it names; a device that names itself or nobody (2016) means the one subscribed, or its only channel. */
  #channelOf(deviceId: string, named: string, subscribedId: string | undefined): string | undefined {
    const channels = this.#deps.catalogs.channels(deviceId);
    if (channels.has(named)) return named;
    if (named !== '' && named !== deviceId) return undefined;
    if (subscribedId !== undefined && channels.has(subscribedId)) return subscribedId;
    const cameras = [...channels.keys()].filter(id => !isVoiceOutput(id));
    return cameras.length === 1 ? cameras[0] : undefined;
  }

  #tell(topic: 'MobilePosition' | 'PTZPosition', deviceId: string, channelId: string, valueFor: (mappedId: string) => Told): void {
    const { upstreams, views, subscriptions, clock } = this.#deps;
    for (const { config } of upstreams.links) {
      if (!config.enabled || !config.positions) continue;
      for (const { mappedId } of views.statesOf(config, deviceId, [channelId])) {
        for (const subscriber of subscriptions.positionSubscribers(config, topic, mappedId)) {
          this.#lineOf(subscriber, config.version, topic).feed.put(mappedId, valueFor(mappedId), clock.now());
          this.#run(subscriber.id);
        }
      }
    }
  }

  #lineOf({ id, intervalS }: PositionSubscriber, version: GbVersion, topic: string): Line {
    const known = this.#lines.get(id);
    if (known?.intervalS === intervalS) return known;
    this.#drop(id);
    // Those of subscriptions that are over.
    for (const other of [...this.#lines.keys()]) if (this.#deps.subscriptions.positionSubscriber(other) === undefined) this.#drop(other);
    const atOnce = version === '2022' && topic === 'MobilePosition' ? ITEMS_PER_MESSAGE : ONE;
    const line: Line = { feed: new LatestFeed(seconds(intervalS), atOnce), timer: new Alarm(this.#deps.clock, () => this.#run(id)), intervalS, sn: known?.sn ?? 0 };
    this.#lines.set(id, line);
    return line;
  }

  #drop(id: string): void {
    this.#lines.get(id)?.timer[Symbol.dispose]();
    this.#lines.delete(id);
  }

  #run(id: string): void {
    const { clock, subscriptions, counters } = this.#deps;
    const line = this.#lines.get(id);
    const subscriber = subscriptions.positionSubscriber(id);
    if (line === undefined || subscriber === undefined) return this.#drop(id);
    const values = line.feed.take(clock.now());
    if (values.length > 0) {
      counters.add('position.out', values.length);
      void subscriber.notify({ contentType: MANSCDP_TYPE, body: encodeBody(this.#body(subscriber, line, values), subscriber.config.charset) }).then(() => {
        line.feed.settled();
        if (this.#lines.get(id) === line) this.#run(id);
      });
    }
    line.timer.arm(line.feed.deadline);
  }

  #body({ config, deviceId }: PositionSubscriber, line: Line, values: readonly Told[]): string {
    const sn = (line.sn += 1);
    const [first] = values;
    if (first !== undefined && 'ptz' in first) return buildPtzPosition({ sn, deviceId: first.channelId }, first.ptz);
    return buildMobilePositions(config.version, { sn, deviceId }, values.flatMap(value => ('mobile' in value ? [value.mobile] : [])))[0]!;
  }
}
