/**
 * Chunk stream of RTMP to messages (Adobe RTMP 1.0, 5.3). Total and bounded: bytes are cut anywhere, memory grows with what came and
 * never with what was announced, and the first thing that cannot be is the end.
 */
import { MESSAGE, type RtmpMessage, readUint32 } from './messages.ts';

/** An access unit of 4 MiB (fault 72) with its header. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024 + 64;
/** Of all messages that have begun. */
const MAX_OPEN_BYTES = 8 * 1024 * 1024;
const MAX_CHUNK_STREAMS = 32;
/** A message is never longer (its length has three octets); 2^31 is an attack (fault 80). */
const MAX_CHUNK_BYTES = 0xffffff;
const FIRST_CHUNK_BYTES = 128;
const EXTENDED = 0xffffff;
const LEAST_CAPACITY = 4096;
/** Room that is kept after a large chunk. */
const MAX_IDLE_BYTES = 256 * 1024;
const HEADER_BYTES: readonly number[] = [11, 7, 3, 0];

/** What headers of one chunk stream have said; a message takes over what its header leaves out. */
interface Fields {
  readonly length: number;
  readonly type: number;
  readonly streamId: number;
  /** Of the last header with one: a time, or a step. */
  readonly field: number;
  readonly extended: boolean;
  readonly timestampMs: number;
}

interface ChunkStream {
  fields: Fields;
  body: Uint8Array;
  filled: number;
}

interface Header {
  readonly id: number;
  readonly fields: Fields;
  /** Of all headers of the chunk. */
  readonly bytes: number;
}

const NO_FIELDS: Fields = { length: 0, type: 0, streamId: 0, field: 0, extended: false, timestampMs: 0 };

export class ChunkReader {
  #memory: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #chunkBytes = FIRST_CHUNK_BYTES;
  readonly #streams = new Map<number, ChunkStream>();
  #openBytes = 0;
  /** Why nothing is read any more; undefined while all is well. */
  broken: string | undefined;

