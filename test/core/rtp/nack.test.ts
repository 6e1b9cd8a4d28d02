import fc from 'fast-check';
import t from 'tap';
import { JitterBuffer } from '#core/rtp/jitter-buffer.ts';
import { NackAsker } from '#core/rtp/nack.ts';
import { PacketStore } from '#core/rtp/packet-store.ts';
import { ResendRing } from '#core/rtp/resend-ring.ts';
import { MAX_NACK_BYTES, type RtcpVerdict, readNacks, writeNack } from '#core/rtp/rtcp.ts';
import { SequenceTracker } from '#core/rtp/sequence.ts';
import { ms } from '#core/units.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(text.replaceAll(' ', '').match(/../g) ?? [], pair => parseInt(pair, 16));
const read = (bytes: Uint8Array, offset = 0): { verdict: RtcpVerdict; asked: [number, number][] } => {
  const asked: [number, number][] = [];
  const verdict = readNacks(bytes, offset, bytes.length - offset, { nack: (ssrc, sequence) => void asked.push([ssrc, sequence]) });
  return { verdict, asked };
};

const VECTORS: readonly { readonly name: string; readonly bytes: string; readonly numbers: readonly number[] }[] = [
  { name: 'one', bytes: '81cd0003 00000007 05f5e101 1234 0000', numbers: [0x1234] },
  { name: 'neighbours', bytes: '81cd0003 00000007 05f5e101 1234 8001', numbers: [0x1234, 0x1235, 0x1244] },
  { name: 'over the wrap', bytes: '81cd0003 00000007 05f5e101 fffe 0006', numbers: [0xfffe, 0x0000, 0x0001] },
  { name: 'far apart', bytes: '81cd0004 00000007 05f5e101 0010 0000 0021 0001', numbers: [0x10, 0x21, 0x22] },
];

t.test('generic NACK, both ways (RFC 4585 6.2.1)', async t => {
  for (const { name, bytes, numbers } of VECTORS) {
    t.same(read(hex(bytes)), { verdict: 'good', asked: numbers.map(number => [0x05f5e101, number]) }, name);
    const into = new Uint8Array(MAX_NACK_BYTES);
    const { length, taken } = writeNack(into, 7, 0x05f5e101, numbers);
    t.equal(taken, numbers.length);
    t.same(into.subarray(0, length), hex(bytes), name);
  }
});

const OTHERS: readonly { readonly name: string; readonly bytes: string; readonly verdict: RtcpVerdict; readonly asked: number }[] = [
  { name: 'behind a receiver report', bytes: `80c90001 00000009 ${VECTORS[0]!.bytes}`, verdict: 'good', asked: 1 },
  { name: 'goodbye', bytes: '81cb0001 00000009', verdict: 'good', asked: 0 },
  { name: 'application-defined', bytes: '80cc0002 00000009 41424344', verdict: 'good', asked: 0 },
  { name: 'length lies (fault 62)', bytes: '81cbffff 00000009', verdict: 'malformed', asked: 0 },
  { name: 'picture loss indication', bytes: '81ce0002 00000007 05f5e101', verdict: 'good', asked: 0 },
  { name: 'transport feedback of another format', bytes: '8fcd0003 00000007 05f5e101 12340000', verdict: 'good', asked: 0 },
  { name: 'NACK without an entry', bytes: '81cd0002 00000007 05f5e101', verdict: 'malformed', asked: 0 },
  { name: 'NACK cut', bytes: '81cd0003 00000007 05f5e101 12', verdict: 'malformed', asked: 0 },
  { name: 'version 1', bytes: '41cd0003 00000007 05f5e101 12340000', verdict: 'malformed', asked: 0 },
  { name: 'nothing', bytes: '', verdict: 'malformed', asked: 0 },
];

t.test('what stands beside it, and garbage', async t => {
  for (const { name, bytes, verdict, asked } of OTHERS) {
    const result = read(hex(bytes));
    t.equal(result.verdict, verdict, name);
    t.equal(result.asked.length, asked, name);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => read(bytes).asked.length <= bytes.length * 5), { numRuns: 2000 });
});

