/**
 * The door of a source leg, the same for datagrams and streams: header check, gate, sequence, order, statistics, payload probe.
 * What passes is added to the batch for the sinks, in order where there is a jitter buffer.
 */
import { type Admission, SourceGate, type GateRule } from '#core/rtp/latch.ts';
import type { JitterBuffer } from '#core/rtp/jitter-buffer.ts';
import type { NackAsker } from '#core/rtp/nack.ts';
import { newRtpHeader, readRtp, RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import { beginsKeyPicture, beginsPicture, PayloadProbe } from '#core/rtp/payload-probe.ts';
import { SequenceTracker } from '#core/rtp/sequence.ts';
import { SilenceWatch } from '#core/rtp/silence.ts';
import type { Ms } from '#core/units.ts';
import type { LegCounters } from './leg-counters.ts';
import type { MediaBatch } from './media-batch.ts';
import type { Strays } from './strays.ts';

/** One for all legs: a packet is read and used before the next one is. */
const header = newRtpHeader();

export interface IntakeOptions {
  readonly bridgeId: string;
  readonly silenceMs: number;
  readonly counters: LegCounters;
  readonly strays: Strays;
  /** The first packet, or the first after a reported silence or restart. */
  readonly onFlowing: (now: Ms) => void;
}

/** `taken`: the source's (a duplicate is, too); `ignored`: RTCP; the others were dropped for that reason. */
export type Intake = 'taken' | 'ignored' | 'malformed' | 'wrong-source' | 'wrong-ssrc' | 'wrong-payload-type' | 'not-connected';

export class SourceIntake {
  readonly gate = new SourceGate();
  readonly tracker = new SequenceTracker();
  readonly probe = new PayloadProbe();
  readonly silence: SilenceWatch;
  readonly counters: LegCounters;
  readonly bridgeId: string;
  readonly #options: IntakeOptions;
  localPort = 0;
  /** Datagrams come in any order; a stream needs none. */
  buffer: JitterBuffer | undefined;
  /** Where the peer resends. */
  nack: NackAsker | undefined;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.counters = options.counters;
    this.bridgeId = options.bridgeId;
    this.silence = new SilenceWatch(options.silenceMs);
  }

  /** The answer's rule. A second call is a re-INVITE: numbering goes on behind what was sent. */
  connect(rule: GateRule, now: Ms): void {
    if (this.gate.connected) this.tracker.expectRestart();
    this.gate.connect(rule, now);
    this.counters.start(now);
    this.silence.start(now);
  }

  take(memory: Uint8Array, offset: number, length: number, address: string, port: number, now: Ms, batch: MediaBatch): Intake {
    const verdict = readRtp(memory, offset, length, header);
    if (verdict === 'rtcp') {
      this.counters.drop('rtcp');
      return 'ignored';
    }
    if (verdict !== 'rtp') return this.#refuse('malformed', address, port);
    const admission = this.gate.admit(address, port, header.ssrc, header.payloadType, now);
    if (admission === 'accepted' || admission === 'first' || admission === 'restarted') {
      this.#accept(memory, admission, now, batch);
      return 'taken';
    }
    return this.#refuse(admission, address, port);
  }

  #accept(memory: Uint8Array, admission: Admission, now: Ms, batch: MediaBatch): void {
    if (admission === 'restarted') this.tracker.expectRestart();
    const arrival = this.tracker.update(header.sequence, header.timestamp, now);
    if (this.silence.packet(now) || admission !== 'accepted') this.#options.onFlowing(now);
    if (arrival === 'duplicate' || arrival === 'stale') {
      this.counters.drop(arrival);
      return;
    }
    if (arrival === 'restart') this.#restart(now, batch);
    if (!this.probe.settled) this.probe.look(memory, header.payloadOffset, header.payloadLength);
    this.counters.received(RTP_HEADER_BYTES + header.payloadLength, now);
    const { buffer } = this;
    if (buffer === undefined || buffer.passes(this.tracker.index)) batch.add(memory, header.payloadOffset, header.payloadLength, header.marker, header.timestamp, this.tracker.index);
    else this.#order(buffer, memory, now, batch);
  }

  /** Out of order, or behind one that is missing. */
  #order(buffer: JitterBuffer, memory: Uint8Array, now: Ms, batch: MediaBatch): void {
    const { payloadOffset, payloadLength, marker, timestamp } = header;
    const { kind } = this.probe;
    const begins = buffer.opening && beginsPicture(kind, memory, payloadOffset, payloadLength);
    const late = buffer.late;
    this.nack?.arrived(this.tracker.index, now);
    buffer.boundMs = this.tracker.jitterBoundMs;
    buffer.take(memory, payloadOffset, payloadLength, marker, timestamp, this.tracker.index, now, batch, begins, begins && beginsKeyPicture(kind, memory, payloadOffset, payloadLength));
    if (buffer.late !== late) this.counters.drop('late');
  }

  #restart(now: Ms, batch: MediaBatch): void {
    this.probe.restart();
    this.buffer?.restart(this.tracker.index, now, batch);
    batch.restartAt = this.tracker.index;
  }

  #refuse(reason: Exclude<Intake, 'taken' | 'ignored'>, address: string, port: number): Intake {
    this.counters.drop(reason);
    this.#options.strays.note(this.#options.bridgeId, this.localPort, address, port, reason);
    return reason;
  }
}
