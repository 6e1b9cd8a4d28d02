/**
 * What platforms above us have subscribed (gb28181.md 5): accepted, kept over restarts, and fed with what changes.
 *
 *   SUBSCRIBE -> routes -> here: topic by CmdType, scope -> 200 -> catalog-subscription -> NOTIFY ...
 *   a SUBSCRIBE of the same platform, topic and DeviceID replaces the one before
 */
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import { type AlarmNotice, readAlarmFilter, wants } from '#core/gb/alarm.ts';
import { kindOf, normalizeCivilCode } from '#core/gb/device-id.ts';
import { MANSCDP_TYPE, buildResult } from '#core/gb/manscdp-write.ts';
import type { SipRequest } from '#core/sip/message.ts';
import { addMs } from '#core/units.ts';
import { encodeBody } from '#kit/charset.ts';
import { Alarm, bootTime, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { EndCause, InDialogParts, IncomingSubscribe, Outcome, SipEndpoint } from '#kit/sip-endpoint.ts';
import type { StateStore } from '#kit/state-store.ts';
import { CatalogSubscription } from './catalog-subscription.ts';
import type { Counters } from '#kit/counters.ts';
import { DEFAULT_INTERVAL_S, type PositionTopic, type StoredSubscription, type SubscriptionEntry as Entry, TOPICS, agoMs, isPositionTopic, readInterval, readQuery } from './subscription-entry.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';

const KIND = 'subscription';
/** Subscriptions of one platform: some subscribe channel by channel. */
const MAX_PER_UPSTREAM = 1000;
/** Channels that come together are looked at together, and have their IDs by then. */
const LOOK_AFTER_MS = 150;
/** Looking at everything takes at most this part of our time. */
const LOOK_SHARE = 0.1;
const MAX_FIRST_SN = 1_000_000;

/** Who hears of positions. */
export interface PositionSubscriber {
  readonly id: string;
  readonly config: UpstreamConfig;
  /** The ID that was subscribed. */
  readonly deviceId: string;
  readonly intervalS: number;
  notify(content: InDialogParts): Promise<Outcome>;
}

/** A channel whose position somebody above wants. */
export interface PositionWish {
  readonly topic: PositionTopic;
  readonly channelId: string;
  readonly intervalS: number;
}

export interface SubscriptionsDeps {
  readonly endpoint: SipEndpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: StateStore;
  readonly counters: Counters;
  readonly upstreams: Upstreams;
  readonly views: Views;
  config(): GatewayConfig;
  /** Positions of channels of this device are wanted, or no more. */
  onPositionWish(deviceId: string): void;
}

export class Subscriptions implements Disposable {
  readonly #deps: SubscriptionsDeps;
  readonly #entries = new Set<Entry>();
  readonly #look: Alarm;
  #lookNotBefore = 0;

  constructor(deps: SubscriptionsDeps) {
    this.#deps = deps;
    this.#look = new Alarm(deps.clock, () => this.#lookAtAll());
  }

  /** Subscriptions stay on disk: the next start takes them up. */
  [Symbol.dispose](): void {
    this.#look[Symbol.dispose]();
    for (const entry of this.#entries) entry.catalog?.[Symbol.dispose]();
  }

  // --- what platforms ask for ------------------------------------------------------------------------------------------

  subscribe(incoming: IncomingSubscribe, link: UpstreamLink): void {
    const query = readQuery(incoming.request);
    if (query === undefined) return this.#refuse(incoming, link, 400, 'no readable Query');
    const topic = TOPICS.find(each => each === query.cmdType);
    if (topic === undefined) return this.#refuse(incoming, link, 489, query.cmdType);
    if (isPositionTopic(topic) && !link.config.positions) return this.#refuse(incoming, link, 403, 'positions are not for this upstream');
    if (topic === 'Alarm' && !link.config.alarms) return this.#refuse(incoming, link, 403, 'alarms are not for this upstream');
    if (!this.#isScope(link.config, query.deviceId)) return this.#refuse(incoming, link, 404, query.deviceId);
    const before = [...this.#entries].filter(entry => entry.upstream === link.config.name);
    const replaced = before.filter(entry => entry.topic === topic && entry.deviceId === query.deviceId);
    if (before.length - replaced.length >= MAX_PER_UPSTREAM) return this.#refuse(incoming, link, 503, 'too many subscriptions');
    const notifier = incoming.accept({ contentType: MANSCDP_TYPE, body: encodeBody(buildResult(topic, query, 'OK'), link.config.charset), headers: [{ name: 'Event', value: incoming.event }] });
    if (notifier === undefined) return;
    for (const entry of replaced) entry.notifier.replace();
    this.#deps.counters.add(`subscription.${topic}`);
    this.#deps.log.info({ upstream: link.config.name, topic, deviceId: query.deviceId, expiresS: incoming.expiresS, replaced: replaced.length }, 'subscription.accepted');
    // With nothing left of its time it ends by itself with the NOTIFY that it is owed.
    if (incoming.expiresS === 0) return;
    const id = `subscription-${this.#deps.random.hex(12)}`;
    const entry = this.#add({ id, upstream: link.config.name, upstreamId: link.config.id, topic, deviceId: query.deviceId, filter: topic === 'Alarm' ? readAlarmFilter(query.element) : undefined, intervalS: readInterval(query), notifier, catalog: undefined });
    if (topic === 'Catalog') this.#begin(entry, link.config);
    this.#save(entry);
    this.#wish(entry);
  }

  #refuse(incoming: IncomingSubscribe, link: UpstreamLink, status: number, why: string): void {
    this.#deps.counters.add(`subscription.refused.${status}`);
    this.#deps.log.info({ upstream: link.config.name, status, why }, 'subscription.refused');
    incoming.respond(status, status === 489 ? { headers: [{ name: 'Allow-Events', value: 'Catalog, presence' }] } : {});
  }

  /** Our system, a region whether anything is in it or not, what it sees. */
  #isScope(config: UpstreamConfig, deviceId: string): boolean {
    if (deviceId === config.localId || (kindOf(deviceId) === 'civil' && normalizeCivilCode(deviceId) !== undefined)) return true;
    return typeof this.#deps.views.resolve(config.name, deviceId) !== 'string' || (this.#deps.views.of(config.name)?.covers(deviceId, deviceId) ?? false);
  }

  #add(entry: Entry): Entry {
    this.#entries.add(entry);
    entry.notifier.onRefreshed = (request, expiresS): void => this.#refreshed(entry, request, expiresS);
    entry.notifier.onEnded = (cause): void => this.#ended(entry, cause);
    return entry;
  }

  /** With another DeviceID in its body it is another subscription in the same dialog. */
  #refreshed(entry: Entry, request: SipRequest, expiresS: number): void {
    const query = readQuery(request);
    const config = this.#deps.upstreams.link(entry.upstream)?.config;
    this.#deps.counters.add('subscription.refreshed');
    this.#deps.log.debug({ upstream: entry.upstream, topic: entry.topic, deviceId: entry.deviceId, expiresS }, 'subscription.refreshed');
    if (query !== undefined && config !== undefined && query.cmdType === entry.topic) {
      if (entry.topic === 'Alarm') entry.filter = readAlarmFilter(query.element);
      entry.intervalS = readInterval(query);
      if (query.deviceId !== entry.deviceId && this.#isScope(config, query.deviceId)) {
        entry.deviceId = query.deviceId;
        if (entry.topic === 'Catalog') this.#begin(entry, config);
      }
    }
    this.#save(entry);
  }

  #ended(entry: Entry, cause: EndCause): void {
    if (!this.#entries.delete(entry)) return;
    entry.catalog?.[Symbol.dispose]();
    this.#deps.store.deleteSession(entry.id);
    this.#deps.store.deleteTold(entry.id);
    this.#deps.counters.add(`subscription.ended.${cause.replace(/:.*/, '')}`);
    this.#deps.log.info({ upstream: entry.upstream, topic: entry.topic, deviceId: entry.deviceId, cause }, 'subscription.ended');
    this.#wish(entry);
  }

  /** NOTIFY to the one subscription that covers it and wants it; `unwanted` when those that cover it do not; undefined when none does. */
  notifyAlarm(link: UpstreamLink, channelId: string, alarm: AlarmNotice, xml: string): Promise<Outcome> | 'unwanted' | undefined {
    const covering = [...this.#entries].filter(entry => entry.topic === 'Alarm' && entry.notifier.isActive && entry.upstream === link.config.name && this.#covers(link.config, entry.deviceId, channelId));
    const entry = covering.find(({ filter }) => filter === undefined || wants(filter, alarm));
    if (entry === undefined) return covering.length === 0 ? undefined : 'unwanted';
    this.#deps.counters.add('subscription.alarms');
    const sent = entry.notifier.notify({ contentType: MANSCDP_TYPE, body: encodeBody(xml, link.config.charset) });
    this.#save(entry);
    return sent;
  }

  /** Those that want the positions of a channel, by the ID that the upstream knows. */
  positionSubscribers(config: UpstreamConfig, topic: PositionTopic, channelId: string): PositionSubscriber[] {
    return [...this.#entries]
      .filter(entry => entry.topic === topic && entry.notifier.isActive && entry.upstream === config.name && this.#covers(config, entry.deviceId, channelId))
      .map(entry => this.#subscriberOf(entry, config));
  }

  positionSubscriber(id: string): PositionSubscriber | undefined {
    const entry = [...this.#entries].find(each => each.id === id);
    const config = entry === undefined ? undefined : this.#deps.upstreams.link(entry.upstream)?.config;
    return entry === undefined || config === undefined || !entry.notifier.isActive ? undefined : this.#subscriberOf(entry, config);
  }

  #subscriberOf(entry: Entry, config: UpstreamConfig): PositionSubscriber {
    const notify = (content: InDialogParts): Promise<Outcome> => {
      const sent = entry.notifier.notify(content);
      this.#save(entry);
      return sent;
    };
    return { id: entry.id, config, deviceId: entry.deviceId, intervalS: entry.intervalS, notify };
  }

  /** Channels of this device that were subscribed by their own ID; the shortest interval of each. */
  positionWishes(deviceId: string): PositionWish[] {
    const wishes = new Map<string, PositionWish>();
    for (const { topic, upstream, deviceId: scope, intervalS } of this.#entries) {
      if (!isPositionTopic(topic)) continue;
      const channel = this.#deps.views.resolve(upstream, scope);
      if (typeof channel === 'string' || channel.deviceId !== deviceId) continue;
      const key = `${topic} ${channel.channelId}`;
      const known = wishes.get(key);
      if (known === undefined || known.intervalS > intervalS) wishes.set(key, { topic, channelId: channel.channelId, intervalS });
    }
    return [...wishes.values()];
  }

  #wish({ topic, upstream, deviceId: scope }: Entry): void {
    if (!isPositionTopic(topic)) return;
    const channel = this.#deps.views.resolve(upstream, scope);
    if (typeof channel !== 'string') this.#deps.onPositionWish(channel.deviceId);
  }

  #covers(config: UpstreamConfig, scope: string, channelId: string): boolean {
    if (scope === config.localId || scope === channelId) return true;
    const kind = kindOf(scope);
    if (kind === 'business-group' || kind === 'virtual-org' || kind === 'device') return this.#deps.views.of(config.name)?.covers(scope, channelId) ?? false;
    const code = kindOf(scope) === 'civil' ? normalizeCivilCode(scope) : undefined;
    return code !== undefined && (this.#deps.views.regionOf(config, channelId)?.startsWith(code) ?? false);
  }

  // --- restart and configuration ---------------------------------------------------------------------------------------

  /** The dialogs at once, so that no refresh finds nobody; what they are told comes with `resync`. */
  restore(): void {
    const { store, endpoint, clock, config } = this.#deps;
    const upstreams = new Map(config().upstreams.filter(({ enabled }) => enabled).map(upstream => [upstream.name, upstream.id]));
    for (const { sessionId: id, kind, json } of store.loadSessions()) {
      if (kind !== KIND) continue;
      const stored = JSON.parse(json) as StoredSubscription;
      const remainingS = stored.state.remainingS - agoMs(stored, bootTime(), clock.wall()) / 1000;
      if (remainingS > 0 && upstreams.get(stored.upstream) === stored.upstreamId) {
        const { upstream, upstreamId, topic, deviceId, filter, intervalS = DEFAULT_INTERVAL_S } = stored;
        this.#add({ id, upstream, upstreamId, topic, deviceId, filter, intervalS, notifier: endpoint.restoreNotifier({ ...stored.state, remainingS: Math.ceil(remainingS) }), catalog: undefined });
      } else {
        store.deleteSession(id);
        store.deleteTold(id);
      }
    }
  }

  /** After the links stand: what changed while we were away. */
  resync(): void {
    for (const entry of this.#entries) {
      const config = this.#deps.upstreams.link(entry.upstream)?.config;
      if (entry.topic === 'Catalog' && config !== undefined) entry.catalog ??= this.#catalogOf(entry, config);
    }
    this.changed();
  }

  /** No longer configured, or another platform under this name. */
  dropUpstream(name: string): void {
    for (const entry of this.#entries) if (entry.upstream === name) void entry.notifier.end('noresource');
  }

  // --- what changes ----------------------------------------------------------------------------------------------------

  /** Channels, names or shares may be others. */
  changed(): void {
    const { clock } = this.#deps;
    const now = clock.now();
    this.#look.arm(addMs(now, Math.max(LOOK_AFTER_MS, this.#lookNotBefore - now)));
  }

  /** This device came or went, or only the states of its channels are others. */
  statesChanged(deviceId: string, channelIds?: readonly string[]): void {
    for (const [config, entries] of this.#catalogsByUpstream()) {
      // There a state decides whether it is seen at all.
      if (config.view.status === 'hide-offline') {
        this.changed();
        continue;
      }
      for (const { mappedId, state } of this.#deps.views.statesOf(config, deviceId, channelIds)) {
        for (const { catalog } of entries) catalog?.state(mappedId, state);
      }
    }
  }

  #lookAtAll(): void {
    const { clock, views } = this.#deps;
    const beganAt = clock.now();
    for (const [config, entries] of this.#catalogsByUpstream()) {
      const tree = views.tree(config);
      for (const { catalog, deviceId } of entries) catalog?.view(tree?.select(deviceId) ?? [], config);
    }
    const endedAt = clock.now();
    this.#lookNotBefore = endedAt + (endedAt - beganAt) / LOOK_SHARE;
  }

  #catalogsByUpstream(): Map<UpstreamConfig, Entry[]> {
    const byUpstream = new Map<UpstreamConfig, Entry[]>();
    for (const entry of this.#entries) {
      const config = entry.catalog === undefined ? undefined : this.#deps.upstreams.link(entry.upstream)?.config;
      if (config === undefined) continue;
      const entries = byUpstream.get(config);
      if (entries === undefined) byUpstream.set(config, [entry]);
      else entries.push(entry);
    }
    return byUpstream;
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  #begin(entry: Entry, config: UpstreamConfig): void {
    entry.catalog?.[Symbol.dispose]();
    entry.catalog = this.#catalogOf(entry, config);
    entry.catalog.begin(this.#deps.views.tree(config)?.select(entry.deviceId) ?? []);
  }

  #catalogOf(entry: Entry, config: UpstreamConfig): CatalogSubscription {
    const { clock, store, counters, random } = this.#deps;
    const { id, deviceId: scope, notifier } = entry;
    return new CatalogSubscription({ id, scope, config, notifier, sn: random.int(MAX_FIRST_SN), clock, store, counters, onSent: () => this.#save(entry) });
  }

  #save(entry: Entry): void {
    if (!this.#entries.has(entry)) return;
    const { id, upstream, upstreamId, topic, deviceId, filter, intervalS, notifier } = entry;
    const stored: StoredSubscription = { upstream, upstreamId, topic, deviceId, filter, intervalS, state: notifier.state, savedAtWallMs: this.#deps.clock.wall(), savedAt: bootTime() };
    this.#deps.store.putSession({ sessionId: id, kind: KIND, json: JSON.stringify(stored) });
  }
}
