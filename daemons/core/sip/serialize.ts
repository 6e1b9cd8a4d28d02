/**
 * Messages as octets. Order of the fields: Via first, then what a proxy or a peer's transaction layer looks at, then the rest as it
 * came, Content-Type and Content-Length last. Content-Length is computed; nothing that is written can start a line of its own.
 */
import { writeByteString } from '../bytes.ts';
import { normalizeHost } from '../ip.ts';
import { formatParams, trimLws } from './grammar.ts';
import { formatNameAddr, formatVia, parseNameAddr, withParam } from './headers.ts';
import type { HeaderField, SipMessage, Via } from './message.ts';
import type { PartialMessage } from './parse.ts';
import { reasonPhrase } from './status.ts';
import { formatUri } from './uri.ts';

/** The spelling of the standard's own samples: some devices compare it letter by letter (gb28181.md 2.1). */
const MEDIA_TYPE_SPELLING: Readonly<Record<string, string>> = {
  'application/manscdp+xml': 'Application/MANSCDP+xml',
  'application/mansrtsp': 'Application/MANSRTSP',
};

export function serializeMessage(message: SipMessage): Uint8Array {
  let head = message.type === 'request' ? `${oneLine(message.method)} ${oneLine(formatUri(message.uri))} SIP/2.0\r\n` : `SIP/2.0 ${message.status} ${oneLine(message.reason)}\r\n`;
  for (const via of message.via) head += line('Via', formatVia(via));
  if (message.type === 'request' && message.maxForwards !== undefined) head += line('Max-Forwards', String(message.maxForwards));
  for (const route of message.route) head += line('Route', formatNameAddr(route));
  for (const route of message.recordRoute) head += line('Record-Route', formatNameAddr(route));
  head += line('From', formatNameAddr(message.from)) + line('To', formatNameAddr(message.to));
  head += line('Call-ID', message.callId) + line('CSeq', `${message.cseq.seq} ${message.cseq.method}`);
  if (message.contact === '*') head += line('Contact', '*');
  else for (const contact of message.contact) head += line('Contact', formatNameAddr(contact));
  if (message.expires !== undefined) head += line('Expires', String(message.expires));
  for (const field of message.headers) head += `${oneLine(field.name)}: ${foldedOrOneLine(field.value)}\r\n`;
  if (message.contentType !== undefined) head += line('Content-Type', formatContentType(message));
  head += `Content-Length: ${message.body.length}\r\n\r\n`;
  const bytes = new Uint8Array(head.length + message.body.length);
  bytes.set(message.body, writeByteString(head, bytes, 0));
  return bytes;
}

const line = (name: string, value: string): string => `${name}: ${oneLine(value)}\r\n`;

function formatContentType(message: SipMessage): string {
  const type = message.contentType ?? '';
  return (MEDIA_TYPE_SPELLING[type] ?? type) + (message.contentTypeParams === undefined ? '' : formatParams(message.contentTypeParams));
}

const hasLineEnd = (text: string): boolean => text.includes('\n') || text.includes('\r');
const oneLine = (text: string): string => (hasLineEnd(text) ? text.replace(/[\r\n]+/g, ' ') : text);

/** Line ends stay only where white space follows: the fold of a header that we relay as it came. */
function foldedOrOneLine(value: string): string {
  if (!hasLineEnd(value)) return value;
  return trimLws(value.replace(/(\r\n(?=[ \t]+[^ \t\r\n]))|[\r\n]+/g, (_, fold: string | undefined) => fold ?? ' '));
}

export interface RejectionParts {
  readonly reason?: string;
  /** Put on To when it has no tag (RFC 3261 8.2.6.2). */
  readonly toTag?: string;
  /** Source of the request, for `received` and `rport` of the top Via (RFC 3261 18.2.1, RFC 3581 4). */
  readonly received?: string;
  readonly receivedPort?: number;
  readonly headers?: readonly HeaderField[];
}

/** The answer to a request that could not become a message: echoes what was readable of it (RFC 3261 8.2.6). */
export function serializeRejection(status: number, partial: PartialMessage, parts: RejectionParts = {}): Uint8Array {
  let head = `SIP/2.0 ${status} ${oneLine(parts.reason ?? reasonPhrase(status))}\r\n`;
  for (const [i, via] of partial.via.entries()) head += line('Via', i === 0 ? topViaText(via, partial.topVia, parts) : via);
  if (partial.from !== undefined) head += line('From', partial.from);
  if (partial.to !== undefined) head += line('To', toText(partial.to, parts.toTag));
  if (partial.callId !== undefined) head += line('Call-ID', partial.callId);
  if (partial.cseq !== undefined) head += line('CSeq', partial.cseq);
  for (const field of parts.headers ?? []) head += line(oneLine(field.name), field.value);
  head += 'Content-Length: 0\r\n\r\n';
  const bytes = new Uint8Array(head.length);
  writeByteString(head, bytes, 0);
  return bytes;
}

/** The top Via of a request as its responses must carry it: `received` when the sent-by differs or `rport` was asked for. */
export function withSource(via: Via, address: string, port: number | undefined): Via {
  const asksPort = via.params.has('rport');
  if (!asksPort && !via.params.has('received') && normalizeHost(via.host) === normalizeHost(address)) return via;
  const params = new Map(via.params).set('received', address);
  if (asksPort && port !== undefined) params.set('rport', String(port));
  return { ...via, params };
}

function topViaText(text: string, via: Via | undefined, parts: RejectionParts): string {
  return via === undefined || parts.received === undefined ? text : formatVia(withSource(via, parts.received, parts.receivedPort));
}

function toText(text: string, tag: string | undefined): string {
  if (tag === undefined) return text;
  const to = parseNameAddr(text);
  return to.ok && !to.value.params.has('tag') ? formatNameAddr(withParam(to.value, 'tag', tag)) : text;
}
