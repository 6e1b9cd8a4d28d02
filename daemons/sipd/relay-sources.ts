/**
 * The running sources: started for the first viewer, joined by the next ones, fed by one way to the camera after another, taken up
 * again after a restart.
 *
 *   relay (viewers), outlets (holders) -> join -> source.ts -> source-leg.ts -> device, media-pool
 *   media-pool (events) -> source of that bridge
 */
import type { BridgeStats, MediadEvent } from '#contracts/mediad.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { type InvitePath, OWN_PATH, nextPath } from '#core/gb/invite-path.ts';
import { isPlatformId } from '#core/gb/origin.ts';
import type { SourceFailure } from '#core/gb/source-session.ts';
import { parseManscdp } from '#core/gb/manscdp.ts';
import { GatewayError } from '#core/result.ts';
import { decodeBody } from '#kit/charset.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { IncomingRequest, SipEndpoint } from '#kit/sip-endpoint.ts';
import type { AttemptLog } from './attempts.ts';
import type { ChannelRef } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { DeviceReach } from './devices.ts';
import type { Inlets } from './inlets.ts';
import type { LegMemory } from './leg-memory.ts';
import { ALONE, LegPlanner } from './leg-planner.ts';
import type { MediaPool } from './media-pool.ts';
import { readCameraAnswer, sourceKey } from './relay-plan.ts';
import { cameraInvite } from './relay-sdp.ts';
import type { Recordings } from './recordings.ts';
import type { SessionStore } from './session-store.ts';
import { Source, type SourceWorld } from './source.ts';
import type { History, LegPlan } from './leg-plan.ts';
import type { SsrcLeases } from './ssrc-leases.ts';

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
  /** What was seen of a channel that a camera answered for. */
  pictureFlows(channel: ChannelRef): void;
  pictureLost(channel: ChannelRef): void;
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

  readonly #planner: LegPlanner;

  constructor(deps: RelaySourcesDeps) {
    this.#deps = deps;
    this.#planner = new LegPlanner({ ...deps, restOf: source => deps.recordings.rest(source) });
  }

  get all(): readonly Source[] {
    return [...this.#byKey.values()];
  }

  of(bridgeId: string): Source | undefined {
    return this.#byBridge.get(bridgeId);
  }

  /** The running source of this stream, or a new one, which must get a viewer before anything else happens. */
  join(channel: ChannelRef, { streamNumber, path = OWN_PATH, instance, alone = false, history }: JoinOptions): Source | GatewayError {
    const ways = alone || history !== undefined ? [channel] : this.#deps.waysTo(channel);
    const gone = ways.some(way => this.#planner.candidate(way, path).isReachable) ? undefined : new GatewayError('PEER_OFFLINE', { deviceId: channel.deviceId });
    if (history !== undefined) return gone ?? this.#start(channel, `${sourceKey(channel, streamNumber)}/recording ${this.#deps.random.hex(8)}`, { streamNumber, path, instance, history });
    const primary = alone ? channel : this.#deps.primaryOf(channel);
    const usual = sourceKey(this.#deps.primaryOf(channel), streamNumber);
    const running = this.#byKey.get(usual);
    if (running !== undefined && (!alone || isSame(running.channel, channel))) return running;
    const key = alone ? `${sourceKey(channel, streamNumber)}${ALONE}` : usual;
    const tried = this.#byKey.get(key);
    if (tried !== undefined) return tried;
    return gone ?? this.#start(primary, key, { streamNumber, path, instance });
  }

  #start(channel: ChannelRef, key: string, { streamNumber, path = OWN_PATH, instance, history }: JoinOptions): Source | GatewayError {
    try {
      const { media, random, config, counters } = this.#deps;
      const inlet = this.#planner.hasOtherWays(channel, key) ? undefined : this.#deps.inlets.find(channel);
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
  restore(stored: ReturnType<SessionStore['sources']>[number], takesOver: boolean): Source {
    const { endpoint, ssrcs, media, attempts } = this.#deps;
    const source = Source.restore(stored, state => endpoint.restoreDialog(state), this.#world, takesOver);
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
    if (media.has(source.instance)) media.adopt(source.instance, source.bridgeId, source.mediaAddress);
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
      planLeg: (source, because) => this.#planner.plan(source, because),
      invite: (source, plan, local) => this.#inviteCamera(source, plan, local),
      readAnswer: (plan, body) => readCameraAnswer(plan, body, this.#deps.ownAddresses()),
      ready: (_source, viewerIds) => this.#deps.ready(viewerIds),
      ended: (_source, viewerIds, failure) => this.#deps.ended(viewerIds, failure),
      changed: source => this.#store(source),
      legBegan: (source, leg) => {
        if (leg.plan.feeder !== undefined) this.#byBridge.set(leg.plan.feeder.bridgeId, source);
        attempts.began(leg, source);
      },
      legFlows: (source, leg, before) => {
        this.#planner.flows(source, leg, before);
        if (source.plan.history === undefined) this.#deps.pictureFlows(leg.plan);
        else if (before !== undefined) recordings.flowsAgain(source);
      },
      legEnded: (source, leg) => {
        if (source.plan.history === undefined && leg.history.cameraAnswered && leg.history.failure?.code === 'MEDIA_SILENT') this.#deps.pictureLost(leg.plan);
        ssrcs.release(leg.plan.legId);
        this.#callIds.delete(leg.plan.legId);
        if (leg.plan.feeder !== undefined) this.#byBridge.delete(leg.plan.feeder.bridgeId);
        this.#planner.ended(source, leg);
      },
      message: (source, incoming) => this.#message(source, incoming),
      playbackOf: source => recordings.stored(source.bridgeId),
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
