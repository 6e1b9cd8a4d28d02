/** `vlink show upstreams`: where we are registered, and how much each platform above sees, asks for and watches. */
import type { UpstreamRow, UpstreamTotals } from '#contracts/sipd.ts';
import type { Clock } from '#kit/clock.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { Relay } from './relay.ts';
import type { Resources } from './resources.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';

export interface UpstreamRowsDeps {
  readonly clock: Clock;
  readonly catalogs: Catalogs;
  readonly resources: Resources;
  readonly upstreams: Upstreams;
  readonly views: Views;
  readonly relay: Relay;
  readonly bandwidth: Bandwidth;
}

export class UpstreamRows {
  readonly #deps: UpstreamRowsDeps;

  constructor(deps: UpstreamRowsDeps) {
    this.#deps = deps;
  }

  rows(): UpstreamRow[] {
    const playing = this.#playing();
    return this.#deps.upstreams.links.map(link => this.#row(link, playing.get(link.config.name)?.size ?? 0));
  }

  #row({ config, view, target }: UpstreamLink, playingChannels: number): UpstreamRow {
    const { views, relay, bandwidth, clock } = this.#deps;
    const now = clock.now();
    const { name, id, localId } = config;
    const shares = views.shares(config);
    const seenBy = views.of(name);
    return {
      name,
      id,
      localId,
      transport: target.transport,
      address: `${target.address}:${target.port}`,
      state: view.state,
      reason: view.reason,
      retryInMs: view.retryAt === undefined ? null : Math.max(0, Math.round(view.retryAt - now)),
      expiresInMs: view.expiresAt === undefined ? null : Math.round(view.expiresAt - now),
      lastKeepaliveAgeMs: view.keepaliveAt === undefined ? null : Math.round(now - view.keepaliveAt),
      sharedChannels: shares.length,
      onlineChannels: shares.filter(channel => seenBy?.stateOf(channel) === 'ON').length,
      accessedChannels: views.accessedBy(name).size,
      playingChannels,
      sessions: relay.sessionsOf(name),
      bitrateBps: bandwidth.bitrateOf(name),
    };
  }

  totals(): UpstreamTotals {
    const { catalogs, resources, upstreams, views } = this.#deps;
    const configs = upstreams.links.map(({ config }) => config);
    const all = [...catalogs.allChannels()].filter(({ deviceId, channelId }) => resources.isPrimary({ deviceId, channelId }));
    return {
      channels: all.length,
      shared: new Set(configs.flatMap(config => views.shares(config).map(keyOf))).size,
      accessed: new Set(configs.flatMap(({ name }) => [...views.accessedBy(name)])).size,
      online: all.filter(channel => resources.isOn(channel)).length,
      playing: new Set([...this.#playing().values()].flatMap(channels => [...channels])).size,
    };
  }

  /** Cameras that each upstream watches. */
  #playing(): ReadonlyMap<string, ReadonlySet<string>> {
    const { relay, resources } = this.#deps;
    const playing = new Map<string, Set<string>>();
    for (const { plan, source } of relay.viewers) playing.set(plan.upstream, (playing.get(plan.upstream) ?? new Set()).add(keyOf(resources.primaryOf(source.channel))));
    return playing;
  }
}

const keyOf = ({ deviceId, channelId }: ChannelRef): string => `${deviceId}\n${channelId}`;
