/** Program stream map (ISO/IEC 13818-1 2.5.4): which codec each stream id carries. */
import { type Result, fail, ok } from '../result.ts';
import { crc32Mpeg2 } from './crc32.ts';

export interface MappedStream {
  readonly streamType: number;
  readonly streamId: number;
}

export interface ProgramStreamMap {
  /** 0..31; changes when the content does. */
  readonly version: number;
  readonly streams: readonly MappedStream[];
  /** Some vendors send a wrong one (quirk 43), so it is told and never enforced. */
  readonly crcOk: boolean;
}

/** Standard limit of program_stream_map_length is 1018. */
export const MAX_PSM_BYTES = 6 + 1018;
export const MAX_MAPPED_STREAMS = 48;

const FIXED_BYTES = 10;
const ENTRY_BYTES = 4;
const CRC_BYTES = 4;

export function writePsm(streams: readonly MappedStream[], version = 0): Uint8Array {
  const mapBytes = streams.length * ENTRY_BYTES;
  const bytes = new Uint8Array(FIXED_BYTES + 2 + mapBytes + CRC_BYTES);
  const length = bytes.length - 6;
  bytes.set([0, 0, 1, 0xbc, length >> 8, length & 0xff, 0xe0 | (version & 0x1f), 0xff, 0, 0, mapBytes >> 8, mapBytes & 0xff]);
  streams.forEach(({ streamType, streamId }, index) => bytes.set([streamType, streamId, 0, 0], FIXED_BYTES + 2 + index * ENTRY_BYTES));
  const crc = crc32Mpeg2(bytes.subarray(0, bytes.length - CRC_BYTES));
  bytes.set([crc >>> 24, (crc >>> 16) & 0xff, (crc >>> 8) & 0xff, crc & 0xff], bytes.length - CRC_BYTES);
  return bytes;
}

/**
 * Reads a map from its start code on; `bytes` is cut at program_stream_map_length. Descriptor lengths that lie are bounded by what is
 * there (ZLM 2325): the entries read up to that point stand.
 */
export function readPsm(bytes: Uint8Array): Result<ProgramStreamMap> {
  if (bytes.length < FIXED_BYTES + 2) return fail(bytes.length, 'program stream map shorter than its fixed part');
  const version = bytes[6]! & 0x1f;
  const infoBytes = (bytes[8]! << 8) | bytes[9]!;
  let at = FIXED_BYTES + infoBytes;
  if (at + 2 > bytes.length) return fail(8, 'program_stream_info_length past the end');
  const declaredMapBytes = (bytes[at]! << 8) | bytes[at + 1]!;
  at += 2;
  const end = Math.min(at + declaredMapBytes, bytes.length - CRC_BYTES);
  const streams: MappedStream[] = [];
  while (at + ENTRY_BYTES <= end && streams.length < MAX_MAPPED_STREAMS) {
    streams.push({ streamType: bytes[at]!, streamId: bytes[at + 1]! });
    at += ENTRY_BYTES + ((bytes[at + 2]! << 8) | bytes[at + 3]!);
  }
  return ok({ version, streams, crcOk: crc32Mpeg2(bytes) === 0 });
}
