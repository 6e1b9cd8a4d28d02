/** SIP bytes that a correct stack does not send: one datagram, rewritten. */
import type { Quirks } from './quirks.ts';

const REWRITING = ['content-length-zero', 'header-spaces', 'no-contact-in-200', 'lower-case-headers'] as const;

/** These need a relay between the camera and its platform. */
export const rewritesSip = (quirks: Quirks): boolean => REWRITING.some(quirk => quirks.has(quirk));

/** Rewrites the header lines; body octets stay as they are. */
export function rewriteSip(datagram: Buffer, quirks: Quirks): Buffer {
  const end = datagram.indexOf('\r\n\r\n');
  if (end < 0) return datagram;
  const [start = '', ...fields] = datagram.toString('latin1', 0, end).split('\r\n');
  const isInviteAnswer = start.startsWith('SIP/2.0 200') && fields.some(field => /^cseq:.*INVITE$/i.test(field));
  const kept = quirks.has('no-contact-in-200') && isInviteAnswer ? fields.filter(field => !/^(contact|m)\s*:/i.test(field)) : fields;
  const changed = kept.map(field => rewriteField(field, quirks, datagram.length > end + 4));
  return Buffer.concat([Buffer.from([start, ...changed].join('\r\n'), 'latin1'), datagram.subarray(end)]);
}

function rewriteField(field: string, quirks: Quirks, hasBody: boolean): string {
  const colon = field.indexOf(':');
  if (colon < 0) return field;
  const name = field.slice(0, colon).trim();
  const value = quirks.has('content-length-zero') && hasBody && name.toLowerCase() === 'content-length' ? '0' : field.slice(colon + 1).trim();
  return `${quirks.has('lower-case-headers') ? name.toLowerCase() : name}:${quirks.has('header-spaces') ? '         ' : ' '}${value}`;
}
