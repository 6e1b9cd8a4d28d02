import fc from 'fast-check';
import t from 'tap';
import { BitReader, rbspOf } from '#core/media/bit-reader.ts';
import { AdtsFramer, adtsHeader, audioTicks90k, audioTrackOf, readAudioSpecificConfig } from '#core/media/audio-tracks.ts';
import { GopCache } from '#core/media/gop-cache.ts';
import type { VideoCodec } from '#core/media/h26x.ts';
import { ParameterSets, withStartCodes } from '#core/media/parameter-sets.ts';
import { NO_ENTRY_MS, PictureGate } from '#core/media/picture-gate.ts';
import { recoveryPictures } from '#core/media/recovery-point.ts';
import { readPictureSize } from '#core/media/sps.ts';
import { UnitClock } from '#core/media/unit-clock.ts';
import { type RawUnit, UnitIntake } from '#core/media/unit-intake.ts';
import type { MediaUnit } from '#core/media/unit.ts';
import { ms } from '#core/units.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

/** Made by x264 and x265 from pictures of that size. */
const SIZES: readonly (readonly [VideoCodec, string, number, number, string])[] = [
  ['h264', 'High, cropped', 1920, 1080, '67640028acd940780227e5c044000003000400000300c83c60c658'],
  ['h264', 'interlaced', 1920, 1080, '67640028acd94078044fde0220000003002000000643e2c5b2c0'],
  ['h264', 'Baseline', 1366, 768, '6742c020d90056061e6f011000000300100000030320f1832480'],
  ['h264', '4:2:2, 10 bit', 1280, 722, '677a0020b6cd9405005df8fc0440000003004000000c83c60c6580'],
  ['h264', '4:4:4', 640, 360, '67f4001e919b281405ff1380880000030008000003019078b16cb0'],
  ['h264', 'scaling lists', 704, 576, '6764001eacd940b0126c0440000003004000000c83c58b6580'],
  ['h265', 'Main', 1920, 1080, '420101016000000300900000030000030078a003c08010e596566924caf0168080000003008000000c84'],
  ['h265', 'Main 10, cropped', 1366, 768, '420101022000000300900000030000030078a002ac80301d6d96566924caf0168080000003008000000c84'],
  ['h265', '4:2:2', 3840, 2160, '4201010408000003009d08000003000096b001e020021c596566924caf016808000003000800000300c840'],
  ['h265', '4:4:4', 640, 362, '4201010408000003009e0800000300003f9000a0402e3e7cb2b349265780b4040000030004000003006420'],
  ['h265', 'two temporal layers', 1280, 720, '42010201600000030090000003000003005d0000a00280802d1659598acd24995e02d0100000030010000003019080'],
];
const SPS = bytesOf(SIZES[0]![4]);
const PPS = bytesOf('68 eb e3 cb');
const OTHER_SPS = bytesOf(SIZES[2]![4]);
const VPS5 = bytesOf('40 01 0c 01');
const SPS5 = bytesOf(SIZES[6]![4]);
const PPS5 = bytesOf('44 01 c0 73');

t.test('pictures are measured from their SPS', async t => {
  for (const [codec, what, width, height, nal] of SIZES) {
    t.same(readPictureSize(codec, bytesOf(nal)), { ok: true, value: { width, height } }, `${codec} ${what}`);
    for (let length = 0; length < 8; length += 1) t.notOk(readPictureSize(codec, bytesOf(nal).subarray(0, length)).ok, `cut at ${length}`);
  }
  // Fault 71: ue(v) of 2^20 macroblocks.
  t.match(readPictureSize('h264', bytesOf('67 42 00 28 e8 00 00 80 00 00 40 00 00 0f ff')), { ok: false });
  fc.assert(
    fc.property(fc.constantFrom<VideoCodec>('h264', 'h265'), fc.uint8Array({ maxLength: 80 }), (codec, bytes) => {
      const size = readPictureSize(codec, bytes);
      return !size.ok || (size.value.width >= 1 && size.value.width <= 16_384 && size.value.height >= 1 && size.value.height <= 16_384);
    }),
    { numRuns: 2000 },
  );
});

t.test('bits', async t => {
  t.same(hex(rbspOf(bytesOf('67 00 00 03 01 00 00 03 00 00 03'), 1, 100)), '000001000000' + '00', 'emulation prevention bytes are out');
  t.equal(rbspOf(new Uint8Array(5000).fill(1), 0, 100).length, 100, 'bounded');
  const reader = new BitReader(bytesOf('a6 42 98 e2 04 8a'));
  t.same(Array.from({ length: 9 }, () => reader.ue()), [0, 1, 2, 3, 4, 5, 6, 7, 8], 'H.264 table 9-2');
  const signed = new BitReader(bytesOf('a6 42 98 e2'));
  t.same(Array.from({ length: 5 }, () => signed.se()), [0, 1, -1, 2, -2]);
  const zeros = new BitReader(new Uint8Array(100));
  zeros.ue();
  t.equal(zeros.overrun, true, 'a prefix without end');
});

