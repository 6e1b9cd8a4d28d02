/** Source leg over UDP: datagrams in, accepted packets to the bridge. */
import type { Endpoint } from '#contracts/mediad.ts';
import { MAX_DATAGRAM_PAYLOAD_BYTES } from '#core/rtp/reslice.ts';
import type { DatagramBatch } from '#kit/udp-batch.ts';
import type { SourceLeg, SourceLegOptions, SourceTarget } from './leg.ts';
import type { UdpSourcePort } from './media-ports.ts';

export async function openUdpSource(options: SourceLegOptions): Promise<SourceLeg> {
  const leg = new UdpSource(options);
  await leg.open();
  return leg;
}

class UdpSource implements SourceLeg {
  readonly #options: SourceLegOptions;
  #port!: UdpSourcePort;

  constructor(options: SourceLegOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { plane, localAddress, ssrc, intake } = this.#options;
    this.#port = await plane.ports.udpSource(localAddress, ssrc, {
      onBatch: datagrams => this.#receive(datagrams),
      // Receiving never connects, so an error here is the socket's own; the silence that follows is reported.
      onError: error => plane.log.warn({ why: error.code, localPort: this.local.port }, 'source.socket-error'),
    });
    intake.localPort = this.local.port;
  }

  get local(): Endpoint {
    return this.#port.local;
  }

  connect({ remote, ssrc, ssrcPolicy, payloadType }: SourceTarget): void {
    const { plane, intake, peer } = this.#options;
    this.#port.expect(ssrc, remote, ssrcPolicy);
    intake.connect({ latch: peer.latch, address: remote.address, port: remote.port, isAllowed: peer.isAllowed, ssrc, ssrcPolicy, payloadType }, plane.clock.now());
  }

  #receive(datagrams: DatagramBatch): void {
    const { plane, intake, relay } = this.#options;
    const batch = plane.batch;
    const now = plane.clock.now();
    batch.count = 0;
    for (let i = 0; i < datagrams.count; i++) intake.take(datagrams.memory[i]!, datagrams.offset[i]!, datagrams.length[i]!, datagrams.address[i]!, datagrams.port[i]!, now, batch);
    if (batch.count === 0) return;
    batch.kind = intake.probe.kind;
    batch.datagramPayloadBytes = intake.probe.isElementary ? Infinity : MAX_DATAGRAM_PAYLOAD_BYTES;
    relay(batch, now);
  }

  close(): Promise<void> {
    return this.#port.close();
  }
}
