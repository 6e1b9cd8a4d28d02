import fc from 'fast-check';
import t from 'tap';
import { newRtpHeader, readRtp, type RtpVerdict, writeRtpHeader } from '#core/rtp/packet.ts';
import { beginsKeyPicture, type PayloadKind, PayloadProbe } from '#core/rtp/payload-probe.ts';
import { MAX_PIECE_BYTES, pieceCount, pieceLength } from '#core/rtp/reslice.ts';
import { type Arrival, SequenceTracker, SinkNumbering } from '#core/rtp/sequence.ts';
import { ms } from '#core/units.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(text.replaceAll(' ', '').match(/../g) ?? [], pair => parseInt(pair, 16));

/** gb28181.md 6.6: PT 96, marker, 0x1234, 900000, 0x0BEBC6D2. */
const PLAIN = '80 E0 12 34 00 0D BB A0 0B EB C6 D2';

const HEADERS: readonly { readonly name: string; readonly bytes: string; readonly verdict: RtpVerdict; readonly payload?: readonly [number, number] }[] = [
  { name: 'plain', bytes: `${PLAIN} 00 00 01 BA`, verdict: 'rtp', payload: [12, 4] },
  { name: 'no payload', bytes: PLAIN, verdict: 'rtp', payload: [12, 0] },
  { name: 'two CSRCs', bytes: `82${PLAIN.slice(2)} 00000001 00000002 AA`, verdict: 'rtp', payload: [20, 1] },
  { name: 'extension of one word', bytes: `90${PLAIN.slice(2)} BEDE0001 10FF0000 AABB`, verdict: 'rtp', payload: [20, 2] },
  { name: 'extension of no words', bytes: `90${PLAIN.slice(2)} BEDE0000 AABB`, verdict: 'rtp', payload: [16, 2] },
  { name: 'padding of three', bytes: `A0${PLAIN.slice(2)} AABB 000003`, verdict: 'rtp', payload: [12, 2] },
  { name: 'all of it padding', bytes: `A0${PLAIN.slice(2)} 000003`, verdict: 'rtp', payload: [12, 0] },
  { name: 'nothing', bytes: '', verdict: 'too-short' },
  { name: 'eleven octets', bytes: PLAIN.slice(0, -3), verdict: 'too-short' },
  { name: 'version 0', bytes: `00${PLAIN.slice(2)}`, verdict: 'bad-version' },
  { name: 'version 1', bytes: `40${PLAIN.slice(2)}`, verdict: 'bad-version' },
  { name: 'version 3', bytes: `C0${PLAIN.slice(2)}`, verdict: 'bad-version' },
  { name: '15 CSRCs in 12 octets', bytes: `8F${PLAIN.slice(2)}`, verdict: 'bad-csrc' },
  { name: 'extension header cut', bytes: `90${PLAIN.slice(2)} BEDE`, verdict: 'bad-extension' },
  { name: 'extension of 65535 words in 16 octets', bytes: `90${PLAIN.slice(2)} BEDEFFFF`, verdict: 'bad-extension' },
  { name: 'padding of 255', bytes: `A0${PLAIN.slice(2)} 00FF`, verdict: 'bad-padding' },
  { name: 'padding of none', bytes: `A0${PLAIN.slice(2)} 0000`, verdict: 'bad-padding' },
  { name: 'padding bit and no octet to say how much', bytes: `A0${PLAIN.slice(2)}`, verdict: 'bad-padding' },
  { name: 'sender report', bytes: '80C80006 00000001', verdict: 'rtcp' },
  { name: 'goodbye that lies about its length', bytes: '81CBFFFF', verdict: 'rtcp' },
];

t.test('header check (faults 51, 52)', async t => {
  const header = newRtpHeader();
  for (const { name, bytes, verdict, payload } of HEADERS) {
    for (const shift of [0, 7]) {
      const memory = Uint8Array.from([...new Array<number>(shift).fill(0xff), ...hex(bytes), 0xff, 0xff]);
      t.equal(readRtp(memory, shift, hex(bytes).length, header), verdict, name);
      if (payload === undefined) continue;
      t.same([header.payloadOffset - shift, header.payloadLength], payload, name);
      t.match(header, { marker: true, payloadType: 96, sequence: 0x1234, timestamp: 900_000, ssrc: 0x0bebc6d2 });
    }
  }
});

