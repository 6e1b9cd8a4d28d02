/**
 * Pictures out of video packets that begin anywhere (ffmpeg, DVD style): the bytes of a picture end where its successor's first NAL unit
 * begins, and a time stamp belongs to the first picture that begins in its packet (ISO/IEC 13818-1 2.4.3.7).
 */
import { type VideoCodec, findStartCode, isVcl, nalType, startsAccessUnit } from '../media/h26x.ts';

/** Packets of 2 KiB in the largest picture. */
const MAX_STAMPS = 4096;
/** NAL header and the first byte of a slice header. */
const LOOK_BYTES = 3;

export interface PacketStamp {
  /** Where its packet begins among the bytes that were not cut off yet. */
  readonly at: number;
  readonly pts90k: number;
  readonly dts90k: number | undefined;
}

export class PictureCutter {
  #stamps: PacketStamp[] = [];
  /** Looked at so far. */
  #from = 0;
  #hasPicture = false;

  /** A packet with a time begins behind `at` bytes. */
  stamp(at: number, pts90k: number, dts90k: number | undefined): void {
    if (this.#stamps.length >= MAX_STAMPS) this.#stamps.shift();
    this.#stamps.push({ at, pts90k, dts90k });
  }

  /** Length of the picture that `bytes` begins with, once the next one begins behind it; -1 before that. */
  cut(codec: VideoCodec, bytes: Uint8Array): number {
    for (let code = findStartCode(bytes, this.#from); code >= 0; code = findStartCode(bytes, this.#from)) {
      const at = code + 3;
      if (at + LOOK_BYTES > bytes.length) {
        this.#from = code;
        return -1;
      }
      const start = code > 0 && bytes[code - 1] === 0 ? code - 1 : code;
      if (this.#hasPicture && startsAccessUnit(codec, bytes, at)) return start;
      this.#hasPicture ||= isVcl(codec, nalType(codec, bytes[at]!));
      this.#from = at;
    }
    this.#from = Math.max(this.#from, bytes.length - 2);
    return -1;
  }

  /** The picture was taken away: the stamp of the next one, which began `length` bytes behind. */
  next(length: number): PacketStamp | undefined {
    const mine = this.#stamps.findLast(stamp => stamp.at > 0 && stamp.at <= length);
    this.#stamps = this.#stamps.filter(stamp => stamp.at > length).map(stamp => ({ ...stamp, at: stamp.at - length }));
    this.#from = 0;
    this.#hasPicture = false;
    return mine;
  }

  reset(): void {
    this.#stamps = [];
    this.#from = 0;
    this.#hasPicture = false;
  }
}
