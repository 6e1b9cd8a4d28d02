/** UDP ports over recvmmsg, sendmmsg and UDP_SEGMENT: a batch is what one system call brings. The other half is native/udp-batch.c. */
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { DatagramBatch, MAX_HELD_BYTES, type UdpPort, type UdpPortOptions } from './udp-port.ts';

/** native/udp-batch.c; functions that return a number return a negative errno when they fail. */
export interface UdpAddon {
  init(memory: Uint8Array, words: Int32Array, ready: (port: number, count: number, errno: number) => void, restUs: number): number;
  open(address: string, port: number, receiveBufferBytes: number, sendBufferBytes: number, segments: 0 | 1, tos: number, freebind: 0 | 1, impatient: 0 | 1): number;
  local(port: number): string;
  overflows(port: number): number;
  connect(port: number, address: string, farPort: number): number;
  fromOf(datagram: number): string;
  destination(number: number, address: string): number;
  send(port: number, count: number, arrays: readonly Uint8Array[], from: number): number;
  flush(from: number, count: number): number;
  wantWritable(port: number, wanted: 0 | 1): number;
  close(port: number): number;
}

export interface NativeUdp {
  /** Wake-ups so far that brought 1, 2-3, 4-7 ... 64 and more datagrams. */
  readonly found: readonly number[];
  /** Binds. Rejects with the system's error (EADDRINUSE, EADDRNOTAVAIL ...). Without `segments` the kernel gets each packet by itself. */
  open(options: UdpPortOptions, segments?: boolean): Promise<UdpPort>;
}

