/** What a UDP sink keeps and sends again for a peer that asks by RTCP (core/rtp/resend-ring, RFC 4585). */
import { RTP_HEADER_BYTES, writeRtpHeader, isRtcp } from '#core/rtp/packet.ts';
import { ResendRing } from '#core/rtp/resend-ring.ts';
import { type NackTaker, readNacks } from '#core/rtp/rtcp.ts';
import type { Ms } from '#core/units.ts';
import { DatagramBatch } from '#kit/udp-batch.ts';
import type { LegCounters } from './leg-counters.ts';
import type { Plane } from './leg.ts';

export interface ResenderOptions {
  readonly plane: Plane;
  readonly ssrc: number;
  readonly payloadType: () => number;
  readonly address: string;
  readonly port: number;
  readonly counters: LegCounters;
}

/** One for all: filled and sent before another request is read. */
const outbound = new DatagramBatch();

export class Resender implements NackTaker {
  readonly ring: ResendRing;
  readonly #options: ResenderOptions;
  #now!: Ms;

  constructor(options: ResenderOptions) {
    this.#options = options;
    this.ring = new ResendRing(options.plane.store);
  }

  /** Requests in, packets out through `send`. What is no RTCP is counted and dropped (fault 62). */
  receive(datagrams: DatagramBatch, send: (batch: DatagramBatch) => boolean): void {
    const { plane, counters } = this.#options;
    this.#now = plane.clock.now();
    outbound.count = 0;
    for (let i = 0; i < datagrams.count; i++) {
      const [memory, offset, length] = [datagrams.memory[i]!, datagrams.offset[i]!, datagrams.length[i]!];
      if (!isRtcp(memory, offset, length)) counters.drop('unexpected');
      else if (readNacks(memory, offset, length, this) === 'malformed') counters.drop('malformed');
    }
    if (outbound.count === 0) return;
    counters.repaired += outbound.count;
    plane.counters.countEvent('nack.resent', outbound.count);
    send(outbound);
  }

  nack(mediaSsrc: number, sequence: number): void {
    const { plane, ssrc, payloadType, address, port, counters } = this.#options;
    if (mediaSsrc !== ssrc) return;
    counters.asked++;
    const slot = this.ring.find(sequence, this.#now);
    if (slot < 0) return;
    const { store } = plane;
    const length = store.length[slot]!;
    // Memory of its own: the slot may be used again while this is still on its way.
    const packet = Buffer.allocUnsafe(RTP_HEADER_BYTES + length);
    writeRtpHeader(packet, 0, store.marker[slot]!, payloadType(), sequence, store.timestamp[slot]!, ssrc);
    packet.set(store.memory[slot]!.subarray(store.offset[slot], store.offset[slot]! + length), RTP_HEADER_BYTES);
    outbound.add(packet, 0, packet.length, address, port);
  }
}
