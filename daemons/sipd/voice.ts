/**
 * Voice from platforms above us to cameras and loudspeakers below: broadcast (gb28181.md 9.1), relayed.
 *
 *   Notify/Broadcast of the platform -> the same to the device under its own IDs -> its Response -> the platform's
 *   INVITE of the device -> INVITE to whoever speaks -> both answered: source leg from the platform, sink leg to the device -> BYE of either
 *
 * It is the relay of live pictures upside down: the platform is the source, the device the viewer.
 */
import type { MediadEvent } from '#contracts/mediad.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { type BroadcastNotice, type BroadcastOutput, BroadcastSession, buildBroadcast, readBroadcast } from '#core/gb/broadcast.ts';
import { isVoiceOutput } from '#core/gb/device-id.ts';
import { OWN_PATH } from '#core/gb/invite-path.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { buildResult } from '#core/gb/manscdp-write.ts';
import { GatewayError, assertNever } from '#core/result.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { IncomingInvite, SipEndpoint } from '#kit/sip-endpoint.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { DeviceReach } from './devices.ts';
import type { MediaPool } from './media-pool.ts';
import { Source, type SourceWorld } from './source.ts';
import type { LegPlan } from './leg-plan.ts';
import type { SsrcLeases } from './ssrc-leases.ts';
import { TalkLeg } from './talk-leg.ts';
import type { UpstreamLink } from './upstream-link.ts';
import { Viewer, type ViewerPlan, type ViewerWorld } from './viewer.ts';
import type { Views } from './views.ts';
import { PCMA, PCMU, type Call, allowedOf, callAnswer, readCall, readSpeaker, speakerInvite } from './voice-plan.ts';

/** Of one platform at once: an operator speaks to some, a siren to many. */
const MAX_PER_UPSTREAM = 64;
const MAX_SN = 0x7fff_fffe;

export interface VoiceDeps {
  readonly endpoint: SipEndpoint;
  readonly media: MediaPool;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  readonly views: Views;
  readonly ssrcs: SsrcLeases;
  config(): GatewayConfig;
  reach(deviceId: string): DeviceReach | null;
  ownAddresses(): readonly string[];
}

/** The device, called or calling. */
type Listener = Viewer | TalkLeg;

interface Broadcast {
  readonly id: string;
  readonly link: UpstreamLink;
  /** As the platform wrote them. */
  readonly notice: BroadcastNotice;
  readonly sn: number;
  readonly channel: ChannelRef;
  /** What the device was told. */
  readonly told: BroadcastNotice & { readonly sn: number };
  readonly session: BroadcastSession;
  readonly alarm: Alarm;
  media: { readonly source: Source; readonly listener: Listener } | undefined;
}

export class Voice implements Disposable {
  readonly #deps: VoiceDeps;
  readonly #broadcasts = new Map<string, Broadcast>();
  #sn: number;

  constructor(deps: VoiceDeps) {
    this.#deps = deps;
    this.#sn = deps.random.int(1_000_000);
  }

  /** Sessions are not taken up again: who speaks says so anew. */
  [Symbol.dispose](): void {
    for (const { alarm, media } of this.#broadcasts.values()) {
      alarm[Symbol.dispose]();
      media?.source[Symbol.dispose]();
    }
  }

  get size(): number {
    return this.#broadcasts.size;
  }

