/**
 * The small words of RFC 3261 25.1 over byte strings: character classes and a cursor that reads tokens, quoted strings and
 * parameters. Every reader moves forward only, so a header costs its length once.
 *
 * A reader that meets something else answers undefined and leaves the reason in `cursor.why`.
 */

/** Parameters of a header or URI: name in lower case -> value as it stood (unquoted), or null for a flag such as `;rport` or `;lr`. */
export type Params = ReadonlyMap<string, string | null>;

export const NO_PARAMS: Params = new Map();

const TOKEN = 1;
/** What an unquoted parameter value may hold: more than a token, because tags with `@` and bare IPv6 addresses are sent. */
const BARE_VALUE = 2;
/** Unquoted display names: tokens by the RFC; in the field also GB18030 octets, slashes and brackets. */
const DISPLAY = 4;
const DIGIT = 8;
const ALPHA = 16;
const VISIBLE = 32;

const CLASS = classTable();

function classTable(): Uint8Array {
  const table = new Uint8Array(256);
  const add = (flag: number, characters: string): void => {
    for (const character of characters) table[character.charCodeAt(0)]! |= flag;
  };
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const digits = '0123456789';
  const marks = "-.!%*_+`'~";
  add(ALPHA, letters);
  add(DIGIT, digits);
  add(TOKEN, letters + digits + marks);
  for (let octet = 0x21; octet < 0x100; octet++) {
    if (octet === 0x7f) continue;
    if (octet < 0x7f) table[octet]! |= VISIBLE;
    const character = String.fromCharCode(octet);
    if (!';,"<>'.includes(character)) table[octet]! |= BARE_VALUE;
    if (!',;:"<>\\'.includes(character)) table[octet]! |= DISPLAY;
  }
  add(DISPLAY, ' \t\r\n');
  return table;
}

const isAll = (text: string, flag: number): boolean => {
  for (let i = 0; i < text.length; i++) if ((CLASS[text.charCodeAt(i)]! & flag) === 0) return false;
  return text.length > 0;
};

export const isToken = (text: string): boolean => isAll(text, TOKEN);
/** 0x21..0x7E without spaces: Call-IDs, whole URIs. */
export const isVisible = (text: string): boolean => isAll(text, VISIBLE);
export const isDigits = (text: string): boolean => isAll(text, DIGIT);
export const isAlpha = (code: number): boolean => (CLASS[code]! & ALPHA) !== 0;
export const isTokenCode = (code: number): boolean => (CLASS[code]! & TOKEN) !== 0;
export const isLwsCode = (code: number): boolean => code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a;
const isBareValue = (text: string): boolean => isAll(text, BARE_VALUE);

/** Digits as a number of at most `max`; undefined for anything else, so that nothing wraps (RFC 4475 3.1.2.4). */
export function parseDecimal(text: string, max: number): number | undefined {
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
    if (value > max) return undefined;
  }
  return text.length > 0 ? value : undefined;
}

/** Without linear white space at both ends. */
export function trimLws(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isLwsCode(text.charCodeAt(from))) from++;
  while (to > from && isLwsCode(text.charCodeAt(to - 1))) to--;
  return from === 0 && to === text.length ? text : text.slice(from, to);
}

/** A folded value on one line: each line end with the white space around it becomes one space (RFC 3261 7.3.1). */
export function unfold(text: string): string {
  if (!text.includes('\n')) return text;
  return text.split('\n').map(trimLws).filter(part => part !== '').join(' ');
}

/** A quoted-string of RFC 3261 25.1 around any octets. */
export function quote(text: string): string {
  let quoted = '"';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x0d || code === 0x0a) quoted += ' ';
    else if (code === 0x22 || code === 0x5c || code < 0x20 || code === 0x7f) quoted += `\\${text.charAt(i)}`;
    else quoted += text.charAt(i);
  }
  return `${quoted}"`;
}

const escapedIn = (text: string): boolean => text.includes('\\');

/** A position in a header value. */
export class Cursor {
  readonly text: string;
  at: number;
  why = '';

  constructor(text: string, at = 0) {
    this.text = text;
    this.at = at;
  }

  /** Character under the cursor; NaN at the end, which equals nothing. */
  get code(): number {
    return this.text.charCodeAt(this.at);
  }

  is(code: number): boolean {
    return this.text.charCodeAt(this.at) === code;
  }

  get atEnd(): boolean {
    return this.at >= this.text.length;
  }

  refuse(why: string): undefined {
    if (this.why === '') this.why = why;
    return undefined;
  }

  skipLws(): void {
    while (isLwsCode(this.code)) this.at++;
  }

  /** Takes `code` with the white space on both sides of it. */
  takeBetweenLws(code: number): boolean {
    this.skipLws();
    if (!this.is(code)) return false;
    this.at++;
    this.skipLws();
    return true;
  }

  /** May be empty. */
  token(): string {
    return this.#span(TOKEN);
  }

  digits(): string {
    return this.#span(DIGIT);
  }

  bareValue(): string {
    return this.#span(BARE_VALUE);
  }

  displayName(): string {
    return this.#span(DISPLAY);
  }

  #span(flag: number): string {
    const from = this.at;
    const end = this.text.length;
    while (this.at < end && (CLASS[this.text.charCodeAt(this.at)]! & flag) !== 0) this.at++;
    return this.text.slice(from, this.at);
  }

  /** Everything before `code`; undefined when it does not come. */
  until(code: number): string | undefined {
    const end = this.text.indexOf(String.fromCharCode(code), this.at);
    if (end < 0) return undefined;
    const text = this.text.slice(this.at, end);
    this.at = end;
    return text;
  }

  /** A quoted-string with its quotes and backslashes taken off. */
  quoted(): string | undefined {
    const from = ++this.at;
    for (; !this.atEnd; this.at++) {
      if (this.code === 0x5c) this.at++;
      else if (this.code === 0x22) {
        const inner = this.text.slice(from, this.at++);
        return escapedIn(inner) ? unescapeQuoted(inner) : inner;
      }
    }
    return this.refuse('a quoted string does not end');
  }
}

function unescapeQuoted(inner: string): string {
  let text = '';
  for (let i = 0; i < inner.length; i++) {
    if (inner.charCodeAt(i) === 0x5c) i++;
    text += inner.charAt(i);
  }
  return text;
}

const SEMICOLON = 0x3b;
const EQUAL = 0x3d;
const QUOTE = 0x22;

/** *( SEMI generic-param ). Of a parameter that comes twice the first counts. `;name=` with nothing behind is a flag. */
export function readParams(cursor: Cursor): Params | undefined {
  let params: Map<string, string | null> | undefined;
  while (cursor.takeBetweenLws(SEMICOLON)) {
    const name = cursor.token().toLowerCase();
    if (name === '') return cursor.refuse('a parameter without a name');
    let value: string | null | undefined = null;
    if (cursor.takeBetweenLws(EQUAL)) {
      value = cursor.is(QUOTE) ? cursor.quoted() : cursor.bareValue();
      if (value === undefined) return undefined;
      if (value === '') value = null;
    }
    params ??= new Map();
    if (!params.has(name)) params.set(name, value);
  }
  return params ?? NO_PARAMS;
}

/** `;name=value;flag`: quoted where the value needs it. */
export function formatParams(params: Params): string {
  let text = '';
  for (const [name, value] of params) {
    if (value === null) text += `;${name}`;
    else text += isBareValue(value) ? `;${name}=${value}` : `;${name}=${quote(value)}`;
  }
  return text;
}
