/**
 * The sessions of the platforms: an INVITE becomes a viewer of a source, which is kept until its dialog has ended, and taken up again after
 * a restart.
 *
 *   relay.invite -> relay-plan (may it, and how) -> relay-sources (join or start) -> viewer.ts -> media-pool
 */
import type { UpstreamConfig } from '#core/config/schema.ts';
import { isVoiceOutput } from '#core/gb/device-id.ts';
import { type OwnTraces, judgePath } from '#core/gb/invite-path.ts';
import { isPlatformId } from '#core/gb/origin.ts';
import type { StoredPlayback } from '#core/gb/playback-resume.ts';
import type { SourceFailure } from '#core/gb/source-session.ts';
import { sameIp } from '#core/ip.ts';
import { GatewayError, PEER_WORDS, SIP_STATUS } from '#core/result.ts';
import type { IncomingInvite } from '#kit/sip-endpoint.ts';
import type { ChannelRef } from './catalogs.ts';
import type { EventFeed } from './event-feed.ts';
import { type Asked, type Refused, fitFor, planViewer, readInvite, readReturn, refusal, sentTo } from './relay-plan.ts';
import { upstreamAnswer } from './relay-sdp.ts';
import type { Recordings } from './recordings.ts';
import type { RelaySources, SourcesDeps } from './relay-sources.ts';
import type { Source } from './source.ts';
import type { SsrcLeases } from './ssrc-leases.ts';
import { type StoredViewer, Viewer, type ViewerPlan, type ViewerWorld } from './viewer.ts';

/** Below half, so that a receiver sees no wrap at once (RFC 3550 5.1). */
const FIRST_SEQUENCES = 0x8000;

export interface ViewersDeps extends Pick<SourcesDeps, 'media' | 'endpoint' | 'clock' | 'random' | 'log' | 'store' | 'counters' | 'config' | 'waysTo'> {
  /** The channel that an upstream means by this ID, and may watch so now. */
  resolve(upstream: string, requestedId: string, what: 'live' | 'playback'): ChannelRef | 'unknown' | 'not-shared';
  /** Null: one more stream is within what this upstream may have. */
  overQuota(upstream: UpstreamConfig, channel: ChannelRef): Refused | null;
  readonly events: EventFeed;
}

export interface RelayViewersDeps extends ViewersDeps {
  readonly sources: RelaySources;
  readonly recordings: Recordings;
  readonly ssrcs: SsrcLeases;
  /** By which we know our own INVITEs again. */
  readonly mark: string;
  ownAddresses(): readonly string[];
}

export class RelayViewers {
  readonly #deps: RelayViewersDeps;
  readonly #bySink = new Map<string, Viewer>();
  readonly #traces: OwnTraces;

