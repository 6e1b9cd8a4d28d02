/** A pair of datagram ports for one track that we pull: RTP on an even number, RTCP on the next. Only the server is heard. */
import type { Pair } from '#core/rtsp/transport.ts';
import { GatewayError } from '#core/result.ts';
import { DatagramBatch, openUdp, type UdpPort } from '#kit/udp-batch.ts';
import type { MediaPorts, UdpSourcePort } from './media-ports.ts';

const MAX_PAIRS = 8;

export interface PullPortsOptions {
  readonly ports: MediaPorts;
  readonly localAddress: string;
  readonly serverAddress: string;
  rtp(memory: Uint8Array, offset: number, length: number): void;
  rtcp(memory: Uint8Array, offset: number, length: number): void;
}

const outbound = new DatagramBatch();

export class PullPorts {
  readonly clientPort: Pair;
  readonly #rtp: UdpSourcePort;
  readonly #rtcp: UdpPort;
  readonly #serverAddress: string;
  /** Where the server sends from; null until SETUP said so: then any port of its address. */
  serverPort: Pair | undefined;
  /** Datagrams of others. */
  strays = 0;

  private constructor(rtp: UdpSourcePort, rtcp: UdpPort, serverAddress: string) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.#serverAddress = serverAddress;
    this.clientPort = [rtp.local.port, rtcp.port];
  }

  static async open({ ports, localAddress, serverAddress, rtp, rtcp }: PullPortsOptions): Promise<PullPorts> {
    if (ports.range === undefined) throw new GatewayError('MEDIA_TARGET_REFUSED', { why: 'one port for all media: pull over TCP' });
    let made: PullPorts | undefined;
    const hear = (batch: DatagramBatch, place: 0 | 1, take: (memory: Uint8Array, offset: number, length: number) => void): void => {
      for (let i = 0; i < batch.count; i += 1) {
        if (made?.hears(batch.address[i]!, batch.port[i]!, place) === true) take(batch.memory[i]!, batch.offset[i]!, batch.length[i]!);
      }
    };
    for (let attempt = 0; attempt < MAX_PAIRS; attempt += 1) {
      const even = await ports.udpSource(localAddress, 0, { onBatch: batch => hear(batch, 0, rtp), onError: () => undefined });
      try {
        const odd = await openUdp({ address: localAddress, port: even.local.port + 1, mayRest: true, onBatch: batch => hear(batch, 1, rtcp), onError: () => undefined });
        return (made = new PullPorts(even, odd, serverAddress));
      } catch {
        await even.close();
      }
    }
    throw new GatewayError('PORTS_EXHAUSTED', { why: 'no pair of ports', attempts: MAX_PAIRS });
  }

  hears(address: string, port: number, place: 0 | 1): boolean {
    const heard = address === this.#serverAddress && (this.serverPort === undefined || this.serverPort[place] === port);
    if (!heard) this.strays += 1;
    return heard;
  }

  sendRtcp(packet: Uint8Array): void {
    if (this.serverPort === undefined) return;
    outbound.count = 0;
    outbound.add(packet, 0, packet.length, this.#serverAddress, this.serverPort[1]);
    this.#rtcp.send(outbound);
  }

  async close(): Promise<void> {
    await Promise.all([this.#rtp.close(), this.#rtcp.close()]);
  }
}
