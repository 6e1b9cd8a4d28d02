/**
 * Live relay: an INVITE from upstream becomes a viewer of a source; a source is a bridge and the ways to its camera, one at a time.
 *
 *   routes -> relay.invite -> relay-viewers -> relay-sources, viewer.ts -> media-pool
 *
 * Closing order of a session: upstream dialog, sink, then the source when nobody is left (after the linger), camera
 * dialog, bridge.
 */
import type { BridgeStats, MediadEvent } from '#contracts/mediad.ts';
import type { UpstreamConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import type { IncomingInvite } from '#kit/sip-endpoint.ts';
import type { ChannelRef } from './catalogs.ts';
import type { Moved, Revived } from './moved.ts';
import { Recordings, type RecordingsDeps } from './recordings.ts';
import { type HeldSource, type HoldOptions, RelayHolders } from './relay-holders.ts';
import { RelaySources, type SourcesDeps } from './relay-sources.ts';
import { RelayViewers, type ViewersDeps } from './relay-viewers.ts';
import type { Source } from './source.ts';
import { SsrcLeases } from './ssrc-leases.ts';
import type { Viewer } from './viewer.ts';

const MARK_OCTETS = 8;

export interface RelayDeps extends SourcesDeps, ViewersDeps, RecordingsDeps {}

export class Relay implements AsyncDisposable {
  readonly #deps: RelayDeps;
  readonly recordings: Recordings;
  readonly ssrcs: SsrcLeases;
  readonly #sources: RelaySources;
  readonly #viewers: RelayViewers;
  readonly #holders: RelayHolders;

  constructor(deps: RelayDeps) {
    this.#deps = deps;
    this.#holders = new RelayHolders(deps.clock);
    this.ssrcs = new SsrcLeases(deps.config().sip.id, deps.clock);
    this.recordings = new Recordings(deps);
    const inner = { recordings: this.recordings, ssrcs: this.ssrcs, mark: deps.random.hex(MARK_OCTETS), ownAddresses: () => this.ownAddresses() };
    this.#sources = new RelaySources({
      ...deps,
      ...inner,
      ready: viewerIds => this.#viewers.sourceReady(viewerIds),
      ended: (viewerIds, failure) => {
        for (const id of viewerIds) this.recordings.sourceEnded(id);
        this.#viewers.sourceEnded(viewerIds, failure);
        this.#holders.ended(viewerIds, failure);
      },
    });
    this.#viewers = new RelayViewers({ ...deps, ...inner, sources: this.#sources });
  }

  get viewers(): readonly Viewer[] {
    return this.#viewers.all;
  }

  get sources(): readonly Source[] {
    return this.#sources.all;
  }

  isPlaying({ deviceId, channelId }: ChannelRef): boolean {
    return this.sources.some(({ phase, channel }) => phase === 'flowing' && channel.deviceId === deviceId && channel.channelId === channelId);
  }

  sessionsOf(upstream: string): number {
    return this.#viewers.ofUpstream(upstream).length;
  }

  /** An INVITE of a known upstream, outside a dialog. */
  invite(invite: IncomingInvite, upstream: UpstreamConfig, sourceAddress: string): void {
    this.#viewers.invite(invite, upstream, sourceAddress);
  }

  /** An instance is short of something: what nobody watches gives its place. */
  onMediaStrained(instance: string): void {
    if (this.#deps.media.isShort(instance)) for (const source of this.sources) if (source.instance === instance) source.feed({ type: 'hurry' });
  }

  onMediaEvent(event: MediadEvent): void {
    if (this.recordings.onMediaEvent(event)) return;
    if (!('sinkId' in event)) this.#sources.onMediaEvent(event);
    else if (this.#sources.of(event.bridgeId) !== undefined) this.#viewers.of(event.sinkId)?.onMediaEvent(event);
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
    this.#viewers.stopUpstream(upstream, why);
  }

  endUnshared(): void {
    this.#viewers.endUnshared();
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
      const source = store.restored(stored.plan.bridgeId, log, () => this.#sources.restore(stored, takesOver));
      if (source === undefined) continue;
      resumed += this.#viewers.restore(source, viewers.get(source.bridgeId) ?? [], stored.playback, takesOver);
      if (!media.has(source.instance)) this.onMediaLost([source.bridgeId]);
      const { address, pushes } = this.#deps.config().outlets;
      if (address !== '' || pushes.length > 0) this.#holders.keepForClaims(source);
      else if (source.viewers.length === 0) source.feed({ type: 'abort', failure: { code: 'MEDIA_UNAVAILABLE', why: 'nobody watched when the gateway came back' } });
    }
    for (const [bridgeId, left] of viewers) if (this.#sources.of(bridgeId) === undefined) for (const each of left) this.#viewers.endLeft(each);
    if (resumed > 0) log.info({ resumed }, 'relay.restored');
  }

  /** A stop of this daemon leaves sessions and media running: the next start takes them up. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#sources[Symbol.dispose]();
    this.recordings[Symbol.dispose]();
    this.#holders[Symbol.dispose]();
    await Promise.resolve();
  }

  /** Where media must not be sent: to ourselves. */
  ownAddresses(): readonly string[] {
    const { downstreamAddress, upstreamAddress } = this.#deps.config().media;
    return [...this.#deps.endpoint.bound.map(bound => bound.address), downstreamAddress, upstreamAddress, ...this.#deps.media.nodes.addresses].filter(address => address !== '');
  }
}
