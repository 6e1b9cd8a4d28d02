/**
 * Streams that are no GB/T 28181 (configuration: inlets), published as channels of one device of our own. Whether a channel is ON is what
 * mediad says: it asks the ones that we pull, and knows who publishes the others.
 *
 *   mediad: inlet-online, inlet-offline, listInlets -> here -> catalogs (as of any device) -> upstreams, subscribers
 *   relay-sources -> here: is it an inlet, can it be had, in which instance
 */
import type { InletRow, MediadEvent } from '#contracts/mediad.ts';
import type { GatewayConfig, InletConfig } from '#core/config/schema.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { MediaPool } from './media-pool.ts';
import type { InletFacts } from './why.ts';

/** After a start a channel keeps the state that it had until mediad had the time to ask it. */
const UNKNOWN_MS = 10_000;
/** Behind the region of our own ID: an NVR of a serial number that nobody gives out (gb28181.md 5). */
const DEVICE_TAIL = '1180999999';

export interface InletsDeps {
  readonly catalogs: Catalogs;
  readonly media: MediaPool;
  readonly clock: Clock;
  readonly log: Log;
  config(): GatewayConfig;
}

export class Inlets implements Disposable {
  readonly #deps: InletsDeps;
  /** Instances where it is online, by inlet. */
  readonly #online = new Map<string, Set<string>>();
  /** As the catalogue had it before the restart; empty when its time is over. */
  readonly #remembered = new Set<string>();
  /** Why one is not online, as mediad said. */
  readonly #whys = new Map<string, string>();
  #byId: ReadonlyMap<string, InletConfig> = new Map();
  #forgetting: Disposable | undefined;

  constructor(deps: InletsDeps) {
    this.#deps = deps;
  }

  /** The device whose channels they are; of nobody when there are none. */
  get deviceId(): string {
    return `${this.#deps.config().sip.id.slice(0, 10)}${DEVICE_TAIL}`;
  }

  owns(deviceId: string): boolean {
    return this.#byId.size > 0 && deviceId === this.deviceId;
  }

  find({ deviceId, channelId }: ChannelRef): InletConfig | undefined {
    return deviceId === this.deviceId ? this.#byId.get(channelId) : undefined;
  }

  /** A pull is tried whatever the last look said: it may be back. */
  isReachable({ kind, id }: InletConfig): boolean {
    return kind === 'rtsp' || this.#online.has(id);
  }

  /** Where it has to be opened; undefined: anywhere. */
  instanceOf({ kind, id }: InletConfig): string | undefined {
    return kind === 'rtsp' ? undefined : [...(this.#online.get(id) ?? [])][0];
  }

  /** For `vlink why`. */
  facts({ kind, id, url, transport }: InletConfig): InletFacts {
    return { kind, place: url === undefined ? 'published over RTMP' : `${url} over ${transport}`, isOnline: this.#online.has(id), why: this.#whys.get(id) ?? null };
  }

  /** Before anything else starts, and after every change of the configuration. */
  configure(): void {
    const { catalogs, clock, config } = this.#deps;
    this.#byId = new Map(config().inlets.map(inlet => [inlet.id, inlet]));
    if (this.#forgetting === undefined) {
      for (const [id, { status }] of catalogs.channels(this.deviceId)) if (status === 'ON') this.#remembered.add(id);
      this.#forgetting = clock.schedule(addMs(clock.now(), UNKNOWN_MS), () => {
        this.#remembered.clear();
        this.#publish();
      });
    }
    if (this.#byId.size === 0) catalogs.forget(this.deviceId);
    else this.#publish();
  }

  onMediaEvent(event: MediadEvent, instance: string): void {
    if (event.type !== 'inlet-online' && event.type !== 'inlet-offline') return;
    this.#remembered.delete(event.inletId);
    if (event.type === 'inlet-offline') this.#whys.set(event.inletId, event.why);
    else this.#whys.delete(event.inletId);
    if (event.type === 'inlet-online') this.#add(event.inletId, instance);
    else this.#remove(event.inletId, instance);
    this.#publish();
  }

  /** Events are not kept, states are. */
  async onAttached(instance: string): Promise<void> {
    if (this.#byId.size === 0) return;
    let rows: readonly InletRow[];
    try {
      rows = await this.#deps.media.call(instance, 'listInlets', {});
    } catch (error) {
      if (error instanceof GatewayError) return;
      throw error;
    }
    const here = new Set(rows.map(({ inletId }) => inletId));
    for (const id of [...this.#online.keys()]) if (!here.has(id)) this.#remove(id, instance);
    for (const id of here) this.#add(id, instance);
    this.#publish();
  }

  /** The instance does not come back. */
  onGone(instance: string): void {
    for (const id of [...this.#online.keys()]) this.#remove(id, instance);
    this.#publish();
  }

  [Symbol.dispose](): void {
    this.#forgetting?.[Symbol.dispose]();
  }

  #add(id: string, instance: string): void {
    const instances = this.#online.get(id);
    if (instances === undefined) this.#online.set(id, new Set([instance]));
    else instances.add(instance);
  }

  #remove(id: string, instance: string): void {
    const instances = this.#online.get(id);
    instances?.delete(instance);
    if (instances?.size === 0) this.#online.delete(id);
  }

  #publish(): void {
    if (this.#byId.size === 0) return;
    const items = [...this.#byId.values()].map(inlet => this.#item(inlet));
    this.#deps.catalogs.publish(this.deviceId, { name: 'ViewLink', manufacturer: 'ViewLink', model: 'inlets', firmware: null, channelCount: items.length }, items);
  }

  #item({ id, name, kind, civilCode, subUrl }: InletConfig): CatalogItem {
    const isOn = this.#online.has(id) || this.#remembered.has(id);
    return {
      deviceId: id,
      name,
      manufacturer: 'ViewLink',
      model: kind,
      parentId: this.deviceId,
      civilCode: civilCode === '' ? this.deviceId.slice(0, 6) : civilCode,
      parental: '0',
      safetyWay: '0',
      registerWay: '1',
      secrecy: '0',
      status: isOn ? 'ON' : 'OFF',
      ...(subUrl === undefined ? {} : { streamNumberList: '0/1' }),
    };
  }
}
