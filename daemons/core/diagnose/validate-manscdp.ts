/** Rules for one MANSCDP body (GB/T 28181-2016 Annex A): its charset, its envelope, its lists. */
import { toByteString } from '../bytes.ts';
import { isCivilCode, isGbId } from '../gb/device-id.ts';
import { type Manscdp, type ManscdpError, parseManscdp } from '../gb/manscdp.ts';
import { type XmlElement, childOf, parseXml } from '../gb/xml.ts';
import type { Result } from '../result.ts';
import type { Rule } from './rule.ts';

const ENVELOPE = 'GB/T 28181-2016 Annex A.2';
const CHARSET = 'GB/T 28181-2016 6.10, 2022 6.10';
const PROLOGUE_BYTES = 160;
/** Elements whose case is looked at: those that every sender writes. */
const SPELLINGS: ReadonlyMap<string, string> = new Map(['CmdType', 'SN', 'DeviceID', 'SumNum', 'DeviceList', 'Item', 'Name', 'Status', 'ParentID', 'RecordList', 'Result'].map(name => [name.toLowerCase(), name]));

export interface DecodedText {
  readonly text: string;
  /** What the octets were. */
  readonly charset: string;
  /** Octets that are no text. */
  readonly replaced: boolean;
}

export interface XmlSubject {
  readonly body: Uint8Array;
  readonly decoded: DecodedText;
  /** In the XML declaration, lower case; undefined: there is none. */
  readonly label: string | undefined;
  readonly hasPrologue: boolean;
  readonly read: Result<Manscdp, ManscdpError>;
  readonly root: XmlElement | undefined;
  /** Repairs that the parser made. */
  readonly repairs: number;
}

