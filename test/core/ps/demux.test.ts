import fc from 'fast-check';
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { PsDemuxer, type PsEvent, type PsUnit } from '#core/ps/demux.ts';
import { PsMuxer, packHeader, pesHeader, systemHeader } from '#core/ps/mux.ts';
import { writePsm } from '#core/ps/psm.ts';
import { unwrappedStep } from '#core/ps/timestamps.ts';
import { MAX_UNIT_BYTES } from '#core/ps/unit-assembler.ts';

const join = (...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array => Uint8Array.from(Buffer.concat(parts.map(part => Buffer.from(part as Uint8Array))));
const filler = (length: number, value = 0x55): Uint8Array => new Uint8Array(length).fill(value);

const H264_KEY = [0, 0, 0, 1, 0x67, 0x42, 0, 0x1e, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80, 0, 0, 0, 1, 0x65, 0x88];
const H264_P = [0, 0, 0, 1, 0x41, 0x9a];
const H265_KEY = [0, 0, 0, 1, 0x40, 1, 0x0c, 0, 0, 0, 1, 0x42, 1, 1, 0, 0, 0, 1, 0x44, 1, 0xc0, 0, 0, 0, 1, 0x26, 1, 0xaf];
const H265_P = [0, 0, 0, 1, 0x02, 1, 0xd0];
const ADTS = [0xff, 0xf1, 0x60, 0x40, 0x02, 0x1f, 0xfc];

const key = (length = 100): Uint8Array => join(H264_KEY, filler(length));
const inter = (length = 50): Uint8Array => join(H264_P, filler(length));

const H264_ONLY = writePsm([{ streamType: 0x1b, streamId: 0xe0 }]);
const muxer = new PsMuxer({ video: 'h264', audio: 'g711a' });

const unitsOf = (events: readonly PsEvent[]): PsUnit[] => events.filter(event => event.type === 'unit');

function demux(stream: Uint8Array, cut = stream.length): { units: PsUnit[]; events: PsEvent[]; demuxer: PsDemuxer } {
  const demuxer = new PsDemuxer();
  const events: PsEvent[] = [];
  for (let at = 0; at < stream.length; at += cut) events.push(...demuxer.push(stream.subarray(at, at + cut)));
  events.push(...demuxer.flush());
  return { units: unitsOf(events), events, demuxer };
}

const videoOf = (units: readonly PsUnit[]): Uint8Array[] => units.filter(unit => unit.kind === 'video').map(unit => unit.bytes);
/** Short enough to read when it differs. */
const digest = (bytes: Uint8Array): string => `${bytes.length} bytes ${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}`;
const same = (t: Test, found: readonly Uint8Array[], wanted: readonly Uint8Array[], why: string): unknown => t.same(found.map(digest), wanted.map(digest), why);

t.test('what the muxer makes comes back, however it is cut', t => {
  const pictures = [key(70_000), inter(), inter(0), key(150_000)];
  const parts = pictures.flatMap((bytes, index) => [
    muxer.video({ bytes, pts90k: 3600 * (index + 1), keyFrame: index % 3 === 0 }),
    muxer.audio({ bytes: filler(320, 0xd5), pts90k: 3600 * (index + 1) }),
  ]);
  for (const cut of [1, 7, 1400, 1 << 20]) {
    const { units, events, demuxer } = demux(join(...parts), cut);
    same(t, videoOf(units), pictures, `pictures in pieces of ${cut}`);
    t.same(units.filter(unit => unit.kind === 'video').map(unit => [unit.pts90k, unit.keyFrame, unit.damaged, unit.codec, unit.streamType]), [
      [3600, true, false, 'h264', 0x1b],
      [7200, false, false, 'h264', 0x1b],
      [10800, false, false, 'h264', 0x1b],
      [14400, true, false, 'h264', 0x1b],
    ]);
    t.same(units.filter(unit => unit.kind === 'audio').map(unit => [unit.pts90k, unit.codec, unit.bytes.length]), [3600, 7200, 10800, 14400].map(pts => [pts, 'g711a', 320]));
    t.equal(events.filter(event => event.type === 'map' && event.map.crcOk).length, 2);
    t.match(demuxer.counters, { packs: 4, maps: 2, wrongLengths: 0, skippedBytes: 0, damagedUnits: 0, badHeaders: 0 });
  }
  t.end();
});

t.test('any pictures, any cut', t => {
  const picture = fc.record({ isKey: fc.boolean(), length: fc.integer({ min: 0, max: 140_000 }), audio: fc.boolean() });
  fc.assert(
    fc.property(fc.array(picture, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 0, max: 2 ** 33 - 1 }), (pictures, cut, base) => {
      const sent = pictures.map(({ isKey, length }) => (isKey ? key(length) : inter(length)));
      const parts = sent.flatMap((bytes, index) => {
        const pts90k = base + index * 3600;
        const video = muxer.video({ bytes, pts90k, keyFrame: pictures[index]!.isKey });
        return pictures[index]!.audio ? [video, muxer.audio({ bytes: filler(160), pts90k })] : [video];
      });
      const got = demux(join(...parts), cut).units.filter(unit => unit.kind === 'video');
      return got.length === sent.length && got.every((unit, index) => Buffer.compare(unit.bytes, sent[index]!) === 0 && unit.pts90k === base + index * 3600 && !unit.damaged);
    }),
    { numRuns: 60 },
  );
  t.end();
});

