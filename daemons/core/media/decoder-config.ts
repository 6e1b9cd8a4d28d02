/**
 * What a decoder needs before the first picture: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1), HEVCDecoderConfigurationRecord
 * (8.3.3.1), and the codecs parameter of RFC 6381. From parameter sets, and back to them.
 */
import { concatBytes, toHex } from '../bytes.ts';
import { type Result, fail, ok } from '../result.ts';
import { type VideoCodec, nalType } from './h26x.ts';
import { BitReader, rbspOf } from './bit-reader.ts';

const MAX_PARAMETER_SETS = 64;
const MAX_PARAMETER_SET_BYTES = 0xffff;
/** Profiles whose record tells chroma format and bit depth (5.3.3.1.2). */
const HIGH_PROFILES = [100, 110, 122, 144];
const HEVC_NAL_HEADER_BYTES = 2;
/** Bytes of an SPS that are looked at. */
const MAX_SPS_BYTES = 4096;

export interface DecoderConfig {
  /** avcC or hvcC without its box header. */
  readonly record: Uint8Array;
  /** RFC 6381, e.g. `avc1.42E01E`, `hvc1.1.6.L93.B0`. */
  readonly codecs: string;
}

interface SampleFormat {
  readonly chroma: number;
  readonly lumaDepthMinus8: number;
  readonly chromaDepthMinus8: number;
}

const isKnown = (set: Uint8Array): boolean => set.length > 0 && set.length <= MAX_PARAMETER_SET_BYTES;
const ofType = (codec: VideoCodec, sets: readonly Uint8Array[], type: number): Uint8Array[] => sets.filter(set => isKnown(set) && nalType(codec, set[0]!) === type);
const withLength = (set: Uint8Array): Uint8Array => concatBytes(Uint8Array.of(set.length >> 8, set.length), set);

/** Undefined when the parameter sets are incomplete or cannot be read. Lengths before NAL units have four octets. */
export function decoderConfig(codec: VideoCodec, parameterSets: readonly Uint8Array[]): DecoderConfig | undefined {
  return codec === 'h264' ? avcConfig(parameterSets) : hevcConfig(parameterSets);
}

function avcConfig(sets: readonly Uint8Array[]): DecoderConfig | undefined {
  const [sps, pps] = [ofType('h264', sets, 7).slice(0, 31), ofType('h264', sets, 8).slice(0, 255)];
  const first = sps[0];
  if (first === undefined || first.length < 4 || pps.length === 0) return undefined;
  const tail = HIGH_PROFILES.includes(first[1]!) ? highTail(first) : new Uint8Array(0);
  const head = Uint8Array.of(1, first[1]!, first[2]!, first[3]!, 0xfc | 3, 0xe0 | sps.length);
  const record = concatBytes(head, ...sps.map(withLength), Uint8Array.of(pps.length), ...pps.map(withLength), tail);
  return { record, codecs: `avc1.${toHex(first.subarray(1, 4)).toUpperCase()}` };
}

function highTail(sps: Uint8Array): Uint8Array {
  const bits = new BitReader(rbspOf(sps, 4, MAX_SPS_BYTES));
  bits.ue();
  const { chroma, lumaDepthMinus8, chromaDepthMinus8 } = readFormat(bits, () => undefined);
  return Uint8Array.of(0xfc | chroma, 0xf8 | lumaDepthMinus8, 0xf8 | chromaDepthMinus8, 0);
}

/** chroma_format_idc up to the bit depths; `between` reads what stands between the two in H.265. */
function readFormat(bits: BitReader, between: () => void): SampleFormat {
  const chroma = bits.ue() & 3;
  if (chroma === 3) bits.skip(1);
  between();
  return { chroma, lumaDepthMinus8: bits.ue() & 7, chromaDepthMinus8: bits.ue() & 7 };
}

/** Up to the bit depths of an SPS of H.265 (7.3.2.2), of bytes behind its NAL unit header. */
function hevcFormat(sps: Uint8Array, maxSubLayersMinus1: number): SampleFormat {
  const bits = new BitReader(sps.subarray(1 + 12));
  const present = Array.from({ length: maxSubLayersMinus1 }, () => ({ profile: bits.bit(), level: bits.bit() }));
  if (maxSubLayersMinus1 > 0) bits.skip(2 * (8 - maxSubLayersMinus1));
  for (const { profile, level } of present) bits.skip(88 * profile + 8 * level);
  bits.ue();
  return readFormat(bits, () => {
    bits.ue();
    bits.ue();
    if (bits.bit() === 1) for (let i = 0; i < 4; i++) bits.ue();
  });
}

