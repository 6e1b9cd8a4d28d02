/**
 * Live relay: an INVITE from upstream becomes a viewer of a source; a source is a bridge and the ways to its camera, one at a time.
 *
 *   routes -> relay.invite -> relay-plan (may it, and how) -> relay-sources (join or start) + viewer.ts -> media-pool
 *
 * Closing order of a session: upstream dialog, sink, then the source when nobody is left (after the linger), camera
 * dialog, bridge.
 */
import type { BridgeStats, MediadEvent } from '#contracts/mediad.ts';
import type { UpstreamConfig } from '#core/config/schema.ts';
import { renditionFor } from '#core/config/transcode-schema.ts';
import { type OwnTraces, judgePath } from '#core/gb/invite-path.ts';
import { isVoiceOutput } from '#core/gb/device-id.ts';
import { isPlatformId } from '#core/gb/origin.ts';
import type { StoredPlayback } from '#core/gb/playback-resume.ts';
import { sameIp } from '#core/ip.ts';
import { GatewayError, PEER_WORDS, SIP_STATUS } from '#core/result.ts';
import type { IncomingInvite } from '#kit/sip-endpoint.ts';
import type { ChannelRef } from './catalogs.ts';
import type { EventFeed } from './event-feed.ts';
import { type HeldSource, type HoldOptions, RelayHolders } from './relay-holders.ts';
import { type Asked, type Refused, fitFor, readInvite, readReturn, refusal, sentTo } from './relay-plan.ts';
import { upstreamAnswer } from './relay-sdp.ts';
import { Recordings } from './recordings.ts';
import { RelaySources, type SourcesDeps } from './relay-sources.ts';
import type { Moved, Revived } from './moved.ts';
import type { Source } from './source.ts';
import { SsrcLeases } from './ssrc-leases.ts';
import { type StoredViewer, Viewer, type ViewerPlan, type ViewerWorld } from './viewer.ts';

const MARK_OCTETS = 8;
/** Below half, so that a receiver sees no wrap at once (RFC 3550 5.1). */
const FIRST_SEQUENCES = 0x8000;

export interface RelayDeps extends SourcesDeps {
  /** The channel that an upstream means by this ID, and may watch so now. */
  resolve(upstream: string, requestedId: string, what: 'live' | 'playback'): ChannelRef | 'unknown' | 'not-shared';
  /** Null: one more stream is within what this upstream may have. */
  overQuota(upstream: UpstreamConfig, channel: ChannelRef): Refused | null;
  readonly events: EventFeed;
}

export class Relay implements AsyncDisposable {
  readonly #deps: RelayDeps;
  readonly recordings: Recordings;
  readonly ssrcs: SsrcLeases;
  readonly #sources: RelaySources;
  readonly #viewers = new Map<string, Viewer>();
  readonly #holders: RelayHolders;
  readonly #traces: OwnTraces;

