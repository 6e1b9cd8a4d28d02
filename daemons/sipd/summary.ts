/** What healthd asks every few seconds, whatever stands below: no walk over channels. */
import type { SipdSummary } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import type { Clock } from '#kit/clock.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Catalogs } from './catalogs.ts';
import type { Devices } from './devices.ts';
import type { Inlets } from './inlets.ts';
import type { Relay } from './relay.ts';
import type { Upstreams } from './upstreams.ts';

const MAX_GONE = 100;

export interface SummaryDeps {
  readonly clock: Clock;
  readonly store: StateStore;
  readonly devices: Devices;
  readonly catalogs: Catalogs;
  readonly inlets: Inlets;
  readonly upstreams: Upstreams;
  readonly relay: Relay;
  config(): GatewayConfig;
}

export function summaryOf(deps: SummaryDeps): SipdSummary {
  const { state, queued, refused, origin } = deps.store.health;
  return {
    ...deviceFigures(deps),
    channels: channelFigures(deps),
    upstreams: deps.upstreams.links.map(({ config, view }) => ({ name: config.name, state: view.state, reason: view.reason, sessions: deps.relay.sessionsOf(config.name) })),
    sources: sourceRows(deps),
    store: { state, queued, refused, origin },
  };
}

function deviceFigures({ devices, catalogs, clock, config }: SummaryDeps): Pick<SipdSummary, 'devices' | 'gone'> {
  const now = clock.now();
  const ids = devices.ids();
  const gone: { id: string; name: string | null; reason: string; lastSeenAgeMs: number }[] = [];
  let online = 0;
  for (const id of ids) {
    const binding = devices.binding(id)!;
    if (binding.online) online += 1;
    else gone.push({ id, name: null, reason: binding.reason ?? 'expired', lastSeenAgeMs: Math.round(now - binding.lastSeenAt) });
  }
  const known = new Set(ids);
  const neverRegistered = config().devices.known.reduce((sum, { id }) => sum + (known.has(id) ? 0 : 1), 0);
  const last = gone.sort((a, b) => a.lastSeenAgeMs - b.lastSeenAgeMs).slice(0, MAX_GONE);
  return { devices: { online, offline: gone.length, neverRegistered }, gone: last.map(row => ({ ...row, name: catalogs.facts(row.id).name })) };
}

function channelFigures({ devices, catalogs, inlets }: SummaryDeps): SipdSummary['channels'] {
  let all = 0;
  let online = 0;
  for (const id of catalogs.deviceIds) {
    const { size } = catalogs.channels(id);
    all += size;
    if (inlets.owns(id) || devices.binding(id)?.online === true) online += size;
  }
  return { all, online };
}

function sourceRows({ relay, catalogs }: SummaryDeps): SipdSummary['sources'] {
  const viewers = Map.groupBy(relay.viewers, ({ source }) => source.bridgeId);
  return relay.sources.map(({ bridgeId, instance, channel: { deviceId, channelId } }) => ({
    bridgeId,
    instance,
    deviceId,
    channelId,
    name: catalogs.channels(deviceId).get(channelId)?.name ?? null,
    upstreams: (viewers.get(bridgeId) ?? []).map(({ plan }) => ({ name: plan.upstream, sinkId: plan.sinkId })),
  }));
}