  /** A message of this platform, already answered with 200. False: no broadcast. */
  command(link: UpstreamLink, message: Manscdp): boolean {
    const notice = readBroadcast(message);
    if (notice === undefined) return false;
    const { views, counters, catalogs, clock, log } = this.#deps;
    const channel = views.resolve(link.config.name, notice.targetId);
    const refused = typeof channel === 'string' ? channel : !views.permits(link.config.name, channel, 'voice') ? 'not-permitted' : this.#of(link).length >= MAX_PER_UPSTREAM ? 'too-many' : undefined;
    if (typeof channel === 'string' || refused !== undefined) {
      counters.add(`voice.refused.${refused}`);
      log.info({ upstream: link.config.name, targetId: notice.targetId, why: refused }, 'voice.refused');
      void link.message(buildResult('Broadcast', { sn: message.sn, deviceId: notice.targetId }, 'ERROR'));
      return true;
    }
    // Whoever asks again means the same speech.
    for (const other of this.#of(link)) if (other.notice.targetId === notice.targetId) this.#run(other, other.session.failed('asked for anew'));
    const told = { sn: (this.#sn = (this.#sn % MAX_SN) + 1), sourceId: this.#deps.config().sip.id, targetId: this.#outputOf(channel) };
    const session = new BroadcastSession(clock.now());
    const id = `v${this.#deps.random.hex(8)}`;
    const broadcast: Broadcast = { id, link, notice, sn: message.sn, channel, told, session, alarm: new Alarm(clock, () => this.#run(broadcast, session.tick(clock.now()))), media: undefined };
    this.#broadcasts.set(id, broadcast);
    counters.add('voice.asked');
    log.info({ id, upstream: link.config.name, ...channel, ...told }, 'voice.asked');
    this.#run(broadcast, []);
    const device = this.#deps.reach(channel.deviceId);
    if (device?.config.talkMode === 'talk') return this.#talk(broadcast, device);
    void catalogs.ask(channel.deviceId, buildBroadcast(told.sn, told)).then(taken => {
      if (!taken) this.#run(broadcast, session.failed('the device did not take the notice'));
    });
    return true;
  }

  /** Response/Broadcast of a device, already answered with 200. */
  response(deviceId: string, message: Manscdp): boolean {
    if (message.root !== 'Response' || message.cmdType !== 'Broadcast') return false;
    const broadcast = [...this.#broadcasts.values()].find(({ channel, told }) => channel.deviceId === deviceId && told.sn === message.sn);
    if (broadcast === undefined) this.#deps.counters.add('voice.stray-response');
    else this.#run(broadcast, broadcast.session.responded(message.body.kind === 'result' ? message.body.result : 'OK', this.#deps.clock.now()));
    return true;
  }

  /** INVITE of a device. False: nobody told it to call. */
  invite(invite: IncomingInvite, deviceId: string): boolean {
    const device = this.#deps.reach(deviceId);
    const waiting = [...this.#broadcasts.values()].filter(({ channel, session }) => channel.deviceId === deviceId && (session.phase === 'asked' || session.phase === 'told'));
    const broadcast = waiting.find(each => isMeant(invite, each)) ?? (waiting.length === 1 ? waiting[0] : undefined);
    if (device === null || broadcast === undefined) return false;
    const call = readCall(invite.request.body, [device.target.address, ...device.config.mediaNetworks], this.#deps.ownAddresses());
    if ('refused' in call) {
      this.#deps.counters.add(`voice.call-refused.${call.refused}`);
      this.#deps.log.info({ deviceId, status: call.refused, why: call.why }, 'voice.call-refused');
      invite.respond(call.refused);
      return true;
    }
    this.#run(broadcast, broadcast.session.called());
    try {
      this.#connect(broadcast, invite, call, device);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      invite.respond(503);
      this.#run(broadcast, broadcast.session.failed(error.message));
    }
    return true;
  }

  onMediaEvent(event: MediadEvent): void {
    if (!('bridgeId' in event)) return;
    const media = this.#byBridge(event.bridgeId)?.media;
    if ('sinkId' in event) media?.listener.onMediaEvent(event);
    else media?.source.onMediaEvent(event);
  }

  onMediaLost(bridgeIds: readonly string[]): void {
    for (const id of bridgeIds) this.#byBridge(id)?.media?.source.feed({ type: 'media-lost' });
  }

  deviceOffline(deviceId: string): void {
    for (const broadcast of this.#broadcasts.values()) if (broadcast.channel.deviceId === deviceId) this.#run(broadcast, broadcast.session.failed('the device went offline'));
  }

  upstreamGone(upstream: string): void {
    for (const broadcast of this.#broadcasts.values()) if (broadcast.link.config.name === upstream) this.#run(broadcast, broadcast.session.failed('the platform is gone'));
  }

  #of(link: UpstreamLink): Broadcast[] {
    return [...this.#broadcasts.values()].filter(broadcast => broadcast.link.config.name === link.config.name);
  }

  #byBridge(bridgeId: string): Broadcast | undefined {
    return [...this.#broadcasts.values()].find(({ media }) => media?.source.bridgeId === bridgeId);
  }

  /** A camera's own loudspeaker where its device has just one, else the camera: it knows what is its. */
  #outputOf({ deviceId, channelId }: ChannelRef): string {
    if (isVoiceOutput(channelId)) return channelId;
    const outputs = [...this.#deps.catalogs.items(deviceId).values()].filter(item => isVoiceOutput(item.deviceId));
    const own = outputs.filter(({ parentId }) => parentId === channelId);
    if (own.length === 1) return own[0]!.deviceId;
    return outputs.length === 1 ? outputs[0]!.deviceId : channelId;
  }

  #run(broadcast: Broadcast, outputs: readonly BroadcastOutput[]): void {
    const { link, sn, notice, session, alarm, id, media } = broadcast;
    for (const output of outputs) {
      switch (output.type) {
        case 'answer':
          void link.message(buildResult('Broadcast', { sn, deviceId: notice.targetId }, output.result));
          break;
        case 'over':
          this.#deps.log.info({ id, upstream: link.config.name, ...broadcast.channel, why: output.why }, 'voice.over');
          this.#broadcasts.delete(id);
          alarm[Symbol.dispose]();
          if (media !== undefined) stop(media.listener, output.why);
          break;
        default:
          assertNever(output);
      }
    }
    if (this.#broadcasts.has(id)) alarm.arm(session.deadline);
  }

  /** A device that is called in place of being told. */
  #talk(broadcast: Broadcast, device: DeviceReach): true {
    const { endpoint, media, random, config, counters } = this.#deps;
    this.#run(broadcast, broadcast.session.called());
    const source = this.#newSource(broadcast);
    const sinkId = `k${random.hex(8)}`;
    const plan = {
      sinkId, targetId: broadcast.told.targetId, device, payload: device.config.talkCodec === 'pcmu' ? PCMU : PCMA,
      localAddress: config().media.downstreamAddress || endpoint.localAddressFor(device.target).address, ssrc: this.#deps.ssrcs.take(sinkId, 'live') ?? 0,
    };
    const listener = new TalkLeg(plan, source, {
      endpoint,
      media,
      config,
      talking: () => counters.add('voice.answered'),
      over: why => {
        this.#deps.ssrcs.release(sinkId);
        this.#deps.log.info({ id: broadcast.id, deviceId: device.id, why }, 'voice.closed');
        source.feed({ type: 'viewer-left', viewerId: sinkId });
      },
    });
    broadcast.media = { source, listener };
    counters.add('voice.talk');
    source.begin();
    listener.begin();
    source.feed({ type: 'viewer-joined', viewerId: sinkId });
    return true;
  }

  #newSource(broadcast: Broadcast): Source {
    const { media, random } = this.#deps;
    const plan = { bridgeId: `b${random.hex(8)}`, key: broadcast.id, channel: broadcast.channel, streamNumber: null, path: OWN_PATH, timing: { lingerMs: 0, takeOverMs: 0 } };
    return Source.create(plan, media.pick(), false, this.#sourceWorld(broadcast));
  }

  #connect(broadcast: Broadcast, invite: IncomingInvite, call: Call, device: DeviceReach): void {
    const { random, clock, counters, config } = this.#deps;
    const source = this.#newSource(broadcast);
    const viewerPlan: ViewerPlan = {
      sessionId: broadcast.id,
      sinkId: `k${random.hex(8)}`,
      upstream: device.id,
      mappedId: broadcast.told.targetId,
      transport: call.transport,
      localAddress: config().media.downstreamAddress || invite.flow.localAddress,
      remote: call.remote,
      ssrc: call.offer.ssrc ?? 0,
      ssrcIsOurs: false,
      allowed: [device.target.address, ...device.config.mediaNetworks],
      connectTimeoutMs: config().media.connectTimeoutS * 1000,
      pictures: 'as-received',
    };
    source.begin();
    const viewer = Viewer.start(viewerPlan, source, invite, this.#viewerWorld(broadcast, call, device), clock.now());
    broadcast.media = { source, listener: viewer };
    counters.add('voice.called');
    source.feed({ type: 'viewer-joined', viewerId: viewerPlan.sinkId });
  }

  #planLeg({ link, notice, id }: Broadcast, source: Source): LegPlan | null {
    const { ssrcs, config, endpoint } = this.#deps;
    const { media } = config().devices;
    const legId = `${id}-leg`;
    const ssrc = ssrcs.take(legId, 'live');
    if (ssrc === undefined) return null;
    return {
      legId,
      deviceId: link.config.name,
      channelId: notice.sourceId,
      streamNumber: null,
      transport: link.config.voiceTransport,
      localAddress: source.mediaAddress ?? (config().media.upstreamAddress || endpoint.localAddressFor(link.target).address),
      ssrc,
      ssrcPolicy: config().media.ports.mode === 'fixed' ? 'exact' : 'adopt',
      latch: 'strict',
      allowed: allowedOf(link),
      silenceMs: media.silenceS * 1000,
      timing: { inviteTimeoutMs: media.inviteTimeoutS * 1000, firstPacketMs: media.firstPacketS * 1000 },
    };
  }

  #sourceWorld(broadcast: Broadcast): SourceWorld {
    const { media, clock, log, endpoint, ssrcs, ownAddresses } = this.#deps;
    const { link, notice } = broadcast;
    const nothing = (): void => undefined;
    return {
      media,
      clock,
      log,
      planLeg: (source, because) => (because === 'start' ? this.#planLeg(broadcast, source) : null),
      invite: (_source, plan, local) => endpoint.invite(speakerInvite(plan, local, link, notice.targetId, endpoint.localAddressFor(link.target)), link.target),
      readAnswer: (plan, body) => readSpeaker(plan, body, ownAddresses()),
      ready: () => {
        if (broadcast.media?.listener instanceof Viewer) broadcast.media.listener.feed({ type: 'source-ready' });
      },
      ended: (_source, _viewerIds, failure) => {
        const listener = broadcast.media?.listener;
        if (listener instanceof Viewer) listener.feed({ type: 'source-ended', failure });
        else listener?.stop(failure.why);
      },
      changed: nothing,
      legBegan: nothing,
      legFlows: nothing,
      legEnded: (_source, leg) => ssrcs.release(leg.plan.legId),
      message: (_source, incoming) => incoming.respond(200),
      playbackOf: () => undefined,
      closing: () => Promise.resolve(),
      closed: (_source, failure) => {
        if (failure !== null) this.#deps.counters.add(`voice.failed.${failure.code}`);
        this.#run(broadcast, broadcast.session.failed(failure?.why ?? 'both sides hung up'));
      },
    };
  }

  #viewerWorld(broadcast: Broadcast, call: Call, device: DeviceReach): ViewerWorld {
    const { media, log, counters } = this.#deps;
    return {
      media,
      log,
      answer: (viewer, local) => callAnswer(call, broadcast.told.sourceId, local, viewer.plan.ssrc),
      offered: () => [call.payload],
      // The other law of G.711 is made of the one that comes.
      sent: () => ['g711a', 'g711u'],
      answered: viewer => {
        counters.add('voice.answered');
        // Some wait for sound with the 200 and never look for more (quirk 68); the 200 itself leaves first.
        if (device.config.talkStart === 'answer') queueMicrotask(() => viewer.feed({ type: 'ack' }));
      },
      steer: (_viewer, incoming) => incoming.respond(200),
      left: viewer => viewer.source.feed({ type: 'viewer-left', viewerId: viewer.plan.sinkId }),
      closed: (viewer, why) => log.info({ id: broadcast.id, deviceId: viewer.plan.upstream, targetId: viewer.plan.mappedId, why }, 'voice.closed'),
    };
  }
}

function stop(listener: Listener, why: string): void {
  if (listener instanceof Viewer) listener.feed({ type: 'stop', why });
  else listener.stop(why);
}

/** Its Subject or origin names what we told it of. */
function isMeant({ request }: IncomingInvite, { told }: Broadcast): boolean {
  const text = `${request.headers.find(({ name }) => name.toLowerCase() === 'subject')?.value ?? ''} ${String.fromCharCode(...request.body.subarray(0, 512))}`;
  return text.includes(told.targetId);
}
