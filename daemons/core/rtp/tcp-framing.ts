/**
 * RTP over a byte stream: two octets of length before every packet (RFC 4571). Real senders also mix in interleaved frames of RTSP
 * (`$`, channel, length; RFC 2326 10.12), empty frames, private headers in front, and stale bytes in the middle (quirks 53-56, 58).
 *
 *   aligned ──header that cannot be one──► seeking ──known SSRC or a pack behind a header──► aligned
 *                                             └── MAX_RESYNC_BYTES without one ──► lost (for ever)
 *
 * Bytes are never copied while a chunk holds whole frames, and memory once handed out is never written again.
 */
import { isRtcp, readUint16, readUint32, RTP_HEADER_BYTES } from './packet.ts';

export const FRAME_LENGTH_BYTES = 2;
export const MAX_FRAME_BYTES = 0xffff;
/** faults.md 4: then the connection is closed. */
const MAX_RESYNC_BYTES = 64 * 1024;
const INTERLEAVED = 0x24;
const INTERLEAVED_BYTES = 4;
const RTP_VERSION = 2;
const RTCP_LEAST_BYTES = 4;
/** A frame seen while seeking: length, RTP header, and the start code of a pack. */
const SEEK_BYTES = RTP_HEADER_BYTES + 4;
const LEAST_CAPACITY = 2048;

export function writeFrameLength(memory: Uint8Array, at: number, length: number): void {
  memory[at] = length >> 8;
  memory[at + 1] = length;
}

/** `frame`: memory, offset and length tell it; `more`: feed; `lost`: close the connection. */
export type FrameStep = 'frame' | 'more' | 'lost';

export class Deframer {
  #end = 0;
  #at = 0;
  /** True when `memory` is ours, with room behind #end that nobody has seen. */
  #owned = false;
  #seeking = false;
  #lost = false;
  #skippedNow = 0;
  #ssrc: number | undefined;
  #payloadType: number | undefined;

  /** The present frame: one RTP or RTCP packet. Stays valid for whoever keeps it. */
  memory: Uint8Array = new Uint8Array(0);
  offset = 0;
  length = 0;

  /** Times that alignment was lost. */
  resyncs = 0;
  skippedBytes = 0;
  /** Frames with the framing of RTSP, and frames with nothing in them. */
  interleavedFrames = 0;
  emptyFrames = 0;

  /** What the stream should carry: a header with neither is no header. Undefined: not known yet. */
  expect(ssrc: number | undefined, payloadType: number | undefined): void {
    this.#ssrc = ssrc;
    this.#payloadType = payloadType;
  }

  /** Takes `chunk` over: the caller must not write to it any more. Call `next` until it answers `more`. */
  feed(chunk: Uint8Array): void {
    const left = this.#end - this.#at;
    if (left === 0) {
      this.memory = chunk;
      this.#owned = false;
      this.#at = 0;
      this.#end = chunk.length;
      return;
    }
    if (!this.#owned || this.#end + chunk.length > this.memory.length) this.#grow(left, left + chunk.length);
    this.memory.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  #grow(left: number, needed: number): void {
    const memory = new Uint8Array(Math.max(LEAST_CAPACITY, 2 * needed));
    memory.set(this.memory.subarray(this.#at, this.#end));
    this.memory = memory;
    this.#owned = true;
    this.#at = 0;
    this.#end = left;
  }

  next(): FrameStep {
    for (;;) {
      if (this.#lost) return 'lost';
      if (this.#seeking && !this.#seek()) return this.#lost ? 'lost' : 'more';
      const available = this.#end - this.#at;
      if (available < FRAME_LENGTH_BYTES) return 'more';
      const prefix = this.#prefixBytes(available);
      if (available < prefix) return 'more';
      const length = readUint16(this.memory, this.#at + prefix - FRAME_LENGTH_BYTES);
      if (length === 0) {
        this.emptyFrames++;
        this.#at += prefix;
        continue;
      }
      if (available < prefix + Math.min(length, RTP_HEADER_BYTES)) return 'more';
      if (!this.#isPacket(this.#at + prefix, length)) {
        this.#loseAlignment();
        continue;
      }
      if (available < prefix + length) return 'more';
      if (prefix === INTERLEAVED_BYTES) this.interleavedFrames++;
      this.offset = this.#at + prefix;
      this.length = length;
      this.#at = this.offset + length;
      return 'frame';
    }
  }

  /** `$` also begins a frame of 9216 to 9471 octets; then a packet follows the two octets at once. */
  #prefixBytes(available: number): number {
    if (this.memory[this.#at] !== INTERLEAVED) return FRAME_LENGTH_BYTES;
    if (available < INTERLEAVED_BYTES) return INTERLEAVED_BYTES;
    return this.memory[this.#at + 2]! >> 6 === RTP_VERSION ? FRAME_LENGTH_BYTES : INTERLEAVED_BYTES;
  }

  #isPacket(at: number, length: number): boolean {
    const { memory } = this;
    if (length < RTP_HEADER_BYTES) return length >= RTCP_LEAST_BYTES && isRtcp(memory, at, length);
    if (memory[at]! >> 6 !== RTP_VERSION) return false;
    if (this.#ssrc === undefined && this.#payloadType === undefined) return true;
    return readUint32(memory, at + 8) === this.#ssrc || (memory[at + 1]! & 0x7f) === this.#payloadType || isRtcp(memory, at, length);
  }

  #loseAlignment(): void {
    this.#seeking = true;
    this.#skippedNow = 0;
    this.resyncs++;
    this.#skip(this.#at + 1);
  }

  /** Moves to the next place that must be a frame; false when there is none yet. */
  #seek(): boolean {
    let at = this.#at;
    for (; at + FRAME_LENGTH_BYTES + SEEK_BYTES <= this.#end; at++) {
      if (!this.#mustBeFrame(at)) continue;
      this.#skip(at);
      this.#seeking = this.#lost;
      return !this.#lost;
    }
    this.#skip(at);
    return false;
  }

  #mustBeFrame(at: number): boolean {
    const { memory } = this;
    const packet = at + FRAME_LENGTH_BYTES;
    const length = readUint16(memory, at);
    if (length < RTP_HEADER_BYTES || memory[packet]! >> 6 !== RTP_VERSION) return false;
    if (this.#payloadType !== undefined && (memory[packet + 1]! & 0x7f) !== this.#payloadType) return false;
    const knownSsrc = this.#ssrc !== undefined && readUint32(memory, packet + 8) === this.#ssrc;
    if (!knownSsrc && readUint32(memory, packet + RTP_HEADER_BYTES) !== 0x000001ba) return false;
    const following = packet + length;
    return following + FRAME_LENGTH_BYTES >= this.#end || memory[following] === INTERLEAVED || memory[following + FRAME_LENGTH_BYTES]! >> 6 === RTP_VERSION;
  }

  #skip(to: number): void {
    this.#skippedNow += to - this.#at;
    this.skippedBytes += to - this.#at;
    this.#at = to;
    if (this.#skippedNow > MAX_RESYNC_BYTES) this.#lost = true;
  }
}