function hevcConfig(sets: readonly Uint8Array[]): DecoderConfig | undefined {
  const arrays = [32, 33, 34].map(type => ({ type, sets: ofType('h265', sets, type) }));
  const first = arrays[1]!.sets[0];
  if (first === undefined || arrays.some(array => array.sets.length === 0)) return undefined;
  const sps = rbspOf(first, HEVC_NAL_HEADER_BYTES, MAX_SPS_BYTES);
  if (sps.length < 13) return undefined;
  const maxSubLayersMinus1 = (sps[0]! >> 1) & 7;
  const { chroma, lumaDepthMinus8, chromaDepthMinus8 } = hevcFormat(sps, maxSubLayersMinus1);
  const profileTierLevel = sps.subarray(1, 13);
  const head = concatBytes(
    Uint8Array.of(1),
    profileTierLevel,
    Uint8Array.of(0xf0, 0, 0xfc, 0xfc | chroma, 0xf8 | lumaDepthMinus8, 0xf8 | chromaDepthMinus8, 0, 0, ((maxSubLayersMinus1 + 1) << 3) | ((sps[0]! & 1) << 2) | 3, arrays.length),
  );
  const bodies = arrays.map(array => concatBytes(Uint8Array.of(0x80 | array.type, array.sets.length >> 8, array.sets.length), ...array.sets.map(withLength)));
  return { record: concatBytes(head, ...bodies), codecs: hevcCodecs(profileTierLevel) };
}

/** ISO/IEC 14496-15 E.3. */
function hevcCodecs(profileTierLevel: Uint8Array): string {
  const space = ['', 'A', 'B', 'C'][profileTierLevel[0]! >> 6]!;
  const tier = (profileTierLevel[0]! & 0x20) === 0 ? 'L' : 'H';
  let flags = 0;
  for (let bit = 0; bit < 32; bit++) flags = flags * 2 + ((profileTierLevel[1 + ((31 - bit) >> 3)]! >> (bit & 7)) & 1);
  // Bits came last first: reversed as the text wants them.
  const constraints = [...profileTierLevel.subarray(5, 11)];
  while (constraints.length > 0 && constraints.at(-1) === 0) constraints.pop();
  return ['hvc1', `${space}${profileTierLevel[0]! & 0x1f}`, flags.toString(16).toUpperCase(), `${tier}${profileTierLevel[11]!}`, ...constraints.map(octet => octet.toString(16).toUpperCase())].join('.');
}

export interface ParsedDecoderConfig {
  /** As VideoTrack wants them: VPS, SPS, PPS. */
  readonly parameterSets: readonly Uint8Array[];
  /** Octets of the length before each NAL unit: 1, 2 or 4. */
  readonly lengthBytes: number;
}

/** Reads a record that a publisher sent. */
export function parseDecoderConfig(codec: VideoCodec, record: Uint8Array): Result<ParsedDecoderConfig> {
  return codec === 'h264' ? parseAvc(record) : parseHevc(record);
}

function parseAvc(record: Uint8Array): Result<ParsedDecoderConfig> {
  if (record.length < 7 || record[0] !== 1) return fail(0, 'no AVCDecoderConfigurationRecord');
  const sps = readSets(record, 6, record[5]! & 0x1f);
  if (!sps.ok) return sps;
  const ppsCount = record[sps.value.end];
  if (ppsCount === undefined) return fail(sps.value.end, 'the record is cut');
  const pps = readSets(record, sps.value.end + 1, ppsCount);
  return pps.ok ? finish('h264', [...sps.value.sets, ...pps.value.sets], record[4]!) : pps;
}

function parseHevc(record: Uint8Array): Result<ParsedDecoderConfig> {
  if (record.length < 23) return fail(0, 'no HEVCDecoderConfigurationRecord');
  const sets: Uint8Array[] = [];
  let at = 23;
  for (let array = 0; array < record[22]!; array++) {
    if (at + 3 > record.length) return fail(at, 'the record is cut');
    const read = readSets(record, at + 3, (record[at + 1]! << 8) | record[at + 2]!);
    if (!read.ok) return read;
    sets.push(...read.value.sets);
    if (sets.length > MAX_PARAMETER_SETS) return fail(at, 'too many parameter sets');
    at = read.value.end;
  }
  return finish('h265', sets, record[21]!);
}

function readSets(record: Uint8Array, from: number, count: number): Result<{ readonly sets: readonly Uint8Array[]; readonly end: number }> {
  if (count > MAX_PARAMETER_SETS) return fail(from, 'too many parameter sets');
  const sets: Uint8Array[] = [];
  let at = from;
  for (let i = 0; i < count; i++) {
    if (at + 2 > record.length) return fail(at, 'the record is cut');
    const length = (record[at]! << 8) | record[at + 1]!;
    at += 2;
    if (at + length > record.length) return fail(at, 'a parameter set is cut');
    if (length > 0) sets.push(record.slice(at, at + length));
    at += length;
  }
  return ok({ sets, end: at });
}

function finish(codec: VideoCodec, sets: readonly Uint8Array[], lengthOctet: number): Result<ParsedDecoderConfig> {
  const lengthBytes = (lengthOctet & 3) + 1;
  if (lengthBytes === 3) return fail(0, 'lengths of three octets');
  const types = codec === 'h264' ? [7, 8] : [32, 33, 34];
  const kinds = types.map(type => sets.filter(set => nalType(codec, set[0]!) === type));
  return kinds.every(kind => kind.length > 0) ? ok({ parameterSets: kinds.flat(), lengthBytes }) : fail(0, 'parameter sets are missing');
}
