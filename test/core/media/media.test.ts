import fc from 'fast-check';
import t from 'tap';
import { g711Ticks90k, looksLikeAdts, parseAdts, splitAdts } from '#core/media/audio.ts';
import { findStartCode, inspectAccessUnit, isRandomAccess, nalName, nalType, nalUnits, sniffVideoCodec, splitAccessUnits } from '#core/media/h26x.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

t.test('start codes and NAL units', t => {
  t.equal(findStartCode(bytesOf('00 00 00 01 67'), 0), 1);
  t.equal(findStartCode(bytesOf('00 00 01 67 00 00'), 1), -1);
  t.equal(findStartCode(bytesOf('00 00'), 0), -1);
  const stream = bytesOf('aa 00 00 00 01 67 42 00 00 01 68 ce 00 00 00 00 00 01 65 00 00 01 00 00 01 41');
  t.same(
    nalUnits(stream).map(({ start, at, end }) => [start, hex(stream.subarray(at, end))]),
    [[1, '6742'], [7, '68ce'], [14, '65'], [22, '41']],
    'three and four byte codes, trailing zeros, an empty unit',
  );
  t.equal(nalUnits(stream, 2).length, 2, 'bounded');
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 0, 0, 1, 2, 0x65), { maxLength: 300 }), values => {
      const bytes = Uint8Array.from(values);
      const naive = values.findIndex((_, index) => values[index] === 0 && values[index + 1] === 0 && values[index + 2] === 1);
      const units = nalUnits(bytes);
      return findStartCode(bytes, 0) === naive && units.every(({ at, end }) => end > at && findStartCode(bytes.subarray(at, end), 0) < 0);
    }),
  );
  t.end();
});

t.test('types', t => {
  t.equal(nalName('h264', nalType('h264', 0x67)), 'sps');
  t.equal(nalName('h264', nalType('h264', 0x65)), 'idr');
  t.equal(nalName('h265', nalType('h265', 0x40)), 'vps');
  t.equal(nalName('h265', nalType('h265', 0x26)), 'idr-w-radl');
  t.equal(nalName('h265', 63), 'type-63');
  t.same([1, 5, 7].map(type => isRandomAccess('h264', type)), [false, true, false]);
  t.same([1, 15, 16, 21, 23, 24, 32].map(type => isRandomAccess('h265', type)), [false, false, true, true, true, false, false]);
  t.same(inspectAccessUnit('h264', bytesOf('00 00 01 67 42 00 00 01 68 ce 00 00 01 65 88')), { keyFrame: true, hasPicture: true, hasParameterSets: true });
  t.end();
});

t.test('the codec, from headers that only one of them has', t => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['00 00 00 01 67 42', 'h264'],
    ['00 00 00 01 27 42', 'h264'],
    ['00 00 00 01 65 88', 'h264'],
    ['00 00 00 01 09 f0 00 00 00 01 67 64', 'h264'],
    ['00 00 00 01 40 01 0c', 'h265'],
    ['00 00 00 01 46 01 10 00 00 01 42 01', 'h265'],
    ['00 00 00 01 26 01 af', 'h265'],
    ['00 00 00 01 41 9a', undefined],
    ['00 00 00 01 02 01 d0', undefined],
    ['00 00 00 01 e7 42', undefined],
    ['12 34', undefined],
  ];
  for (const [bytes, codec] of cases) t.equal(sniffVideoCodec(bytesOf(bytes)), codec, bytes);
  t.end();
});

t.test('access units', t => {
  const h264 = ['00 00 00 01 67 42 00 00 00 01 68 ce 00 00 00 01 65 88 00 00 01 65 08', '00 00 00 01 41 9a', '00 00 00 01 09 f0 00 00 01 41 9a 00 00 01 41 1a'];
  const h265 = ['00 00 00 01 40 01 0c 00 00 01 42 01 00 00 01 44 01 00 00 00 01 26 01 af', '00 00 00 01 02 01 d0 00 00 01 02 01 50', '00 00 00 01 4e 01 05 00 00 01 02 01 d0'];
  const cut = (codec: 'h264' | 'h265', units: readonly string[]): [string, boolean][] => splitAccessUnits(codec, bytesOf(units.join(''))).map(unit => [hex(unit.bytes), unit.keyFrame]);
  t.same(cut('h264', h264), h264.map((unit, index) => [unit.replaceAll(' ', ''), index === 0]), 'several slices stay together; parameter sets and delimiters open a picture');
  t.same(cut('h265', h265), h265.map((unit, index) => [unit.replaceAll(' ', ''), index === 0]));
  t.same(splitAccessUnits('h264', bytesOf('01 02 03')), []);
  t.end();
});

t.test('ADTS', t => {
  const header = bytesOf('ff f1 60 40 02 1f fc');
  t.same(parseAdts(header), { ok: true, value: { profile: 1, sampleRateHz: 16000, channels: 1, headerBytes: 7, frameBytes: 16, samples: 1024 } });
  t.match(parseAdts(bytesOf('ff f0 60 40 02 1f fc')), { value: { headerBytes: 9 } }, 'with CRC');
  const bad = ['ff f1 60 40 02 1f', 'ff e1 60 40 02 1f fc', 'ff f3 60 40 02 1f fc', 'ff f1 7c 40 02 1f fc', 'ff f1 60 40 00 9f fc'];
  for (const bytes of bad) t.match(parseAdts(bytesOf(bytes)), { ok: false }, bytes);
  const frame = Buffer.concat([header, Buffer.alloc(9, 5)]);
  t.match(splitAdts(Buffer.concat([bytesOf('01 02'), frame, bytesOf('ff'), frame, frame.subarray(0, 10)])), { frames: [frame, frame], skippedBytes: 13 });
  t.ok(looksLikeAdts(frame));
  t.ok(looksLikeAdts(Buffer.concat([frame, frame])));
  t.notOk(looksLikeAdts(Buffer.concat([frame, Buffer.alloc(20)])), 'a syncword alone is chance');
  t.equal(g711Ticks90k(320), 3600);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), bytes => {
      const { frames, skippedBytes } = splitAdts(bytes);
      return frames.reduce((sum, each) => sum + each.length, skippedBytes) === bytes.length;
    }),
  );
  t.end();
});