t.test('recovery points', async t => {
  const slice = bytesOf('41 9a 00');
  t.equal(recoveryPictures('h264', withStartCodes([bytesOf('06 06 01 c4 80'), slice])), 0);
  t.equal(recoveryPictures('h264', withStartCodes([bytesOf('06 05 02 01 02 06 01 2c 80'), slice])), 4, 'behind another message');
  t.equal(recoveryPictures('h264', withStartCodes([bytesOf('06 ff 05 01 00 80'), slice])), undefined);
  t.equal(recoveryPictures('h264', withStartCodes([slice, bytesOf('06 06 01 c4 80')])), undefined, 'behind the slice it is nobody\'s');
  t.equal(recoveryPictures('h265', withStartCodes([bytesOf('4e 01 06 01 d0 80'), bytesOf('02 01 d0')])), 0);
});

t.test('parameter sets stand before every key frame', async t => {
  const sets = new ParameterSets('h264');
  const idr = withStartCodes([bytesOf('65 88 84')]);
  t.equal(sets.complete(idr), undefined, 'none is known');
  t.equal(sets.learn(withStartCodes([SPS])), true);
  t.equal(sets.isComplete, false);
  t.equal(sets.learn(withStartCodes([PPS])), true, 'they may come apart');
  t.equal(sets.learn(withStartCodes([SPS, PPS])), false, 'again is no news');
  t.same(hex(sets.complete(idr)!), hex(withStartCodes([SPS, PPS, bytesOf('65 88 84')])));
  const whole = withStartCodes([SPS, PPS, bytesOf('65 88 84')]);
  t.equal(sets.complete(whole), whole, 'as it is when it has them');
  const delimited = withStartCodes([bytesOf('09 10'), bytesOf('65 88 84')]);
  t.same(hex(sets.complete(delimited)!), hex(withStartCodes([bytesOf('09 10'), SPS, PPS, bytesOf('65 88 84')])), 'the delimiter stays first');
  const before = sets.sets;
  sets.learn(withStartCodes([OTHER_SPS]));
  t.not(sets.sets, before);
  t.same(sets.sets.map(hex), [OTHER_SPS, PPS].map(hex));
  const many = new ParameterSets('h265', [PPS5, SPS5, VPS5, new Uint8Array(5000)]);
  t.same(many.sets.map(hex), [VPS5, SPS5, PPS5].map(hex), 'in order, bounded');
});

t.test('AAC: whole frames, their time and their configuration', async t => {
  const frame = (length: number): Uint8Array => joined(adtsHeader(2, 16_000, 1, length), new Uint8Array(length).fill(length & 0xff));
  const stream = joined(frame(100), frame(200), frame(50));
  for (const cut of [1, 7, 60, 150, 1000]) {
    const framer = new AdtsFramer();
    const out: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += cut) {
      const { bytes, skippedBytes } = framer.take(stream.subarray(at, at + cut));
      if (bytes !== undefined) out.push(bytes);
      t.equal(skippedBytes, 0);
    }
    t.same(hex(joined(...out)), hex(stream), `in pieces of ${cut}`);
  }
  const dirty = new AdtsFramer();
  const taken = dirty.take(joined(bytesOf('12 34'), frame(10), bytesOf('ff 00'), frame(11)));
  t.match([hex(taken.bytes!), taken.skippedBytes], [hex(joined(frame(10), frame(11))), 4], 'what is no frame is left out (fault 75)');
  t.equal(audioTicks90k('aac', stream), 3 * 5760);
  t.equal(audioTicks90k('g711a', new Uint8Array(320)), 3600);
  t.match(audioTrackOf('aac', frame(9)), { codec: 'aac', sampleRateHz: 16_000, channels: 1, config: bytesOf('14 08') });
  t.equal(audioTrackOf('aac', bytesOf('d5 d5')), undefined);
  t.match(audioTrackOf('g711u', bytesOf('d5')), { sampleRateHz: 8000, channels: 1 });
  t.same(readAudioSpecificConfig(bytesOf('15 88')), { objectType: 2, sampleRateHz: 8000, channels: 1 });
  t.equal(readAudioSpecificConfig(bytesOf('ff f0')), undefined);
});