  /** Copies what it needs. Call `next` until it answers undefined. */
  push(bytes: Uint8Array): void {
    const left = this.#end - this.#at;
    if (left === 0) this.#at = this.#end = 0;
    if (left === 0 && this.#memory.length > MAX_IDLE_BYTES) this.#memory = new Uint8Array(0);
    if (left + bytes.length > this.#memory.length - this.#at) {
      const memory = left + bytes.length > this.#memory.length ? new Uint8Array(Math.max(LEAST_CAPACITY, 2 * (left + bytes.length))) : this.#memory;
      memory.set(this.#memory.subarray(this.#at, this.#end));
      this.#memory = memory;
      this.#at = 0;
      this.#end = left;
    }
    this.#memory.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** The next whole message; undefined: more bytes are needed, or `broken`. Chunk size and abort are acted on here. */
  next(): RtmpMessage | undefined {
    while (this.broken === undefined) {
      const header = this.#header();
      if (header === undefined) return undefined;
      const chunkStream = this.#streams.get(header.id) ?? { fields: NO_FIELDS, body: new Uint8Array(0), filled: 0 };
      const take = Math.min(this.#chunkBytes, header.fields.length - chunkStream.filled);
      // The header is read again together with its chunk.
      if (this.#end - this.#at < header.bytes + take) return undefined;
      chunkStream.fields = header.fields;
      this.#streams.set(header.id, chunkStream);
      const from = this.#at + header.bytes;
      this.#at = from + take;
      this.#fill(chunkStream, from, take);
      if (chunkStream.filled < chunkStream.fields.length) continue;
      const message = this.#finish(chunkStream);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  /** Basic and message header; undefined when it is cut or wrong. Nothing is consumed. */
  #header(): Header | undefined {
    const basic = this.#basic();
    if (basic === undefined) return undefined;
    const { at, id, format } = basic;
    const known = this.#streams.get(id);
    const behind = at + HEADER_BYTES[format]!;
    if (behind > this.#end) return undefined;
    // librtmp begins the chunk stream of its control messages without a stream ID, that is with format 1.
    if (known === undefined && format > 1) return this.#break('a chunk stream begins without a whole header');
    if (known === undefined && this.#streams.size >= MAX_CHUNK_STREAMS) return this.#break('too many chunk streams');
    if (known !== undefined && known.filled > 0 && format !== 3) return this.#break('a message begins inside of another');
    const extendedBytes = this.#extendedBytes(format, at, known?.fields);
    if (behind + extendedBytes > this.#end) return undefined;
    const fields = this.#fields(format, at, extendedBytes > 0, known);
    if (fields.length > MAX_MESSAGE_BYTES) return this.#break('a message is too long');
    return { id, fields, bytes: behind + extendedBytes - this.#at };
  }

  /** 5.3.1.1: one to three octets. */
  #basic(): { readonly at: number; readonly id: number; readonly format: number } | undefined {
    const first = this.#at < this.#end ? this.#memory[this.#at]! : undefined;
    if (first === undefined) return undefined;
    const short = first & 0x3f;
    const bytes = short === 0 ? 2 : short === 1 ? 3 : 1;
    if (this.#at + bytes > this.#end) return undefined;
    const id = short > 1 ? short : 64 + this.#memory[this.#at + 1]! + (short === 1 ? 256 * this.#memory[this.#at + 2]! : 0);
    return { at: this.#at + bytes, id, format: first >> 6 };
  }

  /**
   * 5.3.1.3. Behind a header of format 3 the specification wants it repeated, and some senders leave it out: it is there when the
   * octets are those of the header before.
   */
  #extendedBytes(format: number, at: number, known: Fields | undefined): number {
    if (format !== 3) return this.#uint24(at) === EXTENDED ? 4 : 0;
    if (known?.extended !== true) return 0;
    if (at + 4 > this.#end) return 4;
    return readUint32(this.#memory, at) === known.field ? 4 : 0;
  }

  #fields(format: number, at: number, hasExtended: boolean, known: ChunkStream | undefined): Fields {
    const before = known?.fields ?? NO_FIELDS;
    const extended = format === 3 ? before.extended : hasExtended;
    const field = format === 3 ? before.field : hasExtended ? readUint32(this.#memory, at + HEADER_BYTES[format]!)! : this.#uint24(at);
    // A message that begins with format 3 takes the same step again, even behind a whole header (5.3.1.2.4).
    const stepped = format === 0 ? field : (before.timestampMs + field) % 2 ** 32;
    return {
      length: format < 2 ? this.#uint24(at + 3) : before.length,
      type: format < 2 ? this.#memory[at + 6]! : before.type,
      streamId: format === 0 ? readLittleEndian(this.#memory, at + 7) : before.streamId,
      field,
      extended,
      timestampMs: (known?.filled ?? 0) > 0 ? before.timestampMs : stepped,
    };
  }

  #fill(chunkStream: ChunkStream, from: number, count: number): void {
    const needed = chunkStream.filled + count;
    if (needed > chunkStream.body.length) {
      const body = new Uint8Array(Math.min(chunkStream.fields.length, Math.max(needed, 2 * chunkStream.body.length)));
      body.set(chunkStream.body.subarray(0, chunkStream.filled));
      chunkStream.body = body;
    }
    chunkStream.body.set(this.#memory.subarray(from, from + count), chunkStream.filled);
    chunkStream.filled = needed;
    this.#openBytes += count;
    if (this.#openBytes > MAX_OPEN_BYTES) this.#break('too much is begun and not ended');
  }

  #finish(chunkStream: ChunkStream): RtmpMessage | undefined {
    const { fields, body } = chunkStream;
    const { type, streamId, timestampMs, length } = fields;
    this.#drop(chunkStream);
    if (type === MESSAGE.setChunkSize) return this.#setChunkSize(body);
    if (type === MESSAGE.abort) return this.#abort(body);
    return { type, streamId, timestampMs, body: body.subarray(0, length) };
  }

  #setChunkSize(body: Uint8Array): undefined {
    const size = readUint32(body, 0);
    if (size === undefined || size < 1 || size > MAX_CHUNK_BYTES) return this.#break('a chunk size that cannot be');
    this.#chunkBytes = size;
    return undefined;
  }

  #abort(body: Uint8Array): undefined {
    const chunkStream = this.#streams.get(readUint32(body, 0) ?? -1);
    if (chunkStream !== undefined) this.#drop(chunkStream);
    return undefined;
  }

  #drop(chunkStream: ChunkStream): void {
    this.#openBytes -= chunkStream.filled;
    chunkStream.filled = 0;
    chunkStream.body = new Uint8Array(0);
  }

  #uint24(at: number): number {
    return (this.#memory[at]! << 16) | (this.#memory[at + 1]! << 8) | this.#memory[at + 2]!;
  }

  #break(why: string): undefined {
    this.broken = why;
    return undefined;
  }
}

const readLittleEndian = (bytes: Uint8Array, at: number): number => (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
