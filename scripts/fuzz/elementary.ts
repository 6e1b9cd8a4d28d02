/** RTP payloads of elementary streams: the first octet says of which format, then each payload has its length in front. */
import { type ElementaryFormat, openDepacketizer, openPacketizer } from '#core/rtp/elementary.ts';
import { parametersOf } from '#core/rtp/format-parameters.ts';

const FORMATS: readonly ElementaryFormat[] = ['h264', 'h265', 'aac', 'g711a'];
const framed = (format: number, ...payloads: readonly (readonly number[])[]): Uint8Array => Uint8Array.from([format, ...payloads.flatMap(payload => [payload.length, ...payload])]);

export default {
  name: 'elementary',
  seeds: [
    framed(0, [0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce], [0x7c, 0x85, 0x88, 0x84], [0x7c, 0x45, 0x21], [0x41, 0x9a, 1]),
    framed(1, [0x60, 1, 0, 3, 0x40, 1, 12, 0, 3, 0x42, 1, 1], [0x62, 1, 0x93, 0xaf, 1], [0x62, 1, 0x53, 2]),
    framed(5, [0x60, 1, 0, 7, 0, 3, 0x40, 1, 12, 0, 0, 3, 0x42, 1, 1], [0x02, 1, 0, 1, 0xd0]),
    framed(2, [0, 0x20, 0, 0x18, 0, 0x20, 1, 2, 3, 4, 5, 6, 7], [0, 16, 0x5d, 0xc0, 1, 2, 3]),
    framed(3, [0xd5, 0xd5, 0xd5]),
  ],
  run(input: Uint8Array): void {
    const format = FORMATS[(input[0] ?? 0) & 3]!;
    const parameters = parametersOf((input[0] ?? 0) & 4 ? 'sprop-max-don-diff=1;config=1408' : String.fromCharCode(...input.subarray(0, 200)));
    const depacketizer = openDepacketizer(format, parameters);
    const packetizer = openPacketizer(format);
    for (let at = 1; at < input.length; ) {
      const length = input[at]!;
      if (length === 0xff) depacketizer.gap();
      for (const unit of depacketizer.push(input.subarray(at + 1, at + 1 + length), (length & 1) === 1, at >> 4)) packetizer.packets(unit);
      at += 1 + length;
    }
    depacketizer.flush();
  },
};
