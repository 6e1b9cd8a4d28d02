/**
 * The running sources: started for the first viewer, joined by the next ones, fed by one way to the camera after another, taken up
 * again after a restart.
 *
 *   relay (viewers), outlets (holders) -> join -> source.ts -> source-leg.ts -> device, media-pool
 *   media-pool (events) -> source of that bridge
 */
import type { BridgeStats, LegTransport, MediadEvent } from '#contracts/mediad.ts';
import type { GatewayConfig, InletConfig } from '#core/config/schema.ts';
import { type InvitePath, OWN_PATH, nextPath } from '#core/gb/invite-path.ts';
import { isPlatformId } from '#core/gb/origin.ts';
import type { NextLegReason, SourceFailure } from '#core/gb/source-session.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { GatewayError } from '#core/result.ts';
import { seconds } from '#core/units.ts';
import { decodeBody } from '#kit/charset.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { IncomingRequest, SipEndpoint } from '#kit/sip-endpoint.ts';
import type { AttemptLog } from './attempts.ts';
import type { ChannelRef } from './catalogs.ts';
import type { Counters } from './counters.ts';
import type { DeviceReach } from './devices.ts';
import { LOOPBACK } from './inlet-feeders.ts';
import type { Inlets } from './inlets.ts';
import { type LegMemory, TCP_REST_MS } from './leg-memory.ts';
import type { MediaPool } from './media-pool.ts';
import { planLeg, readCameraAnswer, sourceKey } from './relay-plan.ts';
import { cameraInvite } from './relay-sdp.ts';
import type { Recordings } from './recordings.ts';
import type { SessionStore } from './session-store.ts';
import { Source, type SourceWorld } from './source.ts';
import type { History, LegPlan, SourceLeg } from './source-leg.ts';
import type { SsrcLeases } from './ssrc-leases.ts';

/** Keys of sources that have this one way only, whatever the resource has. */
const ALONE = '/alone';

export interface SourcesDeps {
  readonly media: MediaPool;
  readonly endpoint: SipEndpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: SessionStore;
  readonly counters: Counters;
  readonly attempts: AttemptLog;
  readonly legMemory: LegMemory;
  config(): GatewayConfig;
  /** Where a device is now; null when it is offline. */
  reach(deviceId: string): DeviceReach | null;
  /** The channel that stands for its camera, whichever way it is played. */
  primaryOf(channel: ChannelRef): ChannelRef;
  readonly inlets: Inlets;
  /** All ways to the camera behind a channel, best first. */
  waysTo(channel: ChannelRef): readonly ChannelRef[];
}

export interface RelaySourcesDeps extends SourcesDeps {
  readonly ssrcs: SsrcLeases;
  /** By which we know our own INVITEs again. */
  readonly mark: string;
  readonly recordings: Recordings;
  ownAddresses(): readonly string[];
  ready(viewerIds: readonly string[]): void;
  ended(viewerIds: readonly string[], failure: SourceFailure): void;
}

export interface JoinOptions {
  readonly streamNumber: number | undefined;
  /** Of the INVITE that asks for it; default: nobody's. */
  readonly path?: InvitePath | undefined;
  /** Where it should run; one that runs elsewhere stays there. */
  readonly instance?: string | undefined;
  /** This channel and no other way to its camera. */
  readonly alone?: boolean | undefined;
  /** A recording, for one viewer. */
  readonly history?: History | undefined;
}

export class RelaySources implements Disposable {
  readonly #deps: RelaySourcesDeps;
  readonly #byKey = new Map<string, Source>();
  readonly #byBridge = new Map<string, Source>();
  /** Of the INVITEs that we sent, by leg. */
  readonly #callIds = new Map<string, string>();

  constructor(deps: RelaySourcesDeps) {
    this.#deps = deps;
  }