t.test('what is written is read, whatever the numbers; nothing outside the header is touched', async t => {
  fc.assert(
    fc.property(fc.boolean(), fc.integer({ min: 0, max: 63 }), fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 0xffffffff }), fc.nat(8), (marker, payloadType, sequence, timestamp, ssrc, at) => {
      const memory = new Uint8Array(32).fill(0x5a);
      writeRtpHeader(memory, at, marker, payloadType, sequence, timestamp, ssrc);
      const header = newRtpHeader();
      if (readRtp(memory, at, 14, header) !== 'rtp') return false;
      const outside = [...memory.subarray(0, at), ...memory.subarray(at + 12)];
      return header.marker === marker && header.payloadType === payloadType && header.sequence === sequence && header.timestamp === timestamp && header.ssrc === ssrc && outside.every(octet => octet === 0x5a);
    }),
  );
  t.pass();
});

t.test('any bytes: an answer, and never a payload outside of them', async t => {
  const header = newRtpHeader();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(10), (bytes, offset) => {
      const length = Math.max(0, bytes.length - offset);
      if (readRtp(bytes, Math.min(offset, bytes.length), length, header) !== 'rtp') return true;
      return header.payloadOffset >= offset + 12 && header.payloadLength >= 0 && header.payloadOffset + header.payloadLength <= bytes.length;
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

interface Step {
  readonly sequence: number;
  readonly is: Arrival;
  readonly index?: number;
  /** Milliseconds since the packet before; 10 when not said. */
  readonly after?: number;
  readonly timestamp?: number;
}

const RUNS: readonly { readonly name: string; readonly steps: readonly Step[]; readonly totals: { readonly lost: number; readonly reordered: number; readonly duplicates: number; readonly restarts: number } }[] = [
  {
    name: 'wrap',
    steps: [{ sequence: 65_534, is: 'next', index: 0 }, { sequence: 65_535, is: 'next', index: 1 }, { sequence: 0, is: 'next', index: 2 }, { sequence: 1, is: 'next', index: 3 }],
    totals: { lost: 0, reordered: 0, duplicates: 0, restarts: 0 },
  },
  {
    name: 'loss across the wrap, then a late one, then its duplicate',
    steps: [{ sequence: 65_534, is: 'next', index: 0 }, { sequence: 2, is: 'next', index: 4 }, { sequence: 0, is: 'late', index: 2 }, { sequence: 0, is: 'duplicate' }],
    totals: { lost: 2, reordered: 1, duplicates: 1, restarts: 0 },
  },
  {
    name: 'the first packets out of order',
    steps: [{ sequence: 5, is: 'next', index: 0 }, { sequence: 3, is: 'late', index: -2 }, { sequence: 4, is: 'late', index: -1 }, { sequence: 6, is: 'next', index: 1 }],
    totals: { lost: 0, reordered: 2, duplicates: 0, restarts: 0 },
  },
  {
    name: 'a step of 1000 is loss (fault 55)',
    steps: [{ sequence: 10, is: 'next', index: 0 }, { sequence: 1010, is: 'next', index: 1000 }],
    totals: { lost: 999, reordered: 0, duplicates: 0, restarts: 0 },
  },
  {
    name: 'a jump back inside a flowing stream needs two that agree, then goes on upward',
    steps: [{ sequence: 30_000, is: 'next', index: 0 }, { sequence: 5, is: 'stale' }, { sequence: 6, is: 'restart', index: 1 }, { sequence: 7, is: 'next', index: 2 }],
    totals: { lost: 0, reordered: 0, duplicates: 0, restarts: 1 },
  },
  {
    name: 'one stray far number changes nothing',
    steps: [{ sequence: 30_000, is: 'next', index: 0 }, { sequence: 5, is: 'stale' }, { sequence: 30_001, is: 'next', index: 1 }, { sequence: 6, is: 'stale' }],
    totals: { lost: 0, reordered: 0, duplicates: 0, restarts: 0 },
  },
  {
    name: 'a jump after a pause is a restart at once; what is left of the old run is stale',
    steps: [{ sequence: 30_000, is: 'next', index: 0 }, { sequence: 5, is: 'restart', index: 1, after: 300 }, { sequence: 4, is: 'stale' }],
    totals: { lost: 0, reordered: 0, duplicates: 0, restarts: 1 },
  },
  {
    name: 'a restart among numbers just used is told by the timestamp',
    steps: [{ sequence: 0, is: 'next', index: 0 }, { sequence: 1, is: 'next', index: 1 }, { sequence: 0, is: 'restart', index: 2, after: 400, timestamp: 77 }, { sequence: 1, is: 'next', index: 3, timestamp: 77 }],
    totals: { lost: 0, reordered: 0, duplicates: 0, restarts: 1 },
  },
];

t.test('sequence numbers', async t => {
  for (const { name, steps, totals } of RUNS) {
    const tracker = new SequenceTracker();
    let now = 0;
    for (const { sequence, is, index, after = 10, timestamp = 0 } of steps) {
      now += after;
      t.equal(tracker.update(sequence, timestamp, ms(now)), is, `${name}: ${sequence}`);
      if (index !== undefined) t.equal(tracker.index, index, `${name}: ${sequence}`);
    }
    t.match(tracker, totals, name);
  }
});

t.test('a changed SSRC goes on behind the last number, whatever it starts with', async t => {
  const tracker = new SequenceTracker();
  tracker.update(100, 0, ms(0));
  tracker.expectRestart();
  t.equal(tracker.update(101, 0, ms(1)), 'restart');
  t.equal(tracker.index, 1);
});

t.test('any shuffle inside the window: nothing lost, nothing twice, numbers as sent', async t => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff }), fc.array(fc.nat(30), { minLength: 2, maxLength: 200 }), (first, delays) => {
      const order = delays.map((delay, i) => ({ i, at: i + delay })).sort((a, b) => a.at - b.at || a.i - b.i);
      const tracker = new SequenceTracker();
      const seen = new Set<number>();
      let base: number | undefined;
      for (const { i } of order) {
        const arrival = tracker.update((first + i) & 0xffff, i, ms(i));
        if (arrival !== 'next' && arrival !== 'late') return false;
        base ??= i;
        if (tracker.index !== i - base) return false;
        seen.add(tracker.index);
      }
      return seen.size === delays.length && tracker.lost === 0 && tracker.received === delays.length;
    }),
  );
  t.pass();
});

