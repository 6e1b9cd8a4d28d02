/** One UDP and one TCP port per local address for all legs (faults.md 5.1, design.md 7). Opened with the first leg, kept to the end. */
import type { Endpoint } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import { openUdp } from '#kit/udp-batch.ts';
import { type DialPort, type LegListener, type ListenHandlers, type MediaPorts, type MediaPortsOptions, openTcp, type SourceListener, type UdpSinkPort, type UdpSourceHandlers, type UdpSourcePort, udpOptions } from './media-ports.ts';
import { SharedTcp } from './shared-tcp.ts';
import { SharedUdp } from './shared-udp.ts';

export interface FixedPortsOptions extends MediaPortsOptions {
  readonly udp: number;
  readonly tcp: number;
  readonly log: Log;
}

/** What an SDP names for a connection that we make when no port of ours is promised (RFC 4145 4.1). */
const DISCARD_PORT = 9;
const TCP_BACKLOG = 511;

export class FixedPorts implements MediaPorts {
  readonly #options: FixedPortsOptions;
  readonly #udp = new Map<string, Promise<SharedUdp>>();
  readonly #tcp = new Map<string, Promise<SharedTcp>>();
  /** A port for any number of legs. */
  readonly free = 0x10000;
  readonly range = undefined;

  constructor(options: FixedPortsOptions) {
    this.#options = options;
  }

  async udpSource(address: string, ssrc: number, { onBatch }: UdpSourceHandlers): Promise<UdpSourcePort> {
    return (await this.#sharedUdp(address)).add(ssrc, onBatch);
  }

  async udpSink(address: string, remote: Endpoint, { onBatch }: UdpSourceHandlers): Promise<UdpSinkPort> {
    const shared = await this.#sharedUdp(address);
    const { port } = shared;
    const heard = shared.addSink(remote, onBatch);
    return { local: { address: port.address, port: port.port }, udp: port, close: async () => heard[Symbol.dispose]() };
  }

  async listenSource(address: string, ssrc: number, handlers: ListenHandlers): Promise<SourceListener> {
    return (await this.#sharedTcp(address)).addSource(ssrc, handlers);
  }

  async listenSink(address: string, remote: Endpoint, handlers: ListenHandlers): Promise<LegListener> {
    return (await this.#sharedTcp(address)).addSink(remote, handlers);
  }

  async dialFrom(address: string): Promise<DialPort> {
    return { local: { address, port: DISCARD_PORT }, localPort: undefined, close: async () => undefined };
  }

  #sharedUdp(address: string): Promise<SharedUdp> {
    const { udp, receiveBufferBytes, strays, log } = this.#options;
    return this.#shared(this.#udp, address, udp, async () => {
      const shared = new SharedUdp(strays);
      shared.port = await openUdp({
        address,
        port: udp,
        receiveBufferBytes,
        sendBufferBytes: receiveBufferBytes,
        ...udpOptions(this.#options),
        onBatch: batch => shared.receive(batch),
        onError: error => log.warn({ why: error.code, address, port: udp }, 'fixed-port.socket-error'),
      });
      return shared;
    });
  }

  #sharedTcp(address: string): Promise<SharedTcp> {
    const { tcp, clock, strays } = this.#options;
    return this.#shared(this.#tcp, address, tcp, async () => new SharedTcp(await openTcp(address, tcp, TCP_BACKLOG), { address, port: tcp }, clock, strays));
  }

  #shared<T>(known: Map<string, Promise<T>>, address: string, port: number, open: () => Promise<T>): Promise<T> {
    let shared = known.get(address);
    if (shared === undefined) {
      shared = open().catch((error: unknown) => {
        known.delete(address);
        throw new GatewayError('MEDIA_UNAVAILABLE', { address, port, why: (error as NodeJS.ErrnoException).code ?? 'unknown' }, { cause: error });
      });
      known.set(address, shared);
    }
    return shared;
  }

  async close(): Promise<void> {
    const opened = [...[...this.#udp.values()].map(shared => shared.then(({ port }) => port.close())), ...[...this.#tcp.values()].map(shared => shared.then(tcp => tcp.close()))];
    await Promise.allSettled(opened);
  }
}
