/**
 * What comes over one RTSP connection: messages, and between them interleaved frames (RFC 2326 10.12). Every octet is looked at
 * once, and however it is cut the same items come out.
 *
 *   between ──`$`──► frame ──length octets──► between
 *   between ──other──► head ──empty line──► body ──Content-Length octets──► between
 *   head | body ── a limit or a rule broken ──► failed (for ever; the owner closes)
 */
import { toByteString } from '../bytes.ts';
import { MAX_BODY_BYTES, MAX_HEAD_BYTES, type RtspMessage, WRONG_VERSION, contentLength, parseHead } from './message.ts';

export const INTERLEAVED = 0x24;
export const INTERLEAVED_HEADER_BYTES = 4;
const SMALL_BUFFER = 4096;

export interface RtspFrame {
  readonly kind: 'frame';
  readonly channel: number;
  /** Valid until the next `push`. */
  readonly payload: Uint8Array;
}

export type RtspItem = RtspMessage | RtspFrame;

export interface RtspStreamError {
  readonly status: 400 | 413 | 505;
  readonly why: string;
}

export class RtspReader {
  #buffer: Uint8Array = new Uint8Array(0);
  /** The buffer is ours to write to; a chunk of the owner is not. */
  #owned = false;
  #start = 0;
  #end = 0;
  /** How far the end of the head was looked for. */
  #scanned = 0;
  /** Its head has come, its body has not. */
  #head: { readonly message: RtspMessage; readonly bodyBytes: number } | undefined;
  #error: RtspStreamError | undefined;

  /** Why nothing comes any more. */
  get error(): RtspStreamError | undefined {
    return this.#error;
  }

  /** Something has begun and not ended: a timer of the owner should run. */
  get isMidway(): boolean {
    return this.#head !== undefined || this.#end > this.#start;
  }

  /** Takes `chunk` over: the caller must not write to it any more. */
  push(chunk: Uint8Array): RtspItem[] {
    if (this.#error !== undefined) return [];
    this.#append(chunk);
    const items: RtspItem[] = [];
    for (let item = this.#next(); item !== undefined; item = this.#next()) items.push(item);
    return items;
  }

  #append(chunk: Uint8Array): void {
    const left = this.#end - this.#start;
    if (left === 0) {
      // Frames of most chunks are handed out without a copy.
      this.#buffer = chunk;
      this.#owned = false;
      this.#start = 0;
      this.#end = chunk.length;
      this.#scanned = 0;
      return;
    }
    const needed = left + chunk.length;
    if (!this.#owned || this.#start + needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(needed * 2, SMALL_BUFFER));
      grown.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = grown;
      this.#owned = true;
      this.#scanned -= this.#start;
      this.#start = 0;
    }
    this.#buffer.set(chunk, this.#start + left);
    this.#end = this.#start + needed;
  }

  #next(): RtspItem | undefined {
    if (this.#error !== undefined) return undefined;
    if (this.#head !== undefined) return this.#body(this.#head);
    while (this.#start < this.#end && (this.#buffer[this.#start] === 0x0d || this.#buffer[this.#start] === 0x0a)) this.#start += 1;
    if (this.#start === this.#end) return this.#drained();
    return this.#buffer[this.#start] === INTERLEAVED ? this.#frame() : this.#readHead();
  }

  #frame(): RtspItem | undefined {
    const at = this.#start;
    if (this.#end - at < INTERLEAVED_HEADER_BYTES) return undefined;
    const length = (this.#buffer[at + 2]! << 8) | this.#buffer[at + 3]!;
    const from = at + INTERLEAVED_HEADER_BYTES;
    if (this.#end - from < length) return undefined;
    this.#take(INTERLEAVED_HEADER_BYTES + length);
    return { kind: 'frame', channel: this.#buffer[at + 1]!, payload: this.#buffer.subarray(from, from + length) };
  }

  #readHead(): RtspItem | undefined {
    const end = this.#findEmptyLine();
    if (end === undefined) return this.#end - this.#start > MAX_HEAD_BYTES ? this.#fail(413, `a head of more than ${MAX_HEAD_BYTES} octets`) : undefined;
    if (end - this.#start > MAX_HEAD_BYTES) return this.#fail(413, `a head of more than ${MAX_HEAD_BYTES} octets`);
    const parsed = parseHead(toByteString(this.#buffer, this.#start, end));
    if (!parsed.ok) return this.#fail(parsed.error.why === WRONG_VERSION ? 505 : 400, parsed.error.why);
    const length = contentLength(parsed.value);
    if (!length.ok) return this.#fail(400, length.error.why);
    if (length.value > MAX_BODY_BYTES) return this.#fail(413, `a body of more than ${MAX_BODY_BYTES} octets`);
    this.#take(end - this.#start);
    if (length.value === 0) return parsed.value;
    this.#head = { message: parsed.value, bodyBytes: length.value };
    return this.#next();
  }

  #body({ message, bodyBytes }: { readonly message: RtspMessage; readonly bodyBytes: number }): RtspItem | undefined {
    if (this.#end - this.#start < bodyBytes) return undefined;
    const body = this.#buffer.slice(this.#start, this.#start + bodyBytes);
    this.#take(bodyBytes);
    this.#head = undefined;
    return { ...message, body };
  }

  /** One past the empty line behind a head; lines end with LF, CR before it or not. */
  #findEmptyLine(): number | undefined {
    const limit = Math.min(this.#end, this.#start + MAX_HEAD_BYTES + 1);
    for (let at = Math.max(this.#scanned, this.#start); at < limit; at += 1) {
      if (this.#buffer[at] !== 0x0a) continue;
      const before = this.#buffer[at - 1] === 0x0d ? at - 2 : at - 1;
      if (before >= this.#start && this.#buffer[before] === 0x0a) return at + 1;
    }
    this.#scanned = limit;
    return undefined;
  }

  #take(octets: number): void {
    this.#start += octets;
    this.#scanned = this.#start;
  }

  /** A chunk of the owner is not kept. */
  #drained(): undefined {
    this.#buffer = new Uint8Array(0);
    this.#owned = false;
    this.#start = this.#end = this.#scanned = 0;
    return undefined;
  }

  #fail(status: RtspStreamError['status'], why: string): undefined {
    this.#error = { status, why };
    return this.#drained();
  }
}
