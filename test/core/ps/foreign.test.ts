/** Program streams as others write them, beyond what demux.test.ts holds (gb28181.md 6.6 and 11, faults 65-75). */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type MediaUnit, type MediaTracks } from '#core/media/unit.ts';
import { UnitIntake } from '#core/media/unit-intake.ts';
import { PsDemuxer, type PsUnit } from '#core/ps/demux.ts';
import { PsMuxer, packHeader, pesHeader, systemHeader } from '#core/ps/mux.ts';
import { writePsm } from '#core/ps/psm.ts';
import { ms } from '#core/units.ts';

const join = (...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array => Uint8Array.from(Buffer.concat(parts.map(part => Buffer.from(part as Uint8Array))));
const filler = (length: number, seed = 0): Uint8Array => Uint8Array.from({ length }, (_, index) => 2 + ((index * 7 + seed * 13) % 250));

const SPS = [0, 0, 0, 1, 0x67, 0x64, 0, 0x28, 0xac, 0xd9, 0x40, 0x78, 2, 0x27, 0xe5, 0xc0, 0x44, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xc8, 0x3c, 0x60, 0xc6, 0x58];
const KEY = [...SPS, 0, 0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb, 0, 0, 0, 1, 0x65, 0x88];
const key = (length = 100, seed = 0): Uint8Array => join(KEY, filler(length, seed));
const inter = (length = 50, seed = 0): Uint8Array => join([0, 0, 0, 1, 0x41, 0x9a], filler(length, seed));
const pes = (bytes: Uint8Array, pts90k?: number, dts90k?: number): Uint8Array => join(pesHeader(0xe0, bytes.length, pts90k, dts90k), bytes);

function unitsOf(stream: Uint8Array, cut = 1400): PsUnit[] {
  const demuxer = new PsDemuxer();
  const units: PsUnit[] = [];
  for (let at = 0; at < stream.length; at += cut) units.push(...demuxer.push(stream.subarray(at, at + cut)).filter(event => event.type === 'unit'));
  return [...units, ...demuxer.flush().filter(event => event.type === 'unit')];
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const same = (t: Test, units: readonly PsUnit[], wanted: readonly Uint8Array[], why: string): void => {
  t.same(units.map(unit => unit.bytes.length), wanted.map(bytes => bytes.length), why);
  t.ok(units.every((unit, index) => hex(unit.bytes) === hex(wanted[index]!)), why);
};

/** What takers get of it, and the tracks at the end. */
function taken(units: readonly PsUnit[], stepMs = 40): { units: MediaUnit[]; tracks: MediaTracks | null; intake: UnitIntake } {
  const intake = new UnitIntake();
  const passed = units.flatMap((unit, index) => intake.take(unit, ms(index * stepMs)) ?? []);
  return { units: passed, tracks: intake.tracks, intake };
}

t.test('headers that are missing', async t => {
  const pictures = [key(), inter(), inter(60)];
  const psm = writePsm([{ streamType: 0x1b, streamId: 0xe0 }]);
  for (const [what, first] of [['no system header', psm], ['no map', systemHeader(false)], ['neither', []]] as const) {
    const stream = join(...pictures.map((bytes, index) => join(packHeader(index * 3600), index === 0 ? first : [], pes(bytes, index * 3600))));
    for (const cut of [1, 13, 1400]) same(t, unitsOf(stream, cut), pictures, what);
    t.match(taken(unitsOf(stream)).tracks ?? taken([...unitsOf(stream), ...unitsOf(stream), ...unitsOf(stream)]).tracks, { video: { codec: 'h264', width: 1920 } }, what);
  }
  const noPacks = join(packHeader(0), pes(pictures[0]!, 0), pes(pictures[1]!, 3600), pes(pictures[2]!, 7200));
  same(t, unitsOf(noPacks), pictures, 'one pack for all');
});

t.test('pictures over many packets of 64 KiB, each with the time or only the first', async t => {
  const big = key(200_000);
  for (const stamped of [true, false]) {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < big.length; at += 65_522) parts.push(pes(big.subarray(at, at + 65_522), stamped || at === 0 ? 3600 : undefined));
    same(t, unitsOf(join(packHeader(0), systemHeader(false), ...parts, packHeader(7200), pes(inter(), 7200))), [big, inter()], stamped ? 'each' : 'the first');
  }
  const packs: Uint8Array[] = [];
  for (let at = 0; at < big.length; at += 65_000) packs.push(packHeader(3600), pes(big.subarray(at, at + 65_000), at === 0 ? 3600 : undefined));
  same(t, unitsOf(join(...packs, packHeader(7200), pes(inter(), 7200))), [big, inter()], 'a pack for each');
});

t.test('packets that begin anywhere: cut where pictures begin, stamped as the standard says (ISO/IEC 13818-1 2.4.3.7)', async t => {
  const lengths = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 2, maxLength: 12 });
  fc.assert(
    fc.property(lengths, fc.integer({ min: 40, max: 2500 }), fc.integer({ min: 1, max: 1500 }), (sizes, packetBytes, cut) => {
      const pictures = sizes.map((length, index) => (index % 4 === 0 ? key(length, index) : inter(length, index)));
      const whole = join(...pictures);
      const starts = pictures.map((_, index) => pictures.slice(0, index).reduce((sum, bytes) => sum + bytes.length, 0));
      const packets: Uint8Array[] = [];
      for (let at = 0; at < whole.length; at += packetBytes) {
        const begins = starts.findIndex(start => start >= at && start < at + packetBytes);
        packets.push(packHeader(at), pes(whole.subarray(at, at + packetBytes), begins < 0 ? undefined : 90_000 + begins * 3600));
      }
      const units = unitsOf(join(...packets), cut);
      const bytes = Buffer.concat(units.map(unit => unit.bytes));
      // Where a packet happens to begin with a NAL unit, pictures may stick together or part; nothing is lost, doubled or called damaged.
      return Buffer.compare(bytes, whole) === 0 && units.every(unit => !unit.damaged);
    }),
    { numRuns: 150 },
  );
  const pictures = [key(5000), inter(3000, 1), inter(10, 2), inter(2500, 3), key(4000, 4)];
  const whole = join(...pictures);
  const starts = pictures.map((_, index) => pictures.slice(0, index).reduce((sum, bytes) => sum + bytes.length, 0));
  const packets: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += 2000) {
    const begins = starts.findIndex(start => start >= at && start < at + 2000);
    packets.push(packHeader(at), pes(whole.subarray(at, at + 2000), begins < 0 ? undefined : 90_000 + begins * 3600, begins < 0 ? undefined : 80_000 + begins * 3600));
  }
  const units = unitsOf(join(...packets));
  same(t, units, pictures, 'pictures');
  t.same(units.map(unit => unit.pts90k), [0, 1, 2, 3, 4].map(index => 90_000 + index * 3600), 'a picture whose packet began another one has an estimated time');
  const lost = new PsDemuxer();
  const events = [...lost.push(join(...packets.slice(0, 4))), ...lost.gap(), ...lost.push(join(...packets.slice(6)))].concat(lost.flush());
  const after = events.filter(event => event.type === 'unit');
  t.ok(after.filter(unit => pictures.every(picture => hex(picture) !== hex(unit.bytes))).every(unit => unit.damaged), 'what is cut by a loss is damaged');
});

