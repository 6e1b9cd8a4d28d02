import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { chooseUdp, DatagramBatch, type UdpImplementation, type UdpPort } from '#kit/udp-batch.ts';
import { createNativeUdp, type UdpAddon } from '#kit/udp-native.ts';
import { until } from '../wire/mediad-peers.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Nothing to do where there is no compiler: then all rows of the table are dgram. */
execFileSync('bash', ['-c', '. scripts/lib/setup.sh && need_native'], { cwd: ROOT });
const IMPLEMENTATIONS: readonly UdpImplementation[] = [chooseUdp('dgram'), chooseUdp('any'), chooseUdp('unsegmented')];
const LOOPBACKS = ['127.0.0.1', '::1'] as const;

/** As in native/udp-batch.c. */
const RECORD = 6;
const OUT = 64 * RECORD;
const LATER = 2 * OUT;
const END = 3 * OUT + 2;

interface Heard {
  readonly bytes: Buffer;
  readonly address: string;
  readonly port: number;
}

interface Ear {
  readonly port: UdpPort;
  readonly heard: Heard[];
  readonly errors: string[];
  batches: number;
}

type Open = (address: string, options?: { port?: number; receiveBufferBytes?: number; mayRest?: boolean; onBatch?: (batch: DatagramBatch, ear: Ear) => void }) => Promise<Ear>;

const opener =
  (udp: UdpImplementation): Open =>
  async (address, { port = 0, receiveBufferBytes = 4 * 1024 * 1024, mayRest = false, onBatch } = {}) => {
    const ear: { -readonly [K in keyof Ear]: Ear[K] } = { port: undefined as unknown as UdpPort, heard: [], errors: [], batches: 0 };
    ear.port = await udp.open({
      address,
      port,
      receiveBufferBytes,
      mayRest,
      onBatch: batch => {
        ear.batches++;
        for (let i = 0; i < batch.count; i++) {
          const at = batch.offset[i]!;
          ear.heard.push({ bytes: Buffer.from(batch.memory[i]!.subarray(at, at + batch.length[i]!)), address: batch.address[i]!, port: batch.port[i]! });
        }
        onBatch?.(batch, ear);
      },
      onError: error => ear.errors.push(error.code ?? ''),
    });
    return ear;
  };

function batchOf(to: { readonly address: string; readonly port: number }, ...packets: readonly Uint8Array[]): DatagramBatch {
  const batch = new DatagramBatch();
  for (const packet of packets) batch.add(packet, 0, packet.length, to.address, to.port);
  return batch;
}

/** Packet `number` of a burst, told apart by its first octets. */
function packet(number: number, length: number): Buffer {
  const bytes = Buffer.alloc(length, number & 0xff);
  bytes.writeUInt32BE(number);
  return bytes;
}

const numbersOf = (heard: readonly Heard[]): number[] => heard.map(({ bytes }) => bytes.readUInt32BE());
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

