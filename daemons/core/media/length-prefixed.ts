/** NAL units with a length before each, as MP4 and FLV carry them (ISO/IEC 14496-15 5.3.2), and apart again. */
import { type Result, fail, ok } from '../result.ts';
import { type VideoCodec, isParameterSet, MAX_NAL_UNITS, nalType, nalUnits } from './h26x.ts';

const LENGTH_BYTES = 4;
/** fault 72. */
const MAX_ACCESS_UNIT_BYTES = 4 * 1024 * 1024;

/** Access unit delimiters and filler data say nothing there; parameter sets stand in the decoder configuration. */
const isLeftOut = (codec: VideoCodec, type: number): boolean => isParameterSet(codec, type) || (codec === 'h264' ? type === 9 || type === 12 : type === 35 || type === 38);

/** `annexB` with four-byte lengths, without parameter sets, delimiters and filler. Empty when nothing is left. */
export function toLengthPrefixed(codec: VideoCodec, annexB: Uint8Array): Uint8Array {
  const kept = nalUnits(annexB).filter(({ at }) => !isLeftOut(codec, nalType(codec, annexB[at]!)));
  const out = new Uint8Array(kept.reduce((sum, { at, end }) => sum + LENGTH_BYTES + end - at, 0));
  let to = 0;
  for (const { at, end } of kept) {
    const length = end - at;
    out[to] = length >>> 24;
    out[to + 1] = length >>> 16;
    out[to + 2] = length >>> 8;
    out[to + 3] = length;
    out.set(annexB.subarray(at, end), to + LENGTH_BYTES);
    to += LENGTH_BYTES + length;
  }
  return out;
}

const made = new WeakMap<Uint8Array, Uint8Array>();

/** The same, made once for all takers of one unit: `annexB` is never written to (core/media/unit). */
export function sharedLengthPrefixed(codec: VideoCodec, annexB: Uint8Array): Uint8Array {
  let bytes = made.get(annexB);
  if (bytes === undefined) made.set(annexB, (bytes = toLengthPrefixed(codec, annexB)));
  return bytes;
}

/** NAL units without lengths, as views. `lengthBytes` is 1, 2 or 4 (lengthSizeMinusOne + 1). */
export function splitLengthPrefixed(bytes: Uint8Array, lengthBytes: number): Result<readonly Uint8Array[]> {
  if (bytes.length > MAX_ACCESS_UNIT_BYTES) return fail(MAX_ACCESS_UNIT_BYTES, 'access unit too large');
  const units: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + lengthBytes > bytes.length) return fail(at, 'a length is cut');
    let length = 0;
    for (let i = 0; i < lengthBytes; i++) length = length * 256 + bytes[at + i]!;
    at += lengthBytes;
    if (length > bytes.length - at) return fail(at, 'a NAL unit is longer than what is left');
    if (length > 0) units.push(bytes.subarray(at, at + length));
    if (units.length > MAX_NAL_UNITS) return fail(at, 'too many NAL units');
    at += length;
  }
  return ok(units);
}