t.test('the rest of a picture behind a loss is damaged although its pack is whole (fault 70)', async t => {
  const big = key(130_000);
  const demuxer = new PsDemuxer();
  const [first, second] = [join(packHeader(0), pes(big.subarray(0, 65_000), 3600)), join(packHeader(0), pes(big.subarray(65_000)))];
  demuxer.push(first.subarray(0, 1400));
  const open = demuxer.gap();
  const rest = [...demuxer.push(second), ...demuxer.push(join(packHeader(7200), pes(inter(), 7200))), ...demuxer.flush()];
  t.match(open, [{ damaged: true }]);
  t.match(rest.filter(event => event.type === 'unit').map(unit => unit.damaged), [true, false]);
});

t.test('SVAC and MPEG-4 are carried untouched; a map stands before their key frames', async t => {
  for (const [streamType, codec] of [[0x80, 'svac'], [0x10, 'mpeg4']] as const) {
    const map = writePsm([{ streamType, streamId: 0xe0 }, { streamType: 0x9b, streamId: 0xc0 }]);
    const pictures = [0, 1, 2, 3].map(seed => join([0, 0, 1, 0x67, 0, 0, 1, 0xb6, 0, 0, 1, 0x65], filler(700, seed)));
    const stream = join(...pictures.map((bytes, index) => join(packHeader(index * 3600), index % 2 === 0 ? join(systemHeader(true), map) : [], pes(bytes, index * 3600), pesHeader(0xc0, 20, index * 3600), filler(20))));
    const units = unitsOf(stream);
    const video = units.filter(unit => unit.kind === 'video');
    same(t, video, pictures, codec);
    t.same(video.map(unit => [unit.codec, unit.keyFrame]), [true, false, true, false].map(isKey => [codec, isKey]));
    t.match(units.find(unit => unit.kind === 'audio'), { codec: 'svac-audio', bytes: filler(20) });
    const { units: given, tracks } = taken(units);
    t.equal(given.filter(unit => unit.kind === 'video').length, 4);
    t.match(tracks, { video: { codec, parameterSets: [] }, audio: { codec: 'svac-audio' } });
    const again = new PsMuxer({ video: codec, audio: 'svac-audio' });
    const back = unitsOf(join(...video.map(({ bytes, pts90k, keyFrame }) => again.video({ bytes, pts90k, keyFrame }))));
    same(t, back, pictures, `${codec} through our own muxer`);
  }
});

