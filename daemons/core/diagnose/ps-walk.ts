/**
 * A program stream as its headers tell it, packet by packet, for the validator: what a demultiplexer forgives is counted here
 * (ISO/IEC 13818-1 2.5, GB/T 28181-2016 Annex C). Bytes from a pack on, without gaps; total over any bytes.
 */
import { findStartCode } from '../media/h26x.ts';
import { readPackLength, readPesHeader } from '../ps/pes.ts';
import { MAX_PSM_BYTES, readPsm } from '../ps/psm.ts';
import { START_CODE, isAudioId, isVideoId } from '../ps/stream-types.ts';

export type PictureCodec = 'h264' | 'h265';

/** One pack with what stands in it. */
export interface PsPack {
  systemHeader: boolean;
  map: boolean;
  /** It begins a picture that can be decoded alone. */
  key: boolean;
}

export interface PsFacts {
  readonly packs: PsPack[];
  badPackHeaders: number;
  maps: number;
  badMaps: number;
  badCrcs: number;
  /** Stream types of each map, as text; more than one: they change. */
  readonly mapped: Set<string>;
  /** Stream ID -> stream type of the last map. */
  readonly types: Map<number, number>;
  readonly unmapped: Set<number>;
  /** Packets of streams that are neither picture nor sound. */
  privatePackets: number;
  pesPackets: number;
  zeroLengths: number;
  wrongLengths: number;
  badPesHeaders: number;
  /** By stream ID, in order; undefined ones left out. */
  readonly pts: Map<number, number[]>;
  /** What the pictures look like. */
  readonly seenVideo: Set<PictureCodec>;
  /** In words: what the map said when something else came. */
  readonly lies: Set<string>;
}

const MAX_PTS = 100_000;
const LOOK_NALS = 12;
const H264 = 0x1b;
const H265 = 0x24;
const AAC = 0x0f;

export function newPsFacts(): PsFacts {
  return {
    packs: [], badPackHeaders: 0, maps: 0, badMaps: 0, badCrcs: 0, mapped: new Set(), types: new Map(), unmapped: new Set(), privatePackets: 0,
    pesPackets: 0, zeroLengths: 0, wrongLengths: 0, badPesHeaders: 0, pts: new Map(), seenVideo: new Set(), lies: new Set(),
  };
}

const isCode = (bytes: Uint8Array, at: number): boolean => bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 1;
const isStreamCode = (bytes: Uint8Array, at: number): boolean => isCode(bytes, at) && bytes[at + 3]! >= START_CODE.end;

/** Next start code of the container from `at`, or the end. */
function nextStreamCode(bytes: Uint8Array, at: number): number {
  let found = findStartCode(bytes, at);
  while (found >= 0 && found + 3 < bytes.length && bytes[found + 3]! < START_CODE.end) found = findStartCode(bytes, found + 3);
  return found < 0 || found + 3 >= bytes.length ? bytes.length : found;
}

/** Adds what stands in these bytes to `facts`. What is cut off at their end is left out. */
export function walkPs(bytes: Uint8Array, facts: PsFacts): void {
  let at = nextStreamCode(bytes, 0);
  while (at + 6 <= bytes.length) {
    const next = isStreamCode(bytes, at) ? step(bytes, at, facts) : nextStreamCode(bytes, at);
    if (next === undefined || next <= at) return;
    at = next;
  }
}

/** Where the next header should be; undefined: the end cuts this one. */
function step(bytes: Uint8Array, at: number, facts: PsFacts): number | undefined {
  const id = bytes[at + 3]!;
  const length = (bytes[at + 4]! << 8) | bytes[at + 5]!;
  if (id === START_CODE.end) return at + 4;
  if (id === START_CODE.pack) return pack(bytes, at, facts);
  if (at + 6 + length > bytes.length) return undefined;
  const open = facts.packs.at(-1);
  if (id === START_CODE.systemHeader) {
    if (open !== undefined) open.systemHeader = true;
    return at + 6 + length;
  }
  if (id === START_CODE.programStreamMap) return map(bytes, at, length, facts);
  if (isVideoId(id) || isAudioId(id)) return pes(bytes, at, id, length, facts);
  facts.privatePackets += 1;
  return at + 6 + length;
}

function pack(bytes: Uint8Array, at: number, facts: PsFacts): number | undefined {
  const length = readPackLength(bytes, at);
  if (length === 'more') return undefined;
  facts.packs.push({ systemHeader: false, map: false, key: false });
  if (length !== 'bad') return at + length;
  facts.badPackHeaders += 1;
  return nextStreamCode(bytes, at + 4);
}

