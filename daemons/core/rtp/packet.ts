/**
 * RTP fixed header, read and written in place (RFC 3550 5.1). No object is made per packet: the caller keeps one
 * `RtpHeader` and reads every packet into it.
 */

export const RTP_HEADER_BYTES = 12;

const VERSION = 2;
const PADDING_BIT = 0x20;
const EXTENSION_BIT = 0x10;
const CSRC_COUNT_MASK = 0x0f;
const MARKER_BIT = 0x80;
const PAYLOAD_TYPE_MASK = 0x7f;
const CSRC_BYTES = 4;
const EXTENSION_HEADER_BYTES = 4;
const RTCP_HEADER_BYTES = 4;
/** RFC 5761 4: the second octet tells RTCP on an RTP port. */
const RTCP_FIRST_TYPE = 192;
const RTCP_LAST_TYPE = 223;

/** Filled by `readRtp`; valid until its next call. */
export interface RtpHeader {
  marker: boolean;
  payloadType: number;
  /** 16 bits. */
  sequence: number;
  /** 32 bits. */
  timestamp: number;
  /** 32 bits. */
  ssrc: number;
  /** Into the memory that was read; CSRCs and header extension are behind us. */
  payloadOffset: number;
  /** Without padding. */
  payloadLength: number;
}

/** `rtp` and `rtcp` are good; the others say which part of the header lies. */
export type RtpVerdict = 'rtp' | 'rtcp' | 'too-short' | 'bad-version' | 'bad-csrc' | 'bad-extension' | 'bad-padding';

export const newRtpHeader = (): RtpHeader => ({ marker: false, payloadType: 0, sequence: 0, timestamp: 0, ssrc: 0, payloadOffset: 0, payloadLength: 0 });

export const readUint16 = (memory: Uint8Array, at: number): number => (memory[at]! << 8) | memory[at + 1]!;
export const readUint32 = (memory: Uint8Array, at: number): number =>
  ((memory[at]! << 24) | (memory[at + 1]! << 16) | (memory[at + 2]! << 8) | memory[at + 3]!) >>> 0;

/** True for the first octets of an RTCP packet that came where RTP was expected. */
export function isRtcp(memory: Uint8Array, offset: number, length: number): boolean {
  if (length < RTCP_HEADER_BYTES || memory[offset]! >> 6 !== VERSION) return false;
  const type = memory[offset + 1]!;
  return type >= RTCP_FIRST_TYPE && type <= RTCP_LAST_TYPE;
}

/**
 * Checks the whole header of the packet at `offset` (faults 51, 52) and reads it into `into`. Constant work: lengths are
 * compared, never walked. `into` is untouched unless the answer is `rtp`.
 */
export function readRtp(memory: Uint8Array, offset: number, length: number, into: RtpHeader): RtpVerdict {
  if (isRtcp(memory, offset, length)) return 'rtcp';
  if (length < RTP_HEADER_BYTES) return 'too-short';
  const first = memory[offset]!;
  if (first >> 6 !== VERSION) return 'bad-version';
  const end = offset + length;
  let at = offset + RTP_HEADER_BYTES + (first & CSRC_COUNT_MASK) * CSRC_BYTES;
  if (at > end) return 'bad-csrc';
  if ((first & EXTENSION_BIT) !== 0) {
    if (at + EXTENSION_HEADER_BYTES > end) return 'bad-extension';
    at += EXTENSION_HEADER_BYTES + readUint16(memory, at + 2) * 4;
    if (at > end) return 'bad-extension';
  }
  let padding = 0;
  if ((first & PADDING_BIT) !== 0) {
    padding = memory[end - 1]!;
    if (padding === 0 || padding > end - at) return 'bad-padding';
  }
  const second = memory[offset + 1]!;
  into.marker = (second & MARKER_BIT) !== 0;
  into.payloadType = second & PAYLOAD_TYPE_MASK;
  into.sequence = readUint16(memory, offset + 2);
  into.timestamp = readUint32(memory, offset + 4);
  into.ssrc = readUint32(memory, offset + 8);
  into.payloadOffset = at;
  into.payloadLength = end - at - padding;
  return 'rtp';
}

/** Writes a plain 12-byte header (no CSRC, extension or padding) at `offset`. `sequence`, `timestamp`, `ssrc` are taken modulo their width. */
export function writeRtpHeader(memory: Uint8Array, offset: number, marker: boolean, payloadType: number, sequence: number, timestamp: number, ssrc: number): void {
  memory[offset] = VERSION << 6;
  memory[offset + 1] = marker ? payloadType | MARKER_BIT : payloadType;
  memory[offset + 2] = sequence >> 8;
  memory[offset + 3] = sequence;
  memory[offset + 4] = timestamp >>> 24;
  memory[offset + 5] = timestamp >>> 16;
  memory[offset + 6] = timestamp >>> 8;
  memory[offset + 7] = timestamp;
  memory[offset + 8] = ssrc >>> 24;
  memory[offset + 9] = ssrc >>> 16;
  memory[offset + 10] = ssrc >>> 8;
  memory[offset + 11] = ssrc;
}
