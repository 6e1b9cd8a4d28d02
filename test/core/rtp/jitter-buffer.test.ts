import fc from 'fast-check';
import t from 'tap';
import { JitterBuffer } from '#core/rtp/jitter-buffer.ts';
import { PacketStore } from '#core/rtp/packet-store.ts';
import { SequenceTracker } from '#core/rtp/sequence.ts';
import { ms, NEVER } from '#core/units.ts';

const LIMITS = { minWaitMs: 50, maxWaitMs: 500 };

/** A buffer behind a tracker, as in a source leg; `out` are the numbers in the order in which they left, `at` when. */
class Bench {
  readonly store = new PacketStore();
  readonly buffer = new JitterBuffer(this.store, LIMITS);
  readonly tracker = new SequenceTracker();
  readonly out: number[] = [];
  readonly at: number[] = [];
  now = 0;

  /** The alarm of the leg. */
  advance(to: number): void {
    for (let due = this.buffer.deadline(ms(this.now)); due <= to; due = this.buffer.deadline(ms(this.now))) {
      this.now = Math.max(this.now, due);
      this.buffer.expire(ms(this.now), this);
      this.store.recycle(true);
    }
    this.now = Math.max(this.now, to);
  }

  packet(sequence: number, at: number, { timestamp = sequence * 1000, begins = this.out.length === 0 } = {}): void {
    this.advance(at);
    const arrival = this.tracker.update(sequence & 0xffff, timestamp, ms(this.now));
    if (arrival === 'duplicate' || arrival === 'stale') return;
    if (arrival === 'restart') this.buffer.restart(this.tracker.index, ms(this.now), this);
    this.buffer.boundMs = this.tracker.jitterBoundMs;
    const payload = Uint8Array.of(sequence >> 8, sequence);
    if (this.buffer.passes(this.tracker.index)) this.add(payload, 0, 2);
    else this.buffer.take(payload, 0, 2, false, timestamp, this.tracker.index, ms(this.now), this, begins, false);
    this.store.recycle(true);
  }

  add(memory: Uint8Array, offset: number, length: number): void {
    if (length !== 2) throw new Error('another payload');
    this.out.push((memory[offset]! << 8) | memory[offset + 1]!);
    this.at.push(this.now);
  }
}

const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => (from + i) & 0xffff);

t.test('in order: everything passes at once and nothing is ever stored', async t => {
  const bench = new Bench();
  for (let i = 0; i < 3000; i++) bench.packet(65_000 + i, i * 3);
  t.same(bench.out, upTo(3000, 65_000));
  t.equal(bench.store.bytes, 0);
  t.equal(bench.buffer.deadline(ms(9000)), NEVER);
});

t.test('a missing packet is waited for, then given up; what comes after that is late', async t => {
  const bench = new Bench();
  for (let i = 0; i < 400; i++) bench.packet(i, i * 2);
  bench.packet(401, 802);
  bench.packet(402, 804);
  t.same(bench.out, upTo(400));
  t.equal(bench.buffer.held, 2);
  t.ok(bench.buffer.isMissing(400));
  const waitMs = bench.buffer.waitMs(ms(804));
  t.ok(waitMs >= 50 && waitMs <= 60, `${waitMs}`);
  bench.advance(802 + waitMs);
  t.same(bench.out.slice(-2), [401, 402]);
  t.equal(bench.buffer.abandoned, 1);
  bench.packet(400, 900);
  t.equal(bench.buffer.late, 1);
  t.ok(bench.buffer.waitMs(ms(900)) > 98, 'and the next one is given the time that this one needed');
  bench.packet(403, 901);
  t.equal(bench.out.at(-1), 403);
  t.equal(bench.store.used, 0);
});

t.test('reordering 20 deep loses nothing, and delays no more than its own depth (fault 57)', async t => {
  const bench = new Bench();
  const order = Array.from({ length: 2000 }, (_, i) => ({ i, key: i + ((i * 7919) % 21) })).sort((a, b) => a.key - b.key || a.i - b.i);
  order.forEach(({ i }, position) => bench.packet(i, position * 3));
  t.same(bench.out, upTo(2000));
  t.equal(bench.buffer.abandoned + bench.buffer.late, 0);
  t.ok(bench.buffer.longestMs <= 21 * 3, `${bench.buffer.longestMs}`);
});

t.test('depth 200 at a slow rate: bounded by the longest wait (fault 57)', async t => {
  const bench = new Bench();
  for (let i = 0; i < 300; i++) bench.packet(i, i * 10);
  for (let i = 301; i < 500; i++) bench.packet(i, i * 10);
  bench.packet(300, 5000);
  for (let i = 501; i < 1000; i++) bench.packet(i, i * 10);
  t.ok(bench.buffer.longestMs <= LIMITS.maxWaitMs);
  t.ok(bench.out.every((number, i) => i === 0 || number > bench.out[i - 1]!), 'in order');
});

