import fc from 'fast-check';
import t from 'tap';
import { concatBytes } from '#core/bytes.ts';
import { writeRtpHeader } from '#core/rtp/packet.ts';
import { Deframer, writeFrameLength } from '#core/rtp/tcp-framing.ts';

const SSRC = 0x05f5e101;

function packet(sequence: number, payloadBytes: number, { ssrc = SSRC, payloadType = 96, pack = true } = {}): Uint8Array {
  const bytes = new Uint8Array(12 + payloadBytes).fill(0x40 + (sequence % 32));
  writeRtpHeader(bytes, 0, false, payloadType, sequence, 0, ssrc);
  if (pack) bytes.set([0, 0, 1, 0xba].slice(0, payloadBytes), 12);
  return bytes;
}

function framed(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(2 + bytes.length);
  writeFrameLength(out, 0, bytes.length);
  out.set(bytes, 2);
  return out;
}

const interleaved = (bytes: Uint8Array, channel = 0): Uint8Array => concatBytes(Uint8Array.of(0x24, channel), framed(bytes));
const junk = (length: number): Uint8Array => new Uint8Array(length).fill(0x47);

interface Outcome {
  readonly sequences: number[];
  readonly lost: boolean;
  readonly deframer: Deframer;
}

interface Knowledge {
  readonly ssrc: number | undefined;
  readonly payloadType: number | undefined;
}

function read(wire: Uint8Array, cut = wire.length, { ssrc, payloadType }: Knowledge = { ssrc: SSRC, payloadType: 96 }): Outcome {
  const deframer = new Deframer();
  deframer.expect(ssrc, payloadType);
  const sequences: number[] = [];
  let lost = false;
  for (let at = 0; at < wire.length && !lost; at += cut) {
    deframer.feed(wire.slice(at, at + cut));
    let step = deframer.next();
    for (; step === 'frame'; step = deframer.next()) if (deframer.length >= 12) sequences.push((deframer.memory[deframer.offset + 2]! << 8) | deframer.memory[deframer.offset + 3]!);
    lost = step === 'lost';
  }
  return { sequences, lost, deframer };
}

const A = packet(1, 1400);
const B = packet(2, 60);
const C = packet(3, 9300);
const BIG = packet(4, 65_523);

const WIRES: readonly { readonly name: string; readonly wire: Uint8Array; readonly sequences: readonly number[]; readonly resyncs: number }[] = [
  { name: 'plain frames, 12 octets and 65535 among them', wire: concatBytes(framed(A), framed(packet(2, 0)), framed(BIG), framed(B)), sequences: [1, 2, 4, 2], resyncs: 0 },
  { name: 'empty frames (quirk 56)', wire: concatBytes(Uint8Array.of(0, 0), framed(A), Uint8Array.of(0, 0, 0, 0), framed(B)), sequences: [1, 2], resyncs: 0 },
  { name: '$ frames (quirk 55)', wire: concatBytes(interleaved(A), interleaved(B, 2), Uint8Array.of(0x24, 0, 0, 0), interleaved(C)), sequences: [1, 2, 3], resyncs: 0 },
  { name: '$ that is the length of a long frame', wire: concatBytes(framed(C), framed(A), interleaved(B)), sequences: [3, 1, 2], resyncs: 0 },
  { name: 'RTCP between', wire: concatBytes(framed(A), framed(Uint8Array.of(0x80, 0xc8, 0, 1, 0, 0, 0, 1)), framed(Uint8Array.of(0x81, 0xcb, 0, 1)), framed(B)), sequences: [1, 2], resyncs: 0 },
  { name: 'another SSRC is a frame too: the gate judges it', wire: concatBytes(framed(A), framed(packet(9, 30, { ssrc: 5 })), framed(B)), sequences: [1, 9, 2], resyncs: 0 },
  { name: 'a frame shorter than a header', wire: concatBytes(framed(A), Uint8Array.of(0, 5, 0x80, 0x60, 0, 1, 2), framed(B)), sequences: [1, 2], resyncs: 1 },
  { name: 'one octet too many (fault 63)', wire: concatBytes(framed(A), Uint8Array.of(7), framed(B), framed(C)), sequences: [1, 2, 3], resyncs: 1 },
  { name: 'one octet too few', wire: concatBytes(framed(A), framed(B).subarray(1), framed(C), framed(A)), sequences: [1, 3, 1], resyncs: 1 },
  { name: 'a private header in front (quirk 54)', wire: concatBytes(junk(256), framed(A), framed(B)), sequences: [1, 2], resyncs: 1 },
  { name: 'stale bytes inside (quirk 53), 60 KiB of them', wire: concatBytes(framed(A), junk(60_000), framed(B), framed(A)), sequences: [1, 2, 1], resyncs: 1 },
];

