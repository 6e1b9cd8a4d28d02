/**
 * RecordInfo (gb28181.md 3.7): the question, the list that a device sends in parts, and the parts that we send upward (A.7).
 * Devices count wrongly, repeat themselves and write times in their own way (quirks 31-35); a FilePath is an opaque string
 * (faults.md 48).
 */
import { SharedText } from './catalog-item.ts';
import { type Charset, PROLOGUE_BYTES, encodedLength } from './dialect.ts';
import { formatGbTime, parseGbTime } from './gb-time.ts';
import { type Head, buildManscdp } from './manscdp-write.ts';
import { type XmlElement, childOf, textOf } from './xml.ts';
import { xmlText } from './xml-text.ts';

export const MAX_RECORDS = 10_000;
const MAX_TEXT = 1024;
/** Characters of all recordings of one answer. */
const MAX_CHARS = 4 * 1024 * 1024;
const MAX_SUM = 999_999;

/** Without RecorderID: it is the ID of a device below, which is nobody's business above (faults.md 5, rule 5). */
const ITEM_FIELDS = ['Name', 'FilePath', 'Address', 'StartTime', 'EndTime', 'Secrecy', 'Type', 'FileSize', 'RecordLocation', 'StreamNumber'] as const;
const QUERY_FIELDS = ['StartTime', 'EndTime', 'FilePath', 'Address', 'Secrecy', 'Type', 'IndistinctQuery', 'StreamNumber', 'AlarmMethod', 'AlarmType'] as const;
const TIMES: ReadonlySet<string> = new Set(['StartTime', 'EndTime']);

/** One recording without its DeviceID, which is that of the question. Times are in the standard's form if they could be read. */
export type RecordItem = Readonly<Partial<Record<(typeof ITEM_FIELDS)[number], string>>>;

export interface RecordPart {
  /** Of the camera. */
  readonly name: string | undefined;
  /** Total over all parts as declared; undefined when unreadable. */
  readonly sumNum: number | undefined;
  readonly items: readonly RecordItem[];
}

/** Content of the Query in schema order; a sentence when it has no span of time. */
export function readRecordQuery(element: XmlElement): { readonly content: string } | string {
  for (const field of TIMES) if (parseGbTime(textOf(element, field.toLowerCase()) ?? '') === undefined) return `no ${field}`;
  const lines = QUERY_FIELDS.map(field => xmlText(field, fieldOf(element, field))).filter(line => line !== '');
  return { content: lines.map(line => `${line}\r\n`).join('') };
}

/** One message of a device. A list that is missing is an empty one (quirk 34). */
export function readRecordPart(element: XmlElement): RecordPart {
  const sum = textOf(element, 'sumnum');
  const shared = new SharedText();
  const items = (childOf(element, 'recordlist')?.children ?? []).filter(({ key }) => key === 'item').map(item => readItem(item, shared));
  return { name: textOf(element, 'name')?.slice(0, MAX_TEXT), sumNum: sum !== undefined && /^\d{1,6}$/.test(sum) ? Math.min(Number(sum), MAX_SUM) : undefined, items };
}

function readItem(element: XmlElement, shared: SharedText): RecordItem {
  const item: { -readonly [field in keyof RecordItem]: string } = {};
  for (const field of ITEM_FIELDS) {
    const text = fieldOf(element, field);
    if (text !== undefined) item[field] = shared.share(text);
  }
  return item;
}

function fieldOf(element: XmlElement, field: string): string | undefined {
  const text = textOf(element, field.toLowerCase())?.slice(0, MAX_TEXT);
  const time = text !== undefined && TIMES.has(field) ? parseGbTime(text) : undefined;
  return time === undefined ? text : formatGbTime(time);
}

/** Parts of one answer put together: each recording once, in the order of time. */
export class RecordList {
  readonly #items = new Map<string, RecordItem>();
  #arrived = 0;
  #chars = 0;
  #expected: number | undefined;
  #name: string | undefined;

  add({ name, sumNum, items }: RecordPart): void {
    this.#name ??= name;
    if (sumNum !== undefined) this.#expected = Math.max(this.#expected ?? 0, sumNum);
    this.#arrived += items.length;
    for (const item of items) {
      const key = keyOf(item);
      if (this.#items.size >= MAX_RECORDS || this.#chars > MAX_CHARS || this.#items.has(key)) continue;
      this.#items.set(key, item);
      for (const text of Object.values(item)) this.#chars += text.length;
    }
  }

  get name(): string | undefined {
    return this.#name;
  }

  /** As many as announced, repeated ones counted. A first part that has no list and announces nothing ends it too. */
  get complete(): boolean {
    return this.#arrived >= (this.#expected ?? (this.#arrived === 0 ? 0 : Infinity));
  }

  get missing(): number {
    return Math.max(0, (this.#expected ?? 0) - this.#arrived);
  }

  get records(): RecordItem[] {
    return [...this.#items.values()].sort((a, b) => compare(a.StartTime ?? '~', b.StartTime ?? '~') || compare(a.EndTime ?? '~', b.EndTime ?? '~'));
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The same span of the same stream is the same recording; without a span the file is. */
const keyOf = ({ StartTime, EndTime, StreamNumber, FilePath, Name }: RecordItem): string =>
  StartTime === undefined && EndTime === undefined ? `file\n${FilePath ?? ''}\n${Name ?? ''}` : `${StartTime ?? ''}\n${EndTime ?? ''}\n${StreamNumber ?? ''}`;

export interface RecordPagesOptions {
  readonly head: Head;
  /** Of the camera. */
  readonly name: string | undefined;
  readonly records: readonly RecordItem[];
  readonly charset: Charset;
  readonly itemsPerMessage: number;
  /** Bytes of a body over UDP; at least one item goes in all the same. Undefined over TCP. */
  readonly bodyBudget: number | undefined;
}

/** Bodies of the whole answer; without recordings a single one with SumNum 0 and no list. */
export function recordPages({ head, name, records, charset, itemsPerMessage, bodyBudget = Infinity }: RecordPagesOptions): string[] {
  const page = (items: readonly string[]): string =>
    buildManscdp('Response', 'RecordInfo', head, `${line('Name', name)}${xmlText('SumNum', records.length)}\r\n${items.length === 0 ? '' : `<RecordList Num="${items.length}">\r\n${items.join('')}</RecordList>\r\n`}`);
  const empty = page([]);
  const frame = PROLOGUE_BYTES + encodedLength(empty, charset) + `<RecordList Num="${itemsPerMessage}">\r\n</RecordList>\r\n`.length;
  const pages: string[] = [];
  let items: string[] = [];
  let bytes = frame;
  for (const record of records) {
    const text = formatItem(head.deviceId, record);
    const length = encodedLength(text, charset);
    if (items.length > 0 && (bytes + length > bodyBudget || items.length === itemsPerMessage)) {
      pages.push(page(items));
      [items, bytes] = [[], frame];
    }
    items.push(text);
    bytes += length;
  }
  return items.length > 0 || pages.length === 0 ? [...pages, page(items)] : pages;
}

const line = (name: string, text: string | undefined): string => (text === undefined ? '' : `${xmlText(name, text)}\r\n`);

/** Name and Secrecy are mandatory. */
function formatItem(deviceId: string, record: RecordItem): string {
  const full: RecordItem = { Name: '', Secrecy: '0', ...record };
  return `<Item>\r\n${line('DeviceID', deviceId)}${ITEM_FIELDS.map(field => line(field, full[field])).join('')}</Item>\r\n`;
}
