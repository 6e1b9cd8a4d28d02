/** Holds each packet against what was agreed, puts them in order, and tells what is missing. */
import { newRtpHeader, readRtp } from '#core/rtp/packet.ts';

/** Packets held while one before them is missing (UDP). */
const REORDER_DEPTH = 64;
/** A longer step is a new run of the sender, not loss. */
const MAX_STEP = 3000;

export interface RtpCounters {
  packets: number;
  bytes: number;
  rtcp: number;
  lost: number;
  reordered: number;
  duplicates: number;
  ssrcMismatch: number;
  payloadTypeMismatch: number;
  /** No RTP packet at all. */
  malformed: number;
  /** Sequence jumped: the sender began anew. */
  restarts: number;
  markers: number;
}

export interface RtpSink {
  /** Payload in order. `timestamp` 32 bits; valid during the call. */
  payload(bytes: Uint8Array, timestamp: number, marker: boolean): void;
  /** One or more packets before the next payload never came. */
  gap(): void;
}

interface Held {
  readonly payload: Uint8Array;
  readonly timestamp: number;
  readonly marker: boolean;
}

export class RtpJudge {
  readonly counters: RtpCounters = { packets: 0, bytes: 0, rtcp: 0, lost: 0, reordered: 0, duplicates: 0, ssrcMismatch: 0, payloadTypeMismatch: 0, malformed: 0, restarts: 0, markers: 0 };
  readonly #sink: RtpSink;
  readonly #header = newRtpHeader();
  readonly #held = new Map<number, Held>();
  #expected: { ssrc: number | undefined; payloadType: number };
  #next: number | undefined;
  #stray: number | undefined;
  /** Of the present run. */
  #ssrc: number | undefined;
  /** SSRC of the packets, right or wrong. */
  seenSsrc: number | undefined;

  constructor(expected: { ssrc: number | undefined; payloadType: number }, sink: RtpSink) {
    this.#expected = expected;
    this.#sink = sink;
  }

  expect(ssrc: number, payloadType: number): void {
    this.#expected = { ssrc, payloadType };
  }

  packet(packet: Uint8Array): void {
    const header = this.#header;
    const verdict = readRtp(packet, 0, packet.length, header);
    if (verdict !== 'rtp') {
      if (verdict === 'rtcp') this.counters.rtcp += 1;
      else this.counters.malformed += 1;
      return;
    }
    this.counters.packets += 1;
    this.counters.bytes += packet.length;
    this.seenSsrc = header.ssrc;
    if (this.#expected.ssrc !== undefined && header.ssrc !== this.#expected.ssrc) this.counters.ssrcMismatch += 1;
    if (header.payloadType !== this.#expected.payloadType) this.counters.payloadTypeMismatch += 1;
    if (header.marker) this.counters.markers += 1;
    const payload = packet.subarray(header.payloadOffset, header.payloadOffset + header.payloadLength);
    const arrived = { payload, timestamp: header.timestamp, marker: header.marker };
    this.#ssrc ??= header.ssrc;
    // Numbers of another source have nothing to do with ours, however close they are.
    if (header.ssrc === this.#ssrc) this.#place(header.sequence, arrived);
    else if (this.#restart(header.sequence, arrived)) this.#ssrc = header.ssrc;
  }

  /** Hands out what is held, gaps and all. */
  flush(): void {
    while (this.#held.size > 0) this.#skipGap();
  }

  #place(sequence: number, arrived: Held): void {
    this.#next ??= sequence;
    const step = ((sequence - this.#next) << 16) >> 16;
    if (step === 0) {
      this.#stray = undefined;
      this.#deliver(arrived);
      return this.#drain();
    }
    if (step > 0 && step < MAX_STEP) {
      if (this.#held.has(sequence)) this.counters.duplicates += 1;
      else {
        this.#held.set(sequence, { ...arrived, payload: arrived.payload.slice() });
        if (this.#held.size > REORDER_DEPTH) this.#skipGap();
      }
      return;
    }
    if (step < 0 && step > -MAX_STEP) this.counters.duplicates += 1;
    else this.#restart(sequence, arrived);
  }

  /** Two packets in a row from elsewhere: a new run (RFC 3550 A.1). True when it begins. */
  #restart(sequence: number, arrived: Held): boolean {
    if (this.#stray !== sequence) {
      this.#stray = (sequence + 1) & 0xffff;
      return false;
    }
    this.flush();
    this.counters.restarts += 1;
    this.#stray = undefined;
    this.#sink.gap();
    this.#next = sequence;
    this.#deliver(arrived);
    return true;
  }

  #deliver({ payload, timestamp, marker }: Held): void {
    this.#next = (this.#next! + 1) & 0xffff;
    this.#sink.payload(payload, timestamp, marker);
  }

  #drain(): void {
    for (let held = this.#take(); held !== undefined; held = this.#take()) {
      this.counters.reordered += 1;
      this.#deliver(held);
    }
  }

  #take(): Held | undefined {
    const held = this.#held.get(this.#next!);
    this.#held.delete(this.#next!);
    return held;
  }

  #skipGap(): void {
    while (!this.#held.has(this.#next!)) {
      this.counters.lost += 1;
      this.#next = (this.#next! + 1) & 0xffff;
    }
    this.#sink.gap();
    for (let held = this.#take(); held !== undefined; held = this.#take()) this.#deliver(held);
  }
}