t.test('the gate: damaged pictures and what is built on them are held', async t => {
  const gate = new PictureGate();
  let at = 0;
  const take = (entry: 'closed' | 'open' | 'gradual' | 'none', damaged = false, pts90k = at): boolean => gate.take({ entry, damaged, pts90k }, ms((at += 40)));
  t.same([take('none'), take('closed'), take('none')], [false, true, true]);
  t.equal(gate.frozenSince, null);
  t.equal(take('none', true), false);
  const since = gate.frozenSince;
  t.equal(since, at);
  t.same([take('none'), take('none'), take('closed', true), take('none')], [false, false, false, false], 'a damaged key frame opens nothing');
  t.equal(gate.frozenSince, since, 'one freeze');
  t.same([take('closed'), take('none')], [true, true]);
  t.same([gate.frozenSince, gate.freezes, gate.heldPictures], [null, 1, 6]);
  gate.lost(ms(at));
  t.equal(take('none'), false, 'a picture is missing altogether');
  t.same([take('open', false, 900), take('none', false, 800), take('none', false, 1000)], [true, false, true], 'leading pictures of a CRA are not shown behind a loss');
  t.ok(gate.frozenMs(ms(at)) > 0);
});

t.test('the gate: streams without key frames (fault 73)', async t => {
  const gradual = new PictureGate();
  t.same([gradual.take({ entry: 'none', damaged: false, pts90k: 0 }, ms(0)), gradual.take({ entry: 'gradual', damaged: false, pts90k: 1 }, ms(40))], [false, true]);
  t.equal(gradual.state, 'flowing-without-entry');
  const none = new PictureGate();
  t.equal(none.take({ entry: 'none', damaged: false, pts90k: 0 }, ms(0)), false);
  t.equal(none.take({ entry: 'none', damaged: false, pts90k: 0 }, ms(NO_ENTRY_MS - 1)), false);
  t.equal(none.take({ entry: 'none', damaged: false, pts90k: 0 }, ms(NO_ENTRY_MS)), true);
  none.lost(ms(NO_ENTRY_MS + 1));
  t.equal(none.state, 'frozen');
  const rare = new PictureGate();
  rare.take({ entry: 'closed', damaged: false, pts90k: 0 }, ms(0));
  rare.lost(ms(1));
  t.equal(rare.take({ entry: 'none', damaged: false, pts90k: 0 }, ms(30_000)), false, 'one that has key frames waits for the next');
});

t.test('one timeline', async t => {
  const run = (stamps: readonly (readonly [pts: number, dts?: number, estimated?: boolean])[], stepMs = 40): number[][] => {
    const clock = new UnitClock();
    return stamps.map(([pts90k, dts90k = pts90k, estimated = false], index) => {
      const stamp = clock.stamp('video', { pts90k, dts90k, estimated, ticks: undefined }, ms(index * stepMs));
      return [stamp.pts90k, stamp.dts90k];
    });
  };
  t.same(run([[100], [3700], [7300]]), [[100, 100], [3700, 3700], [7300, 7300]], 'as it is');
  t.same(run([[900_000], [903_600], [5], [3605]]).map(([pts]) => pts), [900_000, 903_600, 907_200, 910_800], 'a restart goes on');
  t.same(run([[0], [3600], [90_000_000], [90_003_600]]).map(([pts]) => pts), [0, 3600, 7200, 10_800], 'a leap too');
  const frozen = run([[500], [500], [500], [500]]).map(([pts]) => pts!);
  t.ok(frozen.every((pts, index) => index === 0 || (pts - frozen[index - 1]! > 3000 && pts - frozen[index - 1]! < 4000)), 'a clock that stands still moves with the arrivals');
  const estimated = run([[500], [0, 0, true], [0, 0, true]], 66).map(([pts]) => pts!);
  t.ok(estimated[2]! > estimated[1]! && estimated[1]! > 500, 'none at all');
  t.same(run([[10_800, 3600], [21_600, 7200], [14_400, 10_800], [18_000, 14_400]]), [[10_800, 3600], [21_600, 7200], [14_400, 10_800], [18_000, 14_400]], 'B pictures with decoding times');
  const reordered = run([0, 3, 1, 2, 6, 4, 5, 9, 7, 8].map(index => [index * 3600] as const));
  t.ok(reordered.every(([pts, dts], index) => pts! >= dts! && (index === 0 || dts! > reordered[index - 1]![1]!)), 'B pictures without: decoding times grow and are never later');
  t.same(reordered.slice(4).map(([pts]) => Math.round(pts! / 3600)), [6, 4, 5, 9, 7, 8], 'shown in order once that is known');

  const both = new UnitClock();
  const stamp = (kind: 'video' | 'audio', pts90k: number, at: number): number => both.stamp(kind, { pts90k, dts90k: pts90k, estimated: false, ticks: kind === 'audio' ? 3600 : undefined }, ms(at)).pts90k;
  stamp('video', 1_000_000, 0);
  t.equal(stamp('audio', 1_000_100, 1), 1_000_100, 'sound with the pictures');
  t.equal(stamp('video', 5, 40), 1_003_600);
  t.equal(stamp('audio', 3705, 41), 1_007_300, 'after a restart it follows them');
  const apart = new UnitClock();
  apart.stamp('video', { pts90k: 9_000_000, dts90k: 9_000_000, estimated: false, ticks: undefined }, ms(0));
  t.equal(apart.stamp('audio', { pts90k: 77, dts90k: 77, estimated: false, ticks: 3600 }, ms(1)).pts90k, 9_000_000, 'sound that counts from elsewhere begins where the pictures are');

  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.oneof(fc.integer({ min: 0, max: 2 ** 34 }), fc.integer({ min: 0, max: 10_000 })), fc.integer({ min: 0, max: 8000 }), fc.boolean()), { maxLength: 60 }), list => {
      const clock = new UnitClock();
      const last = { video: -Infinity, audio: -Infinity };
      return list.every(([video, pts90k, early, estimated], index) => {
        const kind = video ? 'video' : 'audio';
        const { pts90k: pts, dts90k: dts } = clock.stamp(kind, { pts90k, dts90k: pts90k - early, estimated, ticks: video ? undefined : 3600 }, ms(index * 20));
        const grows = dts > last[kind];
        last[kind] = dts;
        return grows && pts >= dts;
      });
    }),
    { numRuns: 500 },
  );
});

