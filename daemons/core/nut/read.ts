/**
 * Reads NUT as a stream of bytes cut anywhere: what a transcoder writes. Total and bounded; the first thing that cannot be read ends it
 * (the writer is a child of ours: it is started anew).
 */
import { concatBytes } from '../bytes.ts';
import { type Result, fail, ok } from '../result.ts';
import { type NutFrameCode, type NutStream, readMainHeader, readStreamHeader } from './headers.ts';
import { FLAG, LONG_PACKET_BYTES, NUT_ID, NUT_START, type NutPacket } from './nut.ts';
import { NutCursor } from './cursor.ts';

/** Of one frame: as large as an access unit may be, and a little. */
export const MAX_FRAME_BYTES = 8 * 1024 * 1024;
const MAX_PACKET_BYTES = 1024 * 1024;

export interface NutFrame {
  readonly stream: NutStream;
  /** In ticks of the stream's time base, turned to 90 kHz. */
  readonly pts90k: number;
  readonly keyFrame: boolean;
  readonly bytes: Uint8Array;
}

/** What one push brought; `more`: the bytes so far end inside of something. */
type Step = Result<NutFrame | 'taken' | 'more'>;

export class NutReader {
  readonly #streams = new Map<number, NutStream>();
  readonly #lastPts = new Map<number, number>();
  #codes: readonly NutFrameCode[] = [];
  #elided: readonly Uint8Array[] = [];
  #timeBases: readonly (readonly [number, number])[] = [];
  #rest: Uint8Array = new Uint8Array(0);
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  /** Nothing can be read before so many bytes are there. */
  #need = NUT_ID.length;
  #consumed = 0;
  #begun = false;

