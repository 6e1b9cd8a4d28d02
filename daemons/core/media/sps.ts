/** Size of a picture from its sequence parameter set (ITU-T H.264 7.3.2.1.1, H.265 7.3.2.2). Nothing is allocated for what it claims. */
import { type Result, fail, ok } from '../result.ts';
import { BitReader, rbspOf } from './bit-reader.ts';
import type { VideoCodec } from './h26x.ts';

/** Bytes looked at: what stands before the size, scaling lists included, is shorter. */
const MAX_SPS_BYTES = 4096;
/** Largest side of any level (H.265 level 6.2: 8192x4320, H.264: 16384 on one side). What claims more lies (fault 71). */
export const MAX_PICTURE_SIDE = 16384;

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** profile_idc values whose SPS says chroma_format_idc and scaling lists. */
const HIGH_PROFILES: ReadonlySet<number> = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

/** `nal`: the whole SPS with its header, without start code. */
export function readPictureSize(codec: VideoCodec, nal: Uint8Array): Result<PictureSize> {
  const size = codec === 'h264' ? readH264(nal) : readH265(nal);
  if (size === undefined) return fail(nal.length, 'sequence parameter set ends before the size');
  const { width, height } = size;
  if (width < 1 || height < 1 || width > MAX_PICTURE_SIDE || height > MAX_PICTURE_SIDE) return fail(0, `picture of ${width}x${height}`);
  return ok(size);
}

function readH264(nal: Uint8Array): PictureSize | undefined {
  const reader = new BitReader(rbspOf(nal, 1, MAX_SPS_BYTES));
  const profile = reader.bits(8);
  reader.skip(16);
  reader.ue();
  const chroma = HIGH_PROFILES.has(profile) ? readH264Chroma(reader) : { format: 1, separate: false };
  reader.ue();
  skipPicOrderCount(reader);
  reader.ue();
  reader.skip(1);
  const widthMbs = reader.ue() + 1;
  const heightUnits = reader.ue() + 1;
  const framesOnly = reader.bit() === 1;
  if (!framesOnly) reader.skip(1);
  reader.skip(1);
  const crop = reader.bit() === 1 ? [reader.ue(), reader.ue(), reader.ue(), reader.ue()] : [0, 0, 0, 0];
  if (reader.overrun) return undefined;
  const { cropX, cropY } = cropUnits(chroma.separate ? 0 : chroma.format);
  const fields = framesOnly ? 1 : 2;
  return { width: widthMbs * 16 - (crop[0]! + crop[1]!) * cropX, height: heightUnits * 16 * fields - (crop[2]! + crop[3]!) * cropY * fields };
}

function readH264Chroma(reader: BitReader): { readonly format: number; readonly separate: boolean } {
  const format = reader.ue();
  const separate = format === 3 && reader.bit() === 1;
  reader.ue();
  reader.ue();
  reader.skip(1);
  if (reader.bit() === 1) for (let list = 0; list < (format === 3 ? 12 : 8) && !reader.overrun; list += 1) if (reader.bit() === 1) skipScalingList(reader, list < 6 ? 16 : 64);
  return { format, separate };
}

function skipScalingList(reader: BitReader, size: number): void {
  let last = 8;
  let next = 8;
  for (let i = 0; i < size && !reader.overrun; i += 1) {
    if (next !== 0) next = (last + reader.se() + 256) & 0xff;
    if (next !== 0) last = next;
  }
}

/** num_ref_frames_in_pic_order_cnt_cycle is at most 255. */
function skipPicOrderCount(reader: BitReader): void {
  const type = reader.ue();
  if (type === 0) reader.ue();
  if (type !== 1) return;
  reader.skip(1);
  reader.se();
  reader.se();
  const cycle = Math.min(reader.ue(), 255);
  for (let i = 0; i < cycle && !reader.overrun; i += 1) reader.se();
}

/** Luma samples of one cropping unit, of frames (H.264 table 6-1, H.265 table 6-1). */
function cropUnits(chromaFormat: number): { readonly cropX: number; readonly cropY: number } {
  return { cropX: chromaFormat === 1 || chromaFormat === 2 ? 2 : 1, cropY: chromaFormat === 1 ? 2 : 1 };
}

function readH265(nal: Uint8Array): PictureSize | undefined {
  const reader = new BitReader(rbspOf(nal, 2, MAX_SPS_BYTES));
  reader.skip(4);
  const maxSubLayersMinus1 = reader.bits(3);
  reader.skip(1);
  skipProfileTierLevel(reader, maxSubLayersMinus1);
  reader.ue();
  const format = reader.ue();
  const separate = format === 3 && reader.bit() === 1;
  const width = reader.ue();
  const height = reader.ue();
  const crop = reader.bit() === 1 ? [reader.ue(), reader.ue(), reader.ue(), reader.ue()] : [0, 0, 0, 0];
  if (reader.overrun) return undefined;
  const { cropX, cropY } = cropUnits(separate ? 0 : format);
  return { width: width - (crop[0]! + crop[1]!) * cropX, height: height - (crop[2]! + crop[3]!) * cropY };
}

/** 7.3.3: 88 bits of profile and 8 of level, then what the sub-layers say. */
function skipProfileTierLevel(reader: BitReader, maxSubLayersMinus1: number): void {
  reader.skip(96);
  const present: (readonly [boolean, boolean])[] = [];
  for (let i = 0; i < maxSubLayersMinus1; i += 1) present.push([reader.bit() === 1, reader.bit() === 1]);
  if (maxSubLayersMinus1 > 0) reader.skip(2 * (8 - maxSubLayersMinus1));
  for (const [profile, level] of present) reader.skip((profile ? 88 : 0) + (level ? 8 : 0));
}