const picture = (nals: readonly Uint8Array[], pts90k: number, damaged = false, codec: RawUnit['codec'] = 'h264'): RawUnit => ({ kind: 'video', codec, pts90k, dts90k: pts90k, keyFrame: false, damaged, bytes: withStartCodes(nals) });
const sound = (bytes: Uint8Array, pts90k: number, codec: RawUnit['codec'] = 'g711a'): RawUnit => ({ kind: 'audio', codec, pts90k, dts90k: pts90k, keyFrame: false, damaged: false, bytes });
const IDR = bytesOf('65 88 84 21');
const P = bytesOf('41 9a 24 22');
const PCM = new Uint8Array(320).fill(0xd5);

t.test('from what a source gives to what takers may rely on', async t => {
  const intake = new UnitIntake();
  intake.promise({ video: true, audio: true });
  let at = 0;
  const take = (raw: RawUnit): MediaUnit | undefined => intake.take(raw, ms((at += 20)));
  t.equal(take(picture([IDR], 0)), undefined, 'a key frame without parameter sets is nobody\'s');
  t.equal(take(picture([SPS, PPS], 3600)), undefined, 'parameter sets alone wait for their picture');
  const key = take(picture([IDR], 3600));
  t.same([key?.keyFrame, hex(key!.bytes)], [true, hex(withStartCodes([SPS, PPS, IDR]))], 'and stand before it');
  t.equal(intake.tracks, null, 'sound is promised');
  const heard = take(sound(PCM, 3700));
  t.match(heard, { kind: 'audio', codec: 'g711a', pts90k: 3700 });
  t.match(intake.tracks, { video: { codec: 'h264', width: 1920, height: 1080 }, audio: { codec: 'g711a', sampleRateHz: 8000 } });
  const before = intake.tracks;
  take(picture([P], 7200));
  t.equal(hex(take(picture([IDR], 10_800))!.bytes), hex(withStartCodes([SPS, PPS, IDR])), 'known ones are put before a key frame that has none');
  t.equal(intake.tracks, before, 'no news, the same object');
  take(picture([OTHER_SPS, PPS, IDR], 14_400));
  t.match(intake.tracks, { video: { width: 1366 } }, 'a new SPS is news');
  intake.gap(ms(at));
  t.equal(take(picture([P], 18_000)), undefined);
  t.equal(intake.gate.state, 'frozen');
  t.ok(take(picture([IDR], 21_600)), 'until a key frame');
  t.equal(take(picture([P], 25_200, true)), undefined, 'damaged');
});

