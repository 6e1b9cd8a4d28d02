/** What `vlink show` and `vlink why` are told: rows over the state of the other files. */
import type { ChannelRow, DeviceRow, RecordingRow, SessionRow, SipdRequests, WhyReport } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { ShareRule } from '#core/gb/share-rule.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import type { ParamsOf } from '#kit/rpc.ts';
import type { AttemptLog } from './attempts.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { Devices } from './devices.ts';
import type { Inlets } from './inlets.ts';
import type { LegMemory } from './leg-memory.ts';
import type { MediaPool } from './media-pool.ts';
import type { Relay } from './relay.ts';
import type { Source } from './source.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';
import { judge, type Refusal, type WhyFacts } from './why.ts';

/** Rows of one answer; the client pages. */
const MAX_CHANNEL_ROWS = 1000;
/** Digits that devices of one centre and industry share. */
const REGION_DIGITS = 10;

export interface RowsDeps {
  readonly clock: Clock;
  readonly devices: Devices;
  readonly catalogs: Catalogs;
  readonly upstreams: Upstreams;
  readonly views: Views;
  readonly relay: Relay;
  readonly media: MediaPool;
  readonly attempts: AttemptLog;
  readonly legMemory: LegMemory;
  readonly inlets: Inlets;
  config(): GatewayConfig;
}

export class Rows {
  readonly #deps: RowsDeps;

  constructor(deps: RowsDeps) {
    this.#deps = deps;
  }

  devices(): DeviceRow[] {
    const { devices, catalogs, config } = this.#deps;
    const ids = new Set([...config().devices.known.map(({ id }) => id), ...devices.ids(), ...catalogs.deviceIds]);
    return [...ids].sort().map(id => this.#device(id));
  }

  #device(id: string): DeviceRow {
    const { devices, catalogs, clock } = this.#deps;
    const binding = devices.binding(id);
    const speech = devices.speech(id);
    const isOnline = this.#deps.inlets.owns(id) || binding?.online === true;
    const { name, manufacturer, model, firmware } = catalogs.facts(id);
    const now = clock.now();
    return {
      id,
      name,
      manufacturer,
      model,
      firmware,
      edition: speech.version,
      dialect: speech.dialect,
      dialectBy: speech.by,
      state: isOnline ? 'online' : 'offline',
      reason: isOnline ? null : (binding?.reason ?? 'never-registered'),
      transport: binding?.source.transport ?? null,
      address: binding === undefined ? null : `${binding.source.address}:${binding.source.port}`,
      expiresInMs: binding?.online === true ? Math.round(binding.expiresAt - now) : null,
      lastKeepaliveAgeMs: binding?.keepaliveAt === undefined ? null : Math.round(now - binding.keepaliveAt),
      channels: catalogs.channels(id).size,
      catalog: catalogs.view(id),
    };
  }