/** A pack with one picture whose PES length field is `length`. */
function withLength(picture: Uint8Array, length: number, pts90k: number): Uint8Array {
  const header = pesHeader(0xe0, 0, pts90k);
  header.set([length >> 8, length & 0xff], 4);
  return join(packHeader(pts90k), header, picture);
}

t.test('PES lengths that lie (faults 66, quirk 46)', t => {
  const big = key(70_000);
  const first = join(packHeader(0), systemHeader(false), H264_ONLY);
  const cases: readonly (readonly [string, number, number])[] = [
    ['0', 0, 0],
    ['65535', 0xffff, 0],
    ['longer than the packet', 65_000, 1],
    ['shorter than the packet', 20, 2],
    ['modulo 65536', (big.length + 8) & 0xffff, 1],
  ];
  for (const [name, length, wrongLengths] of cases) {
    const pictures = name === 'longer than the packet' ? [key(100), inter()] : [big, inter()];
    for (const cut of [1, 1400, 1 << 20]) {
      const { units, demuxer } = demux(join(first, withLength(pictures[0]!, length, 3600), withLength(pictures[1]!, length === 20 ? 20 : 0, 7200), muxer.audio({ bytes: filler(160), pts90k: 7200 })), cut);
      same(t, videoOf(units), pictures, `${name}, in pieces of ${cut}`);
      t.equal(demuxer.counters.wrongLengths, wrongLengths, name);
      t.notOk(units.some(unit => unit.damaged), 'nothing was missing');
    }
  }
  const badHeader = join(packHeader(0), pesHeader(0xe0, 10, 3600).fill(255, 8, 9), inter(), muxer.video({ bytes: key(), pts90k: 7200, keyFrame: true }));
  const { units, demuxer } = demux(badHeader);
  same(t, videoOf(units), [key()], 'a header longer than its packet is passed over');
  t.equal(demuxer.counters.badHeaders, 1);
  t.end();
});

t.test('other packets are passed over by their length (faults 68, quirk 42)', t => {
  const other = (id: number, length: number): Uint8Array => join([0, 0, 1, id, length >> 8, length & 0xff], filler(length, 0));
  const noise = [0xbd, 0xbe, 0xbf, 0xf0, 0xf1, 0xf8, 0xfd, 0xff].map(id => other(id, 300));
  const picture = key(66_000);
  const whole = muxer.video({ bytes: picture, pts90k: 3600, keyFrame: true });
  const second = whole.length - (picture.length - 65_000) - 9;
  const { units, demuxer } = demux(join(whole.subarray(0, second), ...noise, whole.subarray(second), ...noise, [0, 0, 1, 0xb9], muxer.video({ bytes: inter(), pts90k: 7200, keyFrame: false })), 333);
  same(t, videoOf(units), [picture, inter()], 'pictures are whole');
  t.equal(demuxer.counters.skippedPackets, 16);
  t.end();
});

t.test('maps: wrong CRC, none, late, flipping (faults 65, 67, quirks 43, 45, 47)', t => {
  const wrongCrc = Uint8Array.from(H264_ONLY).fill(0, H264_ONLY.length - 1);
  const bare = new PsMuxer({ video: 'h265', audio: 'g711a', map: false });
  const h265 = join(H265_KEY, filler(30));
  const flipped = join(packHeader(0), writePsm([{ streamType: 0x1b, streamId: 0xe0 }]), pesHeader(0xe0, h265.length, 7200), h265);
  t.match(demux(join(packHeader(0), wrongCrc, pesHeader(0xe0, key().length, 3600), key())), { events: [{ type: 'map', map: { crcOk: false } }, { codec: 'h264' }] });
  const noMap = demux(join(bare.video({ bytes: h265, pts90k: 3600, keyFrame: true }), bare.audio({ bytes: filler(320), pts90k: 3600 }), bare.video({ bytes: join(H265_P, filler(9)), pts90k: 7200, keyFrame: false })));
  t.match(noMap.units.filter(unit => unit.kind === 'video'), [{ codec: 'h265', streamType: 0x24, keyFrame: true }, { codec: 'h265', keyFrame: false }], 'told by NAL headers');
  t.match(noMap.units.filter(unit => unit.kind === 'audio'), [{ codec: 'g711a', streamType: 0x90 }], 'audio is G.711A when nobody says');
  t.match(demux(flipped).units, [{ codec: 'h265', streamType: 0x24 }], 'NAL headers beat the map');
  const inSeparatePackets = demux(join(packHeader(0), [0, 0, 1, 0xbc, 0xff, 0xff], filler(40), muxer.video({ bytes: key(), pts90k: 3600, keyFrame: true })));
  t.match(inSeparatePackets, { units: [{ codec: 'h264', keyFrame: true }], demuxer: { counters: { badMaps: 1 } } }, 'a map of 64 KiB is none');
  t.end();
});

