/** Parameter sets of a stream: those it has, and key frames that are complete because theirs stand before them. */
import { concatBytes, sameBytes } from '../bytes.ts';
import { type VideoCodec, isParameterSet, isVcl, nalType, nalUnits } from './h26x.ts';

/** A VPS, an SPS and some PPS; more or longer ones are not taken. */
const MAX_SETS = 16;
const MAX_SET_BYTES = 4096;
const START_CODE = Uint8Array.of(0, 0, 0, 1);

/** nal_unit_type in the order in which they stand: VPS, SPS, PPS. */
const ORDER: Readonly<Record<VideoCodec, readonly number[]>> = { h264: [7, 8], h265: [32, 33, 34] };

export const isSps = (codec: VideoCodec, nal: Uint8Array): boolean => nalType(codec, nal[0] ?? 0) === (codec === 'h264' ? 7 : 33);

export class ParameterSets {
  readonly codec: VideoCodec;
  #sets: readonly Uint8Array[] = [];

  constructor(codec: VideoCodec, sets: readonly Uint8Array[] = []) {
    this.codec = codec;
    this.#sets = inOrder(codec, sets);
  }

  /** VPS, SPS, PPS without start codes. A new array whenever one changed. */
  get sets(): readonly Uint8Array[] {
    return this.#sets;
  }

  /** A decoder can be set up: one of each kind. */
  get isComplete(): boolean {
    return ORDER[this.codec].every(type => this.#sets.some(set => nalType(this.codec, set[0]!) === type));
  }

  /** Takes those of an access unit. A new SPS starts a new list: what belonged to the old one is gone. True when something changed. */
  learn(accessUnit: Uint8Array): boolean {
    const found = setsOf(this.codec, accessUnit);
    if (found.length === 0) return false;
    const known = (set: Uint8Array): boolean => this.#sets.some(other => sameBytes(other, set));
    if (found.every(known)) return false;
    const kinds = new Set(found.map(set => nalType(this.codec, set[0]!)));
    const kept = this.#sets.filter(set => !kinds.has(nalType(this.codec, set[0]!)));
    this.#sets = inOrder(this.codec, [...kept, ...found]);
    return true;
  }

  /** The same access unit, with the known sets in front when it lacks one of each kind; undefined when they are not known. */
  complete(accessUnit: Uint8Array): Uint8Array | undefined {
    if (!this.isComplete) return undefined;
    const kinds = new Set(setsOf(this.codec, accessUnit).map(set => nalType(this.codec, set[0]!)));
    if (ORDER[this.codec].every(type => kinds.has(type))) return accessUnit;
    const behind = afterDelimiter(this.codec, accessUnit);
    const rest = withStartCodes(this.#sets, accessUnit.subarray(behind));
    return behind === 0 ? rest : concatBytes(accessUnit.subarray(0, behind), rest);
  }
}

/** An access unit delimiter stays the first NAL unit. */
function afterDelimiter(codec: VideoCodec, accessUnit: Uint8Array): number {
  const [first, second] = nalUnits(accessUnit, 2);
  if (first === undefined || second === undefined) return 0;
  return nalType(codec, accessUnit[first.at]!) === (codec === 'h264' ? 9 : 35) ? second.start : 0;
}

/** Parameter sets before the first slice, without start codes. */
function setsOf(codec: VideoCodec, accessUnit: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const { at, end } of nalUnits(accessUnit, MAX_SETS * 2)) {
    const type = nalType(codec, accessUnit[at]!);
    if (isVcl(codec, type)) break;
    if (isParameterSet(codec, type) && end - at <= MAX_SET_BYTES && found.length < MAX_SETS) found.push(new Uint8Array(accessUnit.subarray(at, end)));
  }
  return found;
}

function inOrder(codec: VideoCodec, sets: readonly Uint8Array[]): readonly Uint8Array[] {
  const rank = (set: Uint8Array): number => ORDER[codec].indexOf(nalType(codec, set[0] ?? 0));
  return sets.filter(set => set.length > 0 && set.length <= MAX_SET_BYTES && rank(set) >= 0).sort((a, b) => rank(a) - rank(b)).slice(0, MAX_SETS);
}

/** NAL units as an Annex B byte stream, `tail` (already one) behind them. */
export function withStartCodes(nals: readonly Uint8Array[], tail: Uint8Array = new Uint8Array(0)): Uint8Array {
  const whole = new Uint8Array(nals.reduce((sum, nal) => sum + START_CODE.length + nal.length, tail.length));
  let at = 0;
  for (const nal of nals) {
    whole.set(START_CODE, at);
    whole.set(nal, at + START_CODE.length);
    at += START_CODE.length + nal.length;
  }
  whole.set(tail, at);
  return whole;
}