t.test('B pictures: decoding times come along, both ways', async t => {
  const order = [[10_800, 3600], [21_600, 7200], [14_400, 10_800], [18_000, 14_400]] as const;
  const muxer = new PsMuxer({ video: 'h264' });
  const stream = join(...order.map(([pts90k, dts90k], index) => muxer.video({ bytes: index === 0 ? key() : inter(50, index), pts90k, dts90k, keyFrame: index === 0 })));
  t.same(unitsOf(stream).map(unit => [unit.pts90k, unit.dts90k]), order);
  t.same(taken(unitsOf(stream)).units.map(unit => [unit.pts90k, unit.dts90k]), order);
});

t.test('clocks that jump, stand still or are missing: one timeline for takers (fault 69)', async t => {
  const run = (stamps: readonly (number | undefined)[]): number[] => {
    const stream = join(...stamps.map((pts90k, index) => join(packHeader(0), pes(index % 3 === 0 ? key(30, index) : inter(30, index), pts90k))));
    return taken(unitsOf(stream)).units.map(unit => unit.dts90k);
  };
  for (const [what, stamps] of [
    ['SCR and PTS begin again', [900_000, 903_600, 907_200, 0, 3600, 7200]],
    ['they stand still', [5000, 5000, 5000, 5000, 5000, 5000]],
    ['there are none', [undefined, undefined, undefined, undefined, undefined, undefined]],
    ['a leap of an hour', [0, 3600, 324_000_000, 324_003_600, 324_007_200, 324_010_800]],
    ['a wrap at 33 bits', [2 ** 33 - 3600, 0, 3600, 7200, 10_800, 14_400]],
    ['a wrap at 32 bits', [2 ** 32 - 3600, 0, 3600, 7200, 10_800, 14_400]],
  ] as const) {
    const times = run(stamps);
    const steps = times.slice(1).map((time, index) => time - times[index]!);
    t.ok(times.length === 6 && steps.every(step => step > 2500 && step < 5000), `${what}: ${steps.join(' ')}`);
  }
});

t.test('an oversize or odd picture does not stop what follows (faults 71, 72)', async t => {
  const intake = new UnitIntake();
  const feed = (units: readonly PsUnit[]): (MediaUnit | undefined)[] => units.map((unit, index) => intake.take(unit, ms(1000 + index * 40)));
  const absurd = join([0, 0, 0, 1, 0x67, 0x42, 0, 0x28, 0xe8, 0, 0, 0x80, 0, 0, 0x40, 0, 0, 0x0f, 0xff, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80, 0, 0, 0, 1, 0x65, 0x88, 0x84]);
  const oneByte = join([0, 0, 1, 0x67, 0, 0, 1, 0x68, 0, 0, 1, 0x65]);
  const slices = join(KEY, ...Array.from({ length: 8192 }, (_, index) => [0, 0, 1, 0x65, 0x08, index & 0xff | 4]));
  const stream = join(...[absurd, oneByte, slices, key(), inter()].map((bytes, index) => join(packHeader(0), pes(bytes.subarray(0, 65_000), index * 3600), bytes.length > 65_000 ? pes(bytes.subarray(65_000)) : [])));
  const given = feed(unitsOf(stream));
  t.match(given[0], { keyFrame: true }, 'an SPS that lies passes: nothing is made of its size');
  t.equal(given.at(-1)?.bytes.length, inter().length);
  t.match(intake.tracks?.video ?? {}, { width: 1920 }, 'and the next one is believed again');
});