  constructor(deps: RelayDeps) {
    this.#deps = deps;
    this.#holders = new RelayHolders(deps.clock);
    this.ssrcs = new SsrcLeases(deps.config().sip.id, deps.clock);
    const mark = deps.random.hex(MARK_OCTETS);
    this.recordings = new Recordings(deps);
    this.#sources = new RelaySources({
      ...deps,
      recordings: this.recordings,
      mark,
      ssrcs: this.ssrcs,
      ownAddresses: () => this.ownAddresses(),
      ready: viewerIds => {
        for (const id of viewerIds) this.#viewers.get(id)?.feed({ type: 'source-ready' });
      },
      ended: (viewerIds, failure) => {
        for (const id of viewerIds) this.recordings.sourceEnded(id);
        for (const id of viewerIds) this.#viewers.get(id)?.feed({ type: 'source-ended', failure });
        this.#holders.ended(viewerIds, failure);
      },
    });
    this.#traces = {
      mark,
      isOurCallId: callId => this.#sources.isOurCallId(callId),
      isOurPlace: (host, port) => deps.endpoint.bound.some(bound => sameIp(bound.address, host) && bound.port === (port ?? 5060)),
    };
  }

  get viewers(): readonly Viewer[] {
    return [...this.#viewers.values()];
  }

  get sources(): readonly Source[] {
    return this.#sources.all;
  }

  isPlaying({ deviceId, channelId }: ChannelRef): boolean {
    return this.sources.some(({ phase, channel }) => phase === 'flowing' && channel.deviceId === deviceId && channel.channelId === channelId);
  }

  sessionsOf(upstream: string): number {
    return this.viewers.filter(viewer => viewer.plan.upstream === upstream).length;
  }

  /** An INVITE of a known upstream, outside a dialog. */
  invite(invite: IncomingInvite, upstream: UpstreamConfig, sourceAddress: string): void {
    const { counters, log } = this.#deps;
    const planned = this.#admit(invite, upstream, sourceAddress);
    if ('refused' in planned) {
      counters.add(`relay.refused.${planned.refused}`);
      log.info({ upstream: upstream.name, status: planned.refused, why: planned.detail ?? planned.why, callId: invite.request.callId }, 'relay.refused');
      invite.respond(planned.refused, { headers: [{ name: 'Warning', value: `399 viewlink "${planned.why.replace(/["\\\r\n]/g, ' ').slice(0, 200)}"` }] });
      return;
    }
    counters.add('relay.invites');
    const { source, plan, asked } = planned;
    const viewer = Viewer.start(plan, source, invite, this.#viewerWorld(upstream, asked), this.#deps.clock.now());
    this.#viewers.set(plan.sinkId, viewer);
    this.recordings.began(source, viewer, this.#recordingOptions);
    source.feed({ type: 'viewer-joined', viewerId: plan.sinkId });
  }

  #admit(invite: IncomingInvite, upstream: UpstreamConfig, sourceAddress: string): { source: Source; plan: ViewerPlan; asked: Asked } | Refused {
    const { request } = invite;
    const allowed = [sourceAddress, upstream.address, ...upstream.mediaNetworks];
    const asked = readInvite(request, upstream, allowed, this.ownAddresses());
    if ('refused' in asked) return asked;
    const verdict = judgePath(request, this.#traces);
    if (!verdict.ok) return refusal(verdict.status, verdict.why);
    const { path } = verdict;
    const channel = this.#deps.resolve(upstream.name, asked.requestedId, asked.history === undefined ? 'live' : 'playback');
    if (channel === 'unknown') return refusal(SIP_STATUS.CHANNEL_UNKNOWN, `no channel ${asked.requestedId}`);
    if (channel === 'not-shared') return refusal(SIP_STATUS.NOT_PERMITTED, `channel ${asked.requestedId} is not shared with ${upstream.name}`);
    if (path.hops <= 1 && this.#deps.waysTo(channel).every(({ deviceId }) => isPlatformId(deviceId))) return refusal(483, 'it may go no further');
    if (isVoiceOutput(channel.channelId)) return refusal(488, 'a loudspeaker has no picture; it is spoken to by broadcast');
    this.#releaseOld(upstream, asked);
    if (this.sessionsOf(upstream.name) >= upstream.maxSessions) return refusal(SIP_STATUS.CAPACITY_EXHAUSTED, `${upstream.name} has its ${upstream.maxSessions} sessions already`);
    const over = this.#deps.overQuota(upstream, channel);
    if (over !== null) return over;
    const sinkId = `k${this.#deps.random.hex(8)}`;
    const ssrc = this.#sinkSsrc(sinkId, upstream, asked);
    if (ssrc === undefined) return refusal(SIP_STATUS.CAPACITY_EXHAUSTED, 'no SSRC is free');
    // Last, because a source that is started must get its viewer.
    const joined = this.#sources.join(channel, { streamNumber: asked.offer.media.streamNumber, path, history: asked.history });
    const source = joined instanceof GatewayError ? joined : (this.#strained(joined) ?? joined);
    if (source instanceof GatewayError) {
      this.ssrcs.release(sinkId);
      return refusal(SIP_STATUS[source.code], PEER_WORDS[source.code], source.message);
    }
    const plan: ViewerPlan = {
      sessionId: `s${sinkId.slice(1)}`,
      sinkId,
      upstream: upstream.name,
      mappedId: asked.requestedId,
      transport: asked.transport,
      localAddress: this.#deps.config().media.upstreamAddress || invite.flow.localAddress,
      remote: asked.remote,
      ssrc,
      ssrcIsOurs: this.ssrcs.has(sinkId),
      rendition: renditionFor(upstream, asked.offer.f, this.#deps.config().transcode),
      allowed,
      connectTimeoutMs: this.#deps.config().media.connectTimeoutS * 1000,
      // A file is wanted as it is.
      pictures: asked.history?.kind === 'Download' ? 'as-received' : upstream.pictures,
      priority: upstream.priority,
      firstSequence: this.#deps.random.int(FIRST_SEQUENCES),
      nack: asked.transport === 'udp' && asked.offer.media.nack && this.#deps.config().media.loss.nack,
    };
    return { source, plan, asked };
  }

  /** A source that others watch already is refused where nothing new is taken; a new one was not started there. */
  #strained({ instance, viewers }: Source): GatewayError | null {
    const why = viewers.length === 0 ? null : this.#deps.media.strainOf(instance);
    return why === null ? null : new GatewayError('CAPACITY_EXHAUSTED', { why });
  }

  /** The same channel with the same SSRC again means: drop the old stream, start anew (gb28181.md 2.6). */
  #releaseOld(upstream: UpstreamConfig, { requestedId, offer }: Asked): void {
    if (offer.ssrc === undefined) return;
    for (const viewer of this.viewers) {
      const { plan } = viewer;
      if (plan.upstream === upstream.name && plan.mappedId === requestedId && plan.ssrc === offer.ssrc) viewer.feed({ type: 'stop', why: 'the upstream asked for this stream anew' });
    }
  }

  /** The upstream's own y= unless it is missing, ours to choose, or live already on another of its sessions (faults.md 33). */
  #sinkSsrc(sinkId: string, upstream: UpstreamConfig, { offer }: Asked): number | undefined {
    const taken = this.viewers.some(viewer => viewer.plan.upstream === upstream.name && viewer.plan.ssrc === offer.ssrc);
    if (upstream.ssrc === 'echo' && offer.ssrc !== undefined && !taken) return offer.ssrc;
    return this.ssrcs.take(sinkId, offer.sessionName === 'Play' ? 'live' : 'history');
  }

  get #recordingOptions(): { readonly silenceMs: number; readonly maxPauseMs: number } {
    const { silenceS, maxPauseS } = this.#deps.config().devices.media;
    return { silenceMs: silenceS * 1000, maxPauseMs: maxPauseS * 1000 };
  }

  /** An instance is short of something: what nobody watches gives its place. */
  onMediaStrained(instance: string): void {
    if (this.#deps.media.isShort(instance)) for (const source of this.sources) if (source.instance === instance) source.feed({ type: 'hurry' });
  }

  onMediaEvent(event: MediadEvent): void {
    if (this.recordings.onMediaEvent(event)) return;
    if (!('sinkId' in event)) this.#sources.onMediaEvent(event);
    else if (this.#sources.of(event.bridgeId) !== undefined) this.#viewers.get(event.sinkId)?.onMediaEvent(event);
  }

  onMediaLost(bridgeIds: readonly string[]): void {
    this.#sources.onMediaLost(bridgeIds);
    for (const id of bridgeIds) this.#sources.of(id)?.revived(false);
  }

  onMediaAttached(instance: string, bridges: readonly BridgeStats[]): void {
    this.#sources.onMediaAttached(bridges);
    for (const { bridgeId } of bridges) this.recordings.stands(bridgeId);
    for (const viewer of this.viewers) if (viewer.source.instance === instance) viewer.resume();
  }

  /** After a takeover, before the media process counts as attached: these bridges were opened anew in it. Cameras over TCP are asked again, upstreams over TCP connect again. */
  onMediaRevived(instance: string, revived: readonly Revived[]): void {
    const byBridge = new Map(revived.map(each => [each.bridgeId, each]));
    for (const viewer of this.viewers) {
      const anew = byBridge.get(viewer.source.bridgeId);
      if (viewer.source.instance === instance) viewer.revived(anew !== undefined, anew?.sinks.get(viewer.plan.sinkId));
    }
    for (const source of this.sources) if (source.instance === instance) source.revived(byBridge.get(source.bridgeId)?.cut === true);
  }

  /** After a takeover: whose bridge is not known by now has none; one of another node may yet come from there. */
  allKnown(): void {
    for (const source of this.sources) if (this.#deps.media.isHere(source.instance)) source.revived(false);
  }

  /** These go on in another instance. */
  onMediaMoved(moved: readonly Moved[], to: string): void {
    const byBridge = new Map(moved.map(each => [each.bridgeId, each]));
    const sources = this.sources.filter(({ bridgeId }) => byBridge.has(bridgeId));
    for (const source of sources) source.movedTo(to);
    const viewers = this.viewers.filter(({ source }) => byBridge.has(source.bridgeId));
    for (const viewer of viewers) {
      const anew = byBridge.get(viewer.source.bridgeId)!.revived;
      viewer.revived(anew !== undefined, anew?.sinks.get(viewer.plan.sinkId));
    }
    for (const source of sources) source.revived(byBridge.get(source.bridgeId)!.revived?.cut === true);
    for (const viewer of viewers) viewer.resume();
  }

  deviceOffline(deviceId: string, why: string): void {
    this.#sources.deviceOffline(deviceId, why);
  }

  stopUpstream(upstream: string, why: string): void {
    for (const viewer of this.viewers) if (viewer.plan.upstream === upstream) viewer.feed({ type: 'stop', why });
  }

  /** A channel that was taken away from an upstream is not shown to it a moment longer. */
  endUnshared(): void {
    for (const viewer of this.viewers) {
      const { upstream, mappedId } = viewer.plan;
      if (typeof this.#deps.resolve(upstream, mappedId, viewer.source.plan.history === undefined ? 'live' : 'playback') === 'string') viewer.feed({ type: 'stop', why: 'the channel is no longer shared with this upstream' });
    }
  }

  /** Plays the channel without a viewer; returns at the first packet or the failure, and holds the source until it is disposed. */
  async probe(deviceId: string, channelId: string): Promise<Disposable> {
    try {
      const held = this.hold(deviceId, channelId, undefined, { holderId: `p${this.#deps.random.hex(8)}`, alone: true });
      await held.flowing.catch(() => undefined);
      return held;
    } catch (error) {
      if (error instanceof GatewayError) return { [Symbol.dispose]: () => undefined };
      throw error;
    }
  }

  /**
   * Keeps a source for somebody without a SIP dialog. Throws when it cannot be started. `instance`: where it should run; one that
   * runs elsewhere stays there.
   */
  hold(deviceId: string, channelId: string, streamNumber: number | undefined, options: HoldOptions): HeldSource {
    const { instance, alone } = options;
    const source = this.#sources.join({ deviceId, channelId }, { streamNumber, instance, alone });
    if (source instanceof GatewayError) throw source;
    return this.#holders.hold(source, { deviceId, channelId }, options);
  }

  /**
   * After a restart, before the media pool is started: takes every stored session up as it was. The pool then tells which bridges
   * are gone; those sessions end on both sides. A row that cannot be read is dropped with a word: it must not keep the daemon down.
   */
  restore(takesOver: boolean): void {
    const { media, store, log } = this.#deps;
    let resumed = 0;
    const viewers = store.viewers();
    for (const stored of store.sources()) {
      const source = this.#orDropped(stored.plan.bridgeId, () => this.#sources.restore(stored, takesOver));
      if (source === undefined) continue;
      resumed += this.#restoreViewers(source, viewers.get(source.bridgeId) ?? [], stored.playback, takesOver);
      if (!media.has(source.instance)) this.onMediaLost([source.bridgeId]);
      const { address, pushes } = this.#deps.config().outlets;
      if (address !== '' || pushes.length > 0) this.#holders.keepForClaims(source);
      else if (source.viewers.length === 0) source.feed({ type: 'abort', failure: { code: 'MEDIA_UNAVAILABLE', why: 'nobody watched when the gateway came back' } });
    }
    for (const [bridgeId, left] of viewers) if (this.#sources.of(bridgeId) === undefined) for (const each of left) this.#endLeft(each);
    if (resumed > 0) log.info({ resumed }, 'relay.restored');
  }

  /** Of a source that nobody knows any more: its upstream waits for pictures that will not come. */
  #endLeft({ plan: { sinkId, mappedId, upstream }, dialog: state }: StoredViewer): void {
    const { endpoint, store, log } = this.#deps;
    const dialog = this.#orDropped(sinkId, () => endpoint.restoreDialog(state));
    if (dialog === undefined) return;
    store.deleteViewer(sinkId);
    log.error({ upstream, mappedId, why: 'its source is not known any more' }, 'session.closed');
    void dialog.request('BYE').then(() => dialog.close());
  }

  #orDropped<T>(sessionId: string, restore: () => T): T | undefined {
    try {
      return restore();
    } catch (error) {
      this.#deps.log.error({ sessionId, err: error }, 'relay.row-dropped');
      this.#deps.store.delete(sessionId);
      return undefined;
    }
  }

  #restoreViewers(source: Source, viewers: readonly StoredViewer[], playback: StoredPlayback | undefined, takesOver: boolean): number {
    const { endpoint, clock, config } = this.#deps;
    let count = 0;
    for (const stored of viewers) {
      const upstream = config().upstreams.find(each => each.name === stored.plan.upstream);
      const viewer = this.#orDropped(stored.plan.sinkId, () => Viewer.restore(stored, source, endpoint.restoreDialog(stored.dialog), this.#viewerWorld(upstream, undefined), clock.now(), takesOver));
      if (viewer === undefined) continue;
      if (stored.plan.ssrcIsOurs) this.ssrcs.adopt(stored.plan.sinkId, stored.plan.ssrc);
      this.#viewers.set(stored.plan.sinkId, viewer);
      source.feed({ type: 'viewer-joined', viewerId: stored.plan.sinkId });
      this.recordings.began(source, viewer, this.#recordingOptions, playback, takesOver && source.leg?.plan.transport !== 'udp');
      if (upstream === undefined) viewer.feed({ type: 'stop', why: 'this upstream is no longer configured' });
      count += 1;
    }
    return count;
  }

  /** Ends every session with BYE on both sides and waits until the bridges are closed. */
  async endAll(why: string): Promise<void> {
    for (const source of this.sources) source.feed({ type: 'abort', failure: { code: 'MEDIA_UNAVAILABLE', why } });
    await Promise.all(this.sources.map(source => source.enqueueMedia(async () => undefined)));
  }

  /** A stop of this daemon leaves sessions and media running: the next start takes them up. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#sources[Symbol.dispose]();
    this.recordings[Symbol.dispose]();
    this.#holders[Symbol.dispose]();
    await Promise.resolve();
  }

  #viewerWorld(upstream: UpstreamConfig | undefined, asked: Asked | undefined): ViewerWorld {
    const { media, clock, log, store, counters } = this.#deps;
    const keep = (viewer: Viewer): void => {
      const stored = viewer.stored();
      if (stored !== null) store.putViewer(stored);
    };
    return {
      media,
      log,
      returns: { clock, readAnswer: (viewer, body) => readReturn(viewer.plan, body, this.ownAddresses()), changed: keep },
      answer: (viewer, local, payload) => upstreamAnswer(viewer.plan, viewer.rendition, viewer.source.answer, local, asked!, payload),
      fit: codecs => {
        const fit = fitFor(asked!.payloads, codecs, this.#deps.config().transcode);
        if (fit !== undefined) counters.add('relay.transcoded-to-fit');
        return fit;
      },
      offered: () => asked!.payloads,
      sent: viewer => sentTo(viewer.plan, viewer.source.answer),
      answered: viewer => {
        counters.add('relay.answered');
        keep(viewer);
        this.#deps.events.say(() => ({ type: 'session-began', ...sessionOf(viewer) }));
      },
      steer: (viewer, incoming) => void this.recordings.steer(viewer, incoming),
      left: viewer => viewer.source.feed({ type: 'viewer-left', viewerId: viewer.plan.sinkId }),
      closed: (viewer, why) => {
        this.#viewers.delete(viewer.plan.sinkId);
        this.ssrcs.release(viewer.plan.sinkId);
        store.deleteViewer(viewer.plan.sinkId);
        this.#deps.events.say(() => ({ type: 'session-ended', ...sessionOf(viewer), why }));
        log.info({ upstream: upstream?.name ?? viewer.plan.upstream, mappedId: viewer.plan.mappedId, callId: viewer.callId, why }, 'session.closed');
      },
    };
  }

  /** Where media must not be sent: to ourselves. */
  ownAddresses(): readonly string[] {
    const { downstreamAddress, upstreamAddress } = this.#deps.config().media;
    return [...this.#deps.endpoint.bound.map(bound => bound.address), downstreamAddress, upstreamAddress, ...this.#deps.media.nodes.addresses].filter(address => address !== '');
  }
}

const sessionOf = ({ plan: { sessionId, upstream, mappedId }, source: { channel: { deviceId, channelId } } }: Viewer): { sessionId: string; upstream: string; mappedId: string; deviceId: string; channelId: string } => ({ sessionId, upstream, mappedId, deviceId, channelId });