  get streams(): readonly NutStream[] {
    return [...this.#streams.values()];
  }

  /** The next bytes; frames that they completed, in order. After a failure nothing more can be read. */
  push(bytes: Uint8Array): Result<readonly NutFrame[]> {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#rest.length + this.#waitingBytes < this.#need) return ok([]);
    const cursor = new NutCursor(concatBytes(this.#rest, ...this.#waiting));
    this.#waiting = [];
    this.#waitingBytes = 0;
    const frames: NutFrame[] = [];
    for (;;) {
      const from = cursor.at;
      const step = this.#step(cursor);
      if (!step.ok) return fail(this.#consumed + step.error.at, step.error.why);
      if (step.value === 'more') {
        this.#consumed += from;
        this.#rest = cursor.bytes.slice(from);
        return ok(frames);
      }
      if (step.value !== 'taken') frames.push(step.value);
    }
  }

  #step(cursor: NutCursor): Step {
    const left = cursor.left;
    this.#need = left + 1;
    if (left === 0) return ok('more');
    if (!this.#begun) return this.#begin(cursor);
    return cursor.bytes[cursor.at] === 0x4e ? this.#packet(cursor) : this.#frame(cursor);
  }

  #begin(cursor: NutCursor): Step {
    if (cursor.left < NUT_ID.length) return ok('more');
    for (let i = 0; i < NUT_ID.length; i++) if (cursor.bytes[cursor.at + i] !== NUT_ID.charCodeAt(i)) return fail(cursor.at, 'not NUT');
    cursor.at += NUT_ID.length;
    this.#begun = true;
    return ok('taken');
  }

  #packet(cursor: NutCursor): Step {
    const from = cursor.at;
    if (cursor.left < 8) return ok('more');
    const high = cursor.uint32();
    const low = cursor.uint32();
    const kind = (Object.keys(NUT_START) as NutPacket[]).find(name => NUT_START[name][0] === high && NUT_START[name][1] === low);
    if (kind === undefined) return fail(from, 'no start code of NUT');
    const length = cursor.number();
    if (length > MAX_PACKET_BYTES) return fail(from, 'packet too long');
    if (length > LONG_PACKET_BYTES) cursor.at += 4;
    const end = cursor.at + length;
    if (cursor.isShort || end > cursor.bytes.length) {
      if (!cursor.isShort) this.#need = end - from;
      cursor.at = from;
      return ok('more');
    }
    const read = this.#payload(kind, new NutCursor(cursor.bytes.subarray(cursor.at, Math.max(cursor.at, end - 4))));
    if (!read.ok) return fail(from, read.error.why);
    cursor.at = end;
    return ok('taken');
  }

  #payload(kind: NutPacket, cursor: NutCursor): Result<null> {
    if (kind === 'main') {
      const header = readMainHeader(cursor);
      if (!header.ok) return header;
      this.#codes = header.value.codes;
      this.#elided = header.value.elided;
      this.#timeBases = header.value.timeBases;
    } else if (kind === 'stream') {
      const stream = readStreamHeader(cursor, this.#timeBases);
      if (!stream.ok) return stream;
      this.#streams.set(stream.value.id, stream.value);
    } else if (kind === 'syncpoint') return this.#syncpoint(cursor);
    return ok(null);
  }

  /** global_key_pts: time stamps of all streams go on from here. */
  #syncpoint(cursor: NutCursor): Result<null> {
    const count = this.#timeBases.length;
    if (count === 0) return fail(0, 'syncpoint before the main header');
    const value = cursor.number();
    const [num, denom] = this.#timeBases[value % count]!;
    const seconds = (Math.floor(value / count) * num) / denom;
    for (const { id, timeBase } of this.#streams.values()) this.#lastPts.set(id, Math.floor((seconds * timeBase[1]) / timeBase[0]));
    return ok(null);
  }

  #frame(cursor: NutCursor): Step {
    const from = cursor.at;
    const header = this.#frameHeader(cursor);
    if (!header.ok) return header;
    if (cursor.isShort) {
      cursor.at = from;
      return ok('more');
    }
    const { stream, pts, bytes: length, prefix, key } = header.value;
    if (cursor.left < length) {
      this.#need = cursor.at - from + length;
      cursor.at = from;
      return ok('more');
    }
    const body = cursor.bytes.subarray(cursor.at, cursor.at + length);
    cursor.at += length;
    this.#lastPts.set(stream.id, pts);
    const pts90k = Math.round((pts * stream.timeBase[0] * 90000) / stream.timeBase[1]);
    return ok({ stream, pts90k, keyFrame: key, bytes: prefix.length === 0 ? body : concatBytes(prefix, body) });
  }

  #frameHeader(cursor: NutCursor): Result<{ readonly stream: NutStream; readonly pts: number; readonly bytes: number; readonly prefix: Uint8Array; readonly key: boolean }> {
    const from = cursor.at;
    const code = this.#codes[cursor.byte()];
    if (code === undefined || (code.flags & FLAG.invalid) !== 0) return fail(from, 'frame code without meaning');
    let { flags } = code;
    if ((flags & FLAG.coded) !== 0) flags ^= cursor.number() & 0x3fff;
    if ((flags & FLAG.sideData) !== 0) return fail(from, 'side data are of a later version');
    const stream = this.#streams.get((flags & FLAG.streamId) !== 0 ? cursor.number() : code.streamId);
    if (stream === undefined && !cursor.isShort) return fail(from, 'frame of no stream');
    const pts = (flags & FLAG.codedPts) !== 0 ? this.#ptsOf(stream, cursor.number()) : (this.#lastPts.get(stream?.id ?? 0) ?? 0) + code.ptsDelta;
    let size = code.sizeLsb + ((flags & FLAG.sizeMsb) !== 0 ? code.sizeMul * cursor.number() : 0);
    if ((flags & FLAG.matchTime) !== 0) cursor.signed();
    let headerIdx = (flags & FLAG.headerIdx) !== 0 ? cursor.number() : code.headerIdx;
    const reserved = (flags & FLAG.reserved) !== 0 ? cursor.number() : code.reserved;
    if (reserved > 256) return fail(from, 'too many reserved fields');
    for (let i = 0; i < reserved; i++) cursor.number();
    if ((flags & FLAG.checksum) !== 0) cursor.uint32();
    if (size > LONG_PACKET_BYTES) headerIdx = 0;
    const prefix = this.#elided[headerIdx];
    size -= prefix?.length ?? 0;
    if (!cursor.isShort && (prefix === undefined || !(size >= 0 && size <= MAX_FRAME_BYTES))) return fail(from, 'size of a frame out of range');
    if (cursor.isShort) return ok({ stream: stream ?? NO_STREAM, pts: 0, bytes: 0, prefix: NO_BYTES, key: false });
    return ok({ stream: stream!, pts, bytes: size, prefix: prefix!, key: (flags & FLAG.key) !== 0 });
  }

  /** Full, or its low bits near the last one of the stream. */
  #ptsOf(stream: NutStream | undefined, coded: number): number {
    if (stream === undefined) return 0;
    const range = 2 ** stream.msbPtsShift;
    if (coded >= range) return coded - range;
    const delta = (this.#lastPts.get(stream.id) ?? 0) - range / 2;
    return ((((coded - delta) % range) + range) % range) + delta;
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_STREAM: NutStream = { id: -1, isVideo: false, fourcc: '', timeBase: [1, 90000], msbPtsShift: 0, config: NO_BYTES, width: 0, height: 0, sampleRateHz: 0, channels: 0 };
