/** Sink leg over UDP: own SSRC, numbers and payload type; payloads that came over TCP are cut to datagrams. */
import type { Endpoint } from '#contracts/mediad.ts';
import { readUint16, readUint32, RTP_HEADER_BYTES, writeRtpHeader } from '#core/rtp/packet.ts';
import { MAX_PIECE_BYTES, pieceCount, pieceLength } from '#core/rtp/reslice.ts';
import { SinkNumbering } from '#core/rtp/sequence.ts';
import type { Ms } from '#core/units.ts';
import { DatagramBatch } from '#kit/udp-batch.ts';
import type { LegCounters } from './leg-counters.ts';
import type { SinkLeg, SinkLegOptions } from './leg.ts';
import type { MediaBatch } from './media-batch.ts';
import type { UdpSinkPort } from './media-ports.ts';
import { Pacer } from './pacer.ts';
import { Resender } from './resender.ts';

/** A datagram cannot be longer (65,535 - IPv4 20 - UDP 8 - RTP 12). */
const MAX_PAYLOAD_BYTES = 65_495;
/** Refused this long without a pause: nobody is there any more (gb28181.md 6.4). */
const UNREACHABLE_MS = 10_000;
/** Refusals further apart than this are separate incidents: the receiver took packets between. */
const REFUSAL_PAUSE_MS = 2000;

/** One for all UDP sinks: filled and sent before the next one runs. */
const outbound = new DatagramBatch();

export async function openUdpSink(options: SinkLegOptions): Promise<SinkLeg> {
  const leg = new UdpSink(options);
  await leg.open();
  return leg;
}

class UdpSink implements SinkLeg {
  // Fields, not an options object: the fewer places a packet touches, the more of them stay in the cache.
  readonly #ssrc: number;
  payloadType: number;
  readonly #address: string;
  readonly #farPort: number;
  readonly #counters: LegCounters;
  readonly #numbering: SinkNumbering;
  readonly #options: SinkLegOptions;
  readonly remote: Endpoint;
  /** Where the peer may ask for packets again. */
  readonly #resender: Resender | undefined;
  /** Where whole pictures leave at once. */
  readonly #pacer: Pacer | undefined;
  #port!: UdpSinkPort;
  #udp!: UdpSinkPort['udp'];
  #refusedSince: Ms | undefined;
  #refusedAt: Ms | undefined;

  constructor(options: SinkLegOptions) {
    this.#options = options;
    this.remote = options.remote;
    this.#ssrc = options.ssrc;
    this.payloadType = options.payloadType;
    this.#address = options.remote.address;
    this.#farPort = options.remote.port;
    this.#counters = options.counters;
    this.#numbering = new SinkNumbering(options.firstSequence ?? options.plane.random.int(0x8000));
    const { plane, ssrc, remote, counters } = options;
    if (options.whole) this.#pacer = new Pacer(plane.clock, batch => this.#udp.send(batch));
    if (options.nack) this.#resender = new Resender({ plane, ssrc, payloadType: () => this.payloadType, ...remote, counters });
  }

