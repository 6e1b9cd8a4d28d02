/**
 * Inlets that are published to this instance over RTMP, and the bridges that take them. A publisher stays whether somebody takes it or
 * not; who joins begins with its last key frame.
 *
 *   absent ──publish with the right key──► online ──publisher goes, or is silent──► absent
 *                                            └──a newer publisher with the key (the old one may hang)──► online
 *
 * A bridge that was open on another node waits here for its publisher, who has to connect anew.
 */
import type { Endpoint, InletRow, OpenInletParams } from '#contracts/mediad.ts';
import { FlvTagDemuxer } from '#core/flv/demux.ts';
import { GopCache } from '#core/media/gop-cache.ts';
import type { MediaTracks } from '#core/media/unit.ts';
import type { RtmpMessage } from '#core/rtmp/messages.ts';
import { GatewayError } from '#core/result.ts';
import type { Ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { UnitSource, UnitSourceOptions } from './unit-source.ts';

export interface RtmpInletsOptions {
  readonly clock: Clock;
  openUnitBridge(options: UnitSourceOptions): UnitSource;
  onOnline(inletId: string, remote: Endpoint): void;
  onOffline(inletId: string, why: string): void;
}

export interface Publisher {
  readonly remote: Endpoint;
  /** Somebody else publishes now. */
  replaced(): void;
}

/** What one publisher sends, for the bridges that take it. */
export class PublishedInlet {
  readonly inletId: string;
  readonly publisher: Publisher;
  readonly since: Ms;
  readonly #demuxer = new FlvTagDemuxer();
  readonly #cache = new GopCache();
  readonly #sources = new Set<UnitSource>();
  #tracks: MediaTracks | undefined;
  bytes = 0;

  constructor(inletId: string, publisher: Publisher, now: Ms) {
    this.inletId = inletId;
    this.publisher = publisher;
    this.since = now;
  }

  get codecs(): readonly string[] {
    return [this.#tracks?.video?.codec, this.#tracks?.audio?.codec].filter(codec => codec !== undefined);
  }

  get bridges(): number {
    return this.#sources.size;
  }

  /** Tags that could not be read. */
  get leftOut(): number {
    return this.#demuxer.leftOut;
  }

  media({ type, timestampMs, body }: RtmpMessage): void {
    this.bytes += body.length;
    const { tracks, units } = this.#demuxer.push(type, timestampMs, body);
    if (tracks !== undefined) {
      this.#tracks = tracks;
      for (const source of this.#sources) this.#describe(source, tracks);
    }
    for (const unit of units) {
      this.#cache.take(unit);
      for (const source of this.#sources) source.feed(unit);
    }
  }

  join(source: UnitSource): void {
    this.#sources.add(source);
    if (this.#tracks !== undefined) this.#describe(source, this.#tracks);
    for (const unit of this.#cache.units) source.feed(unit);
  }

  leave(source: UnitSource): void {
    this.#sources.delete(source);
  }

  end(): void {
    for (const source of this.#sources) source.ended('peer-closed');
    this.#sources.clear();
  }

  #describe(source: UnitSource, { video, audio }: MediaTracks): void {
    if (video?.codec === 'h264' || video?.codec === 'h265') source.learn(video.codec, video.parameterSets);
    // What has not come yet may still come: only what is there is promised.
    source.promise({ ...(video === null ? {} : { video: true }), ...(audio === null ? {} : { audio: true }) });
  }
}

export class RtmpInlets {
  readonly #options: RtmpInletsOptions;
  readonly #online = new Map<string, PublishedInlet>();
  /** Of inlets that nobody publishes yet. */
  readonly #awaiting = new Map<string, Set<UnitSource>>();

  constructor(options: RtmpInletsOptions) {
    this.#options = options;
  }

  /** The newest publisher of an inlet has it. */
  publish(inletId: string, publisher: Publisher): PublishedInlet {
    const before = this.#online.get(inletId);
    const inlet = new PublishedInlet(inletId, publisher, this.#options.clock.now());
    if (before !== undefined) this.#end(before, 'published anew');
    before?.publisher.replaced();
    this.#online.set(inletId, inlet);
    for (const source of this.#awaiting.get(inletId) ?? []) inlet.join(source);
    this.#awaiting.delete(inletId);
    this.#options.onOnline(inletId, publisher.remote);
    return inlet;
  }

  unpublish(inlet: PublishedInlet, why: string): void {
    if (this.#online.get(inlet.inletId) === inlet) this.#end(inlet, why);
  }

  /** RPC openInlet for an inlet of kind `rtmp`. */
  open({ bridgeId, inletId, silenceMs, label, reopened = false }: OpenInletParams): null {
    const inlet = this.#online.get(inletId);
    if (inlet === undefined && !reopened) throw new GatewayError('PEER_OFFLINE', { inletId, why: 'nobody publishes it to this instance' });
    const source: UnitSource = this.#options.openUnitBridge({
      bridgeId,
      label,
      transport: 'tcp-passive',
      remote: inlet?.publisher.remote ?? null,
      silenceMs,
      reopened,
      onClosed: () => this.#leave(inletId, source),
    });
    if (inlet !== undefined) inlet.join(source);
    else this.#awaiting.set(inletId, (this.#awaiting.get(inletId) ?? new Set()).add(source));
    return null;
  }

  /** Whoever it is fed by, or nobody yet. */
  #leave(inletId: string, source: UnitSource): void {
    this.#online.get(inletId)?.leave(source);
    const awaiting = this.#awaiting.get(inletId);
    awaiting?.delete(source);
    if (awaiting?.size === 0) this.#awaiting.delete(inletId);
  }

  rows(): readonly InletRow[] {
    const now = this.#options.clock.now();
    return [...this.#online.values()].map(({ inletId, publisher, since, codecs, bytes, bridges }) => ({ inletId, remote: publisher.remote, ageMs: Math.round(now - since), codecs, bytes, bridges }));
  }

  #end(inlet: PublishedInlet, why: string): void {
    this.#online.delete(inlet.inletId);
    inlet.end();
    this.#options.onOffline(inlet.inletId, why);
  }
}
