/**
 * What an RTP payload really is, from its first bytes, and which codecs its program stream map names (quirk 52; gb28181.md 6.6).
 * For reports only: nothing is refused for it. It looks until it knows, then no more.
 */
import { readPsm } from '../ps/psm.ts';
import { codecOf, isAudioId, isVideoId, START_CODE } from '../ps/stream-types.ts';
import type { PayloadKind } from './payload-kind.ts';
import { PictureLook } from './picture-look.ts';

export type { PayloadKind } from './payload-kind.ts';

/** Packets looked at before an answer that is not `ps` stands, and before the search for a PSM is given up. */
const UNDECIDED_PACKETS = 2000;
const PSM_PACKETS = 20_000;
/** profile_idc (ITU-T H.264 annex A, G, H). */
const H264_PROFILES: ReadonlySet<number> = new Set([44, 66, 77, 83, 86, 88, 100, 110, 118, 122, 128, 138, 244]);
const PACK_HEADER_BYTES = 14;

const isStartCode = (memory: Uint8Array, at: number, code: number): boolean => memory[at] === 0 && memory[at + 1] === 0 && memory[at + 2] === 1 && memory[at + 3] === code;

export const beginsPack = (memory: Uint8Array, offset: number, length: number): boolean => length >= 4 && isStartCode(memory, offset, START_CODE.pack);

/** Offset behind the pack header at `offset`, its stuffing included (MPEG-1 packs are two bytes shorter). */
function afterPackHeader(memory: Uint8Array, offset: number): number {
  if (memory[offset + 4]! >> 4 === 2) return offset + 12;
  return offset + PACK_HEADER_BYTES + (memory[offset + 13]! & 7);
}

/** One for all: a packet is looked into before the next one is. */
const glance = new PictureLook();

/**
 * True when a picture can begin to be shown here: a pack with the first slice of an H.264 or H.265 key picture, or with parameter sets,
 * or with system header or PSM and no other slice; the same as RTP payloads of their own. A sink that lost packets goes on here.
 * `kind` as the probe found it: the bytes alone do not tell.
 */
export function beginsKeyPicture(kind: PayloadKind | null, memory: Uint8Array, offset: number, length: number): boolean {
  const elementary = kind === 'h264' || kind === 'h265';
  if (!elementary && !beginsPack(memory, offset, length)) return false;
  glance.begin();
  glance.feed(elementary ? kind : 'ps', memory, offset, length);
  const { seen } = glance;
  return seen === 'key' || seen === 'parameters' || seen === 'headers';
}

/** Something that stands by itself begins with this packet: a pack, a PES packet, a map; in elementary streams any packet may be that. */
export function beginsUnit(kind: PayloadKind | null, memory: Uint8Array, offset: number, length: number): boolean {
  if (kind === 'h264' || kind === 'h265') return true;
  if (length < 4 || memory[offset] !== 0 || memory[offset + 1] !== 0 || memory[offset + 2] !== 1) return false;
  const id = memory[offset + 3]!;
  return (id >= START_CODE.pack && id <= START_CODE.privateStream1) || isAudioId(id) || isVideoId(id);
}

/** What begins with this packet is no further part of the picture before it: a pack, or a PES packet without video. */
export const isBesidePicture = (kind: PayloadKind | null, memory: Uint8Array, offset: number, length: number): boolean =>
  kind === 'ps' && beginsUnit(kind, memory, offset, length) && !isVideoId(memory[offset + 3]!);

/** A picture begins here, shown by itself or not; for streams whose packs nobody marks. */
export const beginsPicture = (kind: PayloadKind | null, memory: Uint8Array, offset: number, length: number): boolean =>
  beginsPack(memory, offset, length) || beginsKeyPicture(kind, memory, offset, length);

/** First NAL unit header: behind an Annex B start code, or the payload's first byte (RFC 6184, 7798). -1 when there is no room for one. */
function nalOffset(memory: Uint8Array, offset: number, length: number): number {
  if (length < 4) return -1;
  let zeros = 0;
  while (zeros < 3 && memory[offset + zeros] === 0) zeros++;
  const nal = zeros >= 2 && memory[offset + zeros] === 1 ? offset + zeros + 1 : offset;
  return nal + 2 < offset + length ? nal : -1;
}

/** Only parameter sets tell: any first byte would do for a slice, and audio has all of them. */
function kindOfNal(memory: Uint8Array, offset: number, length: number): PayloadKind {
  const nal = nalOffset(memory, offset, length);
  if (nal < 0 || nal + 4 > offset + length) return 'unknown';
  const [first, second, third, fourth] = [memory[nal]!, memory[nal + 1]!, memory[nal + 2]!, memory[nal + 3]!];
  if (first === 0x40 && second === 1 && third >> 2 === 3) return 'h265';
  if (first === 0x42 && second === 1 && third >> 4 === 0 && (third & 1) === 1) return 'h265';
  if ((first & 0x9f) === 7 && (first & 0x60) !== 0 && H264_PROFILES.has(second) && (third & 3) === 0 && fourth >= 9 && fourth <= 62) return 'h264';
  return 'unknown';
}

export class PayloadProbe {
  #kind: PayloadKind | null = null;
  #looked = 0;
  codecs: readonly string[] = [];
  /** Nothing more to learn: `look` need not be called. */
  settled = false;

  /** Null before the first packet. */
  get kind(): PayloadKind | null {
    return this.#kind;
  }

  /** RTP payloads of one NAL unit each: they cannot be cut anywhere. */
  get isElementary(): boolean {
    return this.#kind === 'h264' || this.#kind === 'h265';
  }

  /** The camera restarted: what it sends may have changed. */
  restart(): void {
    this.#looked = 0;
    this.settled = false;
  }

  look(memory: Uint8Array, offset: number, length: number): void {
    this.#looked++;
    if (beginsPack(memory, offset, length)) {
      this.#kind = 'ps';
      this.#readMap(memory, offset, length);
    } else if (this.#kind === null || this.#kind === 'unknown' || this.#looked === 1) this.#kind = kindOfNal(memory, offset, length);
    this.settled ||= this.#looked >= (this.#kind === 'ps' ? PSM_PACKETS : UNDECIDED_PACKETS);
  }

  #readMap(memory: Uint8Array, offset: number, length: number): void {
    const end = offset + length;
    let at = afterPackHeader(memory, offset);
    if (at + 6 <= end && isStartCode(memory, at, START_CODE.systemHeader)) at += 6 + ((memory[at + 4]! << 8) | memory[at + 5]!);
    if (at + 6 > end || !isStartCode(memory, at, START_CODE.programStreamMap)) return;
    const length16 = (memory[at + 4]! << 8) | memory[at + 5]!;
    const map = readPsm(memory.subarray(at, Math.min(end, at + 6 + length16)));
    if (!map.ok) return;
    this.codecs = map.value.streams.map(stream => codecOf(stream.streamType));
    this.settled = true;
  }
}
