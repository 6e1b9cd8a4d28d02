import fc from 'fast-check';
import t from 'tap';
import { concatBytes, fromHex, toHex } from '#core/bytes.ts';
import { FlvTagDemuxer } from '#core/flv/demux.ts';
import { flvHeader, flvTagBytes } from '#core/flv/mux.ts';
import { AUDIO_TAG, FlvPackager, type FlvTag, SCRIPT_TAG, VIDEO_TAG } from '#core/flv/tags.ts';
import { adtsHeader, audioTrackOf } from '#core/media/audio-tracks.ts';
import { decoderConfig, parseDecoderConfig } from '#core/media/decoder-config.ts';
import type { VideoCodec } from '#core/media/h26x.ts';
import { splitLengthPrefixed, toLengthPrefixed } from '#core/media/length-prefixed.ts';
import { withStartCodes } from '#core/media/parameter-sets.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { isObject, parseAmf0 } from '#core/rtmp/amf0.ts';

const hex = (text: string): Uint8Array => fromHex(text.replaceAll(' ', ''))!;

const H264_SETS = [hex('6742c01fda030049a1000003000100000300320f1832a0'), hex('68ce3c80')];
const H265_SETS = [hex('40010c01ffff01600000030090000003000003005aba0240'), hex('42010101600000030090000003000003005aa006020090596e92930b9a020000030002000003003210'), hex('4401c073c189')];

/** Records as ffmpeg 5.1 writes them into MP4 from the same parameter sets. */
const RECORDS: readonly { readonly name: string; readonly codec: VideoCodec; readonly sets: readonly Uint8Array[]; readonly record: string; readonly codecs: string }[] = [
  { name: 'baseline', codec: 'h264', sets: H264_SETS, record: '0142c01fffe100176742c01fda030049a1000003000100000300320f1832a001000468ce3c80', codecs: 'avc1.42C01F' },
  {
    name: 'high: chroma and depth behind',
    codec: 'h264',
    sets: [hex('6764000dacd94141fb011000000300100000030320f1429960'), hex('68ebe3cb22c0')],
    record: '0164000dffe100196764000dacd94141fb011000000300100000030320f142996001000668ebe3cb22c0fdf8f800',
    codecs: 'avc1.64000D',
  },
  {
    name: '4:2:2 of 10 bits',
    codec: 'h264',
    sets: [hex('677a000db6cd94141fb011000003000100000300320f142996'), hex('68ebe3cb22c0')],
    record: '017a000dffe10019677a000db6cd94141fb011000003000100000300320f14299601000668ebe3cb22c0fefafa00',
    codecs: 'avc1.7A000D',
  },
  {
    name: 'main',
    codec: 'h265',
    sets: H265_SETS,
    record: '0101600000009000000000005af000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003005aba0240a10001002942010101600000030090000003000003005aa006020090596e92930b9a020000030002000003003210a2000100064401c073c189',
    codecs: 'hvc1.1.6.L90.90',
  },
  {
    name: 'range extensions, two temporal layers',
    codec: 'h265',
    sets: [hex('40010c02ffff0408000003009d0800000300003c00009598acc048'), hex('4201020408000003009d0800000300003c0000b00a080f13659598acd24995e02d010000030001000003001908'), hex('4401c172b46240')],
    record: '0104080000009d08000000003cf000fcfefafa00001303a00001001b40010c02ffff0408000003009d0800000300003c00009598acc048a10001002d4201020408000003009d0800000300003c0000b00a080f13659598acd24995e02d010000030001000003001908a2000100074401c172b46240',
    codecs: 'hvc1.4.10.L60.9D.8',
  },
];

