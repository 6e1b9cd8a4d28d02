/**
 * What a run of packets is, from its octets: a key picture, another picture, parameter sets alone, or sound. Start codes are looked for
 * over packet borders, in the program stream and in the elementary stream inside it alike (their numbers do not overlap), so it
 * works without a system header and a PSM. It looks until it knows, and not far.
 */
import { isAudioId, isVideoId, START_CODE } from '../ps/stream-types.ts';
import type { PayloadKind } from './payload-kind.ts';

/** Private data, parameter sets and SEI in front of a slice are shorter. */
const MAX_LOOK_BYTES = 8192;

/** `headers`: a system header or PSM, and nothing of H.264 or H.265 behind it. `skippable`: needs pictures from before the key picture in front of it (H.265 RASL). */
export type Seen = 'key' | 'other' | 'skippable' | 'parameters' | 'audio' | 'headers' | 'unknown';

const SPS_H264 = 7;
const AUD_H264 = 9;
const VPS_H265 = 32;
const AUD_H265 = 35;

type Slice = 'key' | 'other' | 'skippable';

/** Slice header octets behind the NAL unit header that are needed: the first bit says that it is the picture's first slice. */
const isFirstSlice = (octet: number): boolean => (octet & 0x80) !== 0;

/** Undefined: not a slice, or `parameters`. */
function sliceOfH264(nal: number, first: number): Slice | 'parameters' | undefined {
  const type = nal & 0x1f;
  if (type === 7) return 'parameters';
  if (type < 1 || type > 5) return undefined;
  return type === 5 && isFirstSlice(first) ? 'key' : 'other';
}

function sliceOfH265(nal: number, first: number): Slice | 'parameters' | undefined {
  const type = (nal >> 1) & 0x3f;
  if (type === 32 || type === 33) return 'parameters';
  if (type === 8 || type === 9) return 'skippable';
  if (type > 21) return undefined;
  return type >= 16 && isFirstSlice(first) ? 'key' : 'other';
}

/** H.265 has a second octet with layer 0 and a temporal level; those first octets with that second one are no NAL units of H.264. */
function isH265(nal: number, second: number): boolean {
  if ((nal & 1) !== 0 || second === 0 || second > 7) return false;
  const type = nal >> 1;
  return type <= 1 || (second === 1 && ((type >= 8 && type <= 9) || (type >= 16 && type <= 21) || type === 32 || type === 33 || type === 34 || type === 39));
}

export class PictureLook {
  #bytes = 0;
  /** The last four octets. */
  #code = 0xffffffff;
  #nal = -1;
  #second = -1;
  #video = false;
  #audio = false;
  #headers = false;
  #parameters = false;
  #slice: Slice | undefined;
  #first = -1;
  /** Nothing more to learn. */
  done = false;

  begin(): void {
    this.#bytes = 0;
    this.#code = 0xffffffff;
    this.#nal = this.#second = this.#first = -1;
    this.#video = this.#audio = this.#headers = this.#parameters = this.done = false;
    this.#slice = undefined;
  }

  /** The next packet. `kind` as the probe found it. */
  feed(kind: PayloadKind | null, memory: Uint8Array, offset: number, length: number): void {
    if (this.done) return;
    if (kind === 'h264' || kind === 'h265') this.#elementary(kind, memory, offset, offset + length);
    else this.#scan(memory, offset, offset + length);
    this.done ||= this.#bytes > MAX_LOOK_BYTES;
  }

  /** Elementary: what came first is what stands first in a picture, a delimiter or the first of the parameter sets. Nothing can be missing in front of it. */
  get isFromItsBegin(): boolean {
    return this.#first === AUD_H264 || this.#first === SPS_H264 || this.#first === 0x100 + VPS_H265 || this.#first === 0x100 + AUD_H265;
  }

  get hasHeaders(): boolean {
    return this.#headers;
  }