// As in native/udp-batch.c.
const SLOTS = 64;
const MEMORY_BYTES = SLOTS * (2112 + 65_536);
const RECORD = 6;
const OUT = SLOTS * RECORD;
const LATER = 2 * OUT;
const ERROR = 3 * OUT;
const PORT = ERROR + 1;
const END = PORT + 1;
const FOUND = END + 1;
const FOUND_WORDS = 7;
const WORDS = FOUND + FOUND_WORDS;
const FROM_MEMORY = 0;
const FROM_ARRAY = 1;
const FROM_SAME = 2;
const ADDRESSES = 1024;
const FRESH = 0x10000;
const WRITABLE = -1;
/** How long a busy process leaves its ports alone: what comes meanwhile is taken at once. Longest delay that it adds. */
const REST_US = 500;

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
  /** Datagrams are being handed out. */
  #handing = false;
  /** Packets that wait for the end of that. */
  #later = 0;

  constructor(addon: UdpAddon, restUs: number) {
    this.addon = addon;
    this.addresses = new Addresses(addon);
    const failed = addon.init(this.memory, this.words, (port, count, errno) => this.#ready(port, count, errno), restUs);
    if (failed !== 0) throw systemError(failed, 'init');
  }

  #ready(id: number, count: number, errno: number): void {
    if (count > 0) return this.#handOut(count);
    const port = this.ports[id];
    if (count === WRITABLE) port?.flush();
    else port?.report(errno);
  }

  /** To each port its own: those of one port stand together. */
  #handOut(count: number): void {
    const { words, memory, addresses } = this;
    const inbound = this.#inbound;
    this.#handing = true;
    for (let i = 0, at = 0; i < count; ) {
      const id = words[at + 4]!;
      inbound.count = 0;
      for (; i < count && words[at + 4] === id; i++, at += RECORD) inbound.add(memory, words[at]!, words[at + 1]!, addresses.textOf(words[at + 3]!, i), words[at + 2]!);
      // One that was served before it may have closed it.
      this.ports[id]?.onBatch(inbound);
    }
    this.#handing = false;
    this.flush();
  }

  /** Takes packets of a connected port that lie where they were received. False: it is not the time for that. */
  sendLater(id: number, batch: DatagramBatch): boolean {
    const { memory, words } = this;
    const { count } = batch;
    if (!this.#handing || count > SLOTS) return false;
    for (let i = 0; i < count; i++) if (batch.memory[i] !== memory) return false;
    if (this.#later + count > SLOTS) this.flush();
    let at = LATER + this.#later * RECORD;
    for (let i = 0; i < count; i++, at += RECORD) {
      words[at] = batch.offset[i]!;
      words[at + 1] = batch.length[i]!;
      words[at + 4] = id;
    }
    this.#later += count;
    return true;
  }

  flush(): void {
    const { words, addon } = this;
    const count = this.#later;
    this.#later = 0;
    for (let at = 0; at < count; ) {
      at = addon.flush(at, count);
      if (at === count && words[ERROR] === 0) return;
      const end = words[END]!;
      this.ports[words[LATER + (end - 1) * RECORD + 4]!]!.notAllSent(LATER + at * RECORD, end - at, words[ERROR]!);
      at = end;
    }
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
  #closed = false;
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
    return this.#closed ? 0 : Math.max(0, this.#shared.addon.overflows(this.#id));
  }

  async connect(address: string, port: number): Promise<void> {
    const failed = this.#shared.addon.connect(this.#id, address, port);
    if (failed !== 0) throw systemError(failed, 'connect');
    this.#connected = true;
  }

  send(batch: DatagramBatch, last = false): boolean {
    if (this.#closed) return true;
    if (last && this.#connected && this.#held === undefined && this.#shared.sendLater(this.#id, batch)) return true;
    this.#shared.flush();
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
      words[at + 5] = bytes === before ? FROM_SAME : bytes === memory ? FROM_MEMORY : FROM_ARRAY;
      before = bytes;
      if (this.#connected) continue;
      words[at + 2] = batch.port[i]!;
      words[at + 3] = addresses.numberOf(batch.address[i]!);
    }
  }

  /** Of what it left for later: an error on the way, and `count` packets that the kernel had no room for, described from the word at `from` on. */
  notAllSent(from: number, count: number, errno: number): void {
    const { words, memory } = this.#shared;
    if (errno !== 0) this.#reportSoon(errno);
    for (let i = 0, at = from; i < count; i++, at += RECORD) this.#holdOne(memory, words[at]!, words[at + 1]!, '', 0);
  }

  #hold(batch: DatagramBatch, from: number): void {
    for (let i = from; i < batch.count; i++) this.#holdOne(batch.memory[i]!, batch.offset[i]!, batch.length[i]!, batch.address[i]!, batch.port[i]!);
  }

  /** The memory is not ours after this call: what waits is copied. */
  #holdOne(memory: Uint8Array, offset: number, length: number, address: string, port: number): void {
    if (this.#heldBytes + length > MAX_HELD_BYTES) {
      this.dropped += 1;
      return;
    }
    if (this.#held === undefined) this.#shared.addon.wantWritable(this.#id, 1);
    (this.#held ??= new DatagramBatch()).add(Uint8Array.prototype.slice.call(memory, offset, offset + length), 0, length, address, port);
    this.#heldBytes += length;
  }

  /** The kernel has room again. */
  flush(): void {
    const held = this.#held;
    if (held === undefined) return;
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
      if (!this.#closed) this.#options.onError(systemError(-errno, 'send'));
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#shared.flush();
    this.#closed = true;
    this.#held = undefined;
    this.#shared.ports[this.#id] = undefined;
    this.#shared.addon.close(this.#id);
  }
}

/** Ports over an addon. `restUs` 0: each wake-up takes what is there and no more. */
export function createNativeUdp(addon: UdpAddon, restUs = REST_US): NativeUdp {
  const shared = new Shared(addon, restUs);
  return {
    get found() {
      return Array.from(shared.words.subarray(FOUND), count => count >>> 0);
    },
    open: async (options, segments = true) => {
      const { address, port, receiveBufferBytes = 0, sendBufferBytes = 0, tos = 0, freebind = false, mayRest = false } = options;
      const id = addon.open(address, port, receiveBufferBytes, sendBufferBytes, segments ? 1 : 0, tos, freebind ? 1 : 0, mayRest ? 0 : 1);
      if (id < 0) throw systemError(id, 'bind');
      return new NativePort(shared, id, options);
    },
  };
}
