/** Messages of RTMP to chunks (Adobe RTMP 1.0, 5.3): each with a whole header, so that nothing depends on the one before. */
import { concatBytes } from '../bytes.ts';
import { MESSAGE, type RtmpMessage, setChunkSize } from './messages.ts';

const FIRST_CHUNK_BYTES = 128;
/** Most pictures fit one chunk, and go out without being copied. */
export const OUR_CHUNK_BYTES = 65536;
const EXTENDED = 0xffffff;
/** By what it carries; all below 64, so that the basic header is one octet. */
const CHUNK_STREAM: Readonly<Record<number, number>> = { [MESSAGE.audio]: 4, [MESSAGE.video]: 6, [MESSAGE.dataAmf0]: 5, [MESSAGE.commandAmf0]: 3 };
const CONTROL_CHUNK_STREAM = 2;

export class ChunkWriter {
  #chunkBytes = FIRST_CHUNK_BYTES;

  /** Says that larger chunks follow. */
  enlarge(): readonly Uint8Array[] {
    const parts = this.write(setChunkSize(OUR_CHUNK_BYTES));
    this.#chunkBytes = OUR_CHUNK_BYTES;
    return parts;
  }

  /** Parts to be sent in order; those of the body are views of it. */
  write({ type, streamId, timestampMs, body }: RtmpMessage): readonly Uint8Array[] {
    const id = CHUNK_STREAM[type] ?? CONTROL_CHUNK_STREAM;
    const extended = timestampMs >= EXTENDED ? Uint8Array.of(timestampMs >>> 24, timestampMs >>> 16, timestampMs >>> 8, timestampMs) : new Uint8Array(0);
    const field = Math.min(timestampMs, EXTENDED);
    const { length } = body;
    const head = Uint8Array.of(id, field >> 16, field >> 8, field, length >> 16, length >> 8, length, type, streamId, streamId >> 8, streamId >> 16, streamId >> 24);
    const next = concatBytes(Uint8Array.of(0xc0 | id), extended);
    const parts = [concatBytes(head, extended), body.subarray(0, this.#chunkBytes)];
    for (let at = this.#chunkBytes; at < length; at += this.#chunkBytes) parts.push(next, body.subarray(at, at + this.#chunkBytes));
    return parts;
  }
}