  get seen(): Seen {
    if (this.#slice !== undefined) return this.#slice;
    if (this.#parameters) return 'parameters';
    if (this.#headers) return 'headers';
    return this.#audio && !this.#video && !this.done ? 'audio' : 'unknown';
  }

  #decide(slice: Slice | 'parameters' | undefined): void {
    if (slice === 'parameters') this.#parameters = true;
    else if (slice !== undefined) {
      this.#slice = slice;
      this.done = true;
    }
  }

  #scan(memory: Uint8Array, from: number, end: number): void {
    let code = this.#code;
    this.#bytes += end - from;
    for (let at = from; at < end; at++) {
      const octet = memory[at]!;
      code = ((code << 8) | octet) >>> 0;
      if (this.#nal >= 0) this.#nalOctet(octet);
      else if (code >>> 8 === 1) this.#startCode(octet);
      if (this.done) return;
    }
    this.#code = code;
  }

  #startCode(id: number): void {
    if (id === START_CODE.systemHeader || id === START_CODE.programStreamMap) this.#headers = true;
    else if (isVideoId(id)) this.#video = true;
    else if (isAudioId(id)) this.#audio = true;
    else if (id < 0x80 && this.#video) this.#nal = id;
  }

  /** What follows the first octet of a NAL unit: enough of it to tell what it is. */
  #nalOctet(octet: number): void {
    if (this.#second < 0 && isH265(this.#nal, octet)) {
      this.#second = octet;
      return;
    }
    this.#decide(this.#second < 0 ? sliceOfH264(this.#nal, octet) : sliceOfH265(this.#nal, octet));
    this.#nal = this.#second = -1;
  }

  /** One packet of RFC 6184 or 7798: a NAL unit, several of them, or a part of one. */
  #elementary(kind: 'h264' | 'h265', memory: Uint8Array, from: number, end: number): void {
    this.#bytes += end - from;
    let at = from;
    while (at < end - 3 && memory[at] === 0 && memory[at + 1]! <= 1) at++;
    if (at > from && memory[at] === 1) at++;
    else at = from;
    if (at + 4 > end) return;
    if (kind === 'h264') this.#h264(memory, at, end);
    else this.#h265(memory, at, end);
  }

  #h264(memory: Uint8Array, at: number, end: number): void {
    const type = memory[at]! & 0x1f;
    if (this.#first < 0) this.#first = type === 24 ? memory[at + 3]! & 0x1f : type;
    if (type === 24) return this.#aggregate(memory, at + 1, end, nal => this.#decide(sliceOfH264(memory[nal]!, memory[nal + 1]!)));
    if (type !== 28) return this.#decide(sliceOfH264(memory[at]!, memory[at + 1]!));
    const header = memory[at + 1]!;
    this.#fragment((header & 0x80) !== 0, sliceOfH264(header & 0x1f, memory[at + 2]!));
  }

  #h265(memory: Uint8Array, at: number, end: number): void {
    const type = (memory[at]! >> 1) & 0x3f;
    if (this.#first < 0) this.#first = 0x100 + (type === 48 ? ((memory[at + 4] ?? 0) >> 1) & 0x3f : type);
    if (type === 48) return this.#aggregate(memory, at + 2, end, nal => this.#decide(sliceOfH265(memory[nal]!, memory[nal + 2]!)));
    if (type !== 49) return this.#decide(sliceOfH265(memory[at]!, memory[at + 2]!));
    const header = memory[at + 2]!;
    this.#fragment((header & 0x80) !== 0, sliceOfH265((header & 0x3f) << 1, memory[at + 3]!));
  }

  /** The rest of a slice tells that its begin is missing; that of a long SEI tells nothing. */
  #fragment(isFirst: boolean, slice: Slice | 'parameters' | undefined): void {
    if (isFirst) this.#decide(slice);
    else if (slice !== undefined && slice !== 'parameters') this.#decide('other');
  }

  #aggregate(memory: Uint8Array, from: number, end: number, look: (nal: number) => void): void {
    for (let at = from; at + 5 < end && !this.done; at += 2 + ((memory[at]! << 8) | memory[at + 1]!)) look(at + 2);
  }
}