  get all(): readonly Source[] {
    return [...this.#byKey.values()];
  }

  of(bridgeId: string): Source | undefined {
    return this.#byBridge.get(bridgeId);
  }

  /** The running source of this stream, or a new one, which must get a viewer before anything else happens. */
  join(channel: ChannelRef, { streamNumber, path = OWN_PATH, instance, alone = false, history }: JoinOptions): Source | GatewayError {
    if (history !== undefined) return this.#start(channel, `${sourceKey(channel, streamNumber)}/recording ${this.#deps.random.hex(8)}`, { streamNumber, path, instance, history });
    const ways = alone ? [channel] : this.#deps.waysTo(channel);
    const primary = alone ? channel : this.#deps.primaryOf(channel);
    const usual = sourceKey(this.#deps.primaryOf(channel), streamNumber);
    const running = this.#byKey.get(usual);
    if (running !== undefined && (!alone || isSame(running.channel, channel))) return running;
    const key = alone ? `${sourceKey(channel, streamNumber)}${ALONE}` : usual;
    const tried = this.#byKey.get(key);
    if (tried !== undefined) return tried;
    if (!ways.some(way => this.#candidate(way, path).isReachable)) return new GatewayError('PEER_OFFLINE', { deviceId: channel.deviceId });
    return this.#start(primary, key, { streamNumber, path, instance });
  }

  #start(channel: ChannelRef, key: string, { streamNumber, path = OWN_PATH, instance, history }: JoinOptions): Source | GatewayError {
    try {
      const { media, random, config, counters } = this.#deps;
      const inlet = this.#hasOtherWays(channel, key) ? undefined : this.#deps.inlets.find(channel);
      const place = (inlet === undefined ? undefined : this.#deps.inlets.instanceOf(inlet)) ?? instance;
      const { lingerS, takeOverS } = config().devices.media;
      const timing = history === undefined ? { lingerMs: lingerS * 1000, takeOverMs: takeOverS * 1000 } : { lingerMs: 0, takeOverMs: 0 };
      const plan = { bridgeId: `b${random.hex(8)}`, key, channel, streamNumber: streamNumber ?? null, path, history, timing };
      const source = Source.create(plan, place ?? media.pick(), place !== undefined, this.#world);
      counters.add('relay.sources');
      this.#track(source);
      source.begin();
      return source.state === 'closed' ? new GatewayError('CAPACITY_EXHAUSTED', { why: 'no SSRC is free' }) : source;
    } catch (error) {
      if (error instanceof GatewayError) return error;
      throw error;
    }
  }

  #hasOtherWays(channel: ChannelRef, key: string): boolean {
    return !key.endsWith(ALONE) && this.#deps.waysTo(channel).length > 1;
  }

  isOurCallId(callId: string): boolean {
    return [...this.#callIds.values()].includes(callId);
  }

  #track(source: Source): void {
    this.#byKey.set(source.plan.key, source);
    this.#byBridge.set(source.bridgeId, source);
  }

  onMediaEvent(event: MediadEvent): void {
    if (event.type === 'source-lossy') this.#deps.counters.add('relay.lossy');
    if ('bridgeId' in event) this.#byBridge.get(event.bridgeId)?.onMediaEvent(event);
  }

  onMediaLost(bridgeIds: readonly string[]): void {
    for (const id of bridgeIds) this.#byBridge.get(id)?.feed({ type: 'media-lost' });
  }

  onMediaAttached(bridges: readonly BridgeStats[]): void {
    for (const { bridgeId, replacement } of bridges) if (replacement !== null) this.#byBridge.get(bridgeId)?.dropUnknownLeg(replacement.legId);
  }

  /** The device is gone: what it feeds goes on through another one, or ends upward too (gb28181.md 12.2). */
  deviceOffline(deviceId: string, why: string): void {
    for (const source of this.all) source.deviceOffline(deviceId, { code: 'PEER_OFFLINE', why: `device ${deviceId} went offline: ${why}` });
  }

  /** Takes one up that a restart left; throws when it cannot be read. */
  restore(stored: ReturnType<SessionStore['sources']>[number]): Source {
    const { endpoint, ssrcs, media, attempts } = this.#deps;
    const source = Source.restore(stored, state => endpoint.restoreDialog(state), this.#world);
    for (const leg of source.legs) {
      ssrcs.adopt(leg.plan.legId, leg.plan.ssrc);
      attempts.began(leg, source);
      if (leg.callId !== null) this.#callIds.set(leg.plan.legId, leg.callId);
      const { feeder } = leg.plan;
      if (feeder === undefined || !media.has(feeder.instance)) continue;
      this.#byBridge.set(feeder.bridgeId, source);
      media.adopt(feeder.instance, feeder.bridgeId);
    }
    this.#track(source);
    if (media.has(source.instance)) media.adopt(source.instance, source.bridgeId);
    return source;
  }

  [Symbol.dispose](): void {
    for (const source of this.all) source[Symbol.dispose]();
  }

  get #world(): SourceWorld {
    const { media, clock, log, attempts, ssrcs, recordings } = this.#deps;
    return {
      media,
      clock,
      log,
      planLeg: (source, because) => this.#planLeg(source, because),
      invite: (source, plan, local) => this.#inviteCamera(source, plan, local),
      readAnswer: (plan, body) => readCameraAnswer(plan, body, this.#deps.ownAddresses()),
      ready: (_source, viewerIds) => this.#deps.ready(viewerIds),
      ended: (_source, viewerIds, failure) => this.#deps.ended(viewerIds, failure),
      changed: source => this.#store(source),
      legBegan: (source, leg) => attempts.began(leg, source),
      legFlows: (source, leg, before) => this.#legFlows(source, leg, before),
      legEnded: (source, leg) => {
        ssrcs.release(leg.plan.legId);
        this.#callIds.delete(leg.plan.legId);
        if (leg.plan.feeder !== undefined) this.#byBridge.delete(leg.plan.feeder.bridgeId);
        this.#legEnded(source, leg);
      },
      message: (source, incoming) => this.#message(source, incoming),
      playbackOf: source => recordings.position(source.bridgeId),
      closing: leg => attempts.closing(leg),
      closed: (source, failure) => this.#closed(source, failure),
    };
  }

  #message(source: Source, incoming: IncomingRequest): void {
    incoming.respond(200);
    const parsed = parseManscdp(decodeBody(incoming.request.body).text);
    if (!parsed.ok || !this.#deps.recordings.mediaStatus(parsed.value, { bridgeId: source.bridgeId })) this.#deps.counters.add('relay.message-ignored');
  }

  #store(source: Source): void {
    const stored = source.stored();
    if (stored !== null && source.phase !== 'closed') this.#deps.store.putSource(stored);
  }

  #planLeg(source: Source, because: NextLegReason): LegPlan | null {
    const { clock, config, ssrcs, random, log, counters } = this.#deps;
    const { channel, streamNumber, key } = source.plan;
    const { history } = source.plan;
    // A recording is where it is, and nobody knows how much of it was sent.
    if (history !== undefined && because !== 'start') return null;
    const ways = key.endsWith(ALONE) || history !== undefined ? [channel] : this.#deps.waysTo(channel);
    const choice = source.choice.next(because, ways.map(way => this.#candidate(way, source.plan.path)), clock.now());
    if (choice === null && because === 'lossy') this.#tcpFailed(source);
    const inlet = choice === null ? undefined : this.#deps.inlets.find(choice);
    if (choice !== null && inlet !== undefined) return this.#planInlet(source, choice, inlet);
    // A bridge that an inlet feeds is fed by nothing else.
    if (source.bridgeIsOpen && source.leg?.plan.legId === source.bridgeId) return null;
    const device = choice === null ? null : this.#deps.reach(choice.deviceId);
    const legId = `l${random.hex(8)}`;
    const ssrc = device === null ? undefined : ssrcs.take(legId, history === undefined ? 'live' : 'history');
    if (choice === null || device === null || ssrc === undefined) return null;
    const localAddress = config().media.downstreamAddress || this.#deps.endpoint.localAddressFor(device.target).address;
    if (because !== 'start') {
      counters.add(`relay.next-leg.${because}`);
      log.info({ bridgeId: source.bridgeId, because, deviceId: choice.deviceId, channelId: choice.channelId, transport: choice.transport }, 'source.next-leg');
    }
    return planLeg(device, choice, { legId, ssrc, localAddress, streamNumber, history }, config());
  }

  #candidate(way: ChannelRef, path: InvitePath): { deviceId: string; channelId: string; isReachable: boolean; transport: LegTransport; mayMoveToTcp: boolean } {
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
    const { ssrcs, random, config, inlets } = this.#deps;
    const isOneOfSeveral = source.bridgeIsOpen || this.#hasOtherWays(source.plan.channel, source.plan.key);
    const legId = isOneOfSeveral ? `l${random.hex(8)}` : source.bridgeId;
    const ssrc = ssrcs.take(legId, 'live');
    if (ssrc === undefined) return null;
    const { silenceS, inviteTimeoutS, firstPacketS } = config().devices.media;
    const timing = { inviteTimeoutMs: seconds(inviteTimeoutS), firstPacketMs: seconds(firstPacketS) };
    const common = { legId, inletId: inlet.id, deviceId, channelId, streamNumber: source.plan.streamNumber, localAddress: LOOPBACK, ssrc, latch: 'strict', silenceMs: seconds(silenceS), timing } as const;
    if (!isOneOfSeveral) return { ...common, transport: 'tcp-active', ssrcPolicy: 'adopt', allowed: [] };
    const feeder = { bridgeId: `f${random.hex(8)}`, instance: inlets.instanceOf(inlet) ?? source.instance };
    this.#byBridge.set(feeder.bridgeId, source);
    return { ...common, transport: 'tcp-passive', ssrcPolicy: 'exact', allowed: [LOOPBACK], feeder };
  }

  #legFlows(source: Source, { plan }: SourceLeg, before: LegPlan | undefined): void {
    if (before === undefined) return;
    const { counters, log, legMemory, config } = this.#deps;
    counters.add('relay.taken-over');
    log.warn({ bridgeId: source.bridgeId, from: `${before.deviceId}/${before.channelId} ${before.transport}`, to: `${plan.deviceId}/${plan.channelId} ${plan.transport}`, viewers: source.viewers.length }, 'source.taken-over');
    if (isSame(before, plan) && before.transport === 'udp' && plan.transport !== 'udp') {
      legMemory.learn(plan, plan.transport, config().devices.media.tcpForS * 1000, 'its UDP was lossy');
      counters.add('relay.moved-to-tcp');
    }
  }

  #legEnded(source: Source, { plan, history }: SourceLeg): void {
    const { failure } = history;
    if (failure === null || source.phase === 'closed') return;
    this.#deps.counters.add(`relay.leg-failed.${failure.code}`);
    this.#deps.log.info({ bridgeId: source.bridgeId, deviceId: plan.deviceId, channelId: plan.channelId, transport: plan.transport, code: failure.code, why: failure.why }, 'source.leg-failed');
    // Room was made for TCP, and it came to nothing: not again soon.
    if (plan.transport !== 'udp' && this.#candidate(plan, source.plan.path).mayMoveToTcp && source.phase === 'failing-over') this.#deps.legMemory.learn(plan, 'udp', TCP_REST_MS, failure.why);
  }

  /** Every way over TCP failed: the lossy stream goes on, and is left in peace for a while. */
  #tcpFailed(source: Source): void {
    const { leg } = source;
    if (leg === undefined || leg.plan.transport !== 'udp' || !this.#candidate(leg.plan, source.plan.path).mayMoveToTcp) return;
    this.#deps.counters.add('relay.tcp-refused');
    this.#deps.legMemory.learn(leg.plan, 'udp', Math.min(TCP_REST_MS, seconds(this.#deps.config().devices.media.tcpForS)), 'its UDP is lossy, but it cannot be had over TCP');
    this.#deps.log.warn({ deviceId: leg.plan.deviceId, channelId: leg.plan.channelId }, 'source.stays-lossy');
  }

  #closed(source: Source, failure: SourceFailure | null): void {
    const { store, counters, log } = this.#deps;
    this.#byKey.delete(source.plan.key);
    this.#byBridge.delete(source.bridgeId);
    this.#deps.recordings.closed(source.bridgeId);
    store.deleteSource(source.bridgeId);
    if (failure === null) return;
    counters.add(`relay.source-failed.${failure.code}`);
    log.warn({ ...source.channel, code: failure.code, why: failure.why }, 'source.failed');
  }

  #inviteCamera(source: Source, plan: LegPlan, local: { readonly address: string; readonly port: number }): ReturnType<SourceWorld['invite']> {
    const { endpoint, config, reach, random, mark } = this.#deps;
    const device = reach(plan.deviceId);
    if (device === null) return null;
    const here = endpoint.localAddressFor(device.target);
    const callId = `${random.hex(16)}@${here.address}`;
    this.#callIds.set(plan.legId, callId);
    const path = isPlatformId(plan.deviceId) ? nextPath(source.plan.path, mark) : undefined;
    return endpoint.invite(cameraInvite(plan, local, device.target, here, { callId, path }, config()), device.target);
  }
}

const isSame = (a: ChannelRef, b: ChannelRef): boolean => a.deviceId === b.deviceId && a.channelId === b.channelId;
