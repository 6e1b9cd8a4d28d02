/**
 * SIP messages out of a byte stream (RFC 3261 18.3, RFC 5626 4.4.1). Every octet is looked at once, whatever the size of the
 * segments.
 *
 *     idle --CR LF--> idle   (two CRLFs in a row: 'ping')
 *     idle --other--> header --empty line--> body --Content-Length octets--> idle   ('message')
 *     header | body --a rule broken--> failed   ('error'; everything after it is ignored: the owner closes)
 */
import { toByteString } from '../bytes.ts';
import { endOfField } from './fields.ts';
import { parseDecimal, trimLws, unfold } from './grammar.ts';
import { longName } from './headers.ts';
import { MAX_HEAD_OCTETS } from './parse.ts';

/** A catalogue of 10,000 items in one message, over TCP (gb28181.md 2.2), with room. */
export const MAX_BODY_OCTETS = 4 * 1024 * 1024;
/** First allocation, and what an idle connection may keep. */
const SMALL_BUFFER = 4096;

export type FramerOutput =
  /** Octets of one message, ours to keep. Parse them as 'stream-frame'. */
  | { readonly type: 'message'; readonly bytes: Uint8Array }
  /** CRLF CRLF: answer CRLF. Glued ones of a segment count as one. */
  | { readonly type: 'ping' }
  /**
   * The stream cannot be followed any more: close it. With `head` (start line and fields) parseMessage(head, 'stream-frame') says
   * which status to send before.
   */
  | { readonly type: 'error'; readonly why: string; readonly head: Uint8Array | undefined };

export type FramerState = 'idle' | 'header' | 'body' | 'failed';

export class StreamFramer {
  #state: FramerState = 'idle';
  #buffer = new Uint8Array(0);
  #length = 0;
  /** Length of the head with its empty line, known in 'body'. */
  #headLength = 0;
  #bodyLength = 0;
  /** Octets on the line being read, CR not counted. */
  #lineLength = 0;
  #firstLine = true;
  /** Octets of CR LF CR LF seen in 'idle'. */
  #pingOctets = 0;
  #begun = 0;

  /** 'idle': the idle timer runs. 'header': header timer. 'body': message timer. */
  get state(): FramerState {
    return this.#state;
  }

  /** Messages whose first octet has come: tells whether the one under way is still the one a timer was set for. */
  get begun(): number {
    return this.#begun;
  }

  /** Octets of the unfinished message. */
  get pendingBytes(): number {
    return this.#length;
  }

  push(chunk: Uint8Array): FramerOutput[] {
    const outputs: FramerOutput[] = [];
    let pinged = false;
    for (let at = 0; at < chunk.length && this.#state !== 'failed'; ) {
      if (this.#state === 'idle') {
        at = this.#skipLineEnds(chunk, at, () => (pinged = true));
      } else if (this.#state === 'header') {
        at = this.#readHead(chunk, at, outputs);
      } else {
        at = this.#readBody(chunk, at, outputs);
      }
    }
    if (pinged) outputs.push({ type: 'ping' });
    return outputs;
  }

  #skipLineEnds(chunk: Uint8Array, start: number, onPing: () => void): number {
    for (let at = start; at < chunk.length; at++) {
      const octet = chunk[at]!;
      if (octet !== 0x0d && octet !== 0x0a) {
        this.#begin();
        return at;
      }
      this.#pingOctets = octet === (this.#pingOctets % 2 === 0 ? 0x0d : 0x0a) ? this.#pingOctets + 1 : octet === 0x0d ? 1 : 0;
      if (this.#pingOctets === 4) {
        this.#pingOctets = 0;
        onPing();
      }
    }
    return chunk.length;
  }

  #begin(): void {
    this.#state = 'header';
    this.#begun++;
    this.#length = this.#lineLength = this.#pingOctets = 0;
    this.#firstLine = true;
  }

  #readHead(chunk: Uint8Array, start: number, outputs: FramerOutput[]): number {
    for (let at = start; at < chunk.length; at++) {
      const octet = chunk[at]!;
      if (octet === 0x0a) {
        if (this.#lineLength === 0 || this.#firstLine) {
          this.#append(chunk, start, at + 1);
          this.#endOfLine(outputs);
          return at + 1;
        }
        this.#lineLength = 0;
      } else if (octet !== 0x0d) {
        this.#lineLength++;
      }
    }
    this.#append(chunk, start, chunk.length);
    if (this.#length > MAX_HEAD_OCTETS) this.#fail(outputs, 'the header fields are too long', false);
    return chunk.length;
  }

  /** The first line, or the empty one, is complete in the buffer. */
  #endOfLine(outputs: FramerOutput[]): void {
    const isFirst = this.#firstLine;
    this.#firstLine = false;
    this.#lineLength = 0;
    if (this.#length > MAX_HEAD_OCTETS) return this.#fail(outputs, 'the header fields are too long', false);
    if (isFirst) {
      if (!/SIP\/\d/i.test(toByteString(this.#buffer, 0, this.#length))) this.#fail(outputs, 'not SIP', false);
      return;
    }
    const length = contentLength(toByteString(this.#buffer, 0, this.#length));
    if (typeof length === 'string') return this.#fail(outputs, length, true);
    if (length > MAX_BODY_OCTETS) return this.#fail(outputs, 'the body is too long', true);
    this.#headLength = this.#length;
    this.#bodyLength = length;
    this.#state = 'body';
    if (length === 0) this.#deliver(outputs);
  }

  #readBody(chunk: Uint8Array, start: number, outputs: FramerOutput[]): number {
    const wanted = this.#headLength + this.#bodyLength - this.#length;
    const end = Math.min(chunk.length, start + wanted);
    this.#append(chunk, start, end);
    if (end - start === wanted) this.#deliver(outputs);
    return end;
  }

  #deliver(outputs: FramerOutput[]): void {
    outputs.push({ type: 'message', bytes: this.#buffer.slice(0, this.#length) });
    this.#state = 'idle';
    this.#length = 0;
    if (this.#buffer.length > SMALL_BUFFER) this.#buffer = new Uint8Array(0);
  }

  #fail(outputs: FramerOutput[], why: string, withHead: boolean): void {
    outputs.push({ type: 'error', why, head: withHead ? this.#buffer.slice(0, this.#length) : undefined });
    this.#state = 'failed';
    this.#buffer = new Uint8Array(0);
    this.#length = 0;
  }

  /** Doubling keeps the copies linear in the message; what a header promises is not allocated before it comes. */
  #append(chunk: Uint8Array, from: number, to: number): void {
    const needed = this.#length + to - from;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2, SMALL_BUFFER));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk.subarray(from, to), this.#length);
    this.#length = needed;
  }
}

/** The one Content-Length of a head, or why there is none to go by. Two of them, equal or not, end the stream (RFC 4475 3.3.9). */
function contentLength(head: string): number | string {
  const values: string[] = [];
  for (let at = head.indexOf('\n') + 1; at < head.length; at = endOfField(head, at) + 1) {
    const first = head.charAt(at).toLowerCase();
    if (first !== 'c' && first !== 'l') continue;
    const field = head.slice(at, endOfField(head, at));
    const colon = field.indexOf(':');
    const name = longName(trimLws(field.slice(0, Math.max(colon, 0)))).toLowerCase();
    if (name === 'content-length') values.push(trimLws(unfold(field.slice(colon + 1))));
  }
  if (values.length === 0) return 'no Content-Length on a stream';
  if (values.length > 1) return 'Content-Length came twice';
  return parseDecimal(values[0]!, Number.MAX_SAFE_INTEGER) ?? 'not a Content-Length';
}