t.test('AAC under the type of G.711 (quirk 49)', t => {
  const frame = join(ADTS, filler(16 - 7));
  const stream = join(packHeader(0), writePsm([{ streamType: 0x90, streamId: 0xc0 }]), pesHeader(0xc0, 16, 900), frame, pesHeader(0xc0, 16), frame);
  t.match(demux(stream).units, [{ codec: 'aac', streamType: 0x0f, pts90k: 900, ptsEstimated: false }, { codec: 'aac', ptsEstimated: true, pts90k: 900 + 5760 }], '1024 samples at 16 kHz');
  t.end();
});

t.test('a pack header cut off by its sender (quirk 44)', t => {
  const picture = join(H265_KEY, filler(40));
  const { units, demuxer } = demux(join([0, 0, 1, 0xba], pesHeader(0xe0, picture.length, 3600), picture, [0, 0, 1, 0xba, 0x44], pesHeader(0xe0, picture.length, 7200), picture));
  same(t, videoOf(units), [picture, picture], 'taken up at E0');
  t.equal(demuxer.counters.badHeaders, 2);
  t.end();
});

t.test('time stamps missing, repeated, one for each NAL unit (faults 69)', t => {
  const fragment = (bytes: Uint8Array, pts90k?: number): Uint8Array => join(pesHeader(0xe0, bytes.length, pts90k), bytes);
  const [sps, pps, idr] = [H264_KEY.slice(0, 8), H264_KEY.slice(8, 16), join(H264_KEY.slice(16), filler(40))];
  const everyNal = demux(join(packHeader(0), fragment(Uint8Array.from(sps), 3600), fragment(Uint8Array.from(pps), 3600), fragment(idr, 3600), fragment(filler(30), 3600), fragment(inter(), 7200)));
  same(t, videoOf(everyNal.units), [join(H264_KEY, filler(40), filler(30)), inter()], 'one picture of four packets with one PTS');
  const none = demux(join(packHeader(0), fragment(key(), 3600), packHeader(1), fragment(inter()), fragment(filler(20)), packHeader(2), fragment(inter())));
  same(t, videoOf(none.units), [key(), join(inter(), filler(20)), inter()], 'cut at the first slice of each picture');
  t.same(none.units.map(unit => [unit.pts90k, unit.ptsEstimated]), [[3600, false], [7200, true], [10800, true]]);
  const frozen = demux(join(packHeader(0), ...[key(), inter(), inter()].map(bytes => fragment(bytes, 3600))));
  t.equal(frozen.units.length, 3, 'a clock that stands still does not glue pictures');
  t.end();
});

t.test('clocks that wrap, and audio that counts samples (rules 6 and 7)', t => {
  t.equal(unwrappedStep(8589932482, 1490), 3600);
  t.equal(unwrappedStep(2 ** 32 - 1000, 2600), 3600);
  t.equal(unwrappedStep(1490, 8589932482), -3600);
  t.equal(unwrappedStep(3600, 0), -3600);
  const wrapping = [2 ** 32 - 3600, 0, 3600].map(pts90k => muxer.video({ bytes: inter(), pts90k, keyFrame: false }));
  t.same(demux(join(...wrapping)).units.map(unit => unit.pts90k), [2 ** 32 - 3600, 2 ** 32, 2 ** 32 + 3600], 'goes on over 32 bits');
  const samples = [0, 1, 2, 3, 4, 5, 6].map(index => muxer.audio({ bytes: filler(320), pts90k: 80_000 + index * 320, ownPack: index === 0 }));
  const stamps = demux(join(...samples)).units.map(unit => unit.pts90k);
  t.same(stamps.slice(-2), [900_000 + 5 * 3600, 900_000 + 6 * 3600], 'scaled once it is certain');
  t.end();
});

