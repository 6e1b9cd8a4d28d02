/** What makes units reliable: SPS, SEI, ADTS and time stamps of a hostile source. Input: kind, length, time, then that many bytes. */
import { readPictureSize } from '#core/media/sps.ts';
import { UnitIntake } from '#core/media/unit-intake.ts';
import { ms } from '#core/units.ts';

const CODECS = ['h264', 'h265', 'svac', 'unknown'] as const;
const SOUNDS = ['aac', 'g711a', 'g729', 'unknown'] as const;
const SPS = [0, 0, 0, 1, 0x67, 0x64, 0, 0x28, 0xac, 0xd9, 0x40, 0x78, 2, 0x27, 0xe5, 0xc0, 0x44, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xc8, 0x3c, 0x60, 0xc6, 0x58, 0, 0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb];
const IDR = [0, 0, 0, 1, 0x65, 0x88, 0x84, 0x21];
const unit = (kind: number, bytes: readonly number[], time = 0): number[] => [kind, bytes.length, time, ...bytes];

export default {
  name: 'units',
  seeds: [
    Uint8Array.from([...unit(0, [...SPS, ...IDR]), ...unit(0, [0, 0, 1, 0x41, 0x9a, 1], 9), ...unit(16, [0xff, 0xf1, 0x60, 0x40, 1, 0x1f, 0xfc, 1], 9)]),
    Uint8Array.from([...unit(0, SPS), ...unit(0, [0, 0, 1, 6, 6, 1, 0xc4, 0x80, 0, 0, 1, 0x41, 0x9a, 1], 9), ...unit(64, []), ...unit(0, IDR, 200)]),
    Uint8Array.from(unit(1, [0, 0, 1, 0x40, 1, 0x0c, 0, 0, 1, 0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 1, 0x44, 1, 0xc0, 0, 0, 1, 0x26, 1, 0xaf])),
  ],
  run(input: Uint8Array): void {
    const intake = new UnitIntake();
    readPictureSize('h264', input);
    readPictureSize('h265', input);
    for (let at = 0, now = 0; at + 3 <= input.length; now += 40) {
      const [kind, length, time] = [input[at]!, input[at + 1]!, input[at + 2]!];
      const bytes = input.subarray(at + 3, at + 3 + length);
      const pts90k = time * 2 ** ((kind >> 2) & 31);
      if ((kind & 64) !== 0) intake.gap(ms(now));
      else if ((kind & 16) !== 0) intake.take({ kind: 'audio', codec: SOUNDS[kind & 3]!, pts90k, dts90k: pts90k, keyFrame: false, damaged: (kind & 32) !== 0, bytes }, ms(now));
      else intake.take({ kind: 'video', codec: CODECS[kind & 3]!, pts90k, dts90k: pts90k, keyFrame: false, damaged: (kind & 32) !== 0, bytes }, ms(now));
      at += 3 + length;
    }
  },
};
