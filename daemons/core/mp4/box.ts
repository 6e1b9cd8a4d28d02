/** Boxes of the ISO base media file format (ISO/IEC 14496-12 4.2). */
import { concatBytes, fromByteString } from '../bytes.ts';

const HEADER_BYTES = 8;

export const uint16 = (...values: readonly number[]): Uint8Array => Uint8Array.from(values.flatMap(value => [(value >>> 8) & 0xff, value & 0xff]));
export const uint32 = (...values: readonly number[]): Uint8Array => Uint8Array.from(values.flatMap(value => [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]));
export const uint64 = (value: number): Uint8Array => uint32(Math.floor(value / 2 ** 32), value % 2 ** 32);
export const zeros = (count: number): Uint8Array => new Uint8Array(count);

/** `type`: four characters. */
export function box(type: string, ...content: readonly Uint8Array[]): Uint8Array {
  return concatBytes(boxHeader(type, content.reduce((sum, part) => sum + part.length, 0)), ...content);
}

/** For a box whose content is sent apart. */
export const boxHeader = (type: string, contentBytes: number): Uint8Array => concatBytes(uint32(HEADER_BYTES + contentBytes), fromByteString(type));

export function fullBox(type: string, version: number, flags: number, ...content: readonly Uint8Array[]): Uint8Array {
  return box(type, uint32(((version << 24) | flags) >>> 0), ...content);
}