t.test('gaps: the open picture is damaged, the rest waits for a pack (faults 70)', t => {
  const first = muxer.video({ bytes: key(5000), pts90k: 3600, keyFrame: true });
  const second = muxer.video({ bytes: inter(5000), pts90k: 7200, keyFrame: false });
  const third = muxer.video({ bytes: inter(60), pts90k: 10800, keyFrame: false });
  const run = (...steps: readonly ((demuxer: PsDemuxer) => PsEvent[])[]): PsUnit[] => {
    const demuxer = new PsDemuxer();
    return unitsOf([...steps.flatMap(step => step(demuxer)), ...demuxer.flush()]);
  };
  const push = (bytes: Uint8Array, ends = false) => (demuxer: PsDemuxer): PsEvent[] => demuxer.push(bytes, ends);
  const gap = (demuxer: PsDemuxer): PsEvent[] => demuxer.gap();
  const middle = run(push(first.subarray(0, 1400)), gap, push(first.subarray(2800), true), push(second), push(third));
  t.same(middle.map(unit => [unit.pts90k, unit.damaged]), [[3600, true], [7200, false], [10800, false]]);
  const between = run(push(first, true), gap, push(second.subarray(1400)), push(third));
  t.same(between.map(unit => [unit.pts90k, unit.damaged]), [[3600, false], [10800, false]], 'a picture that had ended is whole');
  const unknown = run(push(first), gap, push(third));
  t.same(unknown.map(unit => [unit.pts90k, unit.damaged]), [[3600, true], [10800, false]], 'without that word it may lack a packet');
  const openEnded = withLength(inter(3000), 0, 7200);
  t.same(run(push(openEnded, true), gap, push(third)).map(unit => [unit.damaged, unit.bytes.length]), [[false, inter(3000).length], [false, inter(60).length]], 'without a length the word of the transport counts');
  const cutShort = run(push(first.subarray(0, 3000)));
  t.same(cutShort.map(unit => unit.damaged), [true], 'a stream that ends inside a packet');
  const audio = run(push(first), push(muxer.audio({ bytes: filler(320), pts90k: 3600 }).subarray(0, 100)), gap);
  t.same(audio.map(unit => [unit.kind, unit.damaged]), [['audio', true], ['video', true]]);
  t.end();
});

t.test('bounds: a picture over 4 MiB, too many streams, noise before the first pack', t => {
  const demuxer = new PsDemuxer();
  demuxer.push(join(packHeader(0), pesHeader(0xe0, 0, 0).fill(0, 4, 6), key()));
  for (let sent = 0; sent < MAX_UNIT_BYTES + 200_000; sent += 100_000) demuxer.push(filler(100_000));
  const [oversize] = unitsOf(demuxer.push(muxer.video({ bytes: inter(), pts90k: 9000, keyFrame: false })));
  t.match(oversize, { damaged: true, keyFrame: true });
  t.ok(oversize!.bytes.length <= MAX_UNIT_BYTES);
  const many = Array.from({ length: 16 }, (_, index) => join(pesHeader(0xe0 + index, inter().length, 3600), inter()));
  t.match(demux(join(packHeader(0), ...many)), { demuxer: { counters: { strayPackets: 10, videoUnits: 6 } } });
  const late = demux(join(filler(5000, 0), inter(), filler(4000), muxer.video({ bytes: key(), pts90k: 3600, keyFrame: true })), 100);
  same(t, videoOf(late.units), [key()], 'begins at the first pack');
  t.end();
});

t.test('whatever comes: no throw, no more out than in, and a clean stream after a gap', t => {
  const seed = join(muxer.video({ bytes: key(3000), pts90k: 3600, keyFrame: true }), muxer.audio({ bytes: filler(320), pts90k: 3600 }), muxer.video({ bytes: inter(2000), pts90k: 7200, keyFrame: false }));
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 20 }).map(edits => {
      const copy = Uint8Array.from(seed);
      for (const [at, value] of edits) copy[at] = value;
      return copy;
    }),
    fc.array(fc.constantFrom(0, 0, 1, 0xba, 0xbb, 0xbc, 0xbd, 0xc0, 0xe0, 0x44, 0x80, 0xff, 5), { maxLength: 2000 }).map(values => Uint8Array.from(values)),
  );
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 5 }), fc.integer({ min: 1, max: 4000 }), (chunks, cut) => {
      const demuxer = new PsDemuxer();
      let given = 0;
      let got = 0;
      const take = (events: readonly PsEvent[]): void => {
        for (const unit of unitsOf(events)) got += unit.bytes.length;
      };
      for (const chunk of chunks)
        for (let at = 0; at < chunk.length; at += cut) {
          take(demuxer.push(chunk.subarray(at, at + cut)));
          given += Math.min(cut, chunk.length - at);
        }
      take(demuxer.gap());
      const after = unitsOf([...demuxer.push(seed), ...demuxer.flush()]);
      return got <= given && after.some(unit => unit.keyFrame && !unit.damaged && Buffer.compare(unit.bytes, key(3000)) === 0);
    }),
    { numRuns: 300 },
  );
  t.end();
});