  async open(): Promise<void> {
    const { plane, localAddress, localPort, remote, counters } = this.#options;
    this.#port = await plane.ports.udpSink(localAddress, remote, {
      // Receivers send RTCP here, or nothing (fault 62).
      onBatch: datagrams => {
        if (this.#resender === undefined) counters.drop('unexpected', datagrams.count);
        else this.#resender.receive(datagrams, batch => this.#udp.send(batch));
      },
      onError: () => this.#onRefused(plane.clock.now()),
    }, localPort);
    this.#udp = this.#port.udp;
  }

  get local(): Endpoint {
    return this.#port.local;
  }

  get nextSequence(): number | undefined {
    return this.#numbering.next;
  }

  start(): void {
    this.#options.onReady();
  }

  deliver(batch: MediaBatch, now: Ms, last = false): boolean {
    const counters = this.#counters;
    outbound.count = 0;
    let bytes = 0;
    for (let i = 0; i < batch.count; i++) {
      const length = batch.payloadLength[i]!;
      if (length > batch.datagramPayloadBytes) bytes += this.#addPieces(batch, i);
      else if (length > MAX_PAYLOAD_BYTES) counters.drop('too-large');
      else {
        const at = batch.payloadOffset[i]! - RTP_HEADER_BYTES;
        writeRtpHeader(batch.memory[i]!, at, batch.marker[i]!, this.payloadType, this.#numbering.sequenceOf(batch.index[i]!), batch.timestamp[i]!, this.#ssrc);
        outbound.add(batch.memory[i]!, at, length + RTP_HEADER_BYTES, this.#address, this.#farPort);
        bytes += length + RTP_HEADER_BYTES;
      }
    }
    if (this.#resender !== undefined) this.#keep(now);
    if (this.#options.plane.captures.on) this.#capture();
    const droppedBefore = this.#udp.dropped;
    const paced = this.#pacer?.push(outbound);
    const taken = paced === undefined ? this.#udp.send(outbound, last) : paced.taken;
    const dropped = this.#udp.dropped - droppedBefore + (paced?.dropped ?? 0);
    if (dropped > 0) counters.drop('queue-full', dropped);
    counters.sent(outbound.count - dropped, dropped === 0 ? bytes : 0, now);
    return taken;
  }

  #capture(): void {
    const { plane, bridgeId } = this.#options;
    const leg = { bridgeId, role: 'sink', transport: 'udp', framing: 'packets', fromStart: false, local: this.local } as const;
    for (let i = 0; i < outbound.count; i++) plane.captures.packet(leg, outbound.memory[i]!, outbound.offset[i]!, outbound.length[i]!, this.#address, this.#farPort);
  }

  /** What leaves now, as it leaves. */
  #keep(now: Ms): void {
    for (let i = 0; i < outbound.count; i++) {
      const memory = outbound.memory[i]!;
      const at = outbound.offset[i]!;
      const marker = memory[at + 1]! >= 0x80;
      this.#resender!.ring.keep(readUint16(memory, at + 2), memory, at + RTP_HEADER_BYTES, outbound.length[i]! - RTP_HEADER_BYTES, marker, readUint32(memory, at + 4), now);
    }
  }

  /** Pieces get memory of their own: their headers would lie in the payload before them. */
  #addPieces(batch: MediaBatch, i: number): number {
    const { ssrc, remote } = this.#options;
    const { payloadType } = this;
    const length = batch.payloadLength[i]!;
    const pieces = pieceCount(length);
    const stride = RTP_HEADER_BYTES + MAX_PIECE_BYTES;
    const memory = new Uint8Array(length + pieces * RTP_HEADER_BYTES);
    const first = this.#numbering.sequenceOf(batch.index[i]!);
    for (let piece = 0; piece < pieces; piece++) {
      const at = piece * stride;
      const from = batch.payloadOffset[i]! + piece * MAX_PIECE_BYTES;
      const size = pieceLength(length, piece);
      writeRtpHeader(memory, at, batch.marker[i]! && piece === pieces - 1, payloadType, first + piece, batch.timestamp[i]!, ssrc);
      memory.set(batch.memory[i]!.subarray(from, from + size), at + RTP_HEADER_BYTES);
      outbound.add(memory, at, size + RTP_HEADER_BYTES, remote.address, remote.port);
    }
    this.#numbering.insert(pieces - 1);
    return memory.length;
  }

  /** ICMP port or host unreachable. A receiver that is not up yet is given time. */
  #onRefused(now: Ms): void {
    const { counters, onClosed } = this.#options;
    counters.drop('unreachable');
    if (this.#refusedSince === undefined || now - this.#refusedAt! > REFUSAL_PAUSE_MS) this.#refusedSince = now;
    this.#refusedAt = now;
    if (now - this.#refusedSince >= UNREACHABLE_MS) onClosed('unreachable');
  }

  close(): Promise<void> {
    this.#pacer?.close();
    this.#resender?.ring.clear();
    return this.#port.close();
  }
}
