/** One UDP and one TCP port per local address for all legs, told apart by SSRC (faults.md 5.1, design.md 7). */
import type { Endpoint } from '#contracts/mediad.ts';
import { isRtcp, readUint32, RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import { DatagramBatch, openUdp, type UdpPort } from '#kit/udp-batch.ts';
import type { MediaPorts, MediaPortsOptions, UdpSinkPort, UdpSourceHandlers, UdpSourcePort } from './media-ports.ts';

export interface FixedPortsOptions extends MediaPortsOptions {
  readonly udp: number;
  readonly tcp: number;
  readonly log: Log;
}

interface SourceEntry {
  ssrc: number;
  readonly onBatch: (batch: DatagramBatch) => void;
  /** Set while the first packet may bring another SSRC: `address port` that it must come from. */
  adoptFrom: string | undefined;
}

/** All UDP legs of one local address. */
class SharedUdp {
  readonly port: UdpPort;
  readonly #bySsrc = new Map<number, SourceEntry>();
  readonly #byFarEnd = new Map<string, SourceEntry>();
  readonly #single = new DatagramBatch();
  users = 0;

  constructor(port: UdpPort) {
    this.port = port;
  }

  receive(batch: DatagramBatch): void {
    const single = this.#single;
    for (let i = 0; i < batch.count; i++) {
      const memory = batch.memory[i]!;
      const offset = batch.offset[i]!;
      const length = batch.length[i]!;
      if (length < RTP_HEADER_BYTES || isRtcp(memory, offset, length)) continue;
      const ssrc = readUint32(memory, offset + 8);
      const entry = this.#bySsrc.get(ssrc) ?? this.#adopt(ssrc, batch.address[i]!, batch.port[i]!);
      if (entry === undefined) continue;
      single.count = 0;
      single.add(memory, offset, length, batch.address[i]!, batch.port[i]!);
      entry.onBatch(single);
    }
  }

  /** An unknown SSRC from exactly the far end that one leg waits for: a camera that ignores y= (quirk 38). */
  #adopt(ssrc: number, address: string, port: number): SourceEntry | undefined {
    if (this.#byFarEnd.size === 0) return undefined;
    const key = `${address} ${port}`;
    const entry = this.#byFarEnd.get(key);
    if (entry === undefined) return undefined;
    this.#byFarEnd.delete(key);
    this.#move(entry, ssrc);
    return entry;
  }

  add(entry: SourceEntry): void {
    this.#refuseTaken(entry, entry.ssrc);
    this.#bySsrc.set(entry.ssrc, entry);
  }

  expect(entry: SourceEntry, ssrc: number, remote: Endpoint, ssrcPolicy: 'exact' | 'adopt'): void {
    this.#refuseTaken(entry, ssrc);
    this.#move(entry, ssrc);
    if (entry.adoptFrom !== undefined) this.#byFarEnd.delete(entry.adoptFrom);
    entry.adoptFrom = undefined;
    const key = `${remote.address} ${remote.port}`;
    if (ssrcPolicy === 'exact' || this.#byFarEnd.has(key)) return;
    entry.adoptFrom = key;
    this.#byFarEnd.set(key, entry);
  }

  remove(entry: SourceEntry): void {
    if (this.#bySsrc.get(entry.ssrc) === entry) this.#bySsrc.delete(entry.ssrc);
    if (entry.adoptFrom !== undefined && this.#byFarEnd.get(entry.adoptFrom) === entry) this.#byFarEnd.delete(entry.adoptFrom);
  }

  #move(entry: SourceEntry, ssrc: number): void {
    if (this.#bySsrc.get(entry.ssrc) === entry) this.#bySsrc.delete(entry.ssrc);
    entry.ssrc = ssrc;
    this.#bySsrc.set(ssrc, entry);
  }

  #refuseTaken(entry: SourceEntry, ssrc: number): void {
    const holder = this.#bySsrc.get(ssrc);
    if (holder !== undefined && holder !== entry) throw new GatewayError('BAD_REQUEST', { ssrc, why: 'SSRC of a live leg on the same port' });
  }
}

export class FixedPorts implements MediaPorts {
  readonly #options: FixedPortsOptions;
  readonly #udp = new Map<string, Promise<SharedUdp>>();
  /** A port for any number of legs. */
  readonly free = 0x10000;

  constructor(options: FixedPortsOptions) {
    this.#options = options;
  }

  async udpSource(address: string, ssrc: number, handlers: UdpSourceHandlers): Promise<UdpSourcePort> {
    const shared = await this.#shared(address);
    const entry: SourceEntry = { ssrc, onBatch: handlers.onBatch, adoptFrom: undefined };
    shared.add(entry);
    return {
      local: { address: shared.port.address, port: shared.port.port },
      expect: (wanted, remote, policy) => shared.expect(entry, wanted, remote, policy),
      close: async () => shared.remove(entry),
    };
  }

  async udpSink(address: string): Promise<UdpSinkPort> {
    const { port } = await this.#shared(address);
    return { local: { address: port.address, port: port.port }, send: batch => port.send(batch), dropped: 0, close: async () => undefined };
  }

  #shared(address: string): Promise<SharedUdp> {
    let shared = this.#udp.get(address);
    if (shared === undefined) {
      shared = this.#open(address);
      this.#udp.set(address, shared);
    }
    return shared;
  }

  async #open(address: string): Promise<SharedUdp> {
    const { udp, receiveBufferBytes, log } = this.#options;
    const holder: { shared?: SharedUdp } = {};
    try {
      const port = await openUdp({ address, port: udp, receiveBufferBytes, sendBufferBytes: receiveBufferBytes, onBatch: batch => holder.shared!.receive(batch), onError: error => log.warn({ why: error.code }, 'fixed-port.socket-error') });
      return (holder.shared = new SharedUdp(port));
    } catch (error) {
      this.#udp.delete(address);
      throw new GatewayError('MEDIA_UNAVAILABLE', { address, port: udp, why: (error as NodeJS.ErrnoException).code ?? 'unknown' }, { cause: error });
    }
  }

  async close(): Promise<void> {
    for (const shared of this.#udp.values()) await shared.then(({ port }) => port.close(), () => undefined);
    this.#udp.clear();
  }
}
