/**
 * One camera that is reachable in several ways is one resource with ordered sources: what upstreams see once, under one ID, and what
 * a running session falls back on. The engineer's list goes before the automatic rules; a channel belongs to one resource at most, and
 * one that is listed alone stays alone. Channels that no rule joins are no resource: they stand for themselves.
 */
import { normalizeCivilCode, typeCode } from './device-id.ts';
import type { ChannelKey } from './id-mapping.ts';

export type ResourceRule = 'configured' | 'same-id' | 'same-name' | 'same-address';

export interface Resource {
  /** Of the configuration; else the channel ID of the first source. */
  readonly id: string;
  /** Of the configuration; the name of the first source is meant otherwise. */
  readonly name: string | undefined;
  readonly rule: ResourceRule;
  /** In the order in which they are tried; at least one. Those of the configuration need not be known to any catalogue. */
  readonly sources: readonly ChannelKey[];
}

export interface ResourceChannel extends ChannelKey {
  readonly item: { readonly name?: string | undefined; readonly civilCode?: string | undefined; readonly ipAddress?: string | undefined; readonly port?: number | string | undefined };
}

export interface ResourceSettings {
  readonly list: readonly { readonly id: string; readonly name?: string | undefined; readonly sources: readonly { readonly device: string; readonly channel: string }[] }[];
  readonly rules: { readonly sameId: boolean; readonly sameName: boolean; readonly sameAddress: boolean };
}

/** Addresses that say nothing about where a camera is. */
const NO_ADDRESS: ReadonlySet<string> = new Set(['', '0.0.0.0', '127.0.0.1', '::', '::1']);
/** More channels than this with the same name or address are not one camera: a default name, or an NVR that gives its own address for all. */
const MAX_SOURCES = 4;

const keyOf = ({ deviceId, channelId }: ChannelKey): string => `${deviceId}\n${channelId}`;

export class ResourceTable {
  readonly all: readonly Resource[];
  readonly #byChannel = new Map<string, Resource>();

  /** `order`: devices as the engineer listed them; others follow by ID, platforms last. */
  constructor(channels: Iterable<ResourceChannel>, settings: ResourceSettings, order: readonly string[] = []) {
    const all: Resource[] = [];
    const add = (resource: Resource): void => {
      if (resource.rule === 'configured' || resource.sources.length > 1) all.push(resource);
      for (const source of resource.sources) this.#byChannel.set(keyOf(source), resource);
    };
    for (const { id, name, sources } of settings.list) {
      add({ id, name, rule: 'configured', sources: sources.map(({ device, channel }) => ({ deviceId: device, channelId: channel })).filter(source => !this.#byChannel.has(keyOf(source))) });
    }
    const places = new Map(order.map((deviceId, place) => [deviceId, place]));
    const { sameId, sameName, sameAddress } = settings.rules;
    const free = sameId || sameName || sameAddress ? [...channels].filter(channel => !this.#byChannel.has(keyOf(channel))).sort((a, b) => compare(a, b, places)) : [];
    for (const [on, rule, signOf] of [[sameId, 'same-id', signOfId], [sameAddress, 'same-address', signOfAddress], [sameName, 'same-name', signOfName]] as const) {
      if (on) for (const sources of grouped(free.filter(channel => !this.#byChannel.has(keyOf(channel))), signOf)) add({ id: sources[0]!.channelId, name: undefined, rule, sources });
    }
    this.all = all.filter(({ sources }) => sources.length > 0);
  }

  of(channel: ChannelKey): Resource | undefined {
    return this.#byChannel.get(keyOf(channel));
  }

  /** All ways to this channel, itself included; itself alone when it is no resource. */
  sourcesOf(channel: ChannelKey): readonly ChannelKey[] {
    return this.of(channel)?.sources ?? [channel];
  }
}

/** Channels of one device are different cameras, whatever they are called. */
function grouped(channels: readonly ResourceChannel[], signOf: (channel: ResourceChannel) => string | undefined): ChannelKey[][] {
  const groups = new Map<string, ChannelKey[]>();
  for (const channel of channels) {
    const sign = signOf(channel);
    if (sign === undefined) continue;
    const { deviceId, channelId } = channel;
    const known = groups.get(sign);
    if (known === undefined) groups.set(sign, [{ deviceId, channelId }]);
    else known.push({ deviceId, channelId });
  }
  const isOneCamera = (group: readonly ChannelKey[]): boolean => group.length > 1 && group.length <= MAX_SOURCES && new Set(group.map(({ deviceId }) => deviceId)).size === group.length;
  return [...groups.values()].filter(isOneCamera);
}

const signOfId = ({ channelId }: ResourceChannel): string | undefined => (typeCode(channelId) === undefined ? undefined : channelId);

function signOfName({ item: { name, civilCode } }: ResourceChannel): string | undefined {
  const region = civilCode === undefined ? undefined : normalizeCivilCode(civilCode);
  const text = name?.trim() ?? '';
  return text === '' || region === undefined ? undefined : `${region}\n${text}`;
}

function signOfAddress({ item: { ipAddress, port } }: ResourceChannel): string | undefined {
  const address = ipAddress?.trim() ?? '';
  return NO_ADDRESS.has(address) || !(Number(port) > 0) ? undefined : `${address}\n${Number(port)}`;
}

/** The camera itself before a platform that has it from somebody. */
function compare(a: ChannelKey, b: ChannelKey, places: ReadonlyMap<string, number>): number {
  const rank = ({ deviceId }: ChannelKey): number => places.get(deviceId) ?? places.size + (isPlatform(deviceId) ? 1 : 0);
  return rank(a) - rank(b) || (a.deviceId < b.deviceId ? -1 : a.deviceId > b.deviceId ? 1 : 0);
}

function isPlatform(deviceId: string): boolean {
  const type = typeCode(deviceId);
  return type !== undefined && type >= 200 && type <= 299;
}
