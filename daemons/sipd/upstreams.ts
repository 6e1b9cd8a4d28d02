/**
 * The platforms above us: our registrations there (upstream-link) and the answers to their queries (gb28181.md 8.2). What each of
 * them sees is views.ts.
 */
import { systemName } from '#core/config/cluster-schema.ts';
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { type DeviceInfoParts, buildDeviceInfoResponse, buildDeviceStatusResponse, buildResult } from '#core/gb/manscdp-write.ts';
import type { RegistrationState } from '#core/gb/registration-io.ts';
import { parseIp } from '#core/ip.ts';
import type { Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { Flow, SipEndpoint } from '#kit/sip-endpoint.ts';
import type { StateStore } from '#kit/state-store.ts';
import { CatalogAnswers } from './catalog-answers.ts';
import type { Catalogs } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { DeviceFacts } from './device-catalog.ts';
import type { EventFeed } from './event-feed.ts';
import { type KeptLink, RegistrationStore } from './registration-store.ts';
import { UpstreamLink } from './upstream-link.ts';
import type { Views } from './views.ts';

const MANUFACTURER = 'ViewLink';
const MODEL = 'Gateway';

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
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  readonly views: Views;
  config(): GatewayConfig;
  isOnline(deviceId: string): boolean;
  readonly store: StateStore;
  /** No longer configured, or another platform under its name: its sessions end. */
  onRemoved(name: string): void;
  /** A Query or Control that a camera may answer. False: not one of those. */
  onCommand(link: UpstreamLink, message: Manscdp): boolean;
  /** Its registration ended, for now at least. */
  onOffline(name: string): void;
  readonly events: EventFeed;
}

export class Upstreams implements Disposable {
  readonly #deps: UpstreamsDeps;
  readonly #links = new Map<string, UpstreamLink>();
  readonly #answers: CatalogAnswers;
  /** In a pair. */
  readonly #registrations: RegistrationStore | undefined;
  constructor(deps: UpstreamsDeps) {
    this.#deps = deps;
    this.#answers = new CatalogAnswers(deps);
    this.#registrations = deps.config().cluster.nodes.length === 0 ? undefined : new RegistrationStore(deps.store, deps.clock);
  }

