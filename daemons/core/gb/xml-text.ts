/** Text in XML: the five entities and numeric references, both ways. */

const REFERENCE = /&(?:(amp|lt|gt|quot|apos)|#(\d{1,8})|#[xX]([0-9a-fA-F]{1,6}));/g;
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** The five entities and numeric references; any other `&` is text. */
export function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(REFERENCE, (_, entity?: string, decimal?: string, hex?: string) => (entity === undefined ? fromPoint(decimal === undefined ? parseInt(hex!, 16) : Number(decimal)) : ENTITIES[entity]!));
}

const fromPoint = (point: number): string => (point === 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff) ? '\uFFFD' : String.fromCodePoint(point));

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

/** Text as content or attribute value. Characters that XML 1.0 has no place for (2.2) are left out. */
export function escapeXml(text: string): string {
   
  if (!/[&<>"'\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(text)) return text;
   
  return text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, '').replace(/[&<>"']/g, char => ESCAPES[char]!);
}

/** `<name>text</name>`, or nothing at all for undefined: absent fields are omitted, never empty (gb28181.md 3.4). */
export const xmlText = (name: string, text: string | number | undefined): string => (text === undefined ? '' : `<${name}>${typeof text === 'number' ? text : escapeXml(text)}</${name}>`);
