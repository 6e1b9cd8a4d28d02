/**
 * Bodies between octets and text (gb28181.md 2.5): every GB label is read as GB 18030, the superset; a label that lies is seen
 * through; nothing throws.
 */
import iconv from 'iconv-lite';
import { toByteString } from '#core/bytes.ts';
import type { Charset } from '#core/gb/dialect.ts';

export interface DecodedBody {
  readonly text: string;
  /** What the octets were: gb2312 and gb18030 are told apart by the label only. */
  readonly charset: Charset;
  /** Broken octets became U+FFFD. */
  readonly replaced: boolean;
}

/** Where an XML declaration is looked for. */
const PROLOGUE_BYTES = 128;
/** Sequences that decide whether octets are damaged UTF-8. */
const LOOKED_AT = 256;
const LABEL = /^[\s\0]*<\?xml[^>]*?\sencoding\s*=\s*["']\s*([A-Za-z0-9_.:-]{1,32})\s*["']/;

const LABELS: ReadonlyMap<string, Charset> = new Map([
  ['gb2312', 'gb2312'],
  ['gbk', 'gb2312'],
  ['gb_2312-80', 'gb2312'],
  ['cp936', 'gb2312'],
  ['gb18030', 'gb18030'],
  ['gb18030-2000', 'gb18030'],
  ['utf-8', 'utf-8'],
  ['utf8', 'utf-8'],
]);

const UTF8_STRICT = new TextDecoder('utf-8', { fatal: true });
const UTF8 = new TextDecoder('utf-8');
const GB_STRICT = new TextDecoder('gb18030', { fatal: true });
const GB = new TextDecoder('gb18030');

/** `override`: the operator's word about a peer, believed without looking at the label. */
export function decodeBody(bytes: Uint8Array, { override }: { override?: Charset | undefined } = {}): DecodedBody {
  if (isAscii(bytes)) return { text: UTF8.decode(bytes), charset: override ?? labelOf(bytes) ?? 'utf-8', replaced: false };
  if (override !== undefined) return decodeAs(bytes, override);
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return decodeAs(bytes, 'utf-8');
  const label = labelOf(bytes);
  const gb: Charset = label === 'gb18030' ? 'gb18030' : 'gb2312';
  const asUtf8 = strict(UTF8_STRICT, bytes);
  const asGb = strict(GB_STRICT, bytes);
  if (asUtf8 !== undefined && (asGb === undefined || label === 'utf-8' || readsBetterAsUtf8(asUtf8, asGb))) return { text: asUtf8, charset: 'utf-8', replaced: false };
  if (asUtf8 === undefined && looksLikeBrokenUtf8(bytes) && (asGb === undefined || label === 'utf-8' || readsBetterAsUtf8(UTF8.decode(bytes), asGb))) return decodeAs(bytes, 'utf-8');
  return asGb === undefined ? decodeAs(bytes, gb) : { text: asGb, charset: gb, replaced: false };
}

function decodeAs(bytes: Uint8Array, charset: Charset): DecodedBody {
  const text = (charset === 'utf-8' ? UTF8 : GB).decode(bytes);
  return { text, charset, replaced: text.includes('\uFFFD') };
}

function strict(decoder: typeof UTF8, bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function isAscii(bytes: Uint8Array): boolean {
  for (const octet of bytes) if (octet >= 0x80) return false;
  return true;
}

function labelOf(bytes: Uint8Array): Charset | undefined {
  const head = toByteString(bytes, 0, Math.min(PROLOGUE_BYTES, bytes.length));
  return LABELS.get(LABEL.exec(head)?.[1]?.toLowerCase() ?? '');
}

/**
 * Octets that read well both ways: the reading with more of the 3,755 everyday characters (level 1 of GB 2312) wins, and the label
 * when neither has. Read the wrong way, everyday text becomes rare characters.
 */
function readsBetterAsUtf8(utf8: string, gb: string): boolean {
  return everydayShare(utf8) > everydayShare(gb);
}

/** Among what is not ASCII. */
function everydayShare(text: string): number {
  const bytes = iconv.encode(text, 'gb18030');
  let all = 0;
  let everyday = 0;
  for (let at = 0; at < bytes.length; at++) {
    const lead = bytes[at]!;
    if (lead < 0x80) continue;
    const trail = bytes[at + 1] ?? 0;
    all++;
    if (lead >= 0xb0 && lead <= 0xd7 && trail >= 0xa1) everyday++;
    at += trail >= 0x30 && trail <= 0x39 ? 3 : 1;
  }
  return all === 0 ? 0 : everyday / all;
}

/** More whole three-octet sequences than broken places among the first ones: UTF-8 with a damaged tail rather than GB. */
function looksLikeBrokenUtf8(bytes: Uint8Array): boolean {
  let whole = 0;
  let broken = 0;
  for (let at = 0; at < bytes.length && whole + broken < LOOKED_AT; ) {
    const lead = bytes[at]!;
    const length = lead < 0x80 ? 1 : (lead & 0xe0) === 0xc0 ? 2 : (lead & 0xf0) === 0xe0 ? 3 : 4;
    let seen = 1;
    while (seen < length && (bytes[at + seen]! & 0xc0) === 0x80) seen++;
    if (lead >= 0x80 && seen < length) broken++;
    else if (length === 3) whole++;
    at += seen;
  }
  return whole > broken;
}

const LABEL_TEXT: Readonly<Record<Charset, string>> = { gb2312: 'GB2312', gb18030: 'GB18030', 'utf-8': 'UTF-8' };
const PROLOGUE = /^\s*<\?xml[^>]{0,256}\?>\s*/;

/**
 * XML text as octets, with a prologue whose label matches. Under the GB2312 label the octets are GB 18030 too: the same for
 * every GBK character, and what GBK lacks survives at peers that decode the superset.
 */
export function encodeBody(text: string, charset: Charset): Uint8Array {
  const labelled = prologue(charset) + text.replace(PROLOGUE, '');
  return iconv.encode(labelled, charset === 'utf-8' ? 'utf8' : 'gb18030');
}

function prologue(charset: Charset): string {
  return `<?xml version="1.0" encoding="${LABEL_TEXT[charset]}"?>\r\n`;
}
