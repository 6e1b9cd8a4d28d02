/** Program streams as some cameras write them: the bytes of one correct pack, distorted. */
import { findStartCode } from '#core/media/h26x.ts';
import { START_CODE } from '#core/ps/stream-types.ts';
import type { Quirks } from './quirks.ts';

const PACK_HEADER_BYTES = 14;
const PRIVATE_PES_BYTES = 64;

const STREAM_QUIRKS = ['private-pes', 'bad-psm-crc', 'short-pack', 'codec-flip', 'pes-length-zero'] as const;

/** `keyFrames`: how many there were so far. The input is ours to write to. */
export function distortPack(pack: Uint8Array, quirks: Quirks, keyFrames: number): Uint8Array {
  if (!STREAM_QUIRKS.some(quirk => quirks.has(quirk))) return pack;
  if (quirks.has('bad-psm-crc')) eachPacket(pack, START_CODE.programStreamMap, at => spoilCrc(pack, at));
  if (quirks.has('codec-flip') && keyFrames % 2 === 0) eachPacket(pack, START_CODE.programStreamMap, at => flipCodec(pack, at));
  if (quirks.has('pes-length-zero')) eachPacket(pack, START_CODE.firstVideo, at => pack.fill(0, at + 4, at + 6));
  const withPrivate = quirks.has('private-pes') ? join(pack, privatePes()) : pack;
  return quirks.has('short-pack') ? join(withPrivate.subarray(0, 4), withPrivate.subarray(PACK_HEADER_BYTES)) : withPrivate;
}

/** Visits the packets of one kind in a pack of ours. */
function eachPacket(pack: Uint8Array, id: number, visit: (at: number) => void): void {
  for (let at = findStartCode(pack, 0); at >= 0; at = findStartCode(pack, at + 3)) if (pack[at + 3] === id) visit(at);
}

const lengthOf = (pack: Uint8Array, at: number): number => 6 + (pack[at + 4]! << 8) + pack[at + 5]!;

function spoilCrc(pack: Uint8Array, at: number): void {
  pack[at + lengthOf(pack, at) - 1]! ^= 0xff;
}

/** The type of the first mapped stream, H.264 for H.265 and the other way round. */
function flipCodec(pack: Uint8Array, at: number): void {
  pack[at + 12] = pack[at + 12] === 0x1b ? 0x24 : 0x1b;
}

function privatePes(): Uint8Array {
  const bytes = new Uint8Array(6 + PRIVATE_PES_BYTES).fill(0x21);
  bytes.set([0, 0, 1, START_CODE.privateStream1, 0, PRIVATE_PES_BYTES, 0x84, 0, 0]);
  return bytes;
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
