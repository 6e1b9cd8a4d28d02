/**
 * Which way to its camera a source tries next, and over what: core/gb/source-choice with what is known of devices, inlets and of what
 * worked before (leg-memory).
 */
import type { GatewayConfig, InletConfig } from '#core/config/schema.ts';
import { type InvitePath, nextPath } from '#core/gb/invite-path.ts';
import { isPlatformId } from '#core/gb/origin.ts';
import type { SourceCandidate } from '#core/gb/source-choice.ts';
import type { NextLegReason } from '#core/gb/source-session.ts';
import { seconds } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { SipEndpoint } from '#kit/sip-endpoint.ts';
import type { ChannelRef } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { DeviceReach } from './devices.ts';
import type { Inlets } from './inlets.ts';
import { type LegMemory, TCP_REST_MS } from './leg-memory.ts';
import { LOOPBACK } from './media-nodes.ts';
import type { MediaPool } from './media-pool.ts';
import { planLeg } from './relay-plan.ts';
import type { Source } from './source.ts';
import type { History, LegPlan } from './leg-plan.ts';
import type { SourceLeg } from './source-leg.ts';
import type { SsrcLeases } from './ssrc-leases.ts';

/** Keys of sources that have this one way only, whatever the resource has. */
export const ALONE = '/alone';

export interface LegPlannerDeps {
  readonly endpoint: SipEndpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly inlets: Inlets;
  readonly media: MediaPool;
  readonly legMemory: LegMemory;
  readonly ssrcs: SsrcLeases;
  /** Of our own INVITEs (core/gb/invite-path). */
  readonly mark: string;
  config(): GatewayConfig;
  reach(deviceId: string): DeviceReach | null;
  waysTo(channel: ChannelRef): readonly ChannelRef[];
  /** Of a recording whose connection was lost with a node; null: nothing. */
  restOf(source: Source): History | null;
}

export class LegPlanner {
  readonly #deps: LegPlannerDeps;

  constructor(deps: LegPlannerDeps) {
    this.#deps = deps;
  }

  hasOtherWays(channel: ChannelRef, key: string): boolean {
    return !key.endsWith(ALONE) && this.#deps.waysTo(channel).length > 1;
  }

  /** Null: there is none, or none that would be better. */
  plan(source: Source, because: NextLegReason): LegPlan | null {
    const { clock, config, ssrcs, random, log, counters } = this.#deps;
    const { channel, streamNumber, key } = source.plan;
    const history = source.plan.history === undefined ? undefined : this.#history(source, source.plan.history, because);
    if (history === null) return null;
    const ways = key.endsWith(ALONE) || history !== undefined ? [channel] : this.#deps.waysTo(channel);
    const choice = source.choice.next(because, ways.map(way => this.candidate(way, source.plan.path)), clock.now());
    if (choice === null && because === 'lossy') this.#tcpFailed(source);
    const inlet = choice === null ? undefined : this.#deps.inlets.find(choice);
    if (choice !== null && inlet !== undefined) return this.#planInlet(source, choice, inlet);
    // A bridge that an inlet feeds is fed by nothing else.
    if (source.bridgeIsOpen && source.leg?.plan.legId === source.bridgeId) return null;
    const device = choice === null ? null : this.#deps.reach(choice.deviceId);
    const legId = `l${random.hex(8)}`;
    const ssrc = device === null ? undefined : ssrcs.take(legId, history === undefined ? 'live' : 'history');
    if (choice === null || device === null || ssrc === undefined) return null;
    const localAddress = source.mediaAddress ?? (config().media.downstreamAddress || this.#deps.endpoint.localAddressFor(device.target).address);
    if (because !== 'start') {
      counters.add(`relay.next-leg.${because}`);
      log.info({ bridgeId: source.bridgeId, because, deviceId: choice.deviceId, channelId: choice.channelId, transport: choice.transport }, 'source.next-leg');
    }
    return planLeg(device, choice, { legId, ssrc, localAddress, streamNumber, history }, config(), because === 'cut');
  }

  /** A recording is where it is, and nowhere else. */
  #history(source: Source, asked: History, because: NextLegReason): History | null {
    if (because === 'cut') return this.#deps.restOf(source);
    return because === 'start' ? asked : null;
  }