  constructor(deps: RelayViewersDeps) {
    this.#deps = deps;
    const { mark, sources, endpoint } = deps;
    this.#traces = {
      mark,
      isOurCallId: callId => sources.isOurCallId(callId),
      isOurPlace: (host, port) => endpoint.bound.some(bound => sameIp(bound.address, host) && bound.port === (port ?? 5060)),
    };
  }

  get all(): readonly Viewer[] {
    return [...this.#bySink.values()];
  }

  of(sinkId: string): Viewer | undefined {
    return this.#bySink.get(sinkId);
  }

  ofUpstream(upstream: string): readonly Viewer[] {
    return this.all.filter(viewer => viewer.plan.upstream === upstream);
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
    const viewer = Viewer.start(plan, source, invite, this.#world(upstream, asked), this.#deps.clock.now());
    this.#bySink.set(plan.sinkId, viewer);
    this.#deps.recordings.began(source, viewer, this.#recordingOptions);
    source.feed({ type: 'viewer-joined', viewerId: plan.sinkId });
  }

  #admit(invite: IncomingInvite, upstream: UpstreamConfig, sourceAddress: string): { source: Source; plan: ViewerPlan; asked: Asked } | Refused {
    const { request } = invite;
    const allowed = [sourceAddress, upstream.address, ...upstream.mediaNetworks];
    const asked = readInvite(request, upstream, allowed, this.#deps.ownAddresses());
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
    if (this.ofUpstream(upstream.name).length >= upstream.maxSessions) return refusal(SIP_STATUS.CAPACITY_EXHAUSTED, `${upstream.name} has its ${upstream.maxSessions} sessions already`);
    const over = this.#deps.overQuota(upstream, channel);
    if (over !== null) return over;
    const sinkId = `k${this.#deps.random.hex(8)}`;
    const ssrc = this.#sinkSsrc(sinkId, upstream, asked);
    if (ssrc === undefined) return refusal(SIP_STATUS.CAPACITY_EXHAUSTED, 'no SSRC is free');
    // Last, because a source that is started must get its viewer.
    const joined = this.#deps.sources.join(channel, { streamNumber: asked.offer.media.streamNumber, path, history: asked.history });
    const source = joined instanceof GatewayError ? joined : (this.#strained(joined) ?? joined);
    if (source instanceof GatewayError) {
      this.#deps.ssrcs.release(sinkId);
      return refusal(SIP_STATUS[source.code], PEER_WORDS[source.code], source.message);
    }
    const names = { sinkId, ssrc, ssrcIsOurs: this.#deps.ssrcs.has(sinkId), localAddress: invite.flow.localAddress, allowed, firstSequence: this.#deps.random.int(FIRST_SEQUENCES) };
    const plan = planViewer(upstream, asked, names, this.#deps.config());
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
    for (const viewer of this.all) {
      const { plan } = viewer;
      if (plan.upstream === upstream.name && plan.mappedId === requestedId && plan.ssrc === offer.ssrc) viewer.feed({ type: 'stop', why: 'the upstream asked for this stream anew' });
    }
  }

  /** The upstream's own y= unless it is missing, ours to choose, or live already on another of its sessions (faults.md 33). */
  #sinkSsrc(sinkId: string, upstream: UpstreamConfig, { offer }: Asked): number | undefined {
    const taken = this.all.some(viewer => viewer.plan.upstream === upstream.name && viewer.plan.ssrc === offer.ssrc);
    if (upstream.ssrc === 'echo' && offer.ssrc !== undefined && !taken) return offer.ssrc;
    return this.#deps.ssrcs.take(sinkId, offer.sessionName === 'Play' ? 'live' : 'history');
  }

  get #recordingOptions(): { readonly silenceMs: number; readonly maxPauseMs: number } {
    const { silenceS, maxPauseS } = this.#deps.config().devices.media;
    return { silenceMs: silenceS * 1000, maxPauseMs: maxPauseS * 1000 };
  }

  sourceReady(viewerIds: readonly string[]): void {
    for (const id of viewerIds) this.#bySink.get(id)?.feed({ type: 'source-ready' });
  }

  sourceEnded(viewerIds: readonly string[], failure: SourceFailure): void {
    for (const id of viewerIds) this.#bySink.get(id)?.feed({ type: 'source-ended', failure });
  }

  stopUpstream(upstream: string, why: string): void {
    for (const viewer of this.all) if (viewer.plan.upstream === upstream) viewer.feed({ type: 'stop', why });
  }

  /** A channel that was taken away from an upstream is not shown to it a moment longer. */
  endUnshared(): void {
    for (const viewer of this.all) {
      const { upstream, mappedId } = viewer.plan;
      if (typeof this.#deps.resolve(upstream, mappedId, viewer.source.plan.history === undefined ? 'live' : 'playback') === 'string') viewer.feed({ type: 'stop', why: 'the channel is no longer shared with this upstream' });
    }
  }

  /** Those that a restart left of a source; answers how many. */
  restore(source: Source, viewers: readonly StoredViewer[], playback: StoredPlayback | undefined, takesOver: boolean): number {
    const { endpoint, clock, config, store, log } = this.#deps;
    let count = 0;
    for (const stored of viewers) {
      const upstream = config().upstreams.find(each => each.name === stored.plan.upstream);
      const viewer = store.restored(stored.plan.sinkId, log, () => Viewer.restore(stored, source, endpoint.restoreDialog(stored.dialog), this.#world(upstream, undefined), clock.now(), takesOver));
      if (viewer === undefined) continue;
      if (stored.plan.ssrcIsOurs) this.#deps.ssrcs.adopt(stored.plan.sinkId, stored.plan.ssrc);
      this.#bySink.set(stored.plan.sinkId, viewer);
      source.feed({ type: 'viewer-joined', viewerId: stored.plan.sinkId });
      this.#deps.recordings.began(source, viewer, this.#recordingOptions, playback, takesOver && source.leg?.plan.transport !== 'udp');
      if (upstream === undefined) viewer.feed({ type: 'stop', why: 'this upstream is no longer configured' });
      count += 1;
    }
    return count;
  }

  /** Of a source that nobody knows any more: its upstream waits for pictures that will not come. */
  endLeft({ plan: { sinkId, mappedId, upstream }, dialog: state }: StoredViewer): void {
    const { endpoint, store, log } = this.#deps;
    const dialog = store.restored(sinkId, log, () => endpoint.restoreDialog(state));
    if (dialog === undefined) return;
    store.deleteViewer(sinkId);
    log.error({ upstream, mappedId, why: 'its source is not known any more' }, 'session.closed');
    void dialog.request('BYE').then(() => dialog.close());
  }

  #world(upstream: UpstreamConfig | undefined, asked: Asked | undefined): ViewerWorld {
    const { media, clock, log, store, counters } = this.#deps;
    const keep = (viewer: Viewer): void => {
      const stored = viewer.stored();
      if (stored !== null) store.putViewer(stored);
    };
    return {
      media,
      log,
      returns: { clock, readAnswer: (viewer, body) => readReturn(viewer.plan, body, this.#deps.ownAddresses()), changed: keep },
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
      steer: (viewer, incoming) => void this.#deps.recordings.steer(viewer, incoming),
      left: viewer => viewer.source.feed({ type: 'viewer-left', viewerId: viewer.plan.sinkId }),
      closed: (viewer, why) => {
        this.#bySink.delete(viewer.plan.sinkId);
        this.#deps.ssrcs.release(viewer.plan.sinkId);
        store.deleteViewer(viewer.plan.sinkId);
        this.#deps.events.say(() => ({ type: 'session-ended', ...sessionOf(viewer), why }));
        log.info({ upstream: upstream?.name ?? viewer.plan.upstream, mappedId: viewer.plan.mappedId, callId: viewer.callId, why }, 'session.closed');
      },
    };
  }
}

const sessionOf = ({ plan: { sessionId, upstream, mappedId }, source: { channel: { deviceId, channelId } } }: Viewer): { sessionId: string; upstream: string; mappedId: string; deviceId: string; channelId: string } => ({ sessionId, upstream, mappedId, deviceId, channelId });