t.test('framing of the field, whole and in every small cut', async t => {
  for (const { name, wire, sequences, resyncs } of WIRES) {
    for (const cut of [wire.length, 1, 7, 1461, 65_536]) {
      if (cut === 1 && wire.length > 15_000) continue;
      const outcome = read(wire, cut);
      t.same(outcome.sequences, sequences, `${name}, ${cut} at a time`);
      t.equal(outcome.deframer.resyncs, resyncs, name);
      t.notOk(outcome.lost);
    }
  }
});

t.test('without a known SSRC a pack shows the place', async t => {
  const wire = concatBytes(junk(100), framed(packet(1, 100, { ssrc: 77 })), framed(packet(2, 100, { ssrc: 77 })));
  t.same(read(wire, 50, { ssrc: undefined, payloadType: 96 }).sequences, [1, 2]);
  t.same(read(wire, 50, { ssrc: undefined, payloadType: undefined }).sequences, [1, 2]);
  const noPack = concatBytes(junk(100), framed(packet(1, 100, { pack: false })), framed(packet(2, 100, { pack: false })));
  t.same(read(noPack).sequences, [1, 2], 'with it, nothing else is needed');
  t.same(read(noPack, 50, { ssrc: undefined, payloadType: 96 }).sequences, []);
});

t.test('64 KiB of nothing is the end, for ever', async t => {
  for (const cut of [1000, 200_000]) {
    const { lost, sequences, deframer } = read(concatBytes(framed(A), junk(66_000), framed(B)), cut);
    t.ok(lost);
    t.same(sequences, [1]);
    deframer.feed(framed(A));
    t.equal(deframer.next(), 'lost');
  }
});

t.test('frames stay what they were after later chunks came', async t => {
  const deframer = new Deframer();
  const wire = concatBytes(...Array.from({ length: 200 }, (_, i) => framed(packet(i, 700))));
  const kept: { memory: Uint8Array; offset: number; sequence: number }[] = [];
  for (let at = 0; at < wire.length; at += 333) {
    deframer.feed(wire.slice(at, at + 333));
    while (deframer.next() === 'frame') kept.push({ memory: deframer.memory, offset: deframer.offset, sequence: kept.length });
  }
  t.equal(kept.length, 200);
  t.ok(kept.every(({ memory, offset, sequence }) => memory[offset + 3] === sequence && memory[offset + 700] === 0x40 + (sequence % 32)));
});

t.test('any cuts give the same frames', async t => {
  const frames = fc.array(fc.tuple(fc.nat(200), fc.constantFrom('plain', 'interleaved', 'empty')), { maxLength: 12 });
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 }), (parts, cuts) => {
      const wire = concatBytes(...parts.map(([size, how], i) => (how === 'empty' ? Uint8Array.of(0, 0) : how === 'plain' ? framed(packet(i, size)) : interleaved(packet(i, size)))));
      const deframer = new Deframer();
      const sequences: number[] = [];
      for (let at = 0, i = 0; at < wire.length; at += cuts[i++ % cuts.length]!) {
        deframer.feed(wire.slice(at, at + cuts[i % cuts.length]!));
        while (deframer.next() === 'frame') sequences.push(deframer.memory[deframer.offset + 3]!);
      }
      return sequences.join() === parts.flatMap(([, how], i) => (how === 'empty' ? [] : [i])).join();
    }),
  );
  t.pass();
});

t.test('any bytes: it ends, and gives nothing outside of what came', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 50 }), (wire, cut) => {
      const deframer = new Deframer();
      deframer.expect(SSRC, 96);
      for (let at = 0; at < wire.length; at += cut) {
        deframer.feed(wire.slice(at, at + cut));
        while (deframer.next() === 'frame') if (deframer.length < 4 || deframer.offset + deframer.length > deframer.memory.length) return false;
      }
      return true;
    }),
    { numRuns: 1000 },
  );
  t.pass();
});
