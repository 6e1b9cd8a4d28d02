/** XML beneath MANSCDP: guard, repair and limits. */
import { fromByteString, utf8Decode, utf8Encode } from '#core/bytes.ts';
import { escapeXml } from '#core/gb/xml-text.ts';
import { type XmlElement, parseXml } from '#core/gb/xml.ts';

const texts: readonly string[] = [
  '<?xml version="1.0"?>\r\n<Response><SN>1</SN><DeviceList Num=" 2 "><Item><Name>a &amp; b &#x5317;</Name></Item><Item/></DeviceList></Response>',
  '<a><Item><Address>A & B < C <b> </c></Address><Info><x>1</Item><Item><y>2</y></Item></a>',
  '<a><!-- <b> --><![CDATA[<c>]]></a>\0',
  '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
];

function write(element: XmlElement): string {
  const attributes = [...element.attributes].map(([name, value]) => ` ${name}="${escapeXml(value)}"`).join('');
  return `<${element.name}${attributes}>${escapeXml(element.text)}${element.children.map(write).join('')}</${element.name}>`;
}

export default {
  name: 'xml',
  seeds: [...texts.map(utf8Encode), fromByteString('<Name>\xb1\xb1\xc3</Name>')],
  run(input: Uint8Array): void {
    const parsed = parseXml(utf8Decode(input));
    if (!parsed.ok) return;
    // What was understood once is understood again, and needs no repair.
    const again = parseXml(write(parsed.value.root));
    if (!again.ok || again.value.repairs > 0) throw new Error('what was read cannot be written and read');
  },
};