t.test('any numbers at all: forwarded indexes are never used twice (faults 55, 60)', async t => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.oneof(fc.nat(20), fc.integer({ min: 0, max: 0xffff })), fc.nat(3), fc.constantFrom(1, 1, 1, 500), fc.boolean()), { maxLength: 300 }), packets => {
      const tracker = new SequenceTracker();
      const used = new Set<number>();
      let now = 0;
      for (const [sequence, timestamp, step, changesSsrc] of packets) {
        now += step;
        if (changesSsrc && step === 500) tracker.expectRestart();
        const arrival = tracker.update(sequence, timestamp, ms(now));
        if (arrival === 'duplicate' || arrival === 'stale') continue;
        if (used.has(tracker.index)) return false;
        used.add(tracker.index);
      }
      return tracker.lost >= 0 && tracker.received === used.size;
    }),
    { numRuns: 500 },
  );
  t.pass();
});

t.test('jitter as RFC 3550 A.8 computes it', async t => {
  const steady = new SequenceTracker();
  for (let i = 0; i < 100; i++) steady.update(i, (i * 3600) >>> 0, ms(i * 40));
  t.equal(steady.jitterMs, 0);
  const shaken = new SequenceTracker();
  for (let i = 0; i < 400; i++) shaken.update(i, (i * 3600 + 0xffff0000) >>> 0, ms(i * 40 + (i % 2) * 8));
  t.ok(Math.abs(shaken.jitterMs - 8) < 0.1, `${shaken.jitterMs}`);
  const jumped = new SequenceTracker();
  jumped.update(0, 0, ms(0));
  jumped.update(1, 0x80000000, ms(40));
  t.equal(jumped.jitterMs, 0, 'a timestamp jump of 2^31 is no jitter (fault 56)');
});

t.test('sinks number on: gaps stay, pieces push on', async t => {
  const numbering = new SinkNumbering(65_530);
  t.same([7, 8, 10, 9].map(index => numbering.sequenceOf(index)), [65_530, 65_531, 65_533, 65_532]);
  numbering.insert(4);
  t.equal(numbering.sequenceOf(11), 2);
});

t.test('pieces cover a payload exactly', async t => {
  for (const length of [0, 1, 1399, 1400, 1401, 2800, 2801, 65_523]) {
    const lengths = Array.from({ length: pieceCount(length) }, (_, piece) => pieceLength(length, piece));
    t.equal(lengths.reduce((sum, one) => sum + one, 0), length);
    t.ok(lengths.every((one, i) => one <= MAX_PIECE_BYTES && (i === lengths.length - 1 || one === MAX_PIECE_BYTES)));
  }
});