function map(bytes: Uint8Array, at: number, length: number, facts: PsFacts): number {
  const read = 6 + length <= MAX_PSM_BYTES ? readPsm(bytes.subarray(at, at + 6 + length)) : undefined;
  if (read?.ok !== true) {
    facts.badMaps += 1;
    return nextStreamCode(bytes, at + 4);
  }
  facts.maps += 1;
  if (!read.value.crcOk) facts.badCrcs += 1;
  const open = facts.packs.at(-1);
  if (open !== undefined) open.map = true;
  facts.types.clear();
  for (const { streamId, streamType } of read.value.streams) facts.types.set(streamId, streamType);
  facts.mapped.add([...facts.types].map(([id, type]) => `${id.toString(16)}=${type.toString(16)}`).sort().join(' '));
  return at + 6 + length;
}

function pes(bytes: Uint8Array, at: number, id: number, length: number, facts: PsFacts): number | undefined {
  facts.pesPackets += 1;
  if (facts.maps > 0 && !facts.types.has(id)) facts.unmapped.add(id);
  const header = readPesHeader(bytes, at, length === 0 ? Infinity : 6 + length);
  if (header === 'more') return undefined;
  const end = pesEnd(bytes, at, id, length, facts);
  if (header === 'bad') facts.badPesHeaders += 1;
  else {
    keepPts(facts, id, header.pts90k);
    look(bytes.subarray(Math.min(at + header.headerBytes, end), end), id, facts);
  }
  return end;
}

/** Pictures cannot hold a start code of the container: where the next one stands is the end, whatever the length says. */
function pesEnd(bytes: Uint8Array, at: number, id: number, length: number, facts: PsFacts): number {
  const declared = at + 6 + length;
  if (length === 0 || length === 0xffff) {
    facts.zeroLengths += 1;
    return nextStreamCode(bytes, at + 6);
  }
  const fits = declared >= bytes.length - 3 || isStreamCode(bytes, declared);
  if (fits && (!isVideoId(id) || nextStreamCode(bytes, at + 6) >= declared)) return declared;
  facts.wrongLengths += 1;
  return nextStreamCode(bytes, at + 6);
}

function keepPts(facts: PsFacts, id: number, pts90k: number | undefined): void {
  if (pts90k === undefined) return;
  const all = facts.pts.get(id) ?? [];
  facts.pts.set(id, all);
  if (all.length < MAX_PTS) all.push(pts90k);
}

function look(payload: Uint8Array, id: number, facts: PsFacts): void {
  if (isAudioId(id)) {
    // ADTS: twelve set bits and layer 0.
    const isAac = payload[0] === 0xff && (payload[1]! & 0xf6) === 0xf0;
    const type = facts.types.get(id);
    if (isAac && type !== undefined && type !== AAC) facts.lies.add(`stream type 0x${type.toString(16)} for sound that is AAC`);
    return;
  }
  let at = findStartCode(payload, 0);
  for (let looked = 0; at >= 0 && at + 3 < payload.length && looked < LOOK_NALS; looked++) {
    const codec = codecOf(payload[at + 3]!);
    if (codec !== undefined) sawVideo(codec, id, facts);
    const open = facts.packs.at(-1);
    if (open !== undefined && (codec !== undefined || isIdr(payload[at + 3]!, facts))) open.key = true;
    at = findStartCode(payload, at + 3);
  }
}

function sawVideo(codec: PictureCodec, id: number, { seenVideo, types, lies }: PsFacts): void {
  seenVideo.add(codec);
  const type = types.get(id);
  const told = type === H264 ? 'h264' : type === H265 ? 'h265' : undefined;
  if (told !== undefined && told !== codec) lies.add(`${told} for pictures that are ${codec}`);
}

/** By parameter sets that cannot be anything of the other codec: SPS here, VPS, SPS and PPS there. */
function codecOf(header: number): PictureCodec | undefined {
  if (header >= 0x80) return undefined;
  if ((header & 0x1f) === 7) return 'h264';
  const type = header >> 1;
  return type >= 32 && type <= 34 && (header & 1) === 0 ? 'h265' : undefined;
}

function isIdr(header: number, { seenVideo }: PsFacts): boolean {
  if (header >= 0x80) return false;
  if (seenVideo.has('h264')) return (header & 0x1f) === 5;
  return seenVideo.has('h265') && (header >> 1 === 19 || header >> 1 === 20);
}