t.test('any numbers survive, in as many packets as it takes', async t => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 300 }), (first, steps) => {
      const numbers: number[] = [];
      for (let [i, number] = [0, first]; i < steps.length; number += steps[i++]!) numbers.push(number & 0xffff);
      const into = new Uint8Array(MAX_NACK_BYTES);
      const back: number[] = [];
      for (let at = 0; at < numbers.length; ) {
        const { length, taken } = writeNack(into, 1, 2, numbers, at);
        back.push(...read(into.slice(0, length)).asked.map(([, number]) => number));
        at += taken;
      }
      return back.length === numbers.length && back.every((number, i) => number === numbers[i]);
    }),
  );
  t.pass();
});

t.test('the ring keeps what was sent for a while, by number, and not more than it may', async t => {
  const store = new PacketStore();
  const ring = new ResendRing(store);
  const keep = (sequence: number, at: number, bytes = 1000): void => ring.keep(sequence & 0xffff, new Uint8Array(bytes).fill(sequence), 0, bytes, false, 1, ms(at));
  const find = (sequence: number, at: number): number | undefined => {
    const slot = ring.find(sequence & 0xffff, ms(at));
    return slot < 0 ? undefined : store.memory[slot]![store.offset[slot]!];
  };
  for (let i = 0; i < 500; i++) if (i % 50 !== 7) keep(65_300 + i, i * 2);
  t.equal(find(65_300 + 490, 1000), (65_300 + 490) & 0xff);
  t.equal(find(65_300 + 1, 1000), (65_300 + 1) & 0xff);
  t.equal(find(65_300 + 457, 1000), undefined, 'never sent');
  t.equal(find(65_300 + 600, 1000), undefined, 'not sent yet');
  t.equal(find(65_300 + 1, 2000), undefined, 'too old');
  for (let i = 500; i < 1500; i++) keep(65_300 + i, 1000 + i * 2);
  t.ok(ring.count <= 760, `${ring.count}`);
  for (let i = 1500; i < 1700; i++) keep(65_300 + i, 4000, 60_000);
  t.ok(ring.count <= 72);
  ring.clear();
  t.equal(store.used, 0);
});

t.test('more is not resent than a share of what is sent', async t => {
  const ring = new ResendRing(new PacketStore());
  for (let i = 0; i < 100; i++) ring.keep(i, new Uint8Array(10), 0, 10, false, 1, ms(i));
  let resent = 0;
  for (let i = 0; i < 10_000; i++) if (ring.find(i % 100, ms(100)) >= 0) resent++;
  t.equal(resent, 400);
});

interface Outcome {
  readonly sent: number;
  readonly got: number;
  readonly abandoned: number;
  readonly asked: number;
  readonly resent: number;
  readonly longestMs: number;
  readonly roundTripMs: number;
}

