import fc from 'fast-check';
import t from 'tap';
import { concatBytes, fromHex, toByteString } from '#core/bytes.ts';
import { initFile, parseHlsFile, PLAYLIST_FILE, segmentFile } from '#core/hls/playlist.ts';
import { HlsSegmenter } from '#core/hls/segmenter.ts';
import { adtsHeader, audioTrackOf } from '#core/media/audio-tracks.ts';
import { withStartCodes } from '#core/media/parameter-sets.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { type Mp4Fragment, Mp4Fragmenter } from '#core/mp4/fragment.ts';
import { mp4Init } from '#core/mp4/init.ts';

const hex = (text: string): Uint8Array => fromHex(text)!;
const SETS = [hex('6742c01fda030049a1000003000100000300320f1832a0'), hex('68ce3c80')];
const OTHER_SETS = [hex('6764000dacd94141fb011000000300100000030320f1429960'), hex('68ebe3cb22c0')];
const AAC_FRAME = concatBytes(adtsHeader(2, 16000, 1, 3), hex('010203'));
const AAC = audioTrackOf('aac', AAC_FRAME)!;
const G711 = audioTrackOf('g711a', hex('d5'))!;
const tracksOf = (audio: MediaTracks['audio'] = null, parameterSets: readonly Uint8Array[] = SETS): MediaTracks => ({ video: { codec: 'h264', parameterSets, width: 768, height: 576 }, audio });
const picture = (at90k: number, keyFrame = false, pts90k = at90k): MediaUnit => ({
  kind: 'video',
  codec: 'h264',
  pts90k,
  dts90k: at90k,
  keyFrame,
  damaged: false,
  bytes: withStartCodes(keyFrame ? [...SETS, hex('65888421')] : [hex('41e02244')]),
});
const sound = (codec: 'aac' | 'g711a', at90k: number, bytes: Uint8Array): MediaUnit => ({ kind: 'audio', codec, pts90k: at90k, dts90k: at90k, keyFrame: false, damaged: false, bytes });

interface Box {
  readonly type: string;
  readonly content: Uint8Array;
}

/** Boxes of one level; throws when they do not fill their bytes. */
function boxes(bytes: Uint8Array): Box[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Box[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = view.getUint32(at);
    if (size < 8 || at + size > bytes.length) throw new Error(`a box of ${size} octets at ${at} of ${bytes.length}`);
    found.push({ type: toByteString(bytes, at + 4, at + 8), content: bytes.subarray(at + 8, at + size) });
    at += size;
  }
  return found;
}

function inside(bytes: Uint8Array, ...path: readonly string[]): Uint8Array {
  return path.reduce((content, type) => boxes(content).find(box => box.type === type)!.content, bytes);
}

const uint32s = (bytes: Uint8Array): number[] => Array.from({ length: bytes.length >> 2 }, (_, i) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(i * 4));

/** What a player reads of a fragment. */
function read(fragment: Mp4Fragment) {
  const whole = concatBytes(...fragment.bytes);
  const [moof, mdat] = boxes(whole);
  const [, trackId] = uint32s(inside(moof!.content, 'traf', 'tfhd'));
  const [, high, low] = uint32s(inside(moof!.content, 'traf', 'tfdt'));
  const [, count, offset, ...fields] = uint32s(inside(moof!.content, 'traf', 'trun'));
  const samples = Array.from({ length: count! }, (_, i) => ({ duration: fields[4 * i]!, size: fields[4 * i + 1]!, sync: (fields[4 * i + 2]! & 0x10000) === 0, shift: fields[4 * i + 3]! }));
  return { trackId, time: high! * 2 ** 32 + low!, samples, offset, bytes: mdat!.content, sequence: uint32s(inside(moof!.content, 'mfhd'))[1], moofBytes: moof!.content.length + 8 };
}