for (const udp of IMPLEMENTATIONS) {
  for (const address of LOOPBACKS) {
    const open = opener(udp);
    const test = (name: string, body: (t: Test) => Promise<void>): void => void t.test(`${udp.name} ${address}: ${name}`, { timeout: 60_000 }, body);

    test('bursts arrive whole and in order, from a port that is connected and one that is not', async t => {
      const [near, far] = [await open(address), await open(address)];
      // Runs of one length, a shorter one at their end, a longer one after it.
      const lengths = Array.from({ length: 640 }, (_, i) => (i % 37 === 36 ? 900 + i : i % 53 === 52 ? 1700 : 1412));
      for (const connected of [false, true]) {
        if (connected) await near.port.connect(address, far.port.port);
        far.heard.length = 0;
        for (let from = 0; from < lengths.length; from += 160) {
          t.ok(near.port.send(batchOf(far.port, ...lengths.slice(from, from + 160).map((length, i) => packet(from + i, length)))));
          await until('heard', () => far.heard.length === from + 160);
        }
        t.same(numbersOf(far.heard), lengths.map((_, i) => i));
        t.same(far.heard.map(({ bytes }) => bytes.length), lengths);
        t.ok(far.heard.every(({ bytes }, i) => bytes.at(-1) === (i & 0xff)));
        t.ok(far.heard.every(one => one.address === address && one.port === near.port.port));
      }
      if (udp.name === 'native') t.ok(far.batches < 640, `${far.batches} batches of 1,280 datagrams`);
      t.equal(near.port.dropped, 0);
      await Promise.all([near.port.close(), far.port.close()]);
    });

    test('the shortest and the longest datagram, and one that is too long', async t => {
      const [near, far] = [await open(address), await open(address)];
      await near.port.connect(address, far.port.port);
      const lengths = [0, 1, 65_507, 1412, 0, 2112, 2113, 65_507, 30_000];
      near.port.send(batchOf(far.port, ...lengths.map(length => Buffer.alloc(length, length & 0xff)), Buffer.alloc(65_536), Buffer.from('end')));
      await until('all', () => far.heard.length === lengths.length + 1);
      t.same(far.heard.map(({ bytes }) => bytes.length), [...lengths, 3]);
      t.ok(far.heard.slice(0, -1).every(({ bytes }, i) => bytes.equals(Buffer.alloc(lengths[i]!, lengths[i]! & 0xff))));
      await Promise.all([near.port.close(), far.port.close()]);
    });

    test('what is received may be rewritten where it lies, and sent on from there', async t => {
      const [near, far, other] = [await open(address), await open(address), await open(address)];
      const relay = await open(address, {
        onBatch: (batch, { port }) => {
          const onward = new DatagramBatch();
          for (let i = 0; i < batch.count; i++) {
            batch.memory[i]!.set([0xaa, 0xbb], batch.offset[i]! + 4);
            // Turn about, so that a run never goes to one address.
            const to = i % 2 === 0 ? far.port : other.port;
            onward.add(batch.memory[i]!, batch.offset[i]! + 2, batch.length[i]! - 2, to.address, to.port);
            onward.add(batch.memory[i]!, batch.offset[i]! + 2, batch.length[i]! - 2, far.port.address, far.port.port);
          }
          t.ok(port.send(onward));
        },
      });
      near.port.send(batchOf(relay.port, ...Array.from({ length: 100 }, (_, i) => packet(i, 500 + i))));
      await until('relayed', () => far.heard.length + other.heard.length === 200);
      const expected = (i: number): Buffer => {
        const bytes = packet(i, 500 + i);
        bytes.set([0xaa, 0xbb], 4);
        return bytes.subarray(2);
      };
      t.same([...new Set(far.heard.map(({ bytes }) => bytes.readUInt16BE()))], Array.from({ length: 100 }, (_, i) => i));
      t.ok([...far.heard, ...other.heard].every(({ bytes }) => bytes.equals(expected(bytes.readUInt16BE()))));
      await Promise.all([near, far, other, relay].map(({ port }) => port.close()));
    });

    test('a connected port hears its far end only', async t => {
      const [near, far, stranger] = [await open(address), await open(address), await open(address)];
      await near.port.connect(address, far.port.port);
      stranger.port.send(batchOf(near.port, Buffer.from('stranger')));
      far.port.send(batchOf(near.port, Buffer.from('far')));
      await until('heard', () => near.heard.length === 1);
      t.same(near.heard.map(({ bytes }) => bytes.toString()), ['far']);
      await Promise.all([near, far, stranger].map(({ port }) => port.close()));
    });

    test('nobody there: told, while it sends and when it is quiet, and the port stays usable', async t => {
      const near = await open(address);
      const gone = await open(address);
      const { port } = gone.port;
      await gone.port.close();
      near.port.send(batchOf({ address, port }, Buffer.from('unconnected: nobody is told')));
      await near.port.connect(address, port);
      near.port.send(batchOf({ address, port }, Buffer.from('one')));
      await until('told', () => near.errors.length === 1);
      for (let i = 0; i < 200 && near.errors.length < 3; i++) {
        near.port.send(batchOf({ address, port }, ...Array.from({ length: 10 }, (_, j) => packet(j, 100))));
        await turn();
      }
      t.ok(near.errors.length >= 3);
      t.same([...new Set(near.errors)], ['ECONNREFUSED']);
      const back = await open(address, { port });
      await until('heard again', () => {
        near.port.send(batchOf({ address, port }, Buffer.from('two')));
        return back.heard.length > 0;
      });
      back.port.send(batchOf(near.port, Buffer.from('three')));
      await until('and answered', () => near.heard.length > 0);
      await Promise.all([near.port.close(), back.port.close()]);
    });

    test('more than the receive buffer takes: the first ones, in order, and later ones again', async t => {
      const far = await open(address, { receiveBufferBytes: 32 * 1024 });
      const near = await open(address);
      near.port.send(batchOf(far.port, ...Array.from({ length: 500 }, (_, i) => packet(i, 1000))));
      await until('some', () => far.heard.length > 0);
      await turn();
      const first = numbersOf(far.heard);
      t.ok(first.length > 4 && first.length < 500, `${first.length} of 500`);
      t.same(first, [...first].sort((a, b) => a - b));
      t.equal(far.port.overflows, 500 - first.length);
      near.port.send(batchOf(far.port, packet(1000, 1000)));
      await until('the last', () => numbersOf(far.heard).includes(1000));
      await Promise.all([near.port.close(), far.port.close()]);
    });

    test('closed while datagrams wait: nothing more is heard, the number is free, twice is once', async t => {
      const far = await open(address, { onBatch: (_batch, { port }) => void port.close() });
      const near = await open(address);
      const { port } = far.port;
      near.port.send(batchOf(far.port, ...Array.from({ length: 300 }, (_, i) => packet(i, 100))));
      await until('heard', () => far.batches > 0);
      await far.port.close();
      await far.port.close();
      t.equal(far.batches, 1);
      t.ok(far.port.send(batchOf(near.port, Buffer.from('closed'))), 'after close: nothing, quietly');
      const again = await open(address, { port });
      near.port.send(batchOf(again.port, Buffer.from('again')));
      await until('heard', () => again.heard.length === 1);
      t.equal(near.heard.length, 0);
      await Promise.all([near.port.close(), again.port.close()]);
    });

    test('what cannot be bound is told by its name', async t => {
      const { port } = await open(address);
      await t.rejects(open(address, { port: port.port }), { code: 'EADDRINUSE' });
      await t.rejects(open(address === '::1' ? '2001:db8::1' : '192.0.2.1'), { code: 'EADDRNOTAVAIL' });
      t.match(port, { address, port: Number });
      await port.close();
    });

    test('an address that is to be ours later, where the kernel can be asked for that; a type of service', async t => {
      const foreign = address === '::1' ? '2001:db8::1' : '192.0.2.1';
      const opened = udp.open({ address: foreign, port: 0, freebind: true, onBatch: () => undefined, onError: () => undefined });
      if (udp.name === 'native') {
        const port = await opened;
        t.equal(port.address, foreign);
        await port.close();
      } else await t.rejects(opened, { code: 'EADDRNOTAVAIL' });
      const far = await open(address);
      const near = await udp.open({ address, port: 0, tos: 0xb8, onBatch: () => undefined, onError: () => undefined });
      near.send(batchOf(far.port, packet(7, 100)));
      await until('heard', () => far.heard.length === 1);
      await Promise.all([near.close(), far.port.close()]);
    });

    test('1,000 times opened and closed: descriptors and memory come back', async t => {
      const cycle = async (i: number): Promise<void> => {
        const [near, far] = [await open(address), await open(address)];
        await near.port.connect(address, far.port.port);
        near.port.send(batchOf(far.port, packet(1, 1400), packet(2, 1400)));
        if (i % 2 === 0) await turn();
        await Promise.all([near.port.close(), far.port.close()]);
      };
      for (let i = 0; i < 500; i++) await cycle(i);
      const [descriptors, resident] = [openDescriptors(), process.memoryUsage.rss()];
      for (let i = 0; i < 1000; i++) await cycle(i);
      t.equal(openDescriptors(), descriptors);
      const grownKiB = (process.memoryUsage.rss() - resident) / 1024;
      t.ok(grownKiB < 32 * 1024, `${grownKiB} KiB more`);
    });
  }
}

