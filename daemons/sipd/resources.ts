/**
 * Cameras with more than one way to them, over the catalogues as they are now: who stands for whom, in which order sources are tried,
 * and whether any of them is there.
 *
 *   catalogs (a catalogue changed), configuration -> core/gb/resource -> upstreams (one entry, one ID, ON when any is ON)
 *                                                                    -> relay (ordered sources), vlink show resources
 */
import type { ResourceRow } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { isPlatformId, isReturned, parseRoute } from '#core/gb/origin.ts';
import { type Resource, ResourceTable } from '#core/gb/resource.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';

export interface ResourcesDeps {
  readonly catalogs: Catalogs;
  config(): GatewayConfig;
  isOnline(deviceId: string): boolean;
  /** Somebody watches it now, this way; left out where only the catalogue counts. */
  isPlaying?(channel: ChannelRef): boolean;
}

export class Resources {
  readonly #deps: ResourcesDeps;
  /** Undefined: to be made anew when somebody asks. */
  #table: ResourceTable | undefined;
  /** Our IDs. */
  #own: ReadonlySet<string> = new Set();

  constructor(deps: ResourcesDeps) {
    this.#deps = deps;
  }

  /** A catalogue or the configuration changed. */
  changed(): void {
    this.#table = undefined;
  }

  /** All ways to this camera that a catalogue knows, best first; the channel alone when it is no resource. */
  sourcesOf(channel: ChannelRef): readonly ChannelRef[] {
    // Asked several times for each channel of each catalogue; most installations join nothing.
    if (this.#current.all.length === 0) return [channel];
    const known = this.#current.sourcesOf(channel).filter(source => this.#item(source) !== undefined);
    const others = known.length > 1 ? known.filter(source => !this.#isReturned(source)) : known;
    return others.length > 0 ? others : known.length > 0 ? known : [channel];
  }

  /** The channel that stands for its camera upward: the first of its sources. */
  primaryOf(channel: ChannelRef): ChannelRef {
    return this.sourcesOf(channel)[0]!;
  }

  isPrimary({ deviceId, channelId }: ChannelRef): boolean {
    const first = this.primaryOf({ deviceId, channelId });
    return first.deviceId === deviceId && first.channelId === channelId;
  }

  resourceOf(channel: ChannelRef): Resource | undefined {
    return this.#current.of(channel);
  }

  /** Any way to it works, as far as its device says. */
  isOn(channel: ChannelRef): boolean {
    return this.sourcesOf(channel).some(source => this.#isOn(source));
  }

  /** What is published of it: the first source's item, under the engineer's name, and there when any source is. */
  shown(channel: ChannelRef): { readonly item: CatalogItem; readonly online: boolean } | undefined {
    const primary = this.primaryOf(channel);
    const item = this.#item(primary);
    if (item === undefined) return undefined;
    const resource = this.#current.of(channel);
    if (resource === undefined) return { item, online: this.#deps.isOnline(primary.deviceId) };
    const named = resource.name === undefined ? item : { ...item, name: resource.name };
    return this.isOn(channel) ? { item: { ...named, status: 'ON' }, online: true } : { item: named, online: false };
  }

  /** The way that plays first, then those that say they are there, then the others; the engineer's order within each. */
  byReadiness(channel: ChannelRef): readonly ChannelRef[] {
    const sources = this.sourcesOf(channel);
    if (sources.length < 2) return sources;
    const rank = (source: ChannelRef): number => (this.#deps.isPlaying?.(source) === true ? 0 : this.#isOn(source) ? 1 : 2);
    return sources.map(source => ({ source, rank: rank(source) })).sort((left, right) => left.rank - right.rank).map(({ source }) => source);
  }

  rows(): ResourceRow[] {
    return this.#current.all.map(resource => ({
      id: resource.id,
      name: resource.name ?? this.#item(resource.sources.find(source => this.#item(source) !== undefined) ?? resource.sources[0]!)?.name ?? null,
      rule: resource.rule,
      status: resource.sources.some(source => this.#isOn(source)) ? 'ON' : 'OFF',
      sources: resource.sources.map(({ deviceId, channelId }) => {
        const item = this.#item({ deviceId, channelId });
        return { deviceId, channelId, name: item?.name ?? null, known: item !== undefined, status: this.#isOn({ deviceId, channelId }) ? 'ON' : 'OFF' };
      }),
    }));
  }

  #isOn(source: ChannelRef): boolean {
    const item = this.#item(source);
    return item !== undefined && item.status !== 'OFF' && this.#deps.isOnline(source.deviceId);
  }

  #item({ deviceId, channelId }: ChannelRef): CatalogItem | undefined {
    return this.#deps.catalogs.channels(deviceId).get(channelId);
  }

  /** It went through us on its way: over it we would wait for ourselves. */
  #isReturned(source: ChannelRef): boolean {
    const route = parseRoute(this.#item(source)?.route);
    return route !== undefined && route.length > 0 && isReturned(route, this.#own);
  }

  /** What a platform below lists is taken for another way by itself only where the engineer says that it does not have it from us. */
  *#joinable(): Generator<ChannelRef & { readonly item: CatalogItem }> {
    const publishing = new Set(this.#deps.config().devices.known.filter(({ returned }) => returned === 'publish').map(({ id }) => id));
    for (const channel of this.#deps.catalogs.allChannels()) if (!isPlatformId(channel.deviceId) || publishing.has(channel.deviceId)) yield channel;
  }

  get #current(): ResourceTable {
    if (this.#table !== undefined) return this.#table;
    const { resources, resourceRules, devices, sip, upstreams } = this.#deps.config();
    this.#own = new Set([sip.id, ...upstreams.map(({ localId }) => localId)]);
    return (this.#table = new ResourceTable(this.#joinable(), { list: resources, rules: resourceRules }, devices.known.map(({ id }) => id)));
  }
}