t.test('what comes first: tracks as players want them', async t => {
  const init = mp4Init(tracksOf(AAC), false)!;
  t.equal(init.mime, 'video/mp4; codecs="avc1.42C01F,mp4a.40.2"');
  t.same(boxes(init.bytes).map(box => box.type), ['ftyp', 'moov']);
  t.same(boxes(inside(init.bytes, 'moov')).map(box => box.type), ['mvhd', 'trak', 'trak', 'mvex']);
  const stsd = inside(init.bytes, 'moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd');
  const [entry] = boxes(stsd.subarray(8));
  t.equal(entry?.type, 'avc1');
  t.same([...entry!.content.subarray(24, 28)], [3, 0, 2, 64], '768x576');
  t.equal(boxes(entry!.content.subarray(78))[0]?.type, 'avcC');
  t.same(uint32s(inside(init.bytes, 'moov', 'mvex', 'trex')).slice(0, 3), [0, 1, 1]);
  t.match(mp4Init(tracksOf(G711), false), { mime: 'video/mp4; codecs="avc1.42C01F"', hasAudio: false }, 'browsers have no G.711');
  t.match(mp4Init(tracksOf(G711), true), { mime: 'video/mp4; codecs="avc1.42C01F,alaw"', hasAudio: true });
  t.match(mp4Init({ video: null, audio: AAC }, false), { mime: 'audio/mp4; codecs="mp4a.40.2"', hasVideo: false });
  t.equal(mp4Init({ video: null, audio: G711 }, false), undefined);
  t.equal(mp4Init({ video: { codec: 'svac', parameterSets: [], width: 0, height: 0 }, audio: AAC }, false), undefined, 'no picture lost behind its sound');
});

t.test('a picture lasts until the next one', async t => {
  const fragmenter = new Mp4Fragmenter();
  t.same(fragmenter.unit(picture(0, true)), [], 'nothing before it is told what there is');
  fragmenter.tracks(tracksOf(AAC));
  t.same(fragmenter.unit(picture(900_000, true)), []);
  const [first] = fragmenter.unit(picture(903_600, false, 910_800));
  t.match(read(first!), { trackId: 1, time: 0, samples: [{ duration: 3600, size: 8, sync: true, shift: 0 }], sequence: 1 });
  t.same([...read(first!).bytes], [0, 0, 0, 4, 0x65, 0x88, 0x84, 0x21]);
  t.equal(read(first!).offset, read(first!).moofBytes + 8, 'the data begins behind the header of mdat');
  const [second] = fragmenter.unit(picture(910_000));
  t.match(read(second!), { time: 3600, samples: [{ duration: 6400, sync: false, shift: 7200 }], sequence: 2 });
  const [gap] = fragmenter.unit(picture(910_000 + 3600 * 90_000, true));
  t.match(read(gap!), { time: 10_000, samples: [{ duration: 6400 }] }, 'an hour without pictures is a fault, not a picture of an hour');
  t.match(read(fragmenter.flush()[0]!), { time: 10_000 + 3600 * 90_000, samples: [{ duration: 6400, sync: true }] });
  t.same(fragmenter.flush(), []);
});

t.test('sound: follows its samples, and its clock when they are apart', async t => {
  const fragmenter = new Mp4Fragmenter();
  fragmenter.tracks(tracksOf(AAC));
  fragmenter.unit(picture(0, true));
  const at = (stamp: number, frames = 1) => read(fragmenter.unit(sound('aac', stamp, concatBytes(...Array.from({ length: frames }, () => AAC_FRAME))))[0]!);
  t.match(at(0), { trackId: 2, time: 0, samples: [{ duration: 1024, size: 3 }] });
  t.match(at(5400), { time: 1024 }, '60 ms where 64 are meant: jitter of the stamps');
  t.match(at(11_520, 2), { time: 2048, samples: [{ duration: 1024 }, { duration: 1024 }] });
  t.match(at(90_000), { time: 16_000 }, 'a pause');
  t.equal(fragmenter.unit(sound('aac', 99_000, hex('0102'))).length, 0, 'what is no ADTS is left out');
  t.equal(fragmenter.leftOut, 1);
  const kept = new Mp4Fragmenter({ keepG711: true });
  kept.tracks(tracksOf(G711));
  t.match(read(kept.unit(sound('g711a', 45_000, new Uint8Array(320)))[0]!), { time: 0, samples: [{ duration: 320, size: 320 }] });
});

t.test('any stream: no hole and no overlap between pictures', async t => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 2, maxLength: 60 }), fc.integer({ min: 0, max: 2 ** 33 }), (steps, base) => {
      const fragmenter = new Mp4Fragmenter();
      fragmenter.tracks(tracksOf());
      let at = base;
      const fragments = [picture(base, true), ...steps.map(step => picture((at += step)))].flatMap(unit => fragmenter.unit(unit)).concat(fragmenter.flush()).map(read);
      let expected = 0;
      for (const { time, samples } of fragments) {
        if (time !== expected) return false;
        expected += samples[0]!.duration;
      }
      return fragments.length === steps.length + 1;
    }),
  );
  t.pass();
});