for (const udp of IMPLEMENTATIONS) {
  const open = opener(udp);

  t.test(`${udp.name}: hundreds of far ends at once keep their names`, async t => {
    const far = await open('127.0.0.1');
    const addresses = Array.from({ length: 300 }, (_, i) => `127.1.${i % 7}.${1 + (i >> 1)}`);
    const near = await Promise.all(addresses.map(address => open(address)));
    for (let round = 0; round < 2; round++) for (const { port } of near) port.send(batchOf(far.port, Buffer.from(`${port.address} ${port.port}`)));
    await until('heard', () => far.heard.length === 600);
    t.same(far.heard.map(({ address, port }) => `${address} ${port}`), far.heard.map(({ bytes }) => bytes.toString()));
    far.port.send(batchOf(far.port, Buffer.from('self')));
    // More destinations than are remembered, in one batch: each far end gets its own.
    const onward = new DatagramBatch();
    for (let i = 0; i < 2000; i++) {
      const to = near[i % near.length]!.port;
      const text = Buffer.from(to.address);
      onward.add(text, 0, text.length, i % 5 === 4 ? `127.2.${i >> 8}.${i & 0xff}` : to.address, to.port);
    }
    far.port.send(onward);
    await until('answered', () => near.reduce((sum, { heard }) => sum + heard.length, 0) === 1600);
    t.ok(near.every(({ heard, port }) => heard.every(({ bytes }) => bytes.toString() === port.address)));
    await Promise.all([far, ...near].map(({ port }) => port.close()));
  });

  t.test(`${udp.name}: a process may end with ports open`, async t => {
    const script = `
      const { openUdp, udpImplementation } = await import('#kit/udp-batch.ts');
      await openUdp({ address: '127.0.0.1', port: 0, onBatch: () => undefined, onError: () => undefined });
      process.stdout.write(udpImplementation().name, () => process.exit(0));`;
    const name = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT, env: { ...process.env, VIEWLINK_UDP: udp.name }, encoding: 'utf8' });
    t.equal(name, udp.name);
  });
}

