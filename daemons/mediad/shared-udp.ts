/** One UDP port for many source legs, told apart by SSRC (faults.md 5.1). Sinks send through the same port. */
import type { Endpoint } from '#contracts/mediad.ts';
import { isRtcp, readUint32, RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import { GatewayError } from '#core/result.ts';
import { DatagramBatch, type UdpPort } from '#kit/udp-batch.ts';
import type { UdpSourcePort } from './media-ports.ts';
import type { Strays } from './strays.ts';

interface Entry {
  ssrc: number;
  readonly onBatch: (batch: DatagramBatch) => void;
  /** Its datagrams of this wakeup. */
  readonly pending: DatagramBatch;
  /** Set when it may bring another SSRC: `address port` that it must come from. */
  adoptFrom: string | undefined;
}

export const ssrcTaken = (ssrc: number): GatewayError => new GatewayError('BAD_REQUEST', { ssrc, why: 'SSRC of a live leg on the same port' });

export class SharedUdp {
  readonly #strays: Strays;
  readonly #bySsrc = new Map<number, Entry>();
  readonly #byFarEnd = new Map<string, Entry>();
  readonly #sinks = new Map<string, Set<(batch: DatagramBatch) => void>>();
  readonly #single = new DatagramBatch();
  readonly #touched: Entry[] = [];
  port!: UdpPort;

  constructor(strays: Strays) {
    this.#strays = strays;
  }

  /** Sorts one wakeup's datagrams by leg, so that each leg gets its own at once. */
  receive(batch: DatagramBatch): void {
    const touched = this.#touched;
    for (let i = 0; i < batch.count; i++) {
      const memory = batch.memory[i]!;
      const offset = batch.offset[i]!;
      const length = batch.length[i]!;
      if (isRtcp(memory, offset, length)) {
        this.#toSinks(batch, i);
        continue;
      }
      if (length < RTP_HEADER_BYTES) continue;
      const ssrc = readUint32(memory, offset + 8);
      const entry = this.#bySsrc.get(ssrc) ?? this.#adopt(ssrc, batch.address[i]!, batch.port[i]!);
      if (entry === undefined) {
        this.#strays.note(null, this.port.port, batch.address[i]!, batch.port[i]!, 'wrong-ssrc');
        continue;
      }
      if (entry.pending.count === 0) touched.push(entry);
      entry.pending.add(memory, offset, length, batch.address[i]!, batch.port[i]!);
    }
    for (const { pending, onBatch } of touched) {
      onBatch(pending);
      pending.count = 0;
    }
    touched.length = 0;
  }

  /**
   * An unknown SSRC from exactly the far end of one leg: a camera that ignores y= (quirk 38) or restarted. The leg's gate still judges it.
   */
  #adopt(ssrc: number, address: string, port: number): Entry | undefined {
    if (this.#byFarEnd.size === 0) return undefined;
    const entry = this.#byFarEnd.get(`${address} ${port}`);
    if (entry !== undefined) this.#move(entry, ssrc);
    return entry;
  }

  /** RTCP of a receiver: to the sinks that send there, which know their own SSRC. */
  #toSinks(batch: DatagramBatch, i: number): void {
    const sinks = this.#sinks.get(`${batch.address[i]!} ${batch.port[i]!}`);
    if (sinks === undefined) return;
    const single = this.#single;
    single.count = 0;
    single.add(batch.memory[i]!, batch.offset[i]!, batch.length[i]!, batch.address[i]!, batch.port[i]!);
    for (const onBatch of sinks) onBatch(single);
  }

  /** Hears RTCP of this far end until it is disposed. */
  addSink({ address, port }: Endpoint, onBatch: (batch: DatagramBatch) => void): Disposable {
    const key = `${address} ${port}`;
    const sinks = this.#sinks.get(key) ?? new Set();
    this.#sinks.set(key, sinks.add(onBatch));
    return {
      [Symbol.dispose]: () => {
        sinks.delete(onBatch);
        if (sinks.size === 0 && this.#sinks.get(key) === sinks) this.#sinks.delete(key);
      },
    };
  }

  /** BAD_REQUEST when a live leg has this SSRC (fault 33). */
  add(ssrc: number, onBatch: (batch: DatagramBatch) => void): UdpSourcePort {
    if (this.#bySsrc.has(ssrc)) throw ssrcTaken(ssrc);
    const entry: Entry = { ssrc, onBatch, pending: new DatagramBatch(), adoptFrom: undefined };
    this.#bySsrc.set(ssrc, entry);
    const { port } = this;
    return {
      get overflows() {
        return port.overflows;
      },
      local: { address: this.port.address, port: this.port.port },
      send: batch => this.port.send(batch),
      expect: (wanted, remote, policy) => this.#expect(entry, wanted, remote, policy),
      close: async () => this.#remove(entry),
    };
  }

  #expect(entry: Entry, ssrc: number, remote: Endpoint, ssrcPolicy: 'exact' | 'adopt'): void {
    const holder = this.#bySsrc.get(ssrc);
    if (holder !== undefined && holder !== entry) throw ssrcTaken(ssrc);
    this.#remove(entry);
    this.#move(entry, ssrc);
    const key = `${remote.address} ${remote.port}`;
    entry.adoptFrom = ssrcPolicy === 'adopt' && !this.#byFarEnd.has(key) ? key : undefined;
    if (entry.adoptFrom !== undefined) this.#byFarEnd.set(key, entry);
  }

  #remove(entry: Entry): void {
    if (this.#bySsrc.get(entry.ssrc) === entry) this.#bySsrc.delete(entry.ssrc);
    if (entry.adoptFrom !== undefined && this.#byFarEnd.get(entry.adoptFrom) === entry) this.#byFarEnd.delete(entry.adoptFrom);
  }

  #move(entry: Entry, ssrc: number): void {
    if (this.#bySsrc.get(entry.ssrc) === entry) this.#bySsrc.delete(entry.ssrc);
    entry.ssrc = ssrc;
    this.#bySsrc.set(ssrc, entry);
  }
}
