/** Media instances, and the channels that flow through them, the busiest first. */
import { Gathering, type Measured, percentOf, shown } from '../model.ts';

/** A channel that loses less is not worth a line. */
const NOTABLE_PERCENT = 1;

export interface LoadFacts {
  readonly instance: string;
  readonly bridges: number;
  readonly sinks: number;
  readonly bitrateInBps: number;
  readonly bitrateOutBps: number;
  readonly portsFree: number;
  readonly refuses: string | null;
  /** What it gives up for want of memory or processor (core/media/strain); undefined: it does not say. */
  readonly strain?: { readonly level: number; readonly says: string | null } | undefined;
  /** Ports that it has in all; null: they are not counted. */
  readonly ports: number | null;
}

export function measureLoad(load: LoadFacts): Measured {
  const found = new Gathering();
  const labels = { instance: load.instance };
  const subject = `media:${load.instance}`;
  found.sample('viewlink_media_bridges', labels, load.bridges);
  found.sample('viewlink_media_sinks', labels, load.sinks);
  found.sample('viewlink_media_receive_bits_per_second', labels, load.bitrateInBps);
  found.sample('viewlink_media_transmit_bits_per_second', labels, load.bitrateOutBps);
  found.sample('viewlink_media_ports_free', labels, load.portsFree);
  found.sample('viewlink_media_refuses', labels, load.refuses === null ? 0 : 1);
  found.observe('media.refuses', subject, load.refuses === null ? 0 : 1, load.refuses === null ? `${load.bridges} sources, ${shown(load.bitrateInBps / 1e6)} Mbit/s in, ${shown(load.bitrateOutBps / 1e6)} Mbit/s out` : `takes no new source: ${load.refuses}`);
  if (load.strain !== undefined) {
    const { level, says } = load.strain;
    found.sample('viewlink_media_strain_level', labels, level);
    found.observe('media.strained', subject, level, says === null ? '' : `level ${level} of 3, ${says}`);
  }
  if (load.ports !== null && load.ports > 0) {
    const free = percentOf(load.portsFree, load.ports);
    found.observe('media.ports', subject, free, free > 50 ? '' : `${load.portsFree} of ${load.ports} ports free`);
  }
  return found;
}

/** Totals of one bridge as they were read. */
export interface BridgeTotals {
  readonly bridgeId: string;
  readonly packets: number;
  readonly lost: number;
  readonly bytes: number;
  /** Null: nobody who wants whole pictures. */
  readonly frozenMs: number | null;
  readonly frozenNow: boolean;
  readonly sinks: readonly { readonly sinkId: string; readonly bytes: number }[];
}

/** Whose it is, as sipd knows; viewers of outlets are nobody's. */
export interface BridgeOwner {
  readonly deviceId: string;
  readonly channelId: string;
  readonly name: string | null;
  readonly upstreams: readonly { readonly name: string; readonly sinkId: string }[];
}

export interface TrafficFacts {
  readonly instance: string;
  readonly now: readonly BridgeTotals[];
  readonly before: ReadonlyMap<string, BridgeTotals>;
  readonly owners: ReadonlyMap<string, BridgeOwner>;
  readonly elapsedS: number;
}

interface Flow {
  readonly bridge: BridgeTotals;
  readonly owner: BridgeOwner | undefined;
  readonly bps: number;
  readonly packets: number;
  readonly lost: number;
  readonly frozenRatio: number | null;
}

export interface Traffic extends Measured {
  /** Of the sinks of each upstream here. */
  readonly upstreamBps: ReadonlyMap<string, number>;
}