  channels({ deviceId, offset = 0, limit = MAX_CHANNEL_ROWS, text, status, within }: ParamsOf<SipdRequests, 'listChannels'>): { total: number; rows: ChannelRow[] } {
    const { catalogs, relay } = this.#deps;
    const playing = new Set(relay.sources.map(({ channel }) => `${channel.deviceId}/${channel.channelId}`));
    const scope = within === undefined ? undefined : new ShareRule(within);
    const isAsked = (channel: CatalogChannel): boolean =>
      (deviceId === undefined || channel.deviceId === deviceId) && (scope?.covers(channel) ?? true) && (text === undefined || channel.channelId.includes(text) || channel.item.name?.includes(text) === true) && (status === undefined || this.#status(channel) === status);
    const all = [...catalogs.allChannels()].filter(isAsked);
    return { total: all.length, rows: all.slice(offset, offset + Math.min(limit, MAX_CHANNEL_ROWS)).map(channel => this.#channel(channel, playing.has(`${channel.deviceId}/${channel.channelId}`))) };
  }

  channel({ channel: text }: ParamsOf<SipdRequests, 'channel'>): ChannelRow {
    const found = this.channelNamed(text);
    const item = this.#deps.catalogs.channels(found.deviceId).get(found.channelId);
    if (item === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { channel: text });
    return this.#channel({ ...found, item }, this.#deps.relay.isPlaying(found));
  }

  #channel(channel: CatalogChannel, playing: boolean): ChannelRow {
    const { deviceId, channelId, item } = channel;
    return { deviceId, channelId, name: item.name ?? channelId, status: this.#status(channel), manufacturer: item.manufacturer ?? null, civilCode: item.civilCode ?? null, mapped: this.#mapped(channel), playing };
  }

  #status({ deviceId, channelId }: ChannelRef): 'ON' | 'OFF' {
    const { devices, catalogs } = this.#deps;
    return (this.#deps.inlets.owns(deviceId) || devices.binding(deviceId)?.online === true) && catalogs.channels(deviceId).get(channelId)?.status !== 'OFF' ? 'ON' : 'OFF';
  }

  #mapped(channel: ChannelRef): { upstream: string; id: string }[] {
    const { upstreams, views } = this.#deps;
    return upstreams.links.flatMap(({ config }) => {
      const id = views.idOf(config.name, channel);
      return id !== undefined && views.resolve(config.name, id) !== 'not-shared' ? [{ upstream: config.name, id }] : [];
    });
  }

  async sessions(): Promise<SessionRow[]> {
    const { relay, media, clock, legMemory } = this.#deps;
    const { bridges } = await media.list();
    const byId = new Map(bridges.map(bridge => [bridge.bridgeId, bridge]));
    return relay.viewers.map(viewer => {
      const { plan, source } = viewer;
      return {
        sessionId: plan.sessionId,
        upstream: plan.upstream,
        channelId: source.channel.channelId,
        mappedId: plan.mappedId,
        deviceId: source.channel.deviceId,
        bridgeId: source.bridgeId,
        instance: media.nodes.shown(source.instance),
        node: media.nodes.nodeNamed(source.instance),
        state: viewer.phase,
        sourceState: source.state,
        learnt: legMemory.of(source.channel)?.why ?? null,
        ageMs: Math.round(clock.now() - viewer.startedAtMs),
        recording: this.#recording(source),
        upstreamCallId: viewer.callId,
        downstreamCallId: source.callId,
        bridge: byId.get(source.bridgeId) ?? null,
      };
    });
  }

  #recording({ plan: { history }, bridgeId }: Source): RecordingRow | null {
    const position = this.#deps.relay.recordings.position(bridgeId);
    if (history === undefined || position === undefined) return null;
    const { kind, startS, stopS } = history;
    return { kind, startS, stopS, ...position, positionS: Math.round(position.positionS) };
  }

  async why({ channel, probe }: ParamsOf<SipdRequests, 'why'>): Promise<WhyReport> {
    const { relay, devices } = this.#deps;
    const found = this.#find(channel);
    const deviceId = found.channel?.deviceId ?? found.deviceId;
    const playing = found.channel !== null && relay.sources.some(source => source.channel.channelId === found.channel?.channelId && source.channel.deviceId === deviceId);
    const mayProbe = probe && found.channel !== null && !playing && deviceId !== null && (this.#deps.inlets.owns(deviceId) || devices.reach(deviceId) !== null);
    using _playing = mayProbe ? await relay.probe(deviceId, found.channel.channelId) : undefined;
    return judge(await this.#facts(channel, found));
  }

  async #facts(asked: string, found: Found): Promise<WhyFacts> {
    const { devices, relay, media, attempts, config, inlets } = this.#deps;
    const deviceId = found.channel?.deviceId ?? found.deviceId;
    const row = deviceId === null ? undefined : this.#device(deviceId);
    const [loads, { bridges }] = await Promise.all([media.loads(), media.list()]);
    const { channel } = found;
    const inlet = channel === null ? undefined : inlets.find(channel);
    const item = channel === null ? undefined : this.#deps.catalogs.channels(channel.deviceId).get(channel.channelId);
    return {
      asked,
      channel: channel === null ? null : { ...channel, name: this.#name(channel), status: item?.status ?? 'ON', fault: item?.fault ?? null },
      candidates: found.candidates,
      device: row === undefined ? null : { ...row, configured: config().devices.known.some(({ id }) => id === row.id) },
      refusals: this.#refusals(deviceId, asked, devices.refusals()),
      mediadUp: media.instanceNames.some(({ up }) => up),
      portsFree: loads.length === 0 ? null : loads.reduce((sum, load) => sum + load.portsFree, 0),
      refuses: loads.length > 0 && loads.every(load => load.refuses !== null) ? loads[0]!.refuses : null,
      strained: loads.flatMap(load => load.strain?.says ?? []),
      attempt: channel === null ? null : await attempts.last(channel.deviceId, channel.channelId),
      inlet: inlet === undefined ? null : inlets.facts(inlet),
      viewers: relay.viewers
        .filter(({ source }) => source.channel.deviceId === deviceId && (channel === null || source.channel.channelId === channel.channelId))
        .map(({ plan, phase, source }) => {
          const sink = bridges.find(bridge => bridge.bridgeId === source.bridgeId)?.sinks.find(({ sinkId }) => sinkId === plan.sinkId);
          return { upstream: plan.upstream, phase, sinkState: sink?.state ?? null, packets: sink?.packets ?? 0 };
        }),
    };
  }

  /** Of the device; of an unknown channel, those that share its region and have no catalogue here. */
  #refusals(deviceId: string | null, asked: string, all: readonly Refusal[]): Refusal[] {
    if (deviceId !== null) return all.filter(refusal => refusal.deviceId === deviceId);
    return all.filter(refusal => refusal.deviceId.slice(0, REGION_DIGITS) === asked.slice(0, REGION_DIGITS) && this.#deps.catalogs.channels(refusal.deviceId).size === 0);
  }

  #name({ deviceId, channelId }: ChannelRef): string {
    return this.#deps.catalogs.channels(deviceId).get(channelId)?.name ?? channelId;
  }

  /** CHANNEL_UNKNOWN; BAD_REQUEST when several fit. */
  channelNamed(text: string): ChannelRef {
    const { channel, candidates } = this.#find(text);
    if (channel !== null) return channel;
    if (candidates > 1) throw new GatewayError('BAD_REQUEST', { channel: text, why: `${candidates} channels fit; give DEVICE/CHANNEL` });
    throw new GatewayError('CHANNEL_UNKNOWN', { channel: text });
  }

  /** By native ID, by an ID that an upstream knows, by device, by a part of a name that fits only one. */
  #find(asked: string): Found {
    const { catalogs, upstreams, views, devices, config } = this.#deps;
    const all = [...catalogs.allChannels()];
    const native = all.filter(({ channelId, deviceId }) => channelId === asked || `${deviceId}/${channelId}` === asked);
    if (native.length === 1) return { channel: refOf(native[0]!), deviceId: null, candidates: 1 };
    if (native.length > 1) return { channel: null, deviceId: null, candidates: native.length };
    for (const { config: upstream } of upstreams.links) {
      const mapped = views.resolve(upstream.name, asked);
      if (typeof mapped !== 'string') return { channel: mapped, deviceId: null, candidates: 1 };
    }
    const isDevice = devices.binding(asked) !== undefined || config().devices.known.some(({ id }) => id === asked) || devices.refusals().some(refusal => refusal.deviceId === asked);
    if (isDevice) return { channel: null, deviceId: asked, candidates: 0 };
    const named = all.filter(({ item }) => item.name?.includes(asked));
    return { channel: named.length === 1 ? refOf(named[0]!) : null, deviceId: null, candidates: named.length };
  }
}

type CatalogChannel = ChannelRef & { readonly item: CatalogItem };

interface Found {
  readonly channel: ChannelRef | null;
  readonly deviceId: string | null;
  readonly candidates: number;
}

const refOf = ({ deviceId, channelId }: ChannelRef): ChannelRef => ({ deviceId, channelId });
