/** Program streams: cut by the input itself, so that the cuts are searched too. */
import { PsDemuxer } from '#core/ps/demux.ts';
import { PsMuxer } from '#core/ps/mux.ts';

const muxer = new PsMuxer({ video: 'h264', audio: 'g711a' });
const keyFrame = Uint8Array.of(0, 0, 0, 1, 0x67, 0x42, 0, 0x1e, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80, 0, 0, 0, 1, 0x65, 0x88, 0x84, 0x21);
const mpeg1 = Uint8Array.of(0, 0, 1, 0xba, 0x21, 0, 1, 0, 1, 0x80, 0, 1, 0, 0, 1, 0xe0, 0, 12, 0xff, 0x60, 0x20, 0x21, 0, 0x37, 0x77, 0x41, 0, 0, 1, 0x65);

const seeds: Uint8Array[] = [
  muxer.video({ bytes: keyFrame, pts90k: 2 ** 33 - 1, dts90k: 2 ** 32, keyFrame: true }),
  muxer.audio({ bytes: new Uint8Array(160).fill(0xd5), pts90k: 900000, ownPack: true }),
  new PsMuxer({ video: 'h265', audio: 'aac', map: false, maxPesPayloadBytes: 9 }).video({ bytes: keyFrame, pts90k: 0, keyFrame: true }),
  mpeg1,
];

export default {
  name: 'ps',
  seeds,
  run(input: Uint8Array): void {
    const demuxer = new PsDemuxer();
    const cut = 1 + (input[0] ?? 0) * 8;
    for (let at = 0; at < input.length; at += cut) {
      demuxer.push(input.subarray(at, at + cut), (at & 1) === 1);
      if (input[at] === 0x77) demuxer.gap();
    }
    demuxer.flush();
  },
};
