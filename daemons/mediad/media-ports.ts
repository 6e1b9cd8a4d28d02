/** Local ports of legs: a range with a port for each, or the fixed ones of a gap (design.md 7). */
import type { Endpoint } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { PortPool, type PortRange } from '#kit/port-pool.ts';
import { type DatagramBatch, openUdp } from '#kit/udp-batch.ts';

export interface LegPort {
  readonly local: Endpoint;
  /** Ends when the port is given back. Twice is once. */
  close(): Promise<void>;
}

export interface UdpSourcePort extends LegPort {
  /** What the leg accepts from now on. BAD_REQUEST when that cannot be told from another live leg. */
  expect(ssrc: number, remote: Endpoint, ssrcPolicy: 'exact' | 'adopt'): void;
}

export interface UdpSinkPort extends LegPort {
  /** To the remote of the leg; see UdpPort.send. */
  send(batch: DatagramBatch): boolean;
  readonly dropped: number;
}

export interface UdpSourceHandlers {
  readonly onBatch: (batch: DatagramBatch) => void;
  readonly onError: (error: NodeJS.ErrnoException) => void;
}

export interface MediaPorts {
  /** Numbers left for new legs. */
  readonly free: number;
  udpSource(address: string, ssrc: number, handlers: UdpSourceHandlers): Promise<UdpSourcePort>;
  udpSink(address: string, remote: Endpoint, handlers: UdpSourceHandlers): Promise<UdpSinkPort>;
  close(): Promise<void>;
}

export interface MediaPortsOptions {
  readonly receiveBufferBytes: number;
  readonly clock: Clock;
}

const SEND_BUFFER_BYTES = 1024 * 1024;

/** One number a leg, whatever its transport. */
export class RangePorts implements MediaPorts {
  readonly #options: MediaPortsOptions;
  readonly #pool: PortPool;

  constructor(range: PortRange, options: MediaPortsOptions) {
    this.#options = options;
    this.#pool = new PortPool(range, options.clock);
  }

  get free(): number {
    return this.#pool.free;
  }

  async udpSource(address: string, _ssrc: number, handlers: UdpSourceHandlers): Promise<UdpSourcePort> {
    const { lease, bound } = await this.#pool.bind(port => openUdp({ address, port, receiveBufferBytes: this.#options.receiveBufferBytes, ...handlers }));
    return {
      local: { address: bound.address, port: bound.port },
      expect: () => undefined,
      close: () => bound.close().then(lease.release),
    };
  }

  async udpSink(address: string, remote: Endpoint, handlers: UdpSourceHandlers): Promise<UdpSinkPort> {
    const { lease, bound } = await this.#pool.bind(port => openUdp({ address, port, sendBufferBytes: SEND_BUFFER_BYTES, ...handlers }));
    const close = (): Promise<void> => bound.close().then(lease.release);
    await bound.connect(remote.address, remote.port).catch(async (error: NodeJS.ErrnoException) => {
      await close();
      throw new GatewayError('MEDIA_TARGET_REFUSED', { address: remote.address, port: remote.port, why: error.code ?? error.message }, { cause: error });
    });
    return {
      local: { address: bound.address, port: bound.port },
      send: batch => bound.send(batch),
      get dropped() {
        return bound.dropped;
      },
      close,
    };
  }

  async close(): Promise<void> {}
}