t.test('codecs that change, and those that are not looked into', async t => {
  const intake = new UnitIntake();
  intake.take(picture([SPS, PPS, IDR], 0), ms(0));
  intake.take(picture([P], 3600), ms(200));
  t.match(intake.tracks, { video: { codec: 'h264' }, audio: null }, 'settled without sound');
  t.equal(intake.take(picture([bytesOf('02 01 d0 11')], 7200, false, 'h265'), ms(240)), undefined, '1B becomes 24 in the middle (fault 67)');
  const key = intake.take(picture([VPS5, SPS5, PPS5, bytesOf('26 01 af 11')], 10_800, false, 'h265'), ms(280));
  t.match([key?.keyFrame, intake.tracks?.video?.codec, intake.tracks?.video?.parameterSets.length], [true, 'h265', 3], 'a clean restart within one group');
  const svac = new UnitIntake();
  svac.promise({ audio: false });
  const bytes = bytesOf('00 00 01 67 00 00 01 65 01 02');
  const raw = (keyFrame: boolean): RawUnit => ({ kind: 'video', codec: 'svac', pts90k: 0, dts90k: 0, keyFrame, damaged: false, bytes });
  t.equal(svac.take(raw(false), ms(0)), undefined);
  t.equal(svac.take(raw(true), ms(40))?.bytes, bytes, 'SVAC is carried as it is');
  t.match(svac.tracks, { video: { codec: 'svac', parameterSets: [], width: 0 } });
  const mixed = new UnitIntake();
  const aac = joined(adtsHeader(2, 16_000, 1, 8), new Uint8Array(8));
  mixed.take(sound(PCM, 0), ms(0));
  t.equal(mixed.take(sound(aac, 3600, 'aac'), ms(40)), undefined, 'another codec once is not believed (quirk 49)');
  mixed.take(sound(aac, 7200, 'aac'), ms(80));
  t.match(mixed.take(sound(aac, 10_800, 'aac'), ms(120)), { codec: 'aac' }, 'three times it is');
  t.equal(mixed.take(sound(bytesOf('01 02 03'), 14_400, 'aac'), ms(160)), undefined, 'no ADTS: dropped');
  t.equal(mixed.tracks, null, 'video may be late (quirk 48)');
  mixed.take(sound(aac, 18_000, 'aac'), ms(2500));
  t.match(mixed.tracks, { video: null, audio: { codec: 'aac', sampleRateHz: 16_000 } }, 'or there is none');
});

t.test('the cache gives the last group, within bounds', async t => {
  const unit = (keyFrame: boolean, length: number, kind: 'video' | 'audio' = 'video'): MediaUnit => ({ kind, codec: 'h264', pts90k: 0, dts90k: 0, keyFrame, damaged: false, bytes: new Uint8Array(length) });
  const cache = new GopCache(1000);
  cache.take(unit(false, 10));
  cache.take(unit(false, 10, 'audio'));
  t.same([cache.units.length, cache.bytes], [0, 0], 'nothing before a key frame');
  for (const each of [unit(true, 300), unit(false, 10, 'audio'), unit(false, 100)]) cache.take(each);
  t.same([cache.units.length, cache.bytes, cache.units[0]!.keyFrame], [3, 410, true]);
  cache.take(unit(true, 200));
  t.same([cache.units.length, cache.bytes], [1, 200]);
  cache.take(unit(false, 900));
  cache.take(unit(false, 10));
  t.same([cache.units.length, cache.overruns], [0, 1], 'too long a group is none at all');
});

t.test('whatever comes, what is given is in order and whole', async () => {
  const nal = fc.constantFrom(SPS, PPS, IDR, P, OTHER_SPS, bytesOf('06 06 01 c4 80'), bytesOf('09 10'), bytesOf('00 00 01'));
  const video = fc.record({ nals: fc.array(nal, { maxLength: 4 }), pts: fc.integer({ min: 0, max: 2 ** 33 }), damaged: fc.boolean(), codec: fc.constantFrom('h264', 'h265', 'svac', 'unknown') });
  const audio = fc.record({ bytes: fc.uint8Array({ maxLength: 60 }), pts: fc.integer({ min: 0, max: 2 ** 33 }), codec: fc.constantFrom('g711a', 'aac', 'g729', 'unknown') });
  fc.assert(
    fc.property(fc.array(fc.oneof(video, audio, fc.constant('gap' as const)), { maxLength: 60 }), events => {
      const intake = new UnitIntake();
      let open = false;
      return events.every((event, index) => {
        if (event === 'gap') {
          intake.gap(ms(index * 40));
          return true;
        }
        const raw = 'nals' in event ? picture(event.nals, event.pts, event.damaged, event.codec) : sound(event.bytes, event.pts, event.codec);
        const unit = intake.take(raw, ms(index * 40));
        if (unit?.kind !== 'video') return true;
        const fits = !unit.damaged && (open || unit.keyFrame);
        open = true;
        return fits;
      });
    }),
    { numRuns: 400 },
  );
});
