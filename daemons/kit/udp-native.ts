/** UDP ports over recvmmsg, sendmmsg and UDP_SEGMENT: a batch is what one system call brings. The other half is native/udp-batch.c. */
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { DatagramBatch, MAX_HELD_BYTES, type UdpPort, type UdpPortOptions } from './udp-port.ts';

/** native/udp-batch.c; functions that return a number return a negative errno when they fail. */
export interface UdpAddon {
  init(memory: Uint8Array, words: Int32Array, ready: (port: number, count: number, errno: number) => void): number;
  open(address: string, port: number, receiveBufferBytes: number, sendBufferBytes: number, segments: 0 | 1, tos: number, freebind: 0 | 1): number;
  local(port: number): string;
  overflows(port: number): number;
  connect(port: number, address: string, farPort: number): number;
  fromOf(datagram: number): string;
  destination(number: number, address: string): number;
  send(port: number, count: number, arrays: readonly Uint8Array[], from: number): number;
  wantWritable(port: number, wanted: 0 | 1): number;
  close(port: number): number;
}

export interface NativeUdp {
  /** Binds. Rejects with the system's error (EADDRINUSE, EADDRNOTAVAIL ...). Without `segments` the kernel gets each packet by itself. */
  open(options: UdpPortOptions, segments?: boolean): Promise<UdpPort>;
}

// As in native/udp-batch.c.
const SLOTS = 64;
const MEMORY_BYTES = SLOTS * (2112 + 65_536);
const RECORD = 5;
const OUT = SLOTS * RECORD;
const ERROR = 2 * SLOTS * RECORD;
const PORT = ERROR + 1;
const WORDS = PORT + 1;
const FROM_MEMORY = 0;
const FROM_ARRAY = 1;
const FROM_SAME = 2;
const ADDRESSES = 1024;
const FRESH = 0x10000;
const WRITABLE = -1;
const CLOSED = -2;

const ADDON_PATH = './native/build/udp-batch.node';

let loaded: NativeUdp | undefined;

/** The same one each time. Throws when the addon was not built, or does not fit this Node. */
export const loadNativeUdp = (): NativeUdp => (loaded ??= createNativeUdp(createRequire(import.meta.url)(ADDON_PATH) as UdpAddon));

