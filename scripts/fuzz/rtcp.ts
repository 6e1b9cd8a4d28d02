/** RTCP of a peer that asks for packets again: what is read is in bounds, and what is written from it is read the same. */
import { MAX_NACK_BYTES, readNacks, writeNack } from '#core/rtp/rtcp.ts';

const NACK = [0x81, 205, 0, 3, 0, 0, 0, 1, 5, 0xf5, 0xe1, 1, 0xff, 0xfe, 0x80, 0x03];

export default {
  name: 'rtcp',
  seeds: [
    Uint8Array.from(NACK),
    Uint8Array.from([0x80, 201, 0, 1, 0, 0, 0, 9, ...NACK]),
    Uint8Array.from([0x81, 202, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, ...NACK, 0x81, 203, 0, 1, 0, 0, 0, 1]),
  ],
  run(input: Uint8Array): void {
    const numbers: number[] = [];
    readNacks(input, 0, input.length, { nack: (_ssrc, sequence) => void numbers.push(sequence) });
    if (numbers.length > (input.length / 4) * 17) throw new Error('more numbers than octets can say');
    const into = new Uint8Array(MAX_NACK_BYTES);
    for (let at = 0; at < numbers.length; ) {
      const { length, taken } = writeNack(into, 1, 2, numbers, at);
      if (taken < 1 || length > into.length) throw new Error('a NACK that asks for nothing, or does not fit');
      at += taken;
    }
  },
};
