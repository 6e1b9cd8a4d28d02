/**
 * RTCP as far as we use it: generic NACK (RFC 4585 6.2.1), alone in its datagram (RFC 5506), on the RTP port (RFC 5761). Others that
 * stand beside it in a compound packet are stepped over.
 */
import { readUint16, readUint32 } from './packet.ts';

const VERSION = 2;
const HEADER_BYTES = 4;
const PADDING_BIT = 0x20;
const COUNT_MASK = 0x1f;
const RTPFB = 205;
const GENERIC_NACK = 1;
/** Sender and media SSRC. */
const FEEDBACK_BYTES = 12;
const ENTRY_BYTES = 4;
const NUMBERS_PER_ENTRY = 17;
/** What fits a datagram of an Ethernet path; longer feedback is not ours. */
export const MAX_NACK_ENTRIES = 64;
export const MAX_NACK_BYTES = FEEDBACK_BYTES + MAX_NACK_ENTRIES * ENTRY_BYTES;
/** Packets in a compound one. */
const MAX_PACKETS = 16;

export interface NackTaker {
  /** One number that the sender of the feedback misses, 16 bits. */
  nack(mediaSsrc: number, sequence: number): void;
}

export type RtcpVerdict = 'good' | 'malformed';

/** Walks a compound packet once; what stands before something malformed was given on. */
export function readNacks(memory: Uint8Array, offset: number, length: number, taker: NackTaker): RtcpVerdict {
  const end = offset + length;
  let at = offset;
  for (let packets = 0; at < end; packets++) {
    if (packets === MAX_PACKETS || at + HEADER_BYTES > end || memory[at]! >> 6 !== VERSION) return 'malformed';
    const next = at + HEADER_BYTES + readUint16(memory, at + 2) * 4;
    if (next > end) return 'malformed';
    const isNack = memory[at + 1] === RTPFB && (memory[at]! & COUNT_MASK) === GENERIC_NACK;
    if (isNack && !readEntries(memory, at, next, taker)) return 'malformed';
    at = next;
  }
  return length > 0 ? 'good' : 'malformed';
}

function readEntries(memory: Uint8Array, at: number, end: number, taker: NackTaker): boolean {
  if ((memory[at]! & PADDING_BIT) !== 0 || end - at < FEEDBACK_BYTES + ENTRY_BYTES || end - at > MAX_NACK_BYTES) return false;
  const mediaSsrc = readUint32(memory, at + 8);
  for (let entry = at + FEEDBACK_BYTES; entry < end; entry += ENTRY_BYTES) {
    const first = readUint16(memory, entry);
    const mask = readUint16(memory, entry + 2);
    taker.nack(mediaSsrc, first);
    for (let bit = 0; bit < NUMBERS_PER_ENTRY - 1; bit++) if ((mask & (1 << bit)) !== 0) taker.nack(mediaSsrc, (first + bit + 1) & 0xffff);
  }
  return true;
}

/**
 * One NACK for numbers in ascending order (a wrap among them is fine). Writes to the start of `into`, which has MAX_NACK_BYTES.
 * Answers its length and how many numbers it took; 0 numbers: nothing was written.
 */
export function writeNack(into: Uint8Array, senderSsrc: number, mediaSsrc: number, sequences: readonly number[], from = 0): { readonly length: number; readonly taken: number } {
  let at = FEEDBACK_BYTES;
  let taken = from;
  while (taken < sequences.length && at < MAX_NACK_BYTES) {
    const first = sequences[taken++]!;
    let mask = 0;
    for (; taken < sequences.length; taken++) {
      const step = (sequences[taken]! - first) & 0xffff;
      if (step === 0 || step >= NUMBERS_PER_ENTRY) break;
      mask |= 1 << (step - 1);
    }
    writeUint16(into, at, first);
    writeUint16(into, at + 2, mask);
    at += ENTRY_BYTES;
  }
  if (taken === from) return { length: 0, taken: 0 };
  into[0] = (VERSION << 6) | GENERIC_NACK;
  into[1] = RTPFB;
  writeUint16(into, 2, at / 4 - 1);
  writeUint32(into, 4, senderSsrc);
  writeUint32(into, 8, mediaSsrc);
  return { length: at, taken: taken - from };
}

function writeUint16(memory: Uint8Array, at: number, value: number): void {
  memory[at] = value >> 8;
  memory[at + 1] = value;
}

function writeUint32(memory: Uint8Array, at: number, value: number): void {
  writeUint16(memory, at, value >>> 16);
  writeUint16(memory, at + 2, value & 0xffff);
}
