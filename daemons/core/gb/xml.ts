/**
 * Bounded pull parser for MANSCDP (gb28181.md 12.1): elements, attributes, text, CDATA. No DTD, no entities but the five and
 * numeric ones. It repairs what cameras write (quirk 18): a `<`, `>` or `&` that is no markup is text, an unclosed tag without
 * children is text, and a broken Item is dropped instead of the message. Names are matched by `key`, in lower case.
 */
import { unescapeXml } from './xml-text.ts';
import { type Result, fail, ok } from '../result.ts';

/** A catalogue of 10,000 items is 7-10 MiB; messages from unknown sources are kept small by SIP before they come here. */
export const MAX_XML_CHARS = 16 * 1024 * 1024;
export const MAX_XML_DEPTH = 16;
export const MAX_XML_ELEMENTS = 600_000;
const MAX_NAME = 64;
const MAX_ATTRIBUTES = 16;
const MAX_ATTRIBUTE_VALUE = 1024;
/** Characters of one element's text. */
const MAX_TEXT = 65_536;
const MAX_REPAIRS = 20_000;
const MAX_KNOWN_NAMES = 512;

export interface XmlElement {
  /** As written. */
  readonly name: string;
  /** Name in lower case. */
  readonly key: string;
  /** Names in lower case, values unescaped and trimmed. */
  readonly attributes: ReadonlyMap<string, string>;
  /** Text directly inside, unescaped and trimmed. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

export interface XmlDocument {
  readonly root: XmlElement;
  /** Places where text was taken for what it was meant to be. */
  readonly repairs: number;
  /** Items that could not be mended. */
  readonly droppedItems: number;
}

export function parseXml(text: string): Result<XmlDocument> {
  if (text.length > MAX_XML_CHARS) return fail(MAX_XML_CHARS, `more than ${MAX_XML_CHARS} characters`);
  const declaration = findDeclaration(text);
  return declaration >= 0 ? fail(declaration, 'DOCTYPE or other declaration') : new Parser(text).run();
}

/** Offset of `<!` that is neither comment nor CDATA: refused before anything is parsed (faults.md 38). */
function findDeclaration(text: string): number {
  for (let at = text.indexOf('<!'); at >= 0; at = text.indexOf('<!', at + 2)) {
    if (!text.startsWith('--', at + 2) && !text.startsWith('[CDATA[', at + 2)) return at;
  }
  return -1;
}

interface Frame {
  readonly name: string;
  readonly key: string;
  readonly attributes: ReadonlyMap<string, string>;
  /** Offset of the open tag and of what follows it. */
  readonly at: number;
  readonly contentAt: number;
  text: string;
  children: XmlElement[];
  damaged: boolean;
}

interface Tag {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly selfClosing: boolean;
  readonly end: number;
}

const NO_CHILDREN: XmlElement[] = [];
const NO_ATTRIBUTES: ReadonlyMap<string, string> = new Map();

