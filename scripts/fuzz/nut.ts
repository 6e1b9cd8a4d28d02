/** NUT: cut by the input itself. */
import { concatBytes } from '#core/bytes.ts';
import { NutReader } from '#core/nut/read.ts';
import { NutWriter } from '#core/nut/write.ts';

const writer = new NutWriter([
  { codec: 'h264', parameterSets: [], width: 352, height: 288 },
  { codec: 'aac', sampleRateHz: 16000, channels: 1, config: new Uint8Array(0) },
]);
const frame = (stream: number, pts90k: number, keyFrame: boolean, bytes: Uint8Array): Uint8Array => concatBytes(writer.frameHeader(stream, { pts90k, keyFrame, bytes }), bytes);

const seeds: Uint8Array[] = [
  writer.header(),
  concatBytes(writer.header(), frame(0, 2 ** 34, true, Uint8Array.of(0, 0, 1, 0x65, 1)), frame(1, 0, false, new Uint8Array(300)), frame(0, 3600, false, new Uint8Array(5000))),
];

export default {
  name: 'nut',
  seeds,
  run(input: Uint8Array): void {
    const reader = new NutReader();
    const cut = 1 + (input.at(-1) ?? 0) * 4;
    for (let at = 0; at < input.length; at += cut) if (!reader.push(input.subarray(at, at + cut)).ok) return;
  },
};
