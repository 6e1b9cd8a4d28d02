/**
 * A bridge whose pictures come from something that is no RTP leg: an RTSP pull, an RTMP publisher, a transcoder. It gives units; the
 * bridge's takers get them as units (`stream`), its GB sinks as program stream or elementary streams, like those of any camera.
 *
 *     const source = bridges.openUnitBridge({ bridgeId, label, transport: 'tcp-active', remote, silenceMs: 10_000, promised: { audio: false }, onKeyFrameWanted, onClosed });
 *     source.feed(unit);              // as often as there is one, in decoding order
 *     source.lost();                  // bytes are missing before the next unit
 *     source.ended('peer-closed');    // once; the bridge stays until its owner closes it (closeBridge, or closeUnitBridge)
 *
 * Events are those of every source: source-flowing with the first unit, source-silent after `silenceMs` without one, source-closed.
 *
 *   waiting ──feed──► flowing ◄──► silent ──ended──► closed
 */
import type { BridgeStats, Endpoint, LegTransport } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { VideoCodec } from '#core/media/h26x.ts';
import type { Promised } from '#core/media/track-watch.ts';
import type { RawUnit } from '#core/media/unit-intake.ts';
import { SilenceWatch } from '#core/rtp/silence.ts';
import type { Ms } from '#core/units.ts';
import { Alarm } from '#kit/clock.ts';
import { countersOf } from './bridge-stats.ts';
import { LegCounters } from './leg-counters.ts';
import type { Plane, SourceClosedWhy } from './leg.ts';
import { UnitHub } from './unit-hub.ts';
import type { UnitStream } from './unit-stream.ts';

export interface UnitSourceOptions {
  readonly bridgeId: string;
  /** For reports. */
  readonly label: string;
  /** How it comes, for reports: we connect, or somebody connects to us. */
  readonly transport: LegTransport;
  readonly local?: Endpoint;
  /** Where it comes from; null: from this machine. */
  readonly remote: Endpoint | null;
  /** Source is reported silent after this long without a unit, counted from the opening. */
  readonly silenceMs: number;
  /** It ran on another node until now: it is not refused. */
  readonly reopened?: boolean | undefined;
  /** What the source says it will send, where it says so: joiners wait for tracks that are promised, a moment. */
  readonly promised?: Promised;
  /** Somebody waits for a key frame: ask the peer if that can be done. At most once a second. */
  readonly onKeyFrameWanted?: () => void;
  /** Runs once when the bridge is closed by somebody else than the source: stop, nothing more is taken. */
  readonly onClosed: () => void;
}

export interface UnitSource {
  readonly bridgeId: string;
  /** Its units as any taker gets them; `join` works from the start. */
  readonly stream: UnitStream;
  /** The next unit in decoding order, time stamps as they are at the source. Its bytes are kept: they must not be written again. */
  feed(unit: RawUnit): void;
  /** Bytes are missing before the next unit: pictures are held back until a key frame. */
  lost(): void;
  /** Parameter sets that came beside the stream (SDP, avcC), without start codes. */
  learn(codec: VideoCodec, parameterSets: readonly Uint8Array[]): void;
  promise(promised: Promised): void;
  /** Nothing follows. */
  ended(why: SourceClosedWhy): void;
}

/** One side of a bridge in place of a BridgeSource. */
export class UnitFeed implements UnitSource {
  readonly bridgeId: string;
  readonly hub: UnitHub;
  readonly #plane: Plane;
  readonly #options: UnitSourceOptions;
  readonly #counters: LegCounters;
  readonly #silence: SilenceWatch;
  readonly #alarm: Alarm;
  #ended = false;
  #closed = false;

  constructor(plane: Plane, options: UnitSourceOptions) {
    this.bridgeId = options.bridgeId;
    this.#plane = plane;
    this.#options = options;
    this.#counters = new LegCounters(plane.counters);
    this.#silence = new SilenceWatch(options.silenceMs);
    this.#alarm = new Alarm(plane.clock, () => this.#onSilenceDue());
    this.hub = new UnitHub({ clock: plane.clock, gopBytes: () => plane.gopBytes, onTaken: () => undefined, onKeyFrameWanted: () => options.onKeyFrameWanted?.() });
    if (options.promised !== undefined) this.hub.promise(options.promised);
    const now = plane.clock.now();
    this.#counters.start(now);
    this.#silence.start(now);
    this.#alarm.arm(this.#silence.deadline);
  }

  get stream(): UnitStream {
    return this.hub;
  }

  get label(): string {
    return this.#options.label;
  }

  feed(unit: RawUnit): void {
    if (this.#ended || this.#closed) return;
    const now = this.#plane.clock.now();
    this.#counters.received(unit.bytes.length, now);
    if (this.#silence.packet(now)) this.#onFlowing();
    this.hub.take(unit, now);
  }

  lost(): void {
    this.hub.gap(this.#plane.clock.now());
  }

  learn(codec: VideoCodec, parameterSets: readonly Uint8Array[]): void {
    this.hub.intake.learn(codec, parameterSets);
  }

  promise(promised: Promised): void {
    this.hub.promise(promised);
  }

  ended(why: SourceClosedWhy): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    this.#stop();
    this.#plane.emit({ type: 'source-closed', bridgeId: this.bridgeId, legId: this.bridgeId, why });
  }

  /** Nothing came for this long. */
  quietMs(now: Ms): number {
    return this.#counters.lastPacketAgeMs(now) ?? Infinity;
  }

  connect(): void {
    throw new GatewayError('BAD_REQUEST', { bridgeId: this.bridgeId, why: 'its source is no RTP leg' });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stop();
    this.hub.end('closed');
    if (!this.#ended) this.#options.onClosed();
  }

  stats(now: Ms): BridgeStats['source'] {
    const { transport, local, remote } = this.#options;
    const tracks = this.hub.tracks;
    return {
      legId: this.bridgeId,
      transport,
      local: local ?? { address: '127.0.0.1', port: 0 },
      remote,
      state: this.#ended || this.#closed ? 'closed' : this.#silence.state === 'waiting' ? 'connecting' : this.#silence.state === 'idle' ? 'opening' : this.#silence.state,
      ssrc: 0,
      ...countersOf(this.#counters, now),
      lost: 0,
      reordered: 0,
      duplicates: 0,
      late: 0,
      waiting: 0,
      asked: 0,
      repaired: 0,
      waitMs: 0,
      jitterMs: 0,
      payload: null,
      codecs: [tracks?.video?.codec, tracks?.audio?.codec].filter(codec => codec !== undefined),
    };
  }

  #stop(): void {
    this.#alarm[Symbol.dispose]();
    this.#silence.stop();
  }

  #onFlowing(): void {
    this.#alarm.arm(this.#silence.deadline);
    const remote = this.#options.remote ?? { address: '127.0.0.1', port: 0 };
    this.#plane.emit({ type: 'source-flowing', bridgeId: this.bridgeId, legId: this.bridgeId, ssrc: 0, remote });
  }

  #onSilenceDue(): void {
    const silentMs = this.#silence.tick(this.#plane.clock.now());
    if (silentMs !== undefined) this.#plane.emit({ type: 'source-silent', bridgeId: this.bridgeId, legId: this.bridgeId, silentMs: Math.round(silentMs) });
    this.#alarm.arm(this.#silence.deadline);
  }
}
