import fc from 'fast-check';
import t from 'tap';
import { concatBytes, toHex } from '#core/bytes.ts';
import { MAX_FRAME_BYTES, type NutFrame, NutReader } from '#core/nut/read.ts';
import { NutWriter, nutCarries } from '#core/nut/write.ts';
import type { AudioTrack, VideoTrack } from '#core/media/unit.ts';

const video: VideoTrack = { codec: 'h264', parameterSets: [], width: 768, height: 576 };
const audio: AudioTrack = { codec: 'g711a', sampleRateHz: 8000, channels: 1, config: new Uint8Array(0) };

interface Frame {
  readonly stream: number;
  readonly pts90k: number;
  readonly keyFrame: boolean;
  readonly bytes: Uint8Array;
}
const written = (frames: readonly Frame[]): Uint8Array => {
  const writer = new NutWriter([video, audio]);
  return concatBytes(writer.header(), ...frames.flatMap(frame => [writer.frameHeader(frame.stream, frame), frame.bytes]));
};
const shown = ({ stream, pts90k, keyFrame, bytes }: NutFrame): Frame => ({ stream: stream.id, pts90k, keyFrame, bytes: Uint8Array.from(bytes) });

t.test('headers are the bytes of the specification', async t => {
  const header = new NutWriter([video]).header();
  t.equal(toHex(header.subarray(0, 25)), '6e75742f6d756c74696d6564696120636f6e7461696e657200');
  // main start code, 25 bytes follow: version 3, 1 stream, distance 65536, 1 time base of 1/90000, one run of 255 frame codes, no elision, checksum
  t.equal(toHex(header.subarray(25, 55)), '4e4d7a561f5f04ad190301848000010185bf10a000060001000000817f00');
  t.match(toHex(header), /4e5311405bf2f9db/);
});

t.test('what was written is read, however it is cut', async t => {
  const frame = fc.record({
    stream: fc.constantFrom(0, 1),
    pts90k: fc.oneof(fc.nat(200_000), fc.bigInt(0n, 2n ** 45n).map(Number)),
    keyFrame: fc.boolean(),
    bytes: fc.uint8Array({ minLength: 0, maxLength: 6000, size: 'max' }),
  });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 6 }), fc.integer({ min: 1, max: 3000 }), (frames, cut) => {
      const bytes = written(frames);
      const reader = new NutReader();
      const seen: Frame[] = [];
      for (let at = 0; at < bytes.length; at += cut) {
        const read = reader.push(bytes.subarray(at, at + cut));
        if (!read.ok) throw new Error(read.error.why);
        seen.push(...read.value.map(shown));
      }
      t.same(seen, frames.map(each => ({ ...each, bytes: Uint8Array.from(each.bytes) })));
      t.same(reader.streams.map(({ fourcc, width, height, sampleRateHz, channels }) => ({ fourcc, width, height, sampleRateHz, channels })), [
        { fourcc: 'H264', width: 768, height: 576, sampleRateHz: 0, channels: 0 },
        { fourcc: 'ALAW', width: 0, height: 0, sampleRateHz: 8000, channels: 1 },
      ]);
    }),
    { numRuns: 60 },
  );
});

t.test('anything else ends it with a reason', async t => {
  const whole = written([{ stream: 0, pts90k: 1, keyFrame: true, bytes: Uint8Array.of(1, 2, 3) }]);
  const headerBytes = new NutWriter([video, audio]).header().length;
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['another container', new Uint8Array(40).fill(0x47), /not NUT/],
    ['a start code of nothing', concatBytes(whole.subarray(0, 25), Uint8Array.of(0x4e, 0x4d, 0, 0, 0, 0, 0, 0, 4)), /no start code/],
    ['a packet of 4 GB', concatBytes(whole.subarray(0, 33), Uint8Array.of(0x90, 0x80, 0x80, 0x80, 0)), /packet too long/],
    ['a frame before the headers', concatBytes(whole.subarray(0, 25), Uint8Array.of(0, 0, 0, 0)), /frame code without meaning/],
    ['a frame of a stream that there is not', concatBytes(whole.subarray(0, headerBytes), Uint8Array.of(0, 24, 7, 1, 0)), /no stream/],
    ['a frame that is too large', concatBytes(whole.subarray(0, headerBytes), Uint8Array.of(0, 0x38, 0, 1, 0x8f, 0xff, 0xff, 0xff, 0x7f)), /size of a frame/],
    ['side data', concatBytes(whole.subarray(0, headerBytes), Uint8Array.of(0, 0x82, 0)), /side data/],
  ];
  for (const [name, bytes, why] of cases) {
    const read = new NutReader().push(bytes);
    t.match(read.ok ? 'read' : read.error.why, why, name);
  }
  t.ok(MAX_FRAME_BYTES > 4 * 1024 * 1024, 'an access unit of the largest size fits');
  t.same(['h264', 'h265', 'aac', 'g711u', 'svac', 'unknown', 'g722.1'].map(nutCarries), [true, true, true, true, false, false, false]);
});

t.test('any bytes are taken', async () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, behindHeader) => void new NutReader().push(behindHeader ? concatBytes(written([]), bytes) : bytes)), { numRuns: 500 });
});