  /** Before the first `configure`: the links are known, and nothing is sent. `takesOver`: registrations of the other node are ours from now on. */
  prepare(takesOver: boolean): void {
    for (const config of this.#deps.config().upstreams) this.#make(config, takesOver ? this.#registrations?.of(config) : undefined);
  }

  /** Opens the links of the configuration, closes those that are gone; unchanged ones are not touched. */
  configure(): void {
    const wanted = new Map(this.#deps.config().upstreams.map(upstream => [upstream.name, upstream]));
    for (const [name, link] of this.#links) {
      const next = wanted.get(name);
      if (next !== undefined && sameIdentity(link.config, next)) link.config = next;
      else this.#close(name, link, next);
    }
    for (const [name, config] of wanted) if (!this.#links.has(name)) this.#make(config, undefined);
    for (const link of this.#links.values()) link.start();
  }

  [Symbol.dispose](): void {
    for (const link of this.#links.values()) link[Symbol.dispose]();
    this.#answers[Symbol.dispose]();
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

  /** A Query or Control of this platform, already answered with 200. */
  message(link: UpstreamLink, message: Manscdp): void {
    const head = { sn: message.sn, deviceId: message.deviceId };
    this.#deps.counters.add(`upstream.${message.root}.${message.known ? message.cmdType : 'unknown'}`);
    if (!message.known) return;
    switch (message.body.kind) {
      case 'catalog-query':
        return this.#answers.query(link, message);
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

  #make(config: UpstreamConfig, kept: KeptLink | undefined): void {
    const { endpoint, clock, random, hashes, log } = this.#deps;
    const registrations = this.#registrations;
    const link = new UpstreamLink(config, { endpoint, clock, random, hashes, log, kept, ...(registrations !== undefined && { keep: now => registrations.put(config, now) }), onState: (state, reason) => this.#onState(config.name, state, reason) });
    this.#links.set(config.name, link);
  }

  #onState(name: string, state: RegistrationState, reason: string | null): void {
    this.#deps.events.say(() => ({ type: 'upstream-state', upstream: name, state, reason }));
    this.#deps.counters.add(`upstream.state.${state}`);
    if (state !== 'online') this.#deps.onOffline(name);
  }

  /** Where we stay registered under the same ID, the next link's REGISTER takes the binding over: unregistering would end it there first. */
  #close(name: string, link: UpstreamLink, next: UpstreamConfig | undefined): void {
    if (next?.enabled === true && BINDING.every(key => link.config[key] === next[key])) link[Symbol.dispose]();
    else link.stop();
    this.#links.delete(name);
    this.#registrations?.delete(name);
    this.#answers.drop(name);
    if (next === undefined || next.id !== link.config.id || !next.enabled) this.#deps.onRemoved(name);
  }

  #say(link: UpstreamLink, xml: string): void {
    void link.message(xml).then(status => {
      if (status === undefined || status >= 300) this.#deps.log.info({ upstream: link.config.name, status: status ?? null }, 'upstream.answer-unaccepted');
    });
  }

  #deviceInfo({ config }: UpstreamLink, head: { sn: number; deviceId: string }): string {
    const { catalogs, views } = this.#deps;
    if (head.deviceId === config.localId) {
      return buildDeviceInfoResponse(head, { deviceName: systemName(this.#deps.config()), manufacturer: MANUFACTURER, model: MODEL, channel: views.shares(config).length });
    }
    const device = views.deviceOf(config.name, head.deviceId);
    if (device !== undefined) return buildDeviceInfoResponse(head, infoOf(catalogs.facts(device), catalogs.channels(device).size));
    const channel = views.resolve(config.name, head.deviceId);
    const shown = typeof channel === 'string' ? undefined : views.of(config.name)?.see(channel);
    if (shown === undefined) return buildDeviceInfoResponse(head, { result: 'ERROR' });
    const { item, seen } = shown;
    const facts = infoOf(catalogs.facts(shown.deviceId), 1);
    return buildDeviceInfoResponse(head, { ...facts, deviceName: seen.name, manufacturer: item.manufacturer ?? facts.manufacturer, model: item.model ?? facts.model });
  }

  /** What we know of it ourselves. */
  deviceStatus({ config }: UpstreamLink, head: { sn: number; deviceId: string }): string {
    const { clock, views } = this.#deps;
    if (head.deviceId === config.localId) return buildDeviceStatusResponse(head, { online: true, status: 'OK', encode: true, record: false, deviceTime: clock.wall() });
    const device = views.deviceOf(config.name, head.deviceId);
    if (device !== undefined) {
      const online = this.#deps.isOnline(device);
      return buildDeviceStatusResponse(head, { online, status: online ? 'OK' : 'ERROR', encode: online, record: false, deviceTime: clock.wall() });
    }
    const channel = views.resolve(config.name, head.deviceId);
    const view = views.of(config.name);
    const shown = typeof channel === 'string' ? undefined : view?.see(channel);
    if (shown === undefined) return buildDeviceStatusResponse(head, { result: 'ERROR', online: false, status: 'ERROR', reason: typeof channel === 'string' ? channel : 'unknown' });
    const online = view?.stateOf(shown) === 'ON';
    return buildDeviceStatusResponse(head, { online, status: online ? 'OK' : 'ERROR', encode: online, record: false, deviceTime: clock.wall() });
  }
}

const infoOf = ({ name, manufacturer, model, firmware }: DeviceFacts, channel: number): DeviceInfoParts => ({ deviceName: name ?? undefined, manufacturer: manufacturer ?? undefined, model: model ?? undefined, firmware: firmware ?? undefined, channel });

const sameIdentity = (a: UpstreamConfig, b: UpstreamConfig): boolean => IDENTITY.every(key => a[key] === b[key]);
