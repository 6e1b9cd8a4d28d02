/**
 * The media of one RTSP session: joins the stream, writes packets of its tracks, tells the time by sender reports.
 *
 *   idle ──start: joined, what comes is held──► held ──flow──► flowing ──slow──► dropping ──key frame──► flowing
 *     ▲                                                           │ pause          │ stalled: told
 *     └───────────────────────────────────────────────────────────┴────────────────┘
 */
import type { RtspTrack } from '#core/rtsp/sdp-write.ts';
import type { TrackStart } from '#core/rtsp/server-steps.ts';
import { SlowViewer } from '#core/media/slow-viewer.ts';
import type { Codec } from '#core/media/codec.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { writeGoodbye, writeSenderReport } from '#core/rtp/sender-report.ts';
import { type Ms, addMs, wallMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Random } from '#kit/random.ts';
import type { RtspLeg } from './rtsp-legs.ts';
import { TrackWriter } from './rtsp-packets.ts';
import type { UnitSeat, UnitSink, UnitStream } from './unit-stream.ts';

const REPORT_MS = 5000;
/** The camera's clock may be so far from ours before the reports follow it. */
const DRIFT_TICKS = 18_000;
const TICKS_PER_MS = 90;

interface Way {
  readonly track: number;
  readonly kind: 'video' | 'audio';
  readonly leg: RtspLeg;
  readonly writer: TrackWriter;
}

export interface RtspViewerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly stream: UnitStream;
  /** The far end takes nothing any more, or what it was told about the stream is no longer so. */
  readonly onLost: (why: string) => void;
}

export class RtspViewer implements UnitSink {
  readonly #options: RtspViewerOptions;
  readonly #ways = new Map<number, Way>();
  #slow = new SlowViewer();
  #codecs: Readonly<Record<'video' | 'audio', Codec | undefined>> | undefined;
  #seat: UnitSeat | undefined;
  /** Units that came before `flow`. */
  #held: { readonly unit: MediaUnit; readonly now: Ms }[] | undefined;
  #report: Disposable | undefined;
  #lastPts90k = 0;
  #anchor: { readonly wall: number; readonly pts90k: number } | undefined;
  sentBytes = 0;
  #droppedBefore = 0;

  constructor(options: RtspViewerOptions) {
    this.#options = options;
  }

  get droppedUnits(): number {
    return this.#droppedBefore + this.#slow.droppedUnits;
  }

  async add(track: number, media: RtspTrack, leg: RtspLeg): Promise<number> {
    const { random } = this.#options;
    await this.#ways.get(track)?.leg.close();
    const ssrc = random.int(2 ** 32);
    const writer = new TrackWriter({ payloadType: media.payloadType, clockHz: media.clockHz, ssrc, firstSequence: random.int(0x10000), firstTimestamp: random.int(2 ** 32) });
    this.#ways.set(track, { track, kind: media.kind, leg, writer });
    return ssrc;
  }

  /** Where each track begins: with what is known since the last key frame, or with what comes. */
  start(): TrackStart[] {
    this.#held = [];
    this.#droppedBefore += this.#slow.droppedUnits;
    this.#slow = new SlowViewer();
    this.#codecs = undefined;
    this.#seat = this.#options.stream.join(this);
    const units = this.#held.map(({ unit }) => unit);
    const firstOf = (kind: 'video' | 'audio'): MediaUnit | undefined => units.find(unit => unit.kind === kind) ?? units[0];
    return [...this.#ways.values()].flatMap(({ track, kind, writer }) => {
      const first = firstOf(kind);
      return first === undefined ? [] : [{ track, sequence: writer.sequence, rtpTime: writer.rtpTime(first.pts90k) }];
    });
  }

  flow(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const { unit, now } of held) this.#send(unit, now);
    this.#tellTime();
  }

  pause(): void {
    this.#seat?.[Symbol.dispose]();
    this.#seat = undefined;
    this.#held = undefined;
    this.#report?.[Symbol.dispose]();
    this.#report = undefined;
    for (const { leg } of this.#ways.values()) leg.clear();
  }

  async close(): Promise<void> {
    this.pause();
    const ways = [...this.#ways.values()];
    this.#ways.clear();
    for (const { leg, writer } of ways) if (leg.channel === null && writer.packets > 0) leg.sendRtcp(writeGoodbye(writer.ssrc));
    await Promise.all(ways.map(({ leg }) => leg.close()));
  }

  onTracks({ video, audio }: MediaTracks): void {
    const before = this.#codecs;
    this.#codecs = { video: video?.codec, audio: audio?.codec };
    if (before?.video !== undefined && before.video !== video?.codec) this.#options.onLost('the codec of the camera changed');
  }

  onUnit(unit: MediaUnit, now: Ms): void {
    if (this.#held === undefined) this.#send(unit, now);
    else this.#held.push({ unit, now });
  }

  onEnd(why: string): void {
    this.#options.onLost(why);
  }

  #send(unit: MediaUnit, now: Ms): void {
    if (this.#seat === undefined) return;
    const waiting = [...this.#ways.values()].reduce((most, { leg }) => Math.max(most, leg.waitingBytes), 0);
    const before = this.#slow.state;
    const admitted = this.#slow.admit(unit, waiting, now);
    if (before === 'flowing' && this.#slow.state === 'dropping') this.#seat.wantKeyFrame();
    if (this.#slow.state === 'stalled') return this.#options.onLost('the viewer takes nothing');
    if (!admitted) return;
    this.#lastPts90k = Math.max(unit.dts90k, this.#lastPts90k);
    for (const { kind, leg, writer } of this.#ways.values()) {
      if (kind !== unit.kind) continue;
      const packets = writer.write(unit, leg.channel);
      if (packets === null) continue;
      this.sentBytes += packets.memory.length;
      leg.send(packets);
    }
  }

  /** All tracks at one moment, so that pictures and sound stay together. */
  #tellTime(): void {
    const { clock } = this.#options;
    const wall = clock.wall();
    const expected = this.#anchor === undefined ? NaN : this.#anchor.pts90k + (wall - this.#anchor.wall) * TICKS_PER_MS;
    if (!(Math.abs(expected - this.#lastPts90k) <= DRIFT_TICKS)) this.#anchor = { wall, pts90k: this.#lastPts90k };
    const { wall: since, pts90k } = this.#anchor!;
    for (const { writer, leg } of this.#ways.values()) {
      if (writer.packets === 0) continue;
      const rtpTime = writer.rtpTime(pts90k + (wall - since) * TICKS_PER_MS);
      leg.sendRtcp(writeSenderReport({ ssrc: writer.ssrc, wall: wallMs(wall), rtpTime, packets: writer.packets, octets: writer.octets, cname: 'viewlink' }));
    }
    this.#report = clock.schedule(addMs(clock.now(), REPORT_MS), () => this.#tellTime());
  }
}
