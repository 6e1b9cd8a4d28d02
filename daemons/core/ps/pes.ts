/** Headers of packs and PES packets (ISO/IEC 13818-1 2.4.3.6 and 2.5.3.3, ISO/IEC 11172-1 2.4.3). */

export interface PesHeader {
  /** From the start code to the first payload byte. */
  readonly headerBytes: number;
  readonly pts90k: number | undefined;
  readonly dts90k: number | undefined;
}

/** `more`: the header is not all there yet; `bad`: it is none. */
export type HeaderOutcome<T> = T | 'more' | 'bad';

/** MPEG-1 stuffing bytes before a PES header end: 16 by the standard. */
const MAX_STUFFING_BYTES = 16;

/** 33 bits of a time stamp spread over five bytes with marker bits, whose values are not checked. */
export function readTimestamp(bytes: Uint8Array, at: number): number {
  const high = (bytes[at]! >> 1) & 7;
  const middle = (bytes[at + 1]! << 7) | (bytes[at + 2]! >> 1);
  const low = (bytes[at + 3]! << 7) | (bytes[at + 4]! >> 1);
  return high * 0x40000000 + middle * 0x8000 + low;
}

/** `prefix` is 2 for a PTS alone, 3 for a PTS with a DTS, 1 for that DTS. */
export function writeTimestamp(into: Uint8Array, at: number, prefix: number, pts90k: number): void {
  const high = Math.floor(pts90k / 0x40000000) & 7;
  const low = pts90k % 0x40000000;
  into[at] = (prefix << 4) | (high << 1) | 1;
  into[at + 1] = (low >>> 22) & 0xff;
  into[at + 2] = ((low >>> 14) & 0xfe) | 1;
  into[at + 3] = (low >>> 7) & 0xff;
  into[at + 4] = ((low << 1) & 0xfe) | 1;
}

/** Length of a pack header with its stuffing, from its start code at `at`. */
export function readPackLength(bytes: Uint8Array, at: number): HeaderOutcome<number> {
  if (at + 5 > bytes.length) return 'more';
  const form = bytes[at + 4]!;
  if ((form & 0xf0) === 0x20) return at + 12 > bytes.length ? 'more' : 12;
  if ((form & 0xc0) !== 0x40) return 'bad';
  if (at + 14 > bytes.length) return 'more';
  const markersHold = (form & 4) !== 0 && (bytes[at + 6]! & 4) !== 0 && (bytes[at + 8]! & 4) !== 0 && (bytes[at + 9]! & 1) !== 0;
  return markersHold ? 14 + (bytes[at + 13]! & 7) : 'bad';
}

/** PES header of an audio or video stream at `at`, in the MPEG-2 form or the MPEG-1 form; `packetBytes` bounds it. */
export function readPesHeader(bytes: Uint8Array, at: number, packetBytes = Infinity): HeaderOutcome<PesHeader> {
  if (at + 7 > bytes.length) return 'more';
  const header = (bytes[at + 6]! & 0xc0) === 0x80 ? readMpeg2Header(bytes, at, packetBytes) : readMpeg1Header(bytes, at);
  return typeof header === 'object' && header.headerBytes > packetBytes ? 'bad' : header;
}

function readMpeg2Header(bytes: Uint8Array, at: number, packetBytes: number): HeaderOutcome<PesHeader> {
  if (at + 9 > bytes.length) return 'more';
  const flags = bytes[at + 7]! >> 6;
  const dataBytes = bytes[at + 8]!;
  const headerBytes = 9 + dataBytes;
  if (headerBytes > packetBytes) return 'bad';
  if (at + headerBytes > bytes.length) return 'more';
  const hasPts = (flags & 2) !== 0 && dataBytes >= 5;
  const hasDts = flags === 3 && dataBytes >= 10;
  return { headerBytes, pts90k: hasPts ? readTimestamp(bytes, at + 9) : undefined, dts90k: hasDts ? readTimestamp(bytes, at + 14) : undefined };
}

function readMpeg1Header(bytes: Uint8Array, at: number): HeaderOutcome<PesHeader> {
  let cursor = at + 6;
  const stuffingEnd = cursor + MAX_STUFFING_BYTES;
  while (cursor < stuffingEnd && bytes[cursor] === 0xff) cursor += 1;
  if (cursor >= bytes.length) return 'more';
  if ((bytes[cursor]! & 0xc0) === 0x40) cursor += 2;
  if (cursor + 10 > bytes.length) return 'more';
  const form = bytes[cursor]! >> 4;
  if (form === 2) return { headerBytes: cursor + 5 - at, pts90k: readTimestamp(bytes, cursor), dts90k: undefined };
  if (form === 3) return { headerBytes: cursor + 10 - at, pts90k: readTimestamp(bytes, cursor), dts90k: readTimestamp(bytes, cursor + 5) };
  return bytes[cursor] === 0x0f ? { headerBytes: cursor + 1 - at, pts90k: undefined, dts90k: undefined } : 'bad';
}
