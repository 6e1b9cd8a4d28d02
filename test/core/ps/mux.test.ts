import fc from 'fast-check';
import t from 'tap';
import { crc32Mpeg2 } from '#core/ps/crc32.ts';
import { PsMuxer, packHeader, pesHeader, systemHeader } from '#core/ps/mux.ts';
import { readPackLength, readPesHeader, readTimestamp, writeTimestamp } from '#core/ps/pes.ts';
import { readPsm, writePsm } from '#core/ps/psm.ts';
import { RtpSlicer } from '#core/ps/rtp-slicer.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').replace(/(..)(?=.)/g, '$1 ').toUpperCase();
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const MAPS = [
  { name: 'H.264 with G.711A', streams: [{ streamType: 0x1b, streamId: 0xe0 }, { streamType: 0x90, streamId: 0xc0 }], bytes: '00 00 01 BC 00 12 E0 FF 00 00 00 08 1B E0 00 00 90 C0 00 00 FE DF B1 D7' },
  { name: 'H.265 with AAC', streams: [{ streamType: 0x24, streamId: 0xe0 }, { streamType: 0x0f, streamId: 0xc0 }], bytes: '00 00 01 BC 00 12 E0 FF 00 00 00 08 24 E0 00 00 0F C0 00 00 EA C5 E4 1D' },
];

t.test('headers are the bytes of the standard', t => {
  t.equal(hex(packHeader(900000)), '00 00 01 BA 44 00 DD DD 04 01 00 5F 6B F8');
  t.equal(hex(systemHeader(true)), '00 00 01 BB 00 0C 80 CC F5 04 E1 7F E0 E1 90 C0 C0 20');
  t.equal(hex(systemHeader(false)), '00 00 01 BB 00 09 80 CC F5 00 E1 7F E0 E1 90');
  t.equal(hex(pesHeader(0xe0, 1000, 900000)), '00 00 01 E0 03 F0 84 80 05 21 00 37 77 41');
  t.equal(hex(pesHeader(0xc0, 320, 900000)), '00 00 01 C0 01 48 84 80 05 21 00 37 77 41');
  t.equal(hex(pesHeader(0xe0, 1000)), '00 00 01 E0 03 EB 80 00 00');
  t.equal(hex(pesHeader(0xe0, 0, 3600, 0)), '00 00 01 E0 00 0D 84 C0 0A 31 00 01 1C 21 11 00 01 00 01');
  t.end();
});

t.test('program stream maps, both ways', t => {
  for (const { name, streams, bytes } of MAPS) {
    t.equal(hex(writePsm(streams)), bytes, name);
    t.same(readPsm(bytesOf(bytes)), { ok: true, value: { version: 0, streams, crcOk: true } }, name);
    t.equal(crc32Mpeg2(bytesOf(bytes)), 0, 'the CRC over all of it is 0');
  }
  const wrongCrc = bytesOf(MAPS[0]!.bytes.replace('D7', 'D8'));
  t.match(readPsm(wrongCrc), { ok: true, value: { crcOk: false, streams: [{ streamType: 0x1b }, { streamType: 0x90 }] } }, 'a wrong CRC is told, not enforced');
  const lyingDescriptor = bytesOf(MAPS[0]!.bytes.replace('1B E0 00 00', '1B E0 00 FF'));
  t.match(readPsm(lyingDescriptor), { ok: true, value: { streams: [{ streamType: 0x1b, streamId: 0xe0 }] } }, 'a descriptor past the end bounds the list');
  t.match(readPsm(bytesOf('00 00 01 BC 00 02 E0 FF')), { ok: false }, 'too short');
  t.match(readPsm(bytesOf('00 00 01 BC 00 12 E0 FF FF FF 00 08 1B E0 00 00 90 C0 00 00 FE DF B1 D7')), { ok: false }, 'program_stream_info_length past the end');
  t.end();
});