function systemError(errno: number, call: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${call} ${code}`), { errno, code, syscall: call });
}

/** Texts of far ends in, numbers of destinations out: each is made once. */
class Addresses {
  readonly #addon: UdpAddon;
  readonly #texts: string[] = Array.from({ length: ADDRESSES }, () => '');
  readonly #numbers = new Map<string, number>();
  #last = '';
  #lastNumber = -1;

  constructor(addon: UdpAddon) {
    this.#addon = addon;
  }

  textOf(word: number, datagram: number): string {
    const place = word & (ADDRESSES - 1);
    return (word & FRESH) === 0 ? this.#texts[place]! : (this.#texts[place] = this.#addon.fromOf(datagram));
  }

  /** Before each call of send: numbers that it uses stay what they are until it returns. */
  makeRoom(): void {
    if (this.#numbers.size <= ADDRESSES - SLOTS) return;
    this.#numbers.clear();
    this.#last = '';
  }

  /** What is no address gets a number that the kernel refuses. */
  numberOf(address: string): number {
    if (address === this.#last) return this.#lastNumber;
    let number = this.#numbers.get(address);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#addon.destination(number, address);
      this.#numbers.set(address, number);
    }
    this.#last = address;
    return (this.#lastNumber = number);
  }
}

/** What all ports share. */
class Shared {
  readonly addon: UdpAddon;
  readonly words = new Int32Array(WORDS);
  readonly addresses: Addresses;
  readonly ports: (NativePort | undefined)[] = [];
  /** A Buffer, as everything that comes from sockets: code that reads packets sees one kind of memory. */
  readonly memory: Uint8Array = Buffer.allocUnsafeSlow(MEMORY_BYTES);
  readonly #inbound = new DatagramBatch();

  constructor(addon: UdpAddon) {
    this.addon = addon;
    this.addresses = new Addresses(addon);
    const failed = addon.init(this.memory, this.words, (port, count, errno) => this.#ready(port, count, errno));
    if (failed !== 0) throw systemError(failed, 'init');
  }

  #ready(id: number, count: number, errno: number): void {
    const port = this.ports[id]!;
    if (count > 0) port.onBatch(this.#read(count));
    else if (count === WRITABLE) port.flush();
    else if (count === CLOSED) {
      this.ports[id] = undefined;
      port.closed();
    } else port.report(errno);
  }

  #read(count: number): DatagramBatch {
    const { words, memory, addresses } = this;
    const inbound = this.#inbound;
    inbound.count = 0;
    for (let i = 0, at = 0; i < count; i++, at += RECORD) inbound.add(memory, words[at]!, words[at + 1]!, addresses.textOf(words[at + 3]!, i), words[at + 2]!);
    return inbound;
  }
}

class NativePort implements UdpPort {
  readonly #shared: Shared;
  readonly #id: number;
  readonly #options: UdpPortOptions;
  readonly onBatch: UdpPortOptions['onBatch'];
  readonly address: string;
  readonly port: number;
  #connected = false;
  /** Copies of what the kernel had no room for, oldest first, and how far they were sent since. */
  #held: DatagramBatch | undefined;
  #heldSent = 0;
  #heldBytes = 0;
  #closing: Promise<void> | undefined;
  #onClosed: () => void = () => undefined;
  dropped = 0;

  constructor(shared: Shared, id: number, options: UdpPortOptions) {
    this.#shared = shared;
    this.#id = id;
    this.#options = options;
    this.onBatch = options.onBatch;
    this.address = shared.addon.local(id);
    this.port = shared.words[PORT]!;
    shared.ports[id] = this;
  }

  get overflows(): number {
    return this.#closing === undefined ? Math.max(0, this.#shared.addon.overflows(this.#id)) : 0;
  }

  async connect(address: string, port: number): Promise<void> {
    const failed = this.#shared.addon.connect(this.#id, address, port);
    if (failed !== 0) throw systemError(failed, 'connect');
    this.#connected = true;
  }

  send(batch: DatagramBatch): boolean {
    if (this.#closing !== undefined) return true;
    const at = this.#held === undefined ? this.#give(batch, 0) : 0;
    if (at < batch.count) this.#hold(batch, at);
    return true;
  }

  /** Hands packets to the kernel from the one at `at` on; returns the first that it has no room for. */
  #give(batch: DatagramBatch, at: number): number {
    const { addon, words } = this.#shared;
    while (at < batch.count) {
      const count = Math.min(SLOTS, batch.count - at);
      this.#describe(batch, at, count);
      const taken = addon.send(this.#id, count, batch.memory, at);
      if (taken < 0) throw systemError(taken, 'send');
      // Whoever sends to many is not told: nobody could say which of them it was.
      if (words[ERROR] !== 0 && this.#connected) this.#reportSoon(words[ERROR]!);
      at += taken;
      if (taken < count) break;
    }
    return at;
  }

  #describe(batch: DatagramBatch, from: number, count: number): void {
    const { words, memory, addresses } = this.#shared;
    addresses.makeRoom();
    let before: Uint8Array | undefined;
    for (let i = from, at = OUT; i < from + count; i++, at += RECORD) {
      const bytes = batch.memory[i]!;
      words[at] = batch.offset[i]!;
      words[at + 1] = batch.length[i]!;
      words[at + 4] = bytes === before ? FROM_SAME : bytes === memory ? FROM_MEMORY : FROM_ARRAY;
      before = bytes;
      if (this.#connected) continue;
      words[at + 2] = batch.port[i]!;
      words[at + 3] = addresses.numberOf(batch.address[i]!);
    }
  }

  /** The memory is not ours after this call: what waits is copied. */
  #hold(batch: DatagramBatch, from: number): void {
    if (this.#held === undefined) this.#shared.addon.wantWritable(this.#id, 1);
    const held = (this.#held ??= new DatagramBatch());
    for (let i = from; i < batch.count; i++) {
      const length = batch.length[i]!;
      if (this.#heldBytes + length > MAX_HELD_BYTES) {
        this.dropped += batch.count - i;
        return;
      }
      held.add(Uint8Array.prototype.slice.call(batch.memory[i]!, batch.offset[i], batch.offset[i]! + length), 0, length, batch.address[i]!, batch.port[i]!);
      this.#heldBytes += length;
    }
  }

  /** The kernel has room again. */
  flush(): void {
    const held = this.#held;
    if (held === undefined || this.#closing !== undefined) return;
    const sent = this.#give(held, this.#heldSent);
    for (let i = this.#heldSent; i < sent; i++) this.#heldBytes -= held.length[i]!;
    this.#heldSent = sent;
    if (sent < held.count) return;
    this.#held = undefined;
    this.#heldSent = this.#heldBytes = 0;
    this.#shared.addon.wantWritable(this.#id, 0);
  }

  report(errno: number): void {
    this.#options.onError(systemError(-errno, 'recvmsg'));
  }

  /** Not from within the caller's send. */
  #reportSoon(errno: number): void {
    queueMicrotask(() => {
      if (this.#closing === undefined) this.#options.onError(systemError(-errno, 'send'));
    });
  }

  close(): Promise<void> {
    this.#closing ??= new Promise(resolve => {
      this.#onClosed = resolve;
      this.#shared.addon.close(this.#id);
    });
    return this.#closing;
  }

  closed(): void {
    this.#held = undefined;
    this.#onClosed();
  }
}

/** Ports over an addon. */
export function createNativeUdp(addon: UdpAddon): NativeUdp {
  const shared = new Shared(addon);
  return {
    open: async (options, segments = true) => {
      const { address, port, receiveBufferBytes = 0, sendBufferBytes = 0, tos = 0, freebind = false } = options;
      const id = addon.open(address, port, receiveBufferBytes, sendBufferBytes, segments ? 1 : 0, tos, freebind ? 1 : 0);
      if (id < 0) throw systemError(id, 'bind');
      return new NativePort(shared, id, options);
    },
  };
}