/** `seconds` of 25 pictures a second with a key frame every `keyEvery`. */
function play(segmenter: HlsSegmenter, fromS: number, seconds: number, keyEvery: number): void {
  for (let i = 0; i < seconds * 25; i++) segmenter.unit(picture((fromS * 25 + i) * 3600, i % keyEvery === 0));
}

const durations = (list: string): number[] => [...list.matchAll(/#EXTINF:([\d.]+),/g)].map(found => Number(found[1]));

t.test('HLS: segments end at key pictures, the list is short and says the truth', async t => {
  const segmenter = new HlsSegmenter();
  t.equal(segmenter.count, 0);
  segmenter.tracks(tracksOf(AAC));
  play(segmenter, 0, 3.04, 50);
  t.equal(segmenter.count, 1);
  t.same(
    segmenter.playlist('token=a.b'),
    ['#EXTM3U', '#EXT-X-VERSION:7', '#EXT-X-TARGETDURATION:2', '#EXT-X-MEDIA-SEQUENCE:0', '#EXT-X-INDEPENDENT-SEGMENTS', '#EXT-X-MAP:URI="init-0.mp4?token=a.b"', '#EXTINF:2.000,', 'segment-0.m4s?token=a.b', ''].join('\n'),
  );
  t.same(boxes(segmenter.init(0)!).map(box => box.type), ['ftyp', 'moov']);
  t.same(boxes(concatBytes(...segmenter.segment(0)!.parts)).map(box => box.type), Array.from({ length: 50 }, () => ['moof', 'mdat']).flat());
  play(segmenter, 10, 60, 12);
  const list = segmenter.playlist('');
  t.equal(durations(list).length, 6, 'six are listed');
  t.ok(durations(list).every(duration => duration >= 1 && duration < 1.5), 'the first key picture after a second');
  t.match(list, /#EXT-X-TARGETDURATION:\d+\n/);
  const last = Number(/segment-(\d+)\.m4s\n$/.exec(list)![1]);
  t.ok(segmenter.segment(last - 9) !== undefined && segmenter.segment(last - 10) === undefined, 'and ten are kept');
  segmenter.end();
  t.match(segmenter.playlist(''), /#EXT-X-ENDLIST\n$/);
});

t.test('HLS: a source without key pictures, and one that changes', async t => {
  const rare = new HlsSegmenter();
  rare.tracks(tracksOf());
  play(rare, 0, 25, 10_000);
  t.same(durations(rare.playlist('')), [10, 10]);
  t.notMatch(rare.playlist(''), /INDEPENDENT/);
  t.match(rare.playlist(''), /TARGETDURATION:10\n/);
  const changing = new HlsSegmenter();
  changing.tracks(tracksOf());
  play(changing, 0, 2.04, 25);
  changing.tracks(tracksOf(null, OTHER_SETS));
  play(changing, 2.04, 2.04, 25);
  const list = changing.playlist('').split('\n');
  t.ok(list.indexOf('#EXT-X-DISCONTINUITY') > 0);
  t.equal(list[list.indexOf('#EXT-X-DISCONTINUITY') + 1], '#EXT-X-MAP:URI="init-1.mp4"');
  play(changing, 4.08, 30, 25);
  t.match(changing.playlist(''), /#EXT-X-DISCONTINUITY-SEQUENCE:1\n/);
  t.equal(changing.init(0), undefined, 'nobody needs the old description');
  t.notOk(changing.playlist('').includes('#EXT-X-DISCONTINUITY\n'));
  const soundOnly = new HlsSegmenter();
  soundOnly.tracks({ video: null, audio: AAC });
  for (let i = 0; i < 40; i++) soundOnly.unit(sound('aac', i * 5760, AAC_FRAME));
  t.ok(soundOnly.count >= 2 && durations(soundOnly.playlist('')).every(duration => duration >= 1));
});

t.test('HLS: names of files, both ways', async t => {
  t.same(parseHlsFile(PLAYLIST_FILE), { kind: 'playlist' });
  t.same(parseHlsFile(segmentFile(17)), { kind: 'segment', number: 17 });
  t.same(parseHlsFile(initFile(0)), { kind: 'init', number: 0 });
  for (const name of ['', 'index.m3u8.bak', '..', 'segment-.m4s', 'segment--1.m4s', 'segment-12345678901.m4s', 'init-1.m4s', 'SEGMENT-1.m4s']) t.equal(parseHlsFile(name), undefined, name);
});
