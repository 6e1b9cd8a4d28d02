/** RTP over TCP: the first octet of the input says how it is cut. */
import { Deframer } from '#core/rtp/tcp-framing.ts';

const SSRC = 0x05f5e101;
const frame = [0, 16, 0x80, 0x60, 0, 1, 0, 0, 0, 0, 5, 0xf5, 0xe1, 1, 0, 0, 1, 0xba];

export default {
  name: 'tcp-framing',
  seeds: [
    Uint8Array.of(3, ...frame, 0, 0, ...frame),
    Uint8Array.of(200, 0x24, 0, ...frame, 0x24, 1, 0, 8, 0x80, 0xc8, 0, 1, 0, 0, 0, 1, ...frame),
    Uint8Array.of(1, 0x47, 0x47, 0x47, ...frame, 7, ...frame, ...frame),
  ],
  run(input: Uint8Array): void {
    const cut = 1 + (input[0] ?? 0);
    const deframer = new Deframer();
    deframer.expect((input[1] ?? 0) % 2 === 0 ? SSRC : undefined, 96);
    for (let at = 1; at < input.length; at += cut) {
      deframer.feed(input.slice(at, at + cut));
      while (deframer.next() === 'frame') if (deframer.offset + deframer.length > deframer.memory.length) throw new Error('a frame outside of its memory');
    }
  },
};
