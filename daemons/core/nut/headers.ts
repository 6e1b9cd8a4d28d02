/** Main and stream headers of NUT. */
import { toByteString } from '../bytes.ts';
import { type Result, fail, ok } from '../result.ts';
import type { NutCursor } from './cursor.ts';
import { FLAG } from './nut.ts';

const MAX_STREAMS = 8;
const MAX_TIME_BASES = 16;
const MAX_ELISIONS = 128;
const FRAME_CODES = 256;
const CODE_N = 0x4e;
const MAX_SPARE_FIELDS = 64;

export interface NutFrameCode {
  readonly flags: number;
  readonly streamId: number;
  readonly sizeMul: number;
  readonly sizeLsb: number;
  readonly ptsDelta: number;
  readonly reserved: number;
  readonly headerIdx: number;
}

export interface NutStream {
  readonly id: number;
  readonly isVideo: boolean;
  readonly fourcc: string;
  /** Seconds a tick, as a fraction. */
  readonly timeBase: readonly [number, number];
  readonly msbPtsShift: number;
  /** codec_specific_data: AudioSpecificConfig, parameter sets. */
  readonly config: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly sampleRateHz: number;
  readonly channels: number;
}

export interface NutMainHeader {
  readonly timeBases: readonly (readonly [number, number])[];
  readonly codes: readonly NutFrameCode[];
  /** Index 0 is empty. */
  readonly elided: readonly Uint8Array[];
}

export function readMainHeader(cursor: NutCursor): Result<NutMainHeader> {
  const version = cursor.number();
  if (version !== 3) return fail(0, 'not version 3 of NUT');
  if (cursor.number() > MAX_STREAMS) return fail(0, 'too many streams');
  cursor.number();
  const baseCount = cursor.number();
  if (baseCount < 1 || baseCount > MAX_TIME_BASES) return fail(0, 'count of time bases');
  const timeBases = Array.from({ length: baseCount }, () => [cursor.number(), cursor.number()] as const);
  if (timeBases.some(([num, denom]) => !(num >= 1 && num <= 0x7fffffff && denom >= 1 && denom <= 0x7fffffff))) return fail(0, 'time base out of range');
  const codes = readFrameCodes(cursor);
  if (!codes.ok) return codes;
  const elisions = cursor.number();
  if (elisions >= MAX_ELISIONS) return fail(0, 'too many elision headers');
  const elided = [new Uint8Array(0), ...Array.from({ length: elisions }, () => cursor.block())];
  return cursor.isShort ? fail(0, 'main header too short') : ok({ timeBases, codes: codes.value, elided });
}

/** The table is written as runs: fields that are left out keep what the run before said. */
function readFrameCodes(cursor: NutCursor): Result<readonly NutFrameCode[]> {
  const codes: NutFrameCode[] = [];
  let [ptsDelta, sizeMul, streamId, headerIdx] = [0, 1, 0, 0];
  while (codes.length < FRAME_CODES) {
    const flags = cursor.number();
    const fields = cursor.number();
    if (fields > MAX_SPARE_FIELDS) return fail(0, 'too many fields of a frame code');
    if (fields > 0) ptsDelta = cursor.signed();
    if (fields > 1) sizeMul = cursor.number();
    if (fields > 2) streamId = cursor.number();
    const size = fields > 3 ? cursor.number() : 0;
    const reserved = fields > 4 ? cursor.number() : 0;
    const count = fields > 5 ? cursor.number() : sizeMul - size;
    if (fields > 6) cursor.signed();
    if (fields > 7) headerIdx = cursor.number();
    for (let i = 8; i < fields; i++) cursor.number();
    if (cursor.isShort || !(count >= 1 && count <= FRAME_CODES - codes.length)) return fail(0, 'frame codes out of range');
    for (let i = 0; i < count; i++) {
      if (codes.length === CODE_N) codes.push({ flags: FLAG.invalid, streamId: 0, sizeMul: 1, sizeLsb: 0, ptsDelta: 0, reserved: 0, headerIdx: 0 });
      codes.push({ flags, streamId, sizeMul, sizeLsb: size + i, ptsDelta, reserved, headerIdx });
    }
  }
  return ok(codes);
}

export function readStreamHeader(cursor: NutCursor, timeBases: NutMainHeader['timeBases']): Result<NutStream> {
  const id = cursor.number();
  const kind = cursor.number();
  const fourcc = toByteString(cursor.block());
  const timeBase = timeBases[cursor.number()];
  const msbPtsShift = cursor.number();
  cursor.number();
  cursor.number();
  cursor.number();
  const config = cursor.block();
  if (timeBase === undefined || id >= MAX_STREAMS || msbPtsShift >= 16) return fail(0, 'stream header out of range');
  const common = { id, fourcc, timeBase, msbPtsShift, config };
  const [first, second, third] = [cursor.number(), cursor.number(), cursor.number()];
  if (cursor.isShort) return fail(0, 'stream header too short');
  if (kind === 0) return ok({ ...common, isVideo: true, width: first, height: second, sampleRateHz: 0, channels: 0 });
  if (kind === 1) return ok({ ...common, isVideo: false, width: 0, height: 0, sampleRateHz: Math.round(first / Math.max(1, second)), channels: third });
  return fail(0, 'stream is neither video nor audio');
}