/** `maxChannels`: series are kept of so many channels at once. */
export function measureBridges(facts: TrafficFacts, maxChannels: number): Traffic {
  const found = new Gathering();
  const flows = facts.now.flatMap(bridge => flowOf(bridge, facts) ?? []).sort((a, b) => b.bps - a.bps);
  const sum = (key: 'packets' | 'lost'): number => flows.reduce((all, flow) => all + flow[key], 0);
  const loss = percentOf(sum('lost'), sum('packets') + sum('lost'));
  const watched = facts.now.filter(({ frozenMs }) => frozenMs !== null);
  const frozen = watched.filter(({ frozenNow }) => frozenNow).length;
  const labels = { instance: facts.instance };
  found.sample('viewlink_media_loss_ratio', labels, loss / 100);
  found.sample('viewlink_media_frozen', labels, frozen);
  const subject = `media:${facts.instance}`;
  found.observe('media.loss', subject, loss, loss === 0 ? '' : `sources lost ${shown(loss)} % of their packets`);
  found.observe('media.frozen', subject, watched.length < 5 ? 0 : percentOf(frozen, watched.length), frozen === 0 ? '' : `the picture of ${frozen} of ${watched.length} watched sources stands still`);
  flows.slice(0, maxChannels).forEach(flow => addChannel(found, flow));
  if (flows.length <= maxChannels) found.complete.push('channel.loss');
  return { samples: found.samples, observations: found.observations, complete: found.complete, upstreamBps: upstreamRates(facts) };
}

function flowOf(bridge: BridgeTotals, { before, owners, elapsedS }: TrafficFacts): Flow | undefined {
  const old = before.get(bridge.bridgeId);
  if (old === undefined || elapsedS <= 0 || bridge.packets < old.packets) return undefined;
  const frozenRatio = bridge.frozenMs === null || old.frozenMs === null ? null : Math.min(1, Math.max(0, bridge.frozenMs - old.frozenMs) / 1000 / elapsedS);
  return { bridge, owner: owners.get(bridge.bridgeId), bps: (8 * Math.max(0, bridge.bytes - old.bytes)) / elapsedS, packets: bridge.packets - old.packets, lost: Math.max(0, bridge.lost - old.lost), frozenRatio };
}

function addChannel(found: Gathering, { owner, bps, packets, lost, frozenRatio }: Flow): void {
  if (owner === undefined) return;
  const labels = { device: owner.deviceId, channel: owner.channelId };
  const loss = percentOf(lost, packets + lost);
  found.sample('viewlink_channel_bits_per_second', labels, Math.round(bps));
  found.sample('viewlink_channel_loss_ratio', labels, loss / 100);
  found.sample('viewlink_channel_frozen_ratio', labels, frozenRatio);
  if (loss >= NOTABLE_PERCENT) found.observe('channel.loss', `channel:${owner.channelId}`, loss, `${owner.name ?? owner.deviceId}: ${shown(loss)} % of its packets lost`);
}

function upstreamRates({ now, before, owners, elapsedS }: TrafficFacts): ReadonlyMap<string, number> {
  const rates = new Map<string, number>();
  for (const { bridgeId, sinks } of now) {
    const old = new Map(before.get(bridgeId)?.sinks.map(({ sinkId, bytes }) => [sinkId, bytes]));
    const mine = new Map(owners.get(bridgeId)?.upstreams.map(({ name, sinkId }) => [sinkId, name]));
    for (const { sinkId, bytes } of sinks) {
      const [name, from] = [mine.get(sinkId), old.get(sinkId)];
      if (name !== undefined && from !== undefined && elapsedS > 0) rates.set(name, (rates.get(name) ?? 0) + (8 * Math.max(0, bytes - from)) / elapsedS);
    }
  }
  return rates;
}

export interface TranscoderFacts {
  readonly state: string;
  readonly label: string;
  readonly cores: number | null;
}

export function measureTranscoders(instance: string, jobs: readonly TranscoderFacts[]): Measured {
  const found = new Gathering();
  const count = (states: readonly string[]): number => jobs.filter(({ state }) => states.includes(state)).length;
  for (const [state, states] of [['running', ['running', 'starting']], ['waiting', ['waiting', 'down']], ['failed', ['failed']], ['passing', ['passing']]] as const) found.sample('viewlink_transcoders', { instance, state }, count(states));
  found.sample('viewlink_transcoder_cores', { instance }, jobs.reduce((sum, { cores }) => sum + (cores ?? 0), 0));
  const failed = jobs.filter(({ state }) => state === 'failed');
  found.complete.push('transcode.failed');
  if (jobs.length > 0) found.observe('transcode.failed', `transcode:${instance}`, failed.length, failed.length === 0 ? `${jobs.length} transcoders` : `${failed.length} of ${jobs.length} do not run: ${failed[0]!.label}`);
  return found;
}
