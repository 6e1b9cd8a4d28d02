/** One track that we pull: RTP packets in, units with times of the session out. */
import { JitterBuffer, type WaitLimits } from '#core/rtp/jitter-buffer.ts';
import { type Depacketizer, openDepacketizer } from '#core/rtp/elementary.ts';
import { parametersOf } from '#core/rtp/format-parameters.ts';
import { newRtpHeader, readRtp } from '#core/rtp/packet.ts';
import type { PacketTaker } from '#core/rtp/packet-columns.ts';
import { PacketStore } from '#core/rtp/packet-store.ts';
import { readSenderReport } from '#core/rtp/sender-report.ts';
import { SequenceTracker } from '#core/rtp/sequence.ts';
import type { TrackSync } from '#core/rtp/track-sync.ts';
import type { PulledTrack } from '#core/rtsp/client-session.ts';
import type { RawUnit } from '#core/media/unit-intake.ts';
import { type Ms, NEVER } from '#core/units.ts';

const header = newRtpHeader();
/** Waiting packets of all pulls over UDP. */
const store = new PacketStore();

export interface RtspTrackOptions {
  readonly track: PulledTrack;
  readonly sync: TrackSync;
  /** Datagrams come in any order; a stream needs no buffer. */
  readonly wait: WaitLimits | undefined;
  unit(unit: RawUnit): void;
  /** Packets of pictures are missing before the next unit. */
  lost(): void;
}

export class RtspTrack implements PacketTaker {
  readonly #options: RtspTrackOptions;
  readonly #tracker = new SequenceTracker();
  readonly #buffer: JitterBuffer | undefined;
  readonly #depacketizer: Depacketizer;
  #ssrc: number | undefined;
  #next: number | undefined;
  /** Last timestamp, and the same without wraps. */
  #last: number | undefined;
  #at = 0;
  #now: Ms = NEVER;
  /** RTP timestamp at the begin of play. */
  #begin: number | undefined;
  #isFirst = true;
  packets = 0;
  dropped = 0;

  constructor(options: RtspTrackOptions) {
    this.#options = options;
    const { track, wait } = options;
    this.#ssrc = track.ssrc;
    this.#buffer = wait === undefined ? undefined : new JitterBuffer(store, wait);
    this.#depacketizer = openDepacketizer(track.format, parametersOf(track.fmtp), track.clockHz);
  }

  get lostPackets(): number {
    return this.#tracker.lost;
  }

  deadline(now: Ms): Ms {
    return this.#buffer?.deadline(now) ?? NEVER;
  }

  /** Answers false for what is no packet of this track. */
  take(memory: Uint8Array, offset: number, length: number, now: Ms): boolean {
    this.#now = now;
    if (readRtp(memory, offset, length, header) !== 'rtp' || header.payloadType !== this.#options.track.payloadType) return this.#drop();
    // Some servers name an SSRC in SETUP and send another: the first packet decides then.
    if (this.packets === 0 || this.#ssrc === undefined) this.#ssrc = header.ssrc;
    else if (header.ssrc !== this.#ssrc) return this.#drop();
    const arrival = this.#tracker.update(header.sequence, this.#ticks90k(header.timestamp), now);
    if (arrival === 'duplicate' || arrival === 'stale') return true;
    this.packets += 1;
    const { index } = this.#tracker;
    const { payloadOffset, payloadLength, marker, timestamp } = header;
    if (arrival === 'restart') this.#buffer?.restart(index, now, this);
    if (this.#buffer === undefined || this.#buffer.passes(index)) this.add(memory, payloadOffset, payloadLength, marker, timestamp, index);
    else {
      this.#buffer.boundMs = this.#tracker.jitterBoundMs;
      this.#buffer.take(memory, payloadOffset, payloadLength, marker, timestamp, index, now, this, this.#isFirst, false);
      this.#isFirst = false;
      store.recycle(true);
    }
    return true;
  }

  expire(now: Ms): void {
    this.#now = now;
    this.#buffer?.expire(now, this);
    store.recycle(true);
  }

  rtcp(memory: Uint8Array, offset: number, length: number): void {
    const report = readSenderReport(memory, offset, length);
    if (report === undefined || this.#last === undefined || (this.#ssrc !== undefined && report.ssrc !== this.#ssrc)) return;
    this.#options.sync.report(this.#options.track.index, report.ntpMs, this.#near(report.rtpTime));
  }

  /** In order: from the buffer, or straight from the wire. */
  add(memory: Uint8Array, payloadOffset: number, payloadLength: number, marker: boolean, timestamp: number, index: number): void {
    const { track, sync } = this.#options;
    if (this.#next !== undefined && index !== this.#next) {
      this.#depacketizer.gap();
      if (track.kind === 'video') this.#options.lost();
    }
    this.#next = index + 1;
    if (this.#last === undefined) {
      this.#last = this.#at = timestamp;
      if (this.#begin !== undefined) sync.begin(track.index, this.#near(this.#begin));
    }
    this.#at += (timestamp - this.#last) | 0;
    this.#last = timestamp;
    for (const unit of this.#depacketizer.push(memory.subarray(payloadOffset, payloadOffset + payloadLength), marker, timestamp)) {
      const pts90k = sync.map(track.index, unit.pts90k, this.#now);
      this.#options.unit({ ...unit, pts90k, dts90k: pts90k + unit.dts90k - unit.pts90k });
    }
  }

  close(): void {
    this.#buffer?.clear();
  }

  /** RTP-Info came with the answer to PLAY, at times behind the first packets. */
  begin(rtpTime: number): void {
    const { sync, track } = this.#options;
    this.#begin = rtpTime;
    sync.begin(track.index, this.#last === undefined ? Math.round((rtpTime * 90_000) / this.#depacketizer.clockHz) : this.#near(rtpTime));
  }

  #near(rtpTime: number): number {
    return Math.round(((this.#at + ((rtpTime - this.#last!) | 0)) * 90_000) / this.#depacketizer.clockHz);
  }

  #ticks90k(timestamp: number): number {
    return Math.round((timestamp * 90_000) / this.#depacketizer.clockHz) >>> 0;
  }

  #drop(): boolean {
    this.dropped += 1;
    return false;
  }
}