t.test('time stamps keep 33 bits', t => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 33 - 1 }), fc.constantFrom(1, 2, 3), (pts90k, prefix) => {
      const bytes = new Uint8Array(5);
      writeTimestamp(bytes, 0, prefix, pts90k);
      const markersHold = (bytes[0]! & bytes[2]! & bytes[4]! & 1) === 1 && bytes[0]! >> 4 === prefix;
      return markersHold && readTimestamp(bytes, 0) === pts90k;
    }),
  );
  const header = readPesHeader(pesHeader(0xe0, 9, 2 ** 33 - 1, 2 ** 32), 0);
  t.same(header, { headerBytes: 19, pts90k: 2 ** 33 - 1, dts90k: 2 ** 32 });
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 33 - 1 }), scr90k => readPackLength(packHeader(scr90k), 0) === 14));
  t.end();
});

t.test('headers of MPEG-1 form', t => {
  t.equal(readPackLength(bytesOf('00 00 01 BA 21 00 01 00 01 80 00 01'), 0), 12);
  t.same(readPesHeader(bytesOf('00 00 01 E0 00 20 FF FF 60 20 21 00 37 77 41 00 00 01 67 00 00 00 00'), 0), { headerBytes: 15, pts90k: 900000, dts90k: undefined });
  t.same(readPesHeader(bytesOf('00 00 01 E0 00 20 0F 00 00 00 01 67 00 00 00 00 00'), 0), { headerBytes: 7, pts90k: undefined, dts90k: undefined });
  t.equal(readPesHeader(bytesOf('00 00 01 E0 00 20 10 00 00 00 01 67 00 00 00 00 00'), 0), 'bad');
  t.equal(readPesHeader(bytesOf('00 00 01 E0 00 20 FF FF'), 0), 'more');
  t.end();
});

t.test('a picture over the PES limit is split, with the PTS in the first packet alone', t => {
  const picture = new Uint8Array(150_000).fill(7);
  const bytes = new PsMuxer({ video: 'h264', audio: 'g711a' }).video({ bytes: picture, pts90k: 900000 + 2 ** 33, keyFrame: true });
  const at = 14 + 18 + 24;
  t.equal(hex(bytes.subarray(0, 14)), '00 00 01 BA 44 00 DD DD 04 01 00 5F 6B F8', 'the PTS wraps at 33 bits');
  t.equal(hex(bytes.subarray(14, 18)), '00 00 01 BB', 'system header first');
  t.equal(hex(bytes.subarray(32, 36)), '00 00 01 BC', 'then the map');
  t.equal(hex(bytes.subarray(at, at + 14)), '00 00 01 E0 FD F0 84 80 05 21 00 37 77 41');
  t.equal(hex(bytes.subarray(at + 65014, at + 65023)), '00 00 01 E0 FD EB 80 00 00');
  t.equal(hex(bytes.subarray(at + 130023, at + 130032)), '00 00 01 E0 4E 23 80 00 00');
  t.equal(bytes.length, at + 14 + 9 + 9 + picture.length);
  const plain = new PsMuxer({ video: 'h265' }).video({ bytes: picture.subarray(0, 10), pts90k: 0, keyFrame: false });
  t.equal(plain.length, 14 + 14 + 10, 'no headers before a picture that is not a key frame');
  t.end();
});

t.test('RTP slices: one timestamp, sequence goes on, marker on the last', t => {
  const [single] = new RtpSlicer({ ssrc: 200001234, payloadType: 96, firstSequence: 0x1234 }).slice(Uint8Array.of(1), 900000);
  t.equal(hex(single!), '80 E0 12 34 00 0D BB A0 0B EB C6 D2 01');
  const slicer = new RtpSlicer({ ssrc: 0xfedcba98, payloadType: 96, firstSequence: 0xffff, maxPayloadBytes: 1000 });
  const packets = slicer.slice(Uint8Array.from({ length: 2500 }, (_, index) => index), 2 ** 32 + 5);
  t.same(packets.map(packet => packet.length), [1012, 1012, 512]);
  t.same(packets.map(packet => hex(packet.subarray(0, 12))), ['80 60 FF FF 00 00 00 05 FE DC BA 98', '80 60 00 00 00 00 00 05 FE DC BA 98', '80 E0 00 01 00 00 00 05 FE DC BA 98']);
  t.equal(slicer.nextSequence, 2);
  t.end();
});