export function xmlSubject(body: Uint8Array, decode: (body: Uint8Array) => DecodedText): XmlSubject {
  const decoded = decode(body);
  const head = toByteString(body, 0, Math.min(body.length, PROLOGUE_BYTES)).replace(/^\xef\xbb\xbf/, '').trimStart();
  const document = parseXml(decoded.text);
  return {
    body,
    decoded,
    label: /^<\?xml[^>]*?\sencoding\s*=\s*["']\s*([\w.:-]+)/.exec(head)?.[1]?.toLowerCase(),
    hasPrologue: head.startsWith('<?xml'),
    read: parseManscdp(decoded.text),
    root: document.ok ? document.value.root : undefined,
    repairs: document.ok ? document.value.repairs : 0,
  };
}

const isGb = (charset: string): boolean => charset.startsWith('gb') || charset === 'cp936';
const isAscii = (body: Uint8Array): boolean => body.every(octet => octet < 0x80);

function lyingLabel({ body, decoded, label }: XmlSubject): string | undefined {
  if (label === undefined || isAscii(body)) return undefined;
  if (decoded.replaced) return `octets that are no text in ${label}`;
  return isGb(label) === isGb(decoded.charset) ? undefined : `labelled ${label}, the octets are ${decoded.charset}`;
}

function unreadable({ read }: XmlSubject): string | undefined {
  if (read.ok || /^no (CmdType|SN|DeviceID)/.test(read.error.why)) return undefined;
  return read.error.why;
}

const missing = (what: string) => ({ read }: XmlSubject): string | undefined => (!read.ok && read.error.why === `no ${what}` ? `${read.error.cmdType ?? 'the body'} without ${what}` : undefined);

function badDeviceId({ read }: XmlSubject): string | undefined {
  if (!read.ok || read.value.deviceId === '' || isGbId(read.value.deviceId) || isCivilCode(read.value.deviceId)) return undefined;
  return `DeviceID ${read.value.deviceId}`;
}

function misspelt({ root }: XmlSubject): string | undefined {
  if (root === undefined) return undefined;
  const look = (element: XmlElement): string | undefined => {
    const right = SPELLINGS.get(element.key);
    if (right !== undefined && right !== element.name) return `<${element.name}> for <${right}>`;
    for (const child of element.children) {
      const found = look(child);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return look(root);
}

function listOf({ root }: XmlSubject): { readonly name: string; readonly num: string | undefined; readonly items: readonly XmlElement[] } | undefined {
  const list = root?.children.find(({ key }) => key === 'devicelist' || key === 'recordlist');
  return list && { name: list.name, num: list.attributes.get('num'), items: list.children.filter(({ key }) => key === 'item') };
}

function wrongNum(subject: XmlSubject): string | undefined {
  const list = listOf(subject);
  if (list === undefined) return undefined;
  if (list.num === undefined) return `${list.name} without Num`;
  return Number(list.num) === list.items.length ? undefined : `Num=${list.num}, ${list.items.length} items`;
}

function spacedNum({ decoded }: XmlSubject): string | undefined {
  return /\bNum\s*=\s*["'](\s+\d+\s*|\d+\s+)["']/i.exec(decoded.text)?.[0];
}

function badParents(subject: XmlSubject): readonly string[] {
  if (!subject.read.ok || subject.read.value.body.kind !== 'catalog') return [];
  return (listOf(subject)?.items ?? []).flatMap(item => {
    const id = childOf(item, 'deviceid')?.text ?? '';
    const parent = childOf(item, 'parentid')?.text;
    // ON, OFF, DEL of a notification name the item alone.
    const event = childOf(item, 'event')?.text.toUpperCase();
    const isWhole = childOf(item, 'name') !== undefined && (event === undefined || event === 'ADD' || event === 'UPDATE');
    if (!isWhole || !isGbId(id) || isSystem(id)) return [];
    if (parent === undefined || parent === '') return [`${id} has no ParentID`];
    if (parent === id) return [`${id} is its own parent`];
    const parts = parent.split('/');
    if (parts.some(part => !isGbId(part) && !isCivilCode(part))) return [`${id} has the parent ${parent}`];
    return parts.length > 1 ? [`${id} has several parents: ${parent}`] : [];
  });
}

/** 200 to 299, groups excepted, and the devices that stand at the top: their parent may be left out. */
const isSystem = (id: string): boolean => /^\d{10}(2(?!1[56])\d\d)/.test(id);

export const XML_RULES: readonly Rule<XmlSubject>[] = [
  { id: 'xml-unreadable', clause: ENVELOPE, severity: 'wrong', says: 'a body that is no MANSCDP', broken: unreadable },
  { id: 'xml-stray-markup', clause: 'XML 1.0 2.4', severity: 'wrong', says: 'bare & or < in text', broken: ({ repairs }) => (repairs > 0 ? `${repairs} places` : undefined) },
  { id: 'xml-prologue', clause: CHARSET, severity: 'loose', says: 'no XML declaration: nobody knows the charset', broken: ({ hasPrologue, root }) => (root !== undefined && !hasPrologue ? 'no <?xml ... ?>' : undefined) },
  { id: 'xml-charset', clause: CHARSET, severity: 'wrong', says: 'the octets are not in the charset that is declared', broken: lyingLabel },
  { id: 'xml-cmdtype', clause: ENVELOPE, severity: 'wrong', says: 'no CmdType, or one that no edition knows', broken: subject => missing('CmdType')(subject) ?? (subject.read.ok && !subject.read.value.known ? `CmdType ${subject.read.value.cmdType}` : undefined) },
  { id: 'xml-sn', clause: ENVELOPE, severity: 'wrong', says: 'no SN', broken: missing('SN') },
  { id: 'xml-device-id', clause: ENVELOPE, severity: 'wrong', says: 'no DeviceID, or none of 20 digits', broken: subject => missing('DeviceID')(subject) ?? badDeviceId(subject) },
  { id: 'xml-spelling', clause: ENVELOPE, severity: 'wrong', says: 'element names in another case than the schema', broken: misspelt },
  { id: 'list-num', clause: `${ENVELOPE}.6`, severity: 'wrong', says: 'Num is not the number of items', broken: wrongNum },
  { id: 'list-num-spaces', clause: `${ENVELOPE}.6`, severity: 'loose', says: 'Num with spaces around the number', broken: spacedNum },
  { id: 'parent-id', clause: 'GB/T 28181-2016 Annex O', severity: 'wrong', says: 'ParentID that names no single parent', broken: badParents },
];