/** A sender and a receiver in virtual time: independent loss both ways, `roundTripMs` between them, 3 ms between packets. */
function simulate(lossPercent: number, roundTripMs: number, maxWaitMs: number, packets: number, seed: number): Outcome {
  const dice = ((state: number) => (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32)(seed);
  const lost = (): boolean => dice() * 100 < lossPercent;
  const store = new PacketStore();
  const [ring, buffer, tracker] = [new ResendRing(store), new JitterBuffer(store, { minWaitMs: 50, maxWaitMs }), new SequenceTracker()];
  const asker = new NackAsker(buffer);
  const queue: { at: number; run: () => void }[] = [];
  let [now, got, resent] = [0, 0, 0];
  const out = { add: (): void => void got++ };
  const later = (delay: number, run: () => void): void => void queue.push({ at: now + delay, run });
  const settle = (): void => {
    const asked: number[] = [];
    asker.ask(asked, ms(now));
    for (const index of asked) if (!lost()) later(roundTripMs / 2, () => resend(tracker.sequenceOf(index)));
    store.recycle(true);
  };
  const arrive = (sequence: number): void => {
    const arrival = tracker.update(sequence, sequence * 270, ms(now));
    if (arrival === 'duplicate' || arrival === 'stale') return;
    buffer.boundMs = tracker.jitterBoundMs;
    if (buffer.passes(tracker.index)) return void got++;
    asker.arrived(tracker.index, ms(now));
    buffer.take(new Uint8Array(10), 0, 10, false, 1, tracker.index, ms(now), out, got === 0, false);
    settle();
  };
  const resend = (sequence: number): void => {
    if (ring.find(sequence, ms(now)) < 0) return;
    resent++;
    if (!lost()) later(roundTripMs / 2, () => arrive(sequence));
  };
  for (let i = 0; i < packets; i++) {
    for (const end = i * 3; ; ) {
      const due = Math.min(buffer.deadline(ms(now)), asker.deadline);
      const next = queue.reduce((least, event, at) => (event.at < (queue[least]?.at ?? Infinity) ? at : least), -1);
      const at = Math.min(due, queue[next]?.at ?? Infinity);
      if (at > end) break;
      now = Math.max(now, at);
      if (queue[next]?.at === at) queue.splice(next, 1)[0]!.run();
      else {
        buffer.expire(ms(now), out);
        settle();
      }
    }
    now = i * 3;
    const sequence = i & 0xffff;
    ring.keep(sequence, new Uint8Array(10), 0, 10, false, 1, ms(now));
    if (i < 5 || !lost()) later(roundTripMs / 2, () => arrive(sequence));
  }
  return { sent: packets, got, abandoned: buffer.abandoned, asked: asker.asked, resent, longestMs: buffer.longestMs, roundTripMs: asker.roundTripMs };
}

t.test('40 ms round trip: 5 % loss within 300 ms and 10 % within 400 ms leave next to nothing lost', async t => {
  for (const [lossPercent, maxWaitMs, most] of [[1, 300, 0], [5, 300, 0], [10, 300, 1], [10, 400, 0], [20, 400, 4]] as const) {
    const outcome = simulate(lossPercent, 40, maxWaitMs, 20_000, 28_181);
    t.ok(outcome.abandoned <= most, `${lossPercent} %: ${JSON.stringify(outcome)}`);
    t.ok(outcome.longestMs <= maxWaitMs);
    t.ok(outcome.roundTripMs > 35 && outcome.roundTripMs < 60, `${outcome.roundTripMs}`);
    t.ok(outcome.resent <= outcome.sent * ((1.65 * lossPercent) / 100 + 0.05), `overhead of ${outcome.resent}`);
  }
});

t.test('a hole in the first packets is asked for before it is known where a picture begins', async t => {
  const store = new PacketStore();
  const buffer = new JitterBuffer(store, { minWaitMs: 50, maxWaitMs: 400 });
  const asker = new NackAsker(buffer);
  const out = { add: (): void => undefined };
  for (const index of [3, 5]) buffer.take(new Uint8Array(1), 0, 1, false, 1, index, ms(0), out, false, false);
  t.ok(buffer.opening && asker.deadline < 20);
  const asked: number[] = [];
  asker.ask(asked, ms(10));
  t.same(asked, [4]);
});

t.test('a peer that never answers is asked a bounded number of times', async t => {
  const store = new PacketStore();
  const buffer = new JitterBuffer(store, { minWaitMs: 50, maxWaitMs: 500 });
  const asker = new NackAsker(buffer);
  const asked: number[] = [];
  const out = { add: (): void => undefined };
  buffer.take(new Uint8Array(1), 0, 1, false, 1, 0, ms(0), out, true, false);
  for (let now = 0; now < 10_000; now += 5) {
    buffer.take(new Uint8Array(1), 0, 1, false, 1, 2 + (now / 5) * 2, ms(now), out, false, false);
    asker.ask(asked, ms(now));
    store.recycle(true);
  }
  t.ok(asked.length < 10 * 3000 + 600, `${asked.length}`);
});
