/** Inputs that are almost right: seeds, changed in a few places. The same (seed, index) always gives the same bytes. */

import { Dice } from '../dice.ts';

export { Dice } from '../dice.ts';

const MAX_INPUT_BYTES = 65_535;
const MAX_CHANGES = 8;
const INTERESTING_BYTES = [0x00, 0x01, 0x0a, 0x0d, 0x20, 0x22, 0x24, 0x25, 0x2c, 0x3a, 0x3b, 0x3c, 0x3e, 0x40, 0x47, 0x5c, 0x7f, 0x80, 0xba, 0xbc, 0xc0, 0xe0, 0xff];
const INTERESTING_NUMBERS = ['0', '-1', '1', '9', '255', '256', '65535', '65536', '2147483647', '2147483648', '4294967295', '4294967296', '9007199254740993', '1e9', '00000000000000000001', '٣'];
const INTERESTING_WORDS = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffe, 0xffff];
const INTERESTING_TEXT = ['\r\n', '\r\n\r\n', '\n', '\t', ' ', '"', '<', '>', ';', ',', '%00', '%', '=', ':', '::', '[', ']', '&', '&#0;', '<!--', ']]>', '\0', '\xff\xfe', '\x00\x00\x01\xba', '\x00\x00\x01\xe0'];

type Change = (input: Uint8Array, dice: Dice, seeds: readonly Uint8Array[]) => Uint8Array;

const splice = (input: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array => {
  const out = new Uint8Array(input.length - remove + insert.length);
  out.set(input.subarray(0, at));
  out.set(insert, at);
  out.set(input.subarray(at + remove), at + insert.length);
  return out;
};
const latin1 = (text: string): Uint8Array => Uint8Array.from(text, character => character.charCodeAt(0) & 0xff);
const place = (input: Uint8Array, dice: Dice): number => dice.below(input.length + 1);
const span = (input: Uint8Array, dice: Dice, at: number): number => dice.below(Math.min(input.length - at, dice.pick([1, 4, 16, 64, 1024])) + 1);
const set = (input: Uint8Array, at: number, ...bytes: readonly number[]): Uint8Array => {
  const out = input.slice();
  for (const [i, byte] of bytes.entries()) if (at + i < out.length) out[at + i] = byte;
  return out;
};

const CHANGES: readonly Change[] = [
  (input, dice) => { const at = place(input, dice); return set(input, at, (input[at] ?? 0) ^ (1 << dice.below(8))); },
  (input, dice) => set(input, place(input, dice), dice.below(256)),
  (input, dice) => set(input, place(input, dice), dice.pick(INTERESTING_BYTES)),
  (input, dice) => { const word = dice.pick(INTERESTING_WORDS); return set(input, place(input, dice), word >> 8, word & 0xff); },
  (input, dice) => { const at = place(input, dice); return splice(input, at, span(input, dice, at), new Uint8Array(0)); },
  (input, dice) => { const at = place(input, dice); return splice(input, place(input, dice), 0, input.subarray(at, at + span(input, dice, at))); },
  (input, dice) => splice(input, place(input, dice), 0, latin1(dice.pick(INTERESTING_TEXT))),
  (input, dice) => splice(input, place(input, dice), 0, new Uint8Array(1 + dice.below(300)).fill(dice.pick(INTERESTING_BYTES))),
  (input, dice) => input.slice(0, place(input, dice)),
  (input, dice, seeds) => { const other = dice.pick(seeds); const at = place(other, dice); return splice(input, place(input, dice), 0, other.subarray(at, at + span(other, dice, at))); },
  (input, dice, seeds) => { const other = dice.pick(seeds); const at = place(input, dice); return splice(input, at, input.length - at, other.subarray(place(other, dice))); },
  (input, dice) => replaceNumber(input, dice),
];

/** One run of digits becomes a number that breaks counters. */
function replaceNumber(input: Uint8Array, dice: Dice): Uint8Array {
  const isDigit = (at: number): boolean => input[at]! >= 0x30 && input[at]! <= 0x39;
  const starts: number[] = [];
  for (let at = 0; at < input.length; at++) if (isDigit(at) && (at === 0 || !isDigit(at - 1))) starts.push(at);
  if (starts.length === 0) return input;
  const at = dice.pick(starts);
  let end = at;
  while (end < input.length && isDigit(end)) end++;
  return splice(input, at, end - at, latin1(dice.pick(INTERESTING_NUMBERS)));
}

/** Input number `index` of the sequence that `seed` begins. Index 0 and on are the seeds themselves, unchanged. */
export function inputAt(seeds: readonly Uint8Array[], seed: number, index: number): Uint8Array {
  if (index < seeds.length) return seeds[index]!;
  const dice = new Dice(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
  let input = dice.pick(seeds);
  for (let n = 1 + dice.below(MAX_CHANGES); n > 0; n--) input = dice.pick(CHANGES)(input, dice, seeds);
  return input.subarray(0, MAX_INPUT_BYTES);
}