  candidate(way: ChannelRef, path: InvitePath): SourceCandidate {
    const { media } = this.#deps.config().devices;
    const inlet = this.#deps.inlets.find(way);
    if (inlet !== undefined) return { deviceId: way.deviceId, channelId: way.channelId, isReachable: this.#deps.inlets.isReachable(inlet), transport: 'tcp-active', mayMoveToTcp: false };
    const device = this.#deps.reach(way.deviceId);
    const fixed = device?.config.transport;
    const learnt = this.#deps.legMemory.of(way);
    return { deviceId: way.deviceId, channelId: way.channelId, isReachable: device !== null && (!isPlatformId(way.deviceId) || nextPath(path, this.#deps.mark) !== undefined), transport: fixed ?? learnt?.transport ?? media.transport, mayMoveToTcp: fixed === undefined && learnt === undefined && media.tcpForS > 0 };
  }

  /** One that is the only way to its camera feeds the bridge itself; one of several gets a bridge of its own beside it. */
  #planInlet(source: Source, { deviceId, channelId }: ChannelRef, inlet: InletConfig): LegPlan | null {
    const { ssrcs, random, config, inlets, media } = this.#deps;
    const isOneOfSeveral = source.bridgeIsOpen || this.hasOtherWays(source.plan.channel, source.plan.key);
    const legId = isOneOfSeveral ? `l${random.hex(8)}` : source.bridgeId;
    const ssrc = ssrcs.take(legId, 'live');
    if (ssrc === undefined) return null;
    const { silenceS, inviteTimeoutS, firstPacketS } = config().devices.media;
    const timing = { inviteTimeoutMs: seconds(inviteTimeoutS), firstPacketMs: seconds(firstPacketS) };
    const common = { legId, inletId: inlet.id, deviceId, channelId, streamNumber: source.plan.streamNumber, localAddress: LOOPBACK, ssrc, latch: 'strict', silenceMs: seconds(silenceS), timing } as const;
    if (!isOneOfSeveral) return { ...common, transport: 'tcp-active', ssrcPolicy: 'adopt', allowed: [] };
    const instance = inlets.instanceOf(inlet) ?? source.instance;
    const [address, localAddress] = media.nodes.between(instance, source.instance);
    return { ...common, localAddress, transport: 'tcp-passive', ssrcPolicy: 'exact', allowed: [address], feeder: { bridgeId: `f${random.hex(8)}`, instance, address } };
  }

  flows(source: Source, { plan }: SourceLeg, before: LegPlan | undefined): void {
    if (before === undefined) return;
    const { counters, log, legMemory, config } = this.#deps;
    counters.add('relay.taken-over');
    log.warn({ bridgeId: source.bridgeId, from: `${before.deviceId}/${before.channelId} ${before.transport}`, to: `${plan.deviceId}/${plan.channelId} ${plan.transport}`, viewers: source.viewers.length }, 'source.taken-over');
    if (isSame(before, plan) && before.transport === 'udp' && plan.transport !== 'udp') {
      legMemory.learn(plan, plan.transport, config().devices.media.tcpForS * 1000, 'its UDP was lossy');
      counters.add('relay.moved-to-tcp');
    }
  }

  ended(source: Source, { plan, history }: SourceLeg): void {
    const { failure } = history;
    if (failure === null || source.phase === 'closed') return;
    this.#deps.counters.add(`relay.leg-failed.${failure.code}`);
    this.#deps.log.info({ bridgeId: source.bridgeId, deviceId: plan.deviceId, channelId: plan.channelId, transport: plan.transport, code: failure.code, why: failure.why }, 'source.leg-failed');
    // Room was made for TCP, and it came to nothing: not again soon.
    if (plan.transport !== 'udp' && this.candidate(plan, source.plan.path).mayMoveToTcp && source.phase === 'failing-over') this.#deps.legMemory.learn(plan, 'udp', TCP_REST_MS, failure.why);
  }

  /** Every way over TCP failed: the lossy stream goes on, and is left in peace for a while. */
  #tcpFailed(source: Source): void {
    const { leg } = source;
    if (leg === undefined || leg.plan.transport !== 'udp' || !this.candidate(leg.plan, source.plan.path).mayMoveToTcp) return;
    this.#deps.counters.add('relay.tcp-refused');
    this.#deps.legMemory.learn(leg.plan, 'udp', Math.min(TCP_REST_MS, seconds(this.#deps.config().devices.media.tcpForS)), 'its UDP is lossy, but it cannot be had over TCP');
    this.#deps.log.warn({ deviceId: leg.plan.deviceId, channelId: leg.plan.channelId }, 'source.stays-lossy');
  }
}

const isSame = (a: ChannelRef, b: ChannelRef): boolean => a.deviceId === b.deviceId && a.channelId === b.channelId;
