/**
 * How the media of one track leaves toward an RTSP viewer: between the messages of its connection, or as datagrams to the address that
 * the connection comes from. Datagrams are paced: what a joiner gets at once would overrun its socket.
 */
import type { Socket } from 'node:net';
import { INTERLEAVED, INTERLEAVED_HEADER_BYTES } from '#core/rtsp/reader.ts';
import type { Pair } from '#core/rtsp/transport.ts';
import { isRtcp } from '#core/rtp/packet.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { DatagramBatch, openUdp, type UdpPort } from '#kit/udp-batch.ts';
import type { MediaPorts, UdpSinkPort } from './media-ports.ts';
import type { WrittenPackets } from './rtsp-packets.ts';

/**
 * A default receive buffer holds 100 KB of media. What waits leaves within PACE_TURNS * PACE_MS or so, in portions that are neither so
 * small that a live stream of 12 Mbit/s falls behind, nor larger than such a reader can miss.
 */
const LEAST_BYTES = 8 * 1024;
const MOST_BYTES = 40 * 1024;
const PACE_TURNS = 40;
const PACE_MS = 5;
/** Pairs of ports that are tried. */
const MAX_PAIRS = 8;

export interface RtspLeg {
  /** Interleaved channel of RTP; null: datagrams. */
  readonly channel: number | null;
  readonly serverPort: Pair | undefined;
  /** Given and not taken by the far end yet. */
  readonly waitingBytes: number;
  send(packets: WrittenPackets): void;
  sendRtcp(packet: Uint8Array): void;
  /** What waits is thrown away. */
  clear(): void;
  close(): Promise<void>;
}

export class InterleavedLeg implements RtspLeg {
  readonly channel: number;
  readonly serverPort = undefined;
  readonly #socket: Socket;
  readonly #rtcpChannel: number;

  constructor(socket: Socket, [rtp, rtcp]: Pair) {
    this.#socket = socket;
    this.channel = rtp;
    this.#rtcpChannel = rtcp;
  }

  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  send({ memory }: WrittenPackets): void {
    this.#socket.write(memory);
  }

  sendRtcp(packet: Uint8Array): void {
    const frame = new Uint8Array(INTERLEAVED_HEADER_BYTES + packet.length);
    frame.set([INTERLEAVED, this.#rtcpChannel, packet.length >> 8, packet.length & 0xff]);
    frame.set(packet, INTERLEAVED_HEADER_BYTES);
    this.#socket.write(frame);
  }

  clear(): void {}

  async close(): Promise<void> {}
}

export interface DatagramLegOptions {
  readonly ports: MediaPorts;
  readonly clock: Clock;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly clientPort: Pair;
  /** RTCP came from the viewer. */
  readonly onAlive: () => void;
}

const outbound = new DatagramBatch();

export class DatagramLeg implements RtspLeg {
  readonly channel = null;
  readonly serverPort: Pair;
  readonly #options: DatagramLegOptions;
  readonly #rtp: UdpSinkPort;
  readonly #rtcp: UdpPort;
  #queue: WrittenPackets[] = [];
  /** Packets of the first in the queue that have left. */
  #sent = 0;
  #budget = MOST_BYTES;
  #refill: Disposable | undefined;
  waitingBytes = 0;

  private constructor(options: DatagramLegOptions, rtp: UdpSinkPort, rtcp: UdpPort) {
    this.#options = options;
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.serverPort = [rtp.local.port, rtcp.port];
  }

  /** An even port of the range and the next one (RFC 3550 11). */
  static async open(options: DatagramLegOptions): Promise<DatagramLeg> {
    const { ports, localAddress, remoteAddress, clientPort, onAlive } = options;
    if (ports.range === undefined) throw new GatewayError('MEDIA_TARGET_REFUSED', { why: 'one port for all media: viewers take RTSP over TCP' });
    for (let attempt = 0; attempt < MAX_PAIRS; attempt += 1) {
      const rtp = await ports.udpSink(localAddress, { address: remoteAddress, port: clientPort[0] }, { onBatch: () => undefined, onError: () => undefined });
      const onBatch = (batch: DatagramBatch): void => {
        for (let i = 0; i < batch.count; i += 1) if (isRtcp(batch.memory[i]!, batch.offset[i]!, batch.length[i]!)) return onAlive();
      };
      try {
        const rtcp = await openUdp({ address: localAddress, port: rtp.local.port + 1, mayRest: true, onBatch, onError: () => undefined });
        await rtcp.connect(remoteAddress, clientPort[1]);
        return new DatagramLeg(options, rtp, rtcp);
      } catch {
        // Somebody else has the odd one.
        await rtp.close();
      }
    }
    throw new GatewayError('PORTS_EXHAUSTED', { why: 'no pair of ports', attempts: MAX_PAIRS });
  }

  send(packets: WrittenPackets): void {
    this.#queue.push(packets);
    this.waitingBytes += packets.memory.length;
    if (this.#refill === undefined || this.#budget > 0) this.#drain();
  }

  sendRtcp(packet: Uint8Array): void {
    outbound.count = 0;
    outbound.add(packet, 0, packet.length, this.#options.remoteAddress, this.#options.clientPort[1]);
    this.#rtcp.send(outbound);
  }

  clear(): void {
    this.#queue = [];
    this.#sent = 0;
    this.waitingBytes = 0;
  }

  async close(): Promise<void> {
    this.#refill?.[Symbol.dispose]();
    this.clear();
    await Promise.all([this.#rtp.close(), this.#rtcp.close()]);
  }

  #drain(): void {
    const { remoteAddress, clientPort, clock } = this.#options;
    outbound.count = 0;
    for (let next = this.#queue[0]; next !== undefined && this.#budget > 0; next = this.#queue[0]) {
      const length = next.lengths[this.#sent]!;
      outbound.add(next.memory, next.offsets[this.#sent]!, length, remoteAddress, clientPort[0]);
      this.#budget -= length;
      this.waitingBytes -= length;
      this.#sent += 1;
      if (this.#sent < next.lengths.length) continue;
      this.#queue.shift();
      this.#sent = 0;
    }
    if (outbound.count > 0) this.#rtp.udp.send(outbound);
    if (this.#refill !== undefined) return;
    const since = clock.now();
    this.#refill = clock.schedule(addMs(since, PACE_MS), () => this.#refilled((clock.now() - since) / PACE_MS));
  }

  /** `turns`: a busy machine wakes late. */
  #refilled(turns: number): void {
    this.#refill = undefined;
    this.#budget = Math.min(MOST_BYTES, turns * Math.max(LEAST_BYTES, this.waitingBytes / PACE_TURNS));
    if (this.#queue.length > 0) this.#drain();
  }
}
