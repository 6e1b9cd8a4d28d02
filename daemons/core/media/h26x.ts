/**
 * H.264 and H.265 byte streams (ITU-T H.264 Annex B, H.265 Annex B): start codes, NAL unit types, access units.
 * Nothing here decodes: it reads NAL headers and the first bit of slice headers.
 */

export type VideoCodec = 'h264' | 'h265';

/** More NAL units in one access unit than any encoder makes (8192 slices and their parameter sets). */
export const MAX_NAL_UNITS = 16384;

export interface NalUnit {
  /** First byte of the start code, its leading zero_byte included. */
  readonly start: number;
  /** NAL unit header, right after the start code. */
  readonly at: number;
  /** One past the last byte, trailing zero bytes excluded. */
  readonly end: number;
}

/** Index of the next `00 00 01` at or after `from` that lies wholly in `bytes`; -1 when there is none. */
export function findStartCode(bytes: Uint8Array, from: number): number {
  let at = from + 2;
  while (at < bytes.length) {
    const last = bytes[at]!;
    if (last > 1) at += 3;
    else if (last === 0) at += 1;
    else if (bytes[at - 1] === 0 && bytes[at - 2] === 0) return at - 2;
    else at += 3;
  }
  return -1;
}

/** NAL units in order. Bytes before the first start code are not part of any. Stops after `limit`. */
export function nalUnits(bytes: Uint8Array, limit = MAX_NAL_UNITS): NalUnit[] {
  const units: NalUnit[] = [];
  let code = findStartCode(bytes, 0);
  while (code >= 0 && units.length < limit) {
    const at = code + 3;
    const next = findStartCode(bytes, at);
    let end = next < 0 ? bytes.length : next;
    while (end > at && bytes[end - 1] === 0) end -= 1;
    const start = code > 0 && bytes[code - 1] === 0 ? code - 1 : code;
    if (end > at) units.push({ start, at, end });
    code = next;
  }
  return units;
}

/** nal_unit_type (H.264 7.3.1, H.265 7.3.1.2) from the first header byte. */
export const nalType = (codec: VideoCodec, firstByte: number): number => (codec === 'h264' ? firstByte & 0x1f : (firstByte >> 1) & 0x3f);

const NAL_NAMES: Readonly<Record<VideoCodec, Readonly<Record<number, string>>>> = {
  h264: { 1: 'slice', 2: 'partition-a', 3: 'partition-b', 4: 'partition-c', 5: 'idr', 6: 'sei', 7: 'sps', 8: 'pps', 9: 'aud', 10: 'end-of-sequence', 11: 'end-of-stream', 12: 'filler' },
  h265: {
    0: 'trail-n', 1: 'trail-r', 2: 'tsa-n', 3: 'tsa-r', 4: 'stsa-n', 5: 'stsa-r', 6: 'radl-n', 7: 'radl-r', 8: 'rasl-n', 9: 'rasl-r',
    16: 'bla-w-lp', 17: 'bla-w-radl', 18: 'bla-n-lp', 19: 'idr-w-radl', 20: 'idr-n-lp', 21: 'cra',
    32: 'vps', 33: 'sps', 34: 'pps', 35: 'aud', 36: 'end-of-sequence', 37: 'end-of-stream', 38: 'filler', 39: 'sei-prefix', 40: 'sei-suffix',
  },
};

/** Name of a NAL unit type for people; `type-N` for those without one. */
export const nalName = (codec: VideoCodec, type: number): string => NAL_NAMES[codec][type] ?? `type-${type}`;

/** Holds coded picture data (H.264 table 7-1, H.265 table 7-1). */
export const isVcl = (codec: VideoCodec, type: number): boolean => (codec === 'h264' ? type >= 1 && type <= 5 : type < 32);

/** Decoding can begin here: IDR of H.264; BLA, IDR and CRA of H.265 (IRAP, 7.4.2.2). */
export const isRandomAccess = (codec: VideoCodec, type: number): boolean => (codec === 'h264' ? type === 5 : type >= 16 && type <= 23);

export const isParameterSet = (codec: VideoCodec, type: number): boolean => (codec === 'h264' ? type === 7 || type === 8 : type >= 32 && type <= 34);