const PACK = '000001BA 4400DDDD0401 005F6B F8';
const SYSTEM_HEADER = '000001BB 000C 80CCF504E17FE0E190C0C020';
const PSM_H264 = '000001BC 0012 E0FF 0000 0008 1BE00000 90C00000 FEDFB1D7';
const PSM_H265 = '000001BC 0012 E0FF 0000 0008 24E00000 0FC00000 EAC5E41D';
const PES = '000001E0 0004 84800521';

const PAYLOADS: readonly { readonly name: string; readonly bytes: string; readonly kind: string; readonly codecs?: readonly string[]; readonly key: boolean }[] = [
  { name: 'key pack', bytes: PACK + SYSTEM_HEADER + PSM_H264 + PES, kind: 'ps', codecs: ['h264', 'g711a'], key: true },
  { name: 'key pack without system header', bytes: PACK + PSM_H265 + PES, kind: 'ps', codecs: ['h265', 'aac'], key: true },
  { name: 'system header and no map', bytes: PACK + SYSTEM_HEADER + PES, kind: 'ps', key: true },
  { name: 'pack with stuffing', bytes: `000001BA 4400DDDD0401 005F6B FA FFFF ${PSM_H264}`, kind: 'ps', codecs: ['h264', 'g711a'], key: true },
  { name: 'MPEG-1 pack', bytes: `000001BA 2100010001 800001 ${SYSTEM_HEADER}`, kind: 'ps', key: true },
  { name: 'pack of any picture', bytes: PACK + PES, kind: 'ps', key: false },
  { name: 'pack header alone', bytes: '000001BA', kind: 'ps', key: false },
  { name: 'map longer than the packet', bytes: `${PACK}000001BC 0400 E0FF 0000 0008`, kind: 'ps', key: true },
  { name: 'H.264 SPS', bytes: '67640028AC', kind: 'h264', key: true },
  { name: 'H.264 SPS behind a start code', bytes: '0000000167640028', kind: 'h264', key: true },
  { name: 'H.265 VPS', bytes: '40010C01FFFF', kind: 'h265', key: true },
  { name: 'H.265 SPS behind a start code', bytes: '00000142010101', kind: 'h265', key: true },
  { name: 'transport stream', bytes: '47400010000000', kind: 'unknown', key: false },
  { name: 'nothing', bytes: '', kind: 'unknown', key: false },
];

t.test('what a payload is (quirk 52)', async t => {
  for (const { name, bytes, kind, codecs = [], key } of PAYLOADS) {
    const memory = hex(`FFFF${bytes}`);
    const probe = new PayloadProbe();
    t.equal(probe.kind, null);
    probe.look(memory, 2, memory.length - 2);
    t.equal(probe.kind, kind, name);
    t.same(probe.codecs, codecs, name);
    t.equal(beginsKeyPicture(probe.kind, memory, 2, memory.length - 2), key, name);
  }
});

const SLICES: readonly { readonly kind: PayloadKind; readonly bytes: string; readonly key: boolean }[] = [
  { kind: 'h264', bytes: '6588840400', key: true },
  { kind: 'h264', bytes: '419A040000', key: false },
  { kind: 'h264', bytes: '7C85880400', key: true },
  { kind: 'h264', bytes: '7C05880400', key: false },
  { kind: 'h264', bytes: '5C81880400', key: false },
  { kind: 'h265', bytes: '2601AF0400', key: true },
  { kind: 'h265', bytes: '0201D00400', key: false },
  { kind: 'h265', bytes: '620193AFFF', key: true },
  { kind: 'h265', bytes: '620113AFFF', key: false },
  { kind: 'ps', bytes: '6588840400', key: false },
];

t.test('where a picture begins, once the kind is known', async t => {
  for (const { kind, bytes, key } of SLICES) t.equal(beginsKeyPicture(kind, hex(bytes), 0, hex(bytes).length), key, `${kind} ${bytes}`);
});

t.test('a probe that began in the middle of a picture still learns, and then rests', async t => {
  const probe = new PayloadProbe();
  const middle = hex('65AABBCCDD');
  probe.look(middle, 0, middle.length);
  const key = hex(PACK + SYSTEM_HEADER + PSM_H265);
  t.notOk(probe.settled);
  probe.look(key, 0, key.length);
  t.match(probe, { kind: 'ps', codecs: ['h265', 'aac'], settled: true });
  probe.restart();
  const other = hex(PACK + PSM_H264);
  probe.look(other, 0, other.length);
  t.same(probe.codecs, ['h264', 'g711a']);
  const odd = new PayloadProbe();
  for (let i = 0; i < 2000; i++) odd.look(hex('47400010'), 0, 4);
  t.match(odd, { kind: 'unknown', settled: true });
});
