/** Action Message Format 0: commands and metadata of RTMP and FLV (AMF 0 Specification, 2.1 to 2.18). Total and bounded. */
import { concatBytes, utf8Decode, utf8Encode } from '../bytes.ts';
import { type Result, fail, ok } from '../result.ts';

/** fault 80. */
const MAX_DEPTH = 16;
const MAX_VALUES = 1024;
const MAX_STRING_BYTES = 65536;

/** Objects keep their order. Dates are numbers (milliseconds), typed objects plain ones, `undefined` is null. */
export type AmfValue = number | boolean | string | null | AmfObject | readonly AmfValue[];
export type AmfObject = ReadonlyMap<string, AmfValue>;

/** Written as ECMA array (marker 8), as onMetaData is; read as any object. */
export class EcmaArray extends Map<string, AmfValue> {}

const NUMBER = 0;
const BOOLEAN = 1;
const STRING = 2;
const OBJECT = 3;
const NULL = 5;
const UNDEFINED = 6;
const ECMA_ARRAY = 8;
const OBJECT_END = 9;
const STRICT_ARRAY = 10;
const DATE = 11;
const LONG_STRING = 12;
const UNSUPPORTED = 13;
const XML_DOCUMENT = 15;
const TYPED_OBJECT = 16;

/** All values of a message, in order. */
export function parseAmf0(bytes: Uint8Array): Result<readonly AmfValue[]> {
  const reader = new Amf0Reader(bytes);
  const values: AmfValue[] = [];
  while (!reader.atEnd) {
    const value = reader.value(0);
    if (value === undefined) return fail(reader.at, reader.why);
    values.push(value);
  }
  return ok(values);
}

class Amf0Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #left = MAX_VALUES;
  at = 0;
  why = 'cut';

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  /** Undefined: not readable, see `why`. */
  value(depth: number): AmfValue | undefined {
    if (depth > MAX_DEPTH) return this.#fail('nested too deep');
    if (--this.#left < 0) return this.#fail('too many values');
    if (!this.#has(1)) return undefined;
    const marker = this.#bytes[this.at++]!;
    switch (marker) {
      case NUMBER:
        return this.#number();
      case BOOLEAN:
        return this.#has(1) ? this.#bytes[this.at++] !== 0 : undefined;
      case STRING:
        return this.#string(this.#length(2));
      case LONG_STRING:
      case XML_DOCUMENT:
        return this.#string(this.#length(4));
      case NULL:
      case UNDEFINED:
      case UNSUPPORTED:
        return null;
      case DATE:
        return this.#date();
      case STRICT_ARRAY:
        return this.#array(depth);
      default:
        return this.#structure(marker, depth);
    }
  }

  #structure(marker: number, depth: number): AmfObject | undefined {
    if (marker === TYPED_OBJECT && this.#string(this.#length(2)) === undefined) return undefined;
    // The count of an ECMA array is a hint: encoders write 0 (2.10).
    if (marker === ECMA_ARRAY && this.#length(4) === undefined) return undefined;
    if (marker !== OBJECT && marker !== ECMA_ARRAY && marker !== TYPED_OBJECT) return this.#fail('unknown marker');
    const entries = new Map<string, AmfValue>();
    for (;;) {
      const name = this.#string(this.#length(2));
      if (name === undefined) return undefined;
      if (name === '' && this.#bytes[this.at] === OBJECT_END) {
        this.at++;
        return entries;
      }
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      entries.set(name, value);
    }
  }

  #array(depth: number): readonly AmfValue[] | undefined {
    const count = this.#length(4);
    if (count === undefined) return undefined;
    if (count > this.#left) return this.#fail('too many values');
    const values: AmfValue[] = [];
    for (let i = 0; i < count; i++) {
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      values.push(value);
    }
    return values;
  }

  #number(): number | undefined {
    if (!this.#has(8)) return undefined;
    this.at += 8;
    return this.#view.getFloat64(this.at - 8);
  }

  #date(): number | undefined {
    const value = this.#number();
    if (!this.#has(2)) return undefined;
    this.at += 2;
    return value;
  }

  #length(octets: 2 | 4): number | undefined {
    if (!this.#has(octets)) return undefined;
    const value = octets === 2 ? this.#view.getUint16(this.at) : this.#view.getUint32(this.at);
    this.at += octets;
    return value;
  }

  #string(length: number | undefined): string | undefined {
    if (length === undefined) return undefined;
    if (length > MAX_STRING_BYTES) return this.#fail('string too long');
    if (!this.#has(length)) return undefined;
    this.at += length;
    return utf8Decode(this.#bytes.subarray(this.at - length, this.at));
  }

  #has(octets: number): boolean {
    return this.at + octets <= this.#bytes.length;
  }

  #fail(why: string): undefined {
    this.why = why;
    return undefined;
  }
}

export function writeAmf0(...values: readonly AmfValue[]): Uint8Array {
  return concatBytes(...values.map(writeValue));
}

function writeValue(value: AmfValue): Uint8Array {
  if (value === null) return Uint8Array.of(NULL);
  if (typeof value === 'number') return writeNumber(value);
  if (typeof value === 'boolean') return Uint8Array.of(BOOLEAN, value ? 1 : 0);
  if (typeof value === 'string') return writeString(value);
  if (isObject(value)) {
    const head = value instanceof EcmaArray ? concatBytes(Uint8Array.of(ECMA_ARRAY), uint32(value.size)) : Uint8Array.of(OBJECT);
    return concatBytes(head, ...[...value].flatMap(([name, item]) => [shortString(name), writeValue(item)]), Uint8Array.of(0, 0, OBJECT_END));
  }
  return concatBytes(Uint8Array.of(STRICT_ARRAY), uint32(value.length), ...value.map(writeValue));
}

export const isObject = (value: AmfValue | undefined): value is AmfObject => value instanceof Map;

const uint32 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);

function writeNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  new DataView(bytes.buffer).setFloat64(1, value);
  return bytes;
}

/** Text longer than a length of two octets can say is cut. */
function shortString(text: string): Uint8Array {
  const bytes = utf8Encode(text).subarray(0, 0xffff);
  return concatBytes(Uint8Array.of(bytes.length >> 8, bytes.length), bytes);
}

function writeString(text: string): Uint8Array {
  return concatBytes(Uint8Array.of(STRING), shortString(text));
}
