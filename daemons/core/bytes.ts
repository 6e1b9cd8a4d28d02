/**
 * Octets and text without TextDecoder. A *byte string* holds one octet a character (0..255): header text, XML prologues and
 * digest input are handled in that form, so nothing is lost before somebody knows the charset.
 */

/** Arguments of one String.fromCharCode call: far below the stack limit of the engine. */
const CHUNK = 4096;
const REPLACEMENT = 0xfffd;

/** Octets [start, end) as a byte string. */
export function toByteString(bytes: Uint8Array, start = 0, end = bytes.length): string {
  if (end - start <= CHUNK) return String.fromCharCode.apply(null, bytes.subarray(start, end) as unknown as number[]);
  let text = '';
  for (let at = start; at < end; at += CHUNK) text += toByteString(bytes, at, Math.min(at + CHUNK, end));
  return text;
}

/** A byte string as octets. A character above 255 is no octet: it becomes `?`. */
export function fromByteString(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  writeByteString(text, bytes, 0);
  return bytes;
}

/** Writes a byte string at `at`; answers the offset behind it. */
export function writeByteString(text: string, into: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    into[at + i] = code > 0xff ? 0x3f : code;
  }
  return at + text.length;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Text as UTF-8. A lone surrogate becomes U+FFFD, as TextEncoder does. */
export function utf8Encode(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 3);
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    let point = text.codePointAt(i)!;
    if (point > 0xffff) i++;
    else if (point >= 0xd800 && point <= 0xdfff) point = REPLACEMENT;
    at = writePoint(point, bytes, at);
  }
  return bytes.slice(0, at);
}

function writePoint(point: number, into: Uint8Array, at: number): number {
  if (point < 0x80) into[at++] = point;
  else if (point < 0x800) {
    into[at++] = 0xc0 | (point >> 6);
    into[at++] = 0x80 | (point & 0x3f);
  } else if (point < 0x10000) {
    into[at++] = 0xe0 | (point >> 12);
    into[at++] = 0x80 | ((point >> 6) & 0x3f);
    into[at++] = 0x80 | (point & 0x3f);
  } else {
    into[at++] = 0xf0 | (point >> 18);
    into[at++] = 0x80 | ((point >> 12) & 0x3f);
    into[at++] = 0x80 | ((point >> 6) & 0x3f);
    into[at++] = 0x80 | (point & 0x3f);
  }
  return at;
}

/** UTF-8 as text; every maximal broken piece becomes one U+FFFD (Unicode 3.9, as the Encoding standard does). */
export function utf8Decode(bytes: Uint8Array): string {
  return decodeUtf8(bytes, true) ?? '';
}

/** UTF-8 as text, or undefined when it is none: the test by which a charset is guessed (gb28181.md 2.5). */
export function utf8DecodeStrict(bytes: Uint8Array): string | undefined {
  return decodeUtf8(bytes, false);
}

/** Stands for every one-octet sequence, so that plain text costs no object a character. */
const ASCII = { point: 0, length: 1 };

function decodeUtf8(bytes: Uint8Array, lenient: boolean): string | undefined {
  let text = '';
  let units: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const octet = bytes[at]!;
    const sequence = octet < 0x80 ? ASCII : readPoint(bytes, at);
    if (sequence.point < 0 && !lenient) return undefined;
    const point = sequence === ASCII ? octet : sequence.point < 0 ? REPLACEMENT : sequence.point;
    if (point > 0xffff) units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
    else units.push(point);
    at += sequence.length;
    if (units.length >= CHUNK) {
      text += String.fromCharCode.apply(null, units);
      units = [];
    }
  }
  return text + String.fromCharCode.apply(null, units);
}

/** Lead octets with their length, the range of the second octet (RFC 3629 4) and their payload mask. */
function leadOf(octet: number): { readonly length: number; readonly low: number; readonly high: number; readonly mask: number } | undefined {
  if (octet >= 0xc2 && octet <= 0xdf) return { length: 2, low: 0x80, high: 0xbf, mask: 0x1f };
  if (octet >= 0xe0 && octet <= 0xef) return { length: 3, low: octet === 0xe0 ? 0xa0 : 0x80, high: octet === 0xed ? 0x9f : 0xbf, mask: 0x0f };
  if (octet >= 0xf0 && octet <= 0xf4) return { length: 4, low: octet === 0xf0 ? 0x90 : 0x80, high: octet === 0xf4 ? 0x8f : 0xbf, mask: 0x07 };
  return undefined;
}

/** One code point of two octets and more, or point -1 with the length of the broken piece. */
function readPoint(bytes: Uint8Array, at: number): { readonly point: number; readonly length: number } {
  const first = bytes[at]!;
  const lead = leadOf(first);
  if (lead === undefined) return { point: -1, length: 1 };
  let point = first & lead.mask;
  for (let i = 1; i < lead.length; i++) {
    const octet = bytes[at + i];
    const low = i === 1 ? lead.low : 0x80;
    const high = i === 1 ? lead.high : 0xbf;
    if (octet === undefined || octet < low || octet > high) return { point: -1, length: i };
    point = (point << 6) | (octet & 0x3f);
  }
  return { point, length: lead.length };
}

const HEX = '0123456789abcdef';

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const octet of bytes) text += HEX[octet >> 4]! + HEX[octet & 15]!;
  return text;
}

/** Octets of an even count of hex digits; undefined for anything else. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const high = HEX.indexOf(text.charAt(2 * i).toLowerCase());
    const low = HEX.indexOf(text.charAt(2 * i + 1).toLowerCase());
    if (high < 0 || low < 0) return undefined;
    bytes[i] = (high << 4) | low;
  }
  return bytes;
}