t.test('200 ms of jitter on each packet loses nothing, and waits no longer than 500 ms (fault 59)', async t => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 800, maxLength: 800 }), delays => {
      const bench = new Bench();
      const arrivals = delays.map((delay, i) => ({ i, at: i * 3 + delay })).sort((a, b) => a.at - b.at);
      // The first one is waited for too: no picture begins before it.
      for (const { i, at } of arrivals) bench.packet(i, at, { timestamp: i * 270, begins: false });
      bench.advance(10_000);
      return bench.out.length === 800 && bench.out.every((number, i) => number === i) && bench.buffer.longestMs <= LIMITS.maxWaitMs;
    }),
    { numRuns: 20 },
  );
  t.pass();
});

t.test('any loss, order and duplicates: what leaves grows, and nothing is left behind', async t => {
  const step = fc.record({ at: fc.integer({ min: 0, max: 60 }), skip: fc.integer({ min: -30, max: 40 }), twice: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 0, max: 0xffff }), (steps, first) => {
      const bench = new Bench();
      let [sequence, now] = [first, 0];
      for (const { at, skip, twice } of steps) {
        now += at;
        sequence = (sequence + (skip === 0 ? 1 : skip)) & 0xffff;
        bench.packet(sequence, now, { timestamp: 5 });
        if (twice) bench.packet(sequence, now, { timestamp: 5 });
      }
      bench.advance(now + LIMITS.maxWaitMs);
      const grows = bench.tracker.restarts > 0 || bench.out.every((number, i) => i === 0 || ((number - bench.out[i - 1]!) << 16) > 0);
      return grows && bench.buffer.held === 0 && bench.store.used === 0 && bench.out.length + bench.buffer.late === bench.tracker.received;
    }),
    { numRuns: 400 },
  );
  t.pass();
});

t.test('a stream that is joined in the middle of a picture: what came before its first packet is taken', async t => {
  const bench = new Bench();
  bench.packet(12, 0, { begins: false });
  bench.packet(10, 5, { begins: false });
  bench.packet(11, 9, { begins: false });
  t.same(bench.out, []);
  bench.advance(LIMITS.maxWaitMs / 2);
  t.same(bench.out, [10, 11, 12]);
  bench.packet(13, 300);
  t.equal(bench.out.at(-1), 13);
});

t.test('a restart gives what waited, and does not wait for the rest of the old run (fault 60)', async t => {
  const bench = new Bench();
  for (let i = 0; i < 10; i++) bench.packet(i, i);
  bench.packet(12, 20);
  bench.packet(40_000, 20 + 250);
  t.same(bench.out.slice(-2), [12, 40_000]);
  bench.packet(40_001, 272);
  t.equal(bench.out.at(-1), 40_001);
  t.equal(bench.store.used, 0);
});

t.test('a step of 2900 numbers: what waited goes on, nobody waits for two seconds of loss', async t => {
  const bench = new Bench();
  for (let i = 0; i < 300; i++) bench.packet(i, i * 3);
  bench.packet(301, 904);
  bench.packet(3200, 906);
  t.equal(bench.out.at(-1), 301);
  bench.packet(3201, 907);
  bench.advance(907 + LIMITS.maxWaitMs);
  t.same(bench.out.slice(-3), [301, 3200, 3201]);
});

t.test('closing gives every slot back', async t => {
  const bench = new Bench();
  for (const number of [0, 3, 5, 9, 7]) bench.packet(number, number);
  t.equal(bench.store.used, 4);
  bench.buffer.clear();
  t.equal(bench.store.used, 0);
});

t.test('memory that is still being read is not used again; long payloads have their own', async t => {
  const store = new PacketStore();
  const given: { memory: Uint8Array; offset: number; length: number }[] = [];
  const out = { add: (memory: Uint8Array, offset: number, length: number) => void given.push({ memory, offset, length }) };
  const long = new Uint8Array(60_000).fill(7);
  store.give(store.put(Uint8Array.of(1, 2, 3), 0, 3, true, 1, 1), out, 1);
  store.give(store.put(long, 0, long.length, true, 1, 2), out, 2);
  store.recycle(false);
  for (let i = 0; i < 200; i++) store.put(Uint8Array.of(9, 9, 9), 0, 3, true, 1, i);
  t.same([...given[0]!.memory.subarray(given[0]!.offset, given[0]!.offset + 3)], [1, 2, 3]);
  t.ok(given[1]!.memory.subarray(given[1]!.offset, given[1]!.offset + long.length).every(octet => octet === 7));
  t.ok(given[1]!.offset >= 12, 'with room for a header in front');
});

t.test('what a bad hour needed is let go when nothing waits any more, and made anew for the next', async t => {
  const store = new PacketStore();
  for (let round = 0; round < 2; round++) {
    const slots = Array.from({ length: 5000 }, (_, i) => store.put(Uint8Array.of(i, i >> 8), 0, 2, false, 1, i));
    t.ok(store.bytes > 7e6);
    t.ok(slots.every((slot, i) => store.memory[slot]![store.offset[slot]!] === (i & 0xff)));
    for (const slot of slots.slice(0, 2500)) store.drop(slot);
    for (const slot of slots.slice(2500)) store.give(slot, { add: () => undefined }, 1);
    t.ok(store.bytes > 7e6, 'some are still being read');
    store.recycle(round === 0);
    t.equal(store.bytes, 0);
    t.equal(store.used, 0);
  }
});