class Parser {
  readonly #text: string;
  readonly #stack: Frame[] = [];
  readonly #keys = new Map<string, string>();
  #at = 0;
  #elements = 0;
  #repairs = 0;
  #droppedItems = 0;
  #root: XmlElement | undefined;
  #error: { at: number; why: string } | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  run(): Result<XmlDocument> {
    while (this.#at < this.#text.length && this.#error === undefined) this.#step();
    const open = this.#stack.at(-1);
    if (this.#error === undefined && open !== undefined) this.#stop(this.#text.length, `ends inside ${open.name}`);
    if (this.#error !== undefined) return fail(this.#error.at, this.#error.why);
    if (this.#root === undefined) return fail(0, 'no element');
    return ok({ root: this.#root, repairs: this.#repairs, droppedItems: this.#droppedItems });
  }

  /** Text up to the next `<`, then the markup there. */
  #step(): void {
    const found = this.#text.indexOf('<', this.#at);
    const end = found < 0 ? this.#text.length : found;
    // Before it is unescaped, so that a flood of references costs nothing (faults.md 39).
    if (end - this.#at > MAX_TEXT) return this.#stop(this.#at, `text over ${MAX_TEXT} characters`);
    if (end > this.#at) this.#addText(this.#at, unescapeXml(this.#text.slice(this.#at, end)));
    this.#at = end;
    if (found >= 0 && this.#error === undefined) this.#markup(found);
  }

  #markup(at: number): void {
    switch (this.#text.charCodeAt(at + 1)) {
      case 0x2f:
        return this.#closeTag(at);
      case 0x21:
        return this.#bang(at);
      case 0x3f:
        return this.#skipTo('?>', at);
      default:
        return this.#openTag(at);
    }
  }

  #bang(at: number): void {
    if (this.#text.startsWith('<!--', at)) return this.#skipTo('-->', at);
    const end = this.#text.indexOf(']]>', at + 9);
    if (end < 0) return this.#stop(at, 'CDATA without end');
    this.#addText(at, this.#text.slice(at + 9, end));
    this.#at = end + 3;
  }

  #skipTo(mark: string, at: number): void {
    const end = this.#text.indexOf(mark, at + 2);
    if (end < 0) this.#stop(at, `no ${mark}`);
    else this.#at = end + mark.length;
  }

  #openTag(at: number): void {
    const tag = readTag(this.#text, at);
    if (tag === undefined) return this.#literal(at);
    if (tag === 'too-long') return this.#stop(at, `attributes over ${MAX_ATTRIBUTES} or ${MAX_ATTRIBUTE_VALUE} characters`);
    if (this.#stack.length === 0 && this.#root !== undefined) return this.#stop(at, 'second root element');
    if (this.#stack.length === MAX_XML_DEPTH) return this.#stop(at, `deeper than ${MAX_XML_DEPTH}`);
    if (++this.#elements > MAX_XML_ELEMENTS) return this.#stop(at, `more than ${MAX_XML_ELEMENTS} elements`);
    this.#stack.push({ name: tag.name, key: this.#keyOf(tag.name), attributes: tag.attributes, at, contentAt: tag.end, text: '', children: NO_CHILDREN, damaged: false });
    this.#at = tag.end;
    if (tag.selfClosing) this.#closeTop();
  }

  #closeTag(at: number): void {
    const nameEnd = scanName(this.#text, at + 2);
    const end = skipSpace(this.#text, nameEnd);
    if (nameEnd === at + 2 || this.#text.charCodeAt(end) !== 0x3e) return this.#literal(at);
    const key = this.#keyOf(this.#text.slice(at + 2, nameEnd));
    const index = this.#stack.findLastIndex(frame => frame.key === key);
    if (index < 0) return this.#literal(at);
    while (this.#stack.length - 1 > index && this.#error === undefined) this.#mendUnclosed(index);
    this.#at = end + 1;
    if (this.#error === undefined) this.#closeTop();
  }

  /** The top of the stack has no end tag: without children it was text, otherwise the Item around it is lost. */
  #mendUnclosed(matched: number): void {
    const frame = this.#stack.pop()!;
    const parent = this.#stack.at(-1)!;
    if (++this.#repairs > MAX_REPAIRS) return this.#stop(frame.at, `more than ${MAX_REPAIRS} repairs`);
    if (frame.children.length === 0 && frame.key !== 'item') {
      this.#append(parent, frame.at, this.#text.slice(frame.at, frame.contentAt) + frame.text);
      return;
    }
    if (frame.key === 'item') {
      this.#droppedItems++;
      // Items that follow one without an end tag ended up inside it.
      for (const child of frame.children) if (child.key === 'item') this.#adopt(parent, child);
      return;
    }
    const item = this.#stack.findLast(each => each.key === 'item');
    if (item === undefined) return this.#stop(frame.at, `${frame.name} is not closed before ${this.#stack[matched]!.name}`);
    item.damaged = true;
  }

  #closeTop(): void {
    const frame = this.#stack.pop()!;
    if (frame.damaged) {
      this.#droppedItems++;
      return;
    }
    const element: XmlElement = { name: frame.name, key: frame.key, attributes: frame.attributes, text: frame.text.trim(), children: frame.children };
    const parent = this.#stack.at(-1);
    if (parent === undefined) this.#root = element;
    else this.#adopt(parent, element);
  }

  #adopt(parent: Frame, element: XmlElement): void {
    if (parent.children === NO_CHILDREN) parent.children = [element];
    else parent.children.push(element);
  }

  /** A `<` that begins no tag. */
  #literal(at: number): void {
    if (++this.#repairs > MAX_REPAIRS) return this.#stop(at, `more than ${MAX_REPAIRS} repairs`);
    this.#addText(at, '<');
    this.#at = at + 1;
  }

  #addText(at: number, text: string): void {
    const frame = this.#stack.at(-1);
    if (frame !== undefined) this.#append(frame, at, text);
    else if (!/^[\s\0\uFEFF]*$/.test(text)) this.#stop(at, 'text outside of the root element');
  }

  #append(frame: Frame, at: number, text: string): void {
    if (frame.text.length + text.length > MAX_TEXT) return this.#stop(at, `text over ${MAX_TEXT} characters`);
    frame.text = frame.text === '' ? text : frame.text + text;
  }

  /** Lower case once per name and message. */
  #keyOf(name: string): string {
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const key = name.toLowerCase();
    if (this.#keys.size < MAX_KNOWN_NAMES) this.#keys.set(name, key);
    return key;
  }

  #stop(at: number, why: string): void {
    this.#error ??= { at, why };
  }
}

const isNameStart = (code: number): boolean => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || code === 0x5f;
const isNameChar = (code: number): boolean => isNameStart(code) || (code >= 0x30 && code <= 0x3a) || code === 0x2d || code === 0x2e;
const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d);

/** Offset behind the name at `at`; `at` itself when there is none or it is too long. */
function scanName(text: string, at: number): number {
  if (!isNameStart(text.charCodeAt(at))) return at;
  let end = at + 1;
  while (isNameChar(text.charCodeAt(end))) end++;
  return end - at > MAX_NAME ? at : end;
}

function skipSpace(text: string, at: number): number {
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** An open tag at `at`, or undefined when the `<` there is text. */
function readTag(text: string, at: number): Tag | 'too-long' | undefined {
  const nameEnd = scanName(text, at + 1);
  if (nameEnd === at + 1) return undefined;
  const name = text.slice(at + 1, nameEnd);
  if (text.charCodeAt(nameEnd) === 0x3e) return { name, attributes: NO_ATTRIBUTES, selfClosing: false, end: nameEnd + 1 };
  const attributes = new Map<string, string>();
  for (let here = skipSpace(text, nameEnd); ; ) {
    const code = text.charCodeAt(here);
    if (code === 0x3e) return { name, attributes, selfClosing: false, end: here + 1 };
    if (code === 0x2f) return text.charCodeAt(here + 1) === 0x3e ? { name, attributes, selfClosing: true, end: here + 2 } : undefined;
    const attribute = readAttribute(text, here);
    if (attribute === undefined) return undefined;
    if (attribute === 'too-long' || attributes.size === MAX_ATTRIBUTES) return 'too-long';
    attributes.set(attribute.name, attribute.value);
    here = skipSpace(text, attribute.end);
  }
}

function readAttribute(text: string, at: number): { name: string; value: string; end: number } | 'too-long' | undefined {
  const nameEnd = scanName(text, at);
  const equals = skipSpace(text, nameEnd);
  if (nameEnd === at || text.charCodeAt(equals) !== 0x3d) return undefined;
  const open = skipSpace(text, equals + 1);
  const quote = text.charCodeAt(open);
  if (quote !== 0x22 && quote !== 0x27) return undefined;
  for (let end = open + 1; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === quote) return { name: text.slice(at, nameEnd).toLowerCase(), value: unescapeXml(text.slice(open + 1, end)).trim(), end: end + 1 };
    if (code === 0x3c) return undefined;
    if (end - open > MAX_ATTRIBUTE_VALUE) return 'too-long';
  }
  return undefined;
}

/** First child by lower-case name. */
export const childOf = (element: XmlElement, key: string): XmlElement | undefined => element.children.find(child => child.key === key);

/** Text of the first child by lower-case name; undefined when it is absent or empty. */
export const textOf = (element: XmlElement, key: string): string | undefined => childOf(element, key)?.text || undefined;