t.test('decoder configuration records, both ways', async t => {
  for (const { name, codec, sets, record, codecs } of RECORDS) {
    const config = decoderConfig(codec, sets);
    t.equal(toHex(config!.record), record, name);
    t.equal(config!.codecs, codecs, name);
    const parsed = parseDecoderConfig(codec, hex(record));
    t.same(parsed, { ok: true, value: { parameterSets: sets, lengthBytes: 4 } }, name);
    for (let length = 0; length < record.length / 2 - 5; length++) t.notOk(parseDecoderConfig(codec, hex(record).subarray(0, length)).ok, `${name}, cut at ${length}`);
  }
  t.equal(decoderConfig('h264', [H264_SETS[0]!]), undefined, 'no PPS');
  t.equal(decoderConfig('h265', H265_SETS.slice(1)), undefined, 'no VPS');
  t.equal(decoderConfig('h265', [H265_SETS[0]!, hex('4201'), H265_SETS[2]!]), undefined, 'an SPS without a profile');
  t.match(parseDecoderConfig('h264', concatBytes(hex('0142c01ffe'), hex(RECORDS[0]!.record).subarray(5))), { error: { why: 'lengths of three octets' } });
});

t.test('NAL units with lengths: without what stands elsewhere or says nothing', async t => {
  const idr = hex('65 88 84 21');
  const accessUnit = withStartCodes([hex('09f0'), ...H264_SETS, hex('0605ff'), idr, hex('0cffff')]);
  const prefixed = toLengthPrefixed('h264', accessUnit);
  t.equal(toHex(prefixed), '000000030605ff0000000465888421');
  t.same(splitLengthPrefixed(prefixed, 4), { ok: true, value: [hex('0605ff'), idr] });
  t.same(splitLengthPrefixed(hex('0002aabb 0001cc'), 2), { ok: true, value: [hex('aabb'), hex('cc')] });
  t.same(splitLengthPrefixed(hex('00000009aa'), 4), { ok: false, error: { at: 4, why: 'a NAL unit is longer than what is left' } });
  t.same(splitLengthPrefixed(hex('0000'), 4), { ok: false, error: { at: 0, why: 'a length is cut' } });
  t.same(splitLengthPrefixed(new Uint8Array(4 * 1024 * 1024 + 1), 4), { ok: false, error: { at: 4 * 1024 * 1024, why: 'access unit too large' } });
});

const AAC_FRAME = concatBytes(adtsHeader(2, 16000, 1, 3), hex('010203'));
const tracksOf = (codec: VideoCodec, audio: 'aac' | 'g711a' | null = null): MediaTracks => ({
  video: { codec, parameterSets: codec === 'h264' ? H264_SETS : H265_SETS, width: 768, height: 576 },
  audio: audio === null ? null : audioTrackOf(audio, AAC_FRAME)!,
});
const picture = (codec: VideoCodec, at90k: number, keyFrame = true, pts90k = at90k): MediaUnit => {
  const slice = codec === 'h264' ? (keyFrame ? hex('65888421') : hex('41e02244')) : keyFrame ? hex('2601af') : hex('0201d0');
  const sets = codec === 'h264' ? H264_SETS : H265_SETS;
  return { kind: 'video', codec, pts90k, dts90k: at90k, keyFrame, damaged: false, bytes: withStartCodes(keyFrame ? [...sets, slice] : [slice]) };
};
const sound = (codec: 'aac' | 'g711a' | 'g729', at90k: number, bytes: Uint8Array): MediaUnit => ({ kind: 'audio', codec, pts90k: at90k, dts90k: at90k, keyFrame: false, damaged: false, bytes });