/** Datagrams are received for 24 streams and sent on to their far ends; rounds go on while a port opens and closes. */
const relayScript = `
  const { openUdp, udpImplementation, DatagramBatch } = await import('#kit/udp-batch.ts');
  const STREAMS = 24, ROUNDS = 40, BURST = 3;
  const ended = Promise.withResolvers();
  const [seen, order] = [[], []];
  const far = await Promise.all(Array.from({ length: STREAMS }, (_, stream) => openUdp({ address: '127.0.0.1', port: 0, onError: () => undefined, onBatch: batch => {
    for (let i = 0; i < batch.count; i++) {
      const at = batch.offset[i];
      (seen[stream] ??= []).push(batch.memory[i][at + 1]);
      if (batch.memory[i][at] !== stream) order.push('wrong stream ' + stream);
      if (seen.reduce((sum, numbers) => sum + (numbers?.length ?? 0), 0) === STREAMS * ROUNDS * BURST) ended.resolve();
    }
  } })));
  const opened = [];
  const near = await Promise.all(far.map(async ({ port }, stream) => {
    const out = await openUdp({ address: '127.0.0.1', port: 0, mayRest: true, onBatch: () => undefined, onError: () => undefined });
    await out.connect('127.0.0.1', port);
    return openUdp({ address: '127.0.0.1', port: 0, mayRest: true, onError: () => undefined, onBatch: batch => {
      const onward = new DatagramBatch();
      for (let i = 0; i < batch.count; i++) {
        batch.memory[i][batch.offset[i]] = stream;
        onward.add(batch.memory[i], batch.offset[i], batch.length[i], '', 0);
      }
      // Every fifth leaves at once: what waits leaves before it.
      out.send(onward, batch.memory[0][batch.offset[0] + 1] % 5 !== 0);
      if (stream === 0) opened.push(openUdp({ address: '127.0.0.1', port: 0, mayRest: true, onBatch: () => order.push('nobody sends to it'), onError: () => undefined }).then(port => port.close()));
    } });
  }));
  const source = await openUdp({ address: '127.0.0.1', port: 0, onBatch: () => undefined, onError: () => undefined });
  for (let round = 0; round < ROUNDS; round++) {
    const batch = new DatagramBatch();
    for (const { port } of near) for (let i = 0; i < BURST; i++) batch.add(Uint8Array.of(255, round * BURST + i, ...Array(100 + i).fill(7)), 0, 102 + i, '127.0.0.1', port);
    source.send(batch);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  await ended.promise;
  await Promise.all(opened);
  const inOrder = seen.every(numbers => numbers.every((number, i) => number === i));
  process.stdout.write(JSON.stringify({ inOrder, order, wakes: udpImplementation().wakes() }), () => process.exit(0));`;

