import fc from 'fast-check';
import t from 'tap';
import { GatewayError } from '#core/result.ts';
import { PortPool, shareOf } from '#kit/port-pool.ts';
import { DatagramBatch, openUdp, type UdpPort } from '#kit/udp-batch.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { until } from '../wire/mediad-peers.ts';

const systemError = (code: string): Error => Object.assign(new Error(code), { code });

t.test('shares of a range: even numbers, each once, all of them', async t => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60_000 }), fc.nat(500), fc.integer({ min: 1, max: 32 }), (first, width, instances) => {
      const all: number[] = [];
      for (let instance = 1; instance <= instances; instance++) {
        const share = shareOf({ first, last: first + width }, instance, instances);
        for (let port = share.first; port <= share.last; port += 2) all.push(port);
      }
      const wanted: number[] = [];
      for (let port = first; port <= first + width; port++) if (port % 2 === 0) wanted.push(port);
      return all.join() === wanted.join();
    }),
  );
  t.same(shareOf({ first: 30_000, last: 39_999 }, 2, 2), { first: 35_000, last: 39_999 });
});

t.test('numbers rest after their release, go around, and run out', async t => {
  const clock = new ManualClock();
  const pool = new PortPool({ first: 100, last: 105 }, clock);
  const [a, b, c] = [pool.take(), pool.take(), pool.take()];
  t.same([a.port, b.port, c.port], [100, 102, 104]);
  t.throws(() => pool.take(), { code: 'PORTS_EXHAUSTED' });
  b.release();
  b.release();
  t.throws(() => pool.take(), { code: 'PORTS_EXHAUSTED', detail: { resting: 1 } });
  clock.advance(2000);
  a.release();
  clock.advance(1000);
  t.equal(pool.free, 1);
  t.equal(pool.take().port, 102);
  clock.advance(2000);
  t.equal(pool.take().port, 100);
  t.equal(pool.free, 0);
});

t.test('a number that somebody else has is passed over; an address that is not ours is told', async t => {
  const pool = new PortPool({ first: 100, last: 110 }, new ManualClock());
  const { lease, bound } = await pool.bind(async port => {
    if (port < 104) throw systemError(port === 100 ? 'EADDRINUSE' : 'EACCES');
    return `bound ${port}`;
  });
  t.same([lease.port, bound], [104, 'bound 104']);
  await t.rejects(pool.bind(() => Promise.reject(systemError('EADDRNOTAVAIL'))), { code: 'MEDIA_UNAVAILABLE', detail: { why: 'EADDRNOTAVAIL' } });
  const taken = new PortPool({ first: 100, last: 1000 }, new ManualClock());
  let tries = 0;
  const refused = await taken.bind(() => Promise.reject(systemError((tries++, 'EADDRINUSE')))).catch((error: unknown) => error);
  t.ok(refused instanceof GatewayError && refused.code === 'PORTS_EXHAUSTED');
  t.equal(tries, 64, 'no endless search');
});

const LOOPBACKS = ['127.0.0.1', '::1'] as const;

t.test('datagrams in batches, both families: far end, bytes, connected and not', async t => {
  for (const address of LOOPBACKS) {
    const got: { text: string; address: string; port: number }[] = [];
    const errors: string[] = [];
    const open = (): Promise<UdpPort> =>
      openUdp({
        address,
        port: 0,
        receiveBufferBytes: 1024 * 1024,
        onBatch: batch => {
          for (let i = 0; i < batch.count; i++) {
            const at = batch.offset[i]!;
            got.push({ text: Buffer.from(batch.memory[i]!.subarray(at, at + batch.length[i]!)).toString(), address: batch.address[i]!, port: batch.port[i]! });
          }
        },
        onError: error => errors.push(error.code ?? ''),
      });
    const [near, far] = [await open(), await open()];
    const memory = Buffer.from('one two three');
    const batch = new DatagramBatch();
    for (const [offset, length] of [[0, 3], [4, 3], [8, 5], [0, 13]] as const) batch.add(memory, offset, length, far.address, far.port);
    t.ok(near.send(batch), 'memory is free again');
    await until('four', () => got.length === 4);
    t.same(got.map(({ text }) => text), ['one', 'two', 'three', 'one two three']);
    t.ok(got.every(one => one.address === address && one.port === near.port));
    await near.connect(far.address, far.port);
    near.send(batch);
    await until('four more', () => got.length === 8);
    await far.close();
    await far.close();
    for (let i = 0; errors.length === 0 && i < 100; i++) {
      near.send(batch);
      await new Promise(resolve => setImmediate(resolve));
    }
    t.match(errors, ['ECONNREFUSED']);
    await near.close();
    t.ok(near.send(batch), 'after close: nothing, quietly');
    const again = await openUdp({ address, port: near.port, onBatch: () => undefined, onError: () => undefined });
    await t.rejects(openUdp({ address, port: near.port, onBatch: () => undefined, onError: () => undefined }), { code: 'EADDRINUSE' });
    await again.close();
  }
});
