/** PTZCmd: what is read as an instruction is written back as the same one, with a right checksum. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { clampSpeed, formatPtz, parsePtz } from '#core/gb/ptz.ts';

const SEEDS = ['A50F0100000000B5', 'A50F01298080502E', 'A50F01492030004E', 'A50F0186012C1078', 'a5 0f 01 84 01 05 00 3f', 'A50F4D1000001021'];

export default {
  name: 'ptz',
  seeds: SEEDS.map(fromByteString),
  run(input: Uint8Array): void {
    const read = parsePtz(toByteString(input));
    if (!read.ok) return;
    const again = parsePtz(formatPtz(read.value));
    if (!again.ok || JSON.stringify(again.value) !== JSON.stringify(read.value)) throw new Error(`instruction changed: ${JSON.stringify(read.value)}`);
    clampSpeed(read.value.command, 64);
  },
};