/** True when this slice is the first of its picture: first_mb_in_slice is ue(0), or first_slice_segment_in_pic_flag is set. */
function isFirstSlice(codec: VideoCodec, bytes: Uint8Array, at: number): boolean {
  const sliceHeader = codec === 'h264' ? at + 1 : at + 2;
  return ((bytes[sliceHeader] ?? 0) & 0x80) !== 0;
}

/** Types other than slices that can only stand before the first slice of a picture (H.264 7.4.1.2.3, H.265 7.4.2.4.4). */
function precedesPicture(codec: VideoCodec, type: number): boolean {
  if (codec === 'h264') return (type >= 6 && type <= 9) || (type >= 14 && type <= 18);
  return (type >= 32 && type <= 35) || type === 39 || (type >= 41 && type <= 44) || (type >= 48 && type <= 55);
}

/** True when the NAL unit whose header is at `at` can only be the begin of a new access unit, given that one with a picture is open. */
export function startsAccessUnit(codec: VideoCodec, bytes: Uint8Array, at: number): boolean {
  const type = nalType(codec, bytes[at] ?? 0);
  return isVcl(codec, type) ? isFirstSlice(codec, bytes, at) : precedesPicture(codec, type);
}

/** What one access unit holds, from its NAL headers. */
export interface AccessUnitFacts {
  /** Holds a random access picture. */
  readonly keyFrame: boolean;
  readonly hasPicture: boolean;
  readonly hasParameterSets: boolean;
}

export function inspectAccessUnit(codec: VideoCodec, bytes: Uint8Array): AccessUnitFacts {
  let keyFrame = false;
  let hasPicture = false;
  let hasParameterSets = false;
  for (const { at } of nalUnits(bytes)) {
    const type = nalType(codec, bytes[at]!);
    keyFrame ||= isRandomAccess(codec, type);
    hasPicture ||= isVcl(codec, type);
    hasParameterSets ||= isParameterSet(codec, type);
  }
  return { keyFrame, hasPicture, hasParameterSets };
}

export interface AccessUnit {
  /** Annex B bytes, a view into the input. */
  readonly bytes: Uint8Array;
  readonly keyFrame: boolean;
}

/** Cuts a whole elementary stream into access units; what precedes the first start code is left out. */
export function splitAccessUnits(codec: VideoCodec, stream: Uint8Array): AccessUnit[] {
  const units: AccessUnit[] = [];
  let open = { from: -1, hasPicture: false, keyFrame: false };
  const close = (end: number): void => {
    if (open.from >= 0) units.push({ bytes: stream.subarray(open.from, end), keyFrame: open.keyFrame });
  };
  for (const { start, at } of nalUnits(stream, Infinity)) {
    const type = nalType(codec, stream[at]!);
    if (open.from < 0 || (open.hasPicture && startsAccessUnit(codec, stream, at))) {
      close(start);
      open = { from: start, hasPicture: false, keyFrame: false };
    }
    open.hasPicture ||= isVcl(codec, type);
    open.keyFrame ||= isRandomAccess(codec, type);
  }
  close(stream.length);
  return units;
}

/**
 * Tells the codec by NAL headers that only one of the two can have (gb28181.md 6.6 rule 4): parameter sets first, then IDR slices.
 * Undefined when nothing is certain.
 */
export function sniffVideoCodec(bytes: Uint8Array): VideoCodec | undefined {
  for (const { at, end } of nalUnits(bytes, SNIFF_NAL_UNITS)) {
    const first = bytes[at]!;
    if ((first & 0x80) !== 0) continue;
    const isH265Header = (first & 1) === 0 && end - at >= 2 && (bytes[at + 1]! & 0xf8) === 0 && (bytes[at + 1]! & 7) !== 0;
    const h265Type = (first >> 1) & 0x3f;
    if (isH265Header && (isParameterSet('h265', h265Type) || h265Type === 19 || h265Type === 20)) return 'h265';
    const h264Type = first & 0x1f;
    if ((first & 0x60) !== 0 && (h264Type === 5 || h264Type === 7 || h264Type === 8)) return 'h264';
  }
  return undefined;
}

const SNIFF_NAL_UNITS = 16;