t.test('tags, octet by octet', async t => {
  const plain = new FlvPackager();
  const begin = plain.tracks(tracksOf('h264', 'aac'));
  t.same(begin.map(tag => tag.type), [SCRIPT_TAG, VIDEO_TAG, AUDIO_TAG]);
  const metadata = parseAmf0(begin[0]!.body);
  const values = metadata.ok ? metadata.value[1] : undefined;
  t.ok(isObject(values));
  if (isObject(values)) t.same(Object.fromEntries(values), { width: 768, height: 576, videocodecid: 7, audiocodecid: 10, audiosamplerate: 16000, stereo: false, encoder: 'ViewLink Gateway' });
  t.equal(toHex(begin[1]!.body), `1700000000${RECORDS[0]!.record}`);
  t.equal(toHex(begin[2]!.body), 'af001408');
  const vectors: readonly [string, MediaUnit, string[]][] = [
    ['key frame', picture('h264', 900_000), ['17010000000000000465888421']],
    ['B pictures: shown 80 ms after it is decoded', picture('h264', 903_600, false, 910_800), ['27010000500000000441e02244']],
    ['two AAC frames in one unit', sound('aac', 903_600, concatBytes(AAC_FRAME, AAC_FRAME)), ['af01010203', 'af01010203']],
    ['G.711 A-law', sound('g711a', 903_600, hex('d5d5')), ['72d5d5']],
    ['what FLV does not know', sound('g729', 903_600, hex('0102')), []],
  ];
  for (const [name, unit, bodies] of vectors) t.same(plain.unit(unit).map(tag => toHex(tag.body)), bodies, name);
  t.equal(plain.leftOut, 1);
  t.same(plain.unit(sound('aac', 907_200, concatBytes(AAC_FRAME, AAC_FRAME))).map(tag => tag.timestampMs), [80, 144], 'each frame has its time');

  const enhanced = new FlvPackager();
  t.equal(toHex(enhanced.tracks(tracksOf('h265'))[1]!.body), `9068766331${RECORDS[3]!.record}`);
  t.equal(toHex(enhanced.unit(picture('h265', 0))[0]!.body), '9368766331000000032601af', 'CodedFramesX');
  t.equal(toHex(enhanced.unit(picture('h265', 3600, false, 7200))[0]!.body), 'a168766331000028000000030201d0', 'CodedFrames with composition time');
  const legacy = new FlvPackager('legacy');
  t.equal(toHex(legacy.tracks(tracksOf('h265'))[1]!.body), `1c00000000${RECORDS[3]!.record}`);
  t.equal(toHex(legacy.unit(picture('h265', 0))[0]!.body), '1c01000000000000032601af');
});

t.test('the file around them', async t => {
  t.equal(toHex(flvHeader(tracksOf('h264', 'aac'))), '464c5601050000000900000000');
  t.equal(toHex(flvHeader(tracksOf('h264'))), '464c5601010000000900000000');
  t.equal(toHex(flvHeader({ ...tracksOf('h264'), audio: audioTrackOf('g722.1', hex('00'))! })), '464c5601010000000900000000', 'no promise of sound that cannot be carried');
  const bytes = concatBytes(...flvTagBytes({ type: VIDEO_TAG, timestampMs: 0x12345678, body: hex('aabbcc') }));
  t.equal(toHex(bytes), '09 000003 345678 12 000000 aabbcc 0000000e'.replaceAll(' ', ''));
});

t.test('times: no drift, no wrap at the wrong place', async t => {
  const packager = new FlvPackager();
  packager.tracks(tracksOf('h264'));
  let wrong = 0;
  // 10 hours of 29.97 pictures a second: 33.3666 ms each.
  for (let i = 0; i < 1_080_000; i += 997) if (packager.unit(picture('h264', 777 + i * 3003))[0]!.timestampMs !== Math.floor((i * 3003) / 90)) wrong += 1;
  t.equal(wrong, 0);
  const late = new FlvPackager();
  late.tracks(tracksOf('h264'));
  late.unit(picture('h264', 0));
  t.equal(late.unit(picture('h264', (2 ** 32 + 40) * 90))[0]!.timestampMs, 40, 'the field has 32 bits');
  t.equal(late.unit(sound('g711a', -900, hex('d5')))[0]!.timestampMs, 0, 'nothing is before the begin');
});

const roundTrip = (tags: readonly FlvTag[], demuxer: FlvTagDemuxer): MediaUnit[] => tags.flatMap(({ type, timestampMs, body }) => demuxer.push(type, timestampMs, body).units);