t.test('native: a busy process takes what many ports have at once, and sends what waited for that in order', async t => {
  const { inOrder, order, wakes } = JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', relayScript], { cwd: ROOT, encoding: 'utf8', timeout: 60_000 })) as { inOrder: boolean; order: string[]; wakes: Record<string, number> };
  t.ok(inOrder);
  t.same(order, []);
  if (chooseUdp('any').name === 'dgram') return;
  const [few, many] = [['1', '2', '4'], ['8', '16', '32', '64']].map(least => least.reduce((sum, power) => sum + wakes[`udp.wakes.${power}`]!, 0)) as [number, number];
  t.ok(many > 10, `${few} wakes brought less than 8 datagrams, ${many} more`);
});

t.test('native: what the kernel has no room for is copied, keeps its order, and is dropped beyond a limit', async t => {
  let ready: (port: number, count: number, errno: number) => void = () => undefined;
  let words: Int32Array = new Int32Array();
  let memory: Uint8Array = new Uint8Array();
  let room = 0;
  let writable = false;
  const sent: string[] = [];
  const note = (bytes: Uint8Array, [offset, length]: Int32Array): void => void sent.push(Buffer.from(bytes.subarray(offset, offset! + length!)).subarray(0, 8).toString());
  const kernel: UdpAddon = {
    overflows: () => 0,
    init: (received, shared, callback) => {
      memory = received;
      words = shared;
      ready = callback;
      return 0;
    },
    open: () => 0,
    local: () => '127.0.0.1',
    connect: () => 0,
    fromOf: () => '',
    destination: () => 0,
    flush: (from, count) => {
      const taken = Math.min(count - from, room);
      room -= taken;
      for (let i = from; i < from + taken; i++) note(memory, words.subarray(LATER + i * RECORD));
      words[END] = count;
      return from + taken;
    },
    send: (_port, count, arrays, from) => {
      const taken = Math.min(count, room);
      room -= taken;
      for (let i = 0; i < taken; i++) note(arrays[from + i]!, words.subarray(OUT + i * RECORD));
      return taken;
    },
    wantWritable: (_port, wanted) => {
      writable = wanted === 1;
      return 0;
    },
    close: () => 0,
  };
  const port = await createNativeUdp(kernel).open({
    address: '127.0.0.1',
    port: 0,
    onBatch: received => {
      t.ok(port.send(received, true));
      t.equal(sent.length, 240, 'not before all is handled');
    },
    onError: () => undefined,
  });
  const batch = batchOf(port, ...Array.from({ length: 100 }, (_, i) => Buffer.from(`packet${String(i).padStart(2, '0')}`)));
  room = 70;
  t.ok(port.send(batch), 'all bytes are taken');
  for (const bytes of batch.memory) bytes.fill(0);
  t.same([sent.length, writable], [70, true]);
  room = 100;
  port.send(batchOf(port, Buffer.from('packet..')));
  t.equal(sent.length, 70, 'nothing overtakes');
  room = 10;
  ready(0, -1, 0);
  t.same([sent.length, writable], [80, true]);
  room = 100;
  ready(0, -1, 0);
  t.same([sent.length, writable], [101, false]);
  t.same(sent, [...Array.from({ length: 100 }, (_, i) => `packet${String(i).padStart(2, '0')}`), 'packet..']);
  room = 0;
  const large = Buffer.alloc(60_000);
  for (let i = 0; i < 20; i++) t.ok(port.send(batchOf(port, ...Array.from({ length: 10 }, () => large))));
  t.equal(port.dropped, 200 - Math.floor((8 * 1024 * 1024) / 60_000));
  room = 1000;
  ready(0, -1, 0);
  t.equal(sent.length, 101 + 139);
  // Received, and sent on from where it lies: two are taken, the third is copied before the memory is used again.
  await port.connect('127.0.0.1', 9);
  room = 2;
  for (let i = 0; i < 3; i++) {
    memory.set(Buffer.from(`onward ${i}`), i * 100);
    words.set([i * 100, 8, 9, 0x10000, 0], i * RECORD);
  }
  ready(-1, 3, 0);
  t.same([sent.slice(240), writable], [['onward 0', 'onward 1'], true]);
  memory.fill(0, 0, 1000);
  room = 1;
  ready(0, -1, 0);
  t.same([sent.slice(240), writable], [['onward 0', 'onward 1', 'onward 2'], false]);
  await port.close();
});
