/** Units of one viewer as SRTP packets, a few at a time, and again when they are asked for (RFC 4585 6.2.1). */
import type { MediaUnit } from '#core/media/unit.ts';
import type { SentTrack } from '#core/webrtc/answer.ts';
import { writeSenderReport } from '#core/rtp/sender-report.ts';
import { addMs, type Ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Random } from '#kit/random.ts';
import { TrackWriter } from '../rtsp-packets.ts';

/** Keeps the burst of a join below what receive buffers of browsers take: about 140 Mbit/s. */
const PACKETS_A_TURN = 48;
const TURN_MS = 4;
const MAX_WAITING_BYTES = 8 * 1024 * 1024;
/** Kept for those who ask again: half a second of 16 Mbit/s. */
const KEPT_PACKETS = 1024;
const MAX_REPEATS = 4;
const REPORT_MS = 1000;
/** Pictures of the burst stand this far apart, so that they are shown at once and the live ones in their time. */
const BURST_STEP_TICKS = 90;

export interface TrackSenderOptions {
  readonly tracks: readonly SentTrack[];
  readonly clock: Clock;
  readonly random: Random;
  protect(packet: Uint8Array): Uint8Array;
  protectRtcp(packet: Uint8Array): Uint8Array;
  send(datagram: Uint8Array): void;
}

interface Kept {
  readonly datagram: Uint8Array;
  repeats: number;
}

export class TrackSender {
  readonly #options: TrackSenderOptions;
  readonly #writers = new Map<'video' | 'audio', TrackWriter>();
  readonly #kept = new Map<string, Kept>();
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #turn: Disposable | undefined;
  #dropping = false;
  #lastPts: { readonly pts90k: number; readonly at: Ms } | undefined;
  #reportAt: Ms;
  sentBytes = 0;
  droppedUnits = 0;
  repeated = 0;

  constructor(options: TrackSenderOptions) {
    this.#options = options;
    const { tracks, random, clock } = options;
    for (const { kind, payload, ssrc } of tracks) {
      const firstSequence = random.int(2 ** 32) & 0x7fff;
      this.#writers.set(kind, new TrackWriter({ payloadType: payload.type, clockHz: payload.clockHz, ssrc, firstSequence, firstTimestamp: random.int(2 ** 32) }));
    }
    this.#reportAt = addMs(clock.now(), REPORT_MS);
  }

  /** Pictures that are past: shown at once. Their sound is left out. */
  burst(units: readonly MediaUnit[]): void {
    const pictures = units.filter(({ kind }) => kind === 'video');
    const last = pictures.at(-1);
    if (last === undefined) return;
    for (const [i, unit] of pictures.entries()) {
      const pts90k = last.dts90k - (pictures.length - 1 - i) * BURST_STEP_TICKS;
      this.unit({ ...unit, pts90k, dts90k: pts90k });
    }
  }

  unit(unit: MediaUnit): void {
    const writer = this.#writers.get(unit.kind);
    if (writer === undefined) return;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#dropping = true;
    else if (this.#waitingBytes === 0 && unit.keyFrame) this.#dropping = false;
    if (this.#dropping) {
      this.droppedUnits += 1;
      return;
    }
    this.#lastPts = { pts90k: unit.pts90k, at: this.#options.clock.now() };
    const written = writer.write(unit, null);
    if (written === null) return;
    for (const [i, offset] of written.offsets.entries()) {
      const packet = written.memory.subarray(offset, offset + written.lengths[i]!);
      this.#waiting.push(packet);
      this.#waitingBytes += packet.length;
    }
    if (this.#turn === undefined) this.#pump();
  }

  repeat(nacks: readonly { readonly ssrc: number; readonly sequence: number }[]): void {
    for (const { ssrc, sequence } of nacks) {
      const kept = this.#kept.get(`${ssrc} ${sequence}`);
      if (kept === undefined || kept.repeats >= MAX_REPEATS) continue;
      kept.repeats += 1;
      this.repeated += 1;
      this.#options.send(kept.datagram);
    }
  }

  /** Sender reports, so that sound and pictures meet (RFC 3550 6.4.1). */
  tick(now: Ms): void {
    const last = this.#lastPts;
    if (now < this.#reportAt || last === undefined) return;
    this.#reportAt = addMs(now, REPORT_MS);
    const { clock, protectRtcp, send } = this.#options;
    const pts90k = last.pts90k + (now - last.at) * 90;
    for (const writer of this.#writers.values()) {
      if (writer.packets === 0) continue;
      send(protectRtcp(writeSenderReport({ ssrc: writer.ssrc, wall: clock.wall(), rtpTime: writer.rtpTime(pts90k), packets: writer.packets, octets: writer.octets, cname: 'viewlink' })));
    }
  }

  close(): void {
    this.#turn?.[Symbol.dispose]();
    this.#waiting = [];
    this.#kept.clear();
  }

  #pump(): void {
    this.#turn = undefined;
    const { clock } = this.#options;
    const packets = this.#waiting.splice(0, PACKETS_A_TURN);
    for (const packet of packets) this.#send(packet);
    if (this.#waiting.length > 0) this.#turn = clock.schedule(addMs(clock.now(), TURN_MS), () => this.#pump());
  }

  #send(packet: Uint8Array): void {
    this.#waitingBytes -= packet.length;
    const datagram = this.#options.protect(packet);
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const key = `${view.getUint32(8)} ${view.getUint16(2)}`;
    this.#kept.delete(key);
    this.#kept.set(key, { datagram, repeats: 0 });
    if (this.#kept.size > KEPT_PACKETS) this.#kept.delete(this.#kept.keys().next().value!);
    this.sentBytes += datagram.length;
    this.#options.send(datagram);
  }
}