t.test('there and back: what is packed is what is read', async t => {
  for (const [codec, form] of [['h264', 'enhanced'], ['h265', 'enhanced'], ['h265', 'legacy']] as const) {
    const tracks = tracksOf(codec, 'aac');
    const begin = new FlvPackager(form).tracks(tracks);
    const first = new FlvTagDemuxer();
    const seen = begin.map(({ type, timestampMs, body }) => first.push(type, timestampMs, body).tracks).filter(found => found !== undefined);
    t.same(seen.at(-1), tracks, `${codec} ${form}: tracks`);
    fc.assert(
      fc.property(fc.array(fc.record({ key: fc.boolean(), step: fc.integer({ min: 1, max: 200 }), shown: fc.integer({ min: 0, max: 100 }), voice: fc.boolean() }), { maxLength: 40 }), steps => {
        let ms = 1000;
        const units = steps.flatMap(({ key, step, shown, voice }) => {
          ms += step;
          return [picture(codec, ms * 90, key, (ms + shown) * 90), ...(voice ? [sound('aac', ms * 90, AAC_FRAME)] : [])];
        });
        const packager = new FlvPackager(form);
        const tags = [...packager.tracks(tracks), ...units.flatMap(unit => packager.unit(unit))];
        const back = roundTrip(tags, new FlvTagDemuxer());
        if (back.length !== units.length) return false;
        const shift = (units[0]?.dts90k ?? 0) - (back[0]?.dts90k ?? 0);
        return units.every((unit, i) => toHex(back[i]!.bytes) === toHex(unit.bytes) && back[i]!.dts90k + shift === unit.dts90k && back[i]!.pts90k + shift === unit.pts90k && back[i]!.keyFrame === unit.keyFrame);
      }),
      { numRuns: 60 },
    );
  }
  t.pass();
});

t.test('a publisher that is not as it should be', async t => {
  const demuxer = new FlvTagDemuxer();
  t.same(demuxer.push(VIDEO_TAG, 0, hex('17010000000000000465888421')), { tracks: undefined, units: [] }, 'a picture before its header');
  const header = hex(`1700000000${RECORDS[0]!.record}`);
  t.equal(demuxer.push(VIDEO_TAG, 0, header).tracks?.video?.width, 768);
  t.equal(demuxer.push(VIDEO_TAG, 0, header).tracks, undefined, 'the same again changes nothing');
  t.equal(demuxer.push(VIDEO_TAG, 0, header.subarray(0, 20)).tracks, undefined);
  const [unit] = demuxer.push(VIDEO_TAG, 40, hex('17010000000000000465888421')).units;
  t.equal(toHex(unit!.bytes), toHex(withStartCodes([...H264_SETS, hex('65888421')])), 'a cut header leaves the last good one, and its parameter sets stand before a key frame');
  const bad: readonly [string, number, string][] = [
    ['empty', VIDEO_TAG, ''],
    ['a length beyond the end', VIDEO_TAG, '1701000000000000ff65'],
    ['a codec of before', VIDEO_TAG, '1200000000'],
    ['AV1', VIDEO_TAG, '90617630310102'],
    ['MP3', AUDIO_TAG, '2f0102'],
    ['AAC without its header', AUDIO_TAG, 'af010203'],
    ['AAC header of an unknown kind', AUDIO_TAG, 'af00f9e1'],
    ['no picture in it', VIDEO_TAG, '1701000000000000020605'],
  ];
  for (const [name, type, body] of bad) {
    const before = demuxer.leftOut;
    t.same(demuxer.push(type, 80, hex(body)), { tracks: undefined, units: [] }, name);
    t.equal(demuxer.leftOut, before + 1, name);
  }
  t.match(demuxer.push(AUDIO_TAG, 0, hex('af002b92 0800')).tracks?.audio, { codec: 'aac', sampleRateHz: 22050, channels: 2 }, 'HE-AAC is carried by its core');
  const wrapped = new FlvTagDemuxer();
  wrapped.push(VIDEO_TAG, 0, header);
  const key = hex('17010000000000000465888421');
  const times = [2 ** 32 - 40, 0, 40, 20].map(ms => wrapped.push(VIDEO_TAG, ms, key).units[0]!.dts90k / 90);
  t.same(times.map(ms => ms - times[0]!), [0, 40, 80, 60], 'milliseconds of 32 bits go on over their end');
});
