/** XML as octets, with a label that is true or one that lies (quirk 22). */
import type { Charset } from '#core/gb/dialect.ts';
import { encodeBody } from '#kit/charset.ts';
import type { Quirks } from './quirks.ts';

export function encodeXml(xml: string, charset: Charset, quirks: Quirks): Uint8Array {
  if (quirks.has('mislabelled-charset')) return relabel(encodeBody(xml, 'utf-8'), 'UTF-8', 'GB2312');
  if (quirks.has('gb-under-utf8')) return relabel(encodeBody(xml, 'gb2312'), 'GB2312', 'UTF-8');
  const octets = encodeBody(xml, charset);
  return quirks.has('no-prologue') ? octets.subarray(octets.indexOf(0x3e) + 1) : octets;
}

function relabel(octets: Uint8Array, from: string, to: string): Uint8Array {
  const end = octets.indexOf(0x3e) + 1;
  const prologue = Buffer.from(octets.subarray(0, end)).toString('latin1').replace(from, to);
  return Buffer.concat([Buffer.from(prologue, 'latin1'), octets.subarray(end)]);
}
