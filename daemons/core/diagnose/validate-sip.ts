/** Rules for one SIP message: its form (RFC 3261) and what GB/T 28181 asks of its headers. */
import { toByteString } from '../bytes.ts';
import { isGbId } from '../gb/device-id.ts';
import { parseSubject } from '../gb/subject.ts';
import { isIp } from '../ip.ts';
import { MAGIC_COOKIE } from '../sip/build.ts';
import { type SipMessage, header, isSipUri, tagOf, userOf } from '../sip/message.ts';
import type { Passed } from './passed.ts';
import type { Rule } from './rule.ts';

/** RFC 3261 18.1.1: a request that is longer must not go over UDP where the path is not known. */
const MAX_DATAGRAM_REQUEST = 1300;
const MAX_HEAD = 16 * 1024;
const MAX_SUBJECT_STREAM = 20;

export interface MessageSubject {
  readonly passed: Passed;
  readonly message: SipMessage;
  /** Start line and header fields as a byte string, with their line ends. */
  readonly head: string;
  /** Octets behind them. */
  readonly bodyBytes: number;
}

export function messageSubject(passed: Passed, message: SipMessage): MessageSubject {
  const text = toByteString(passed.bytes, 0, Math.min(passed.bytes.length, MAX_HEAD));
  const end = /\r?\n\r?\n/.exec(text.trimStart());
  const lead = text.length - text.trimStart().length;
  const headBytes = end === null ? text.length : lead + end.index + end[0].length;
  return { passed, message, head: text.slice(0, headBytes), bodyBytes: passed.bytes.length - headBytes };
}

const isRequest = (message: SipMessage, ...methods: readonly string[]): boolean => message.type === 'request' && (methods.length === 0 || methods.includes(message.method));

function wrongLength({ head, bodyBytes, passed }: MessageSubject): string | undefined {
  const declared = /^(?:content-length|l)[ \t]*:[ \t]*(\d{1,9})/im.exec(head)?.[1];
  if (declared === undefined || passed.cut || Number(declared) === bodyBytes) return undefined;
  return `Content-Length ${declared}, and ${bodyBytes} octets follow`;
}

function missingContact({ message }: MessageSubject): string | undefined {
  const needs = isRequest(message, 'INVITE', 'SUBSCRIBE', 'REGISTER') || (message.type === 'response' && message.cseq.method === 'INVITE' && message.status >= 200 && message.status < 300);
  // A REGISTER without one only asks (10.2.3).
  if (!needs || message.contact === '*' || message.contact.length > 0 || isRequest(message, 'REGISTER')) return undefined;
  return message.type === 'request' ? `${message.method} without Contact` : `${message.status} to INVITE without Contact`;
}

function badSubject({ message }: MessageSubject): string | undefined {
  const text = header(message, 'Subject');
  if (message.type !== 'request' || message.method !== 'INVITE' || text === undefined || tagOf(message.to) !== undefined) return undefined;
  const subject = parseSubject(text);
  if (subject === undefined) return `Subject: ${text}`;
  const target = isSipUri(message.uri) ? message.uri.user : undefined;
  if (!isGbId(subject.senderId) || !isGbId(subject.receiverId)) return `Subject names ${subject.senderId} and ${subject.receiverId || 'nobody'}`;
  if (subject.senderStream.length > MAX_SUBJECT_STREAM) return `stream ${subject.senderStream} of the sender is longer than ${MAX_SUBJECT_STREAM}`;
  return target !== undefined && target !== subject.senderId && isGbId(target) ? `Subject names ${subject.senderId} as sender, the Request-URI ${target}` : undefined;
}

function badContentType({ message }: MessageSubject): string | undefined {
  const { body, contentType } = message;
  if (body.length === 0) return undefined;
  const begin = toByteString(body, 0, Math.min(body.length, 64)).replace(/^\xef\xbb\xbf/, '').trimStart();
  if (/^<\?xml|^<(Query|Control|Notify|Response)\b/i.test(begin)) return contentType === 'application/manscdp+xml' ? undefined : `XML under Content-Type ${contentType ?? 'none'}`;
  if (begin.startsWith('v=0')) return contentType === 'application/sdp' ? undefined : `SDP under Content-Type ${contentType ?? 'none'}`;
  return undefined;
}

function foreignParty({ message }: MessageSubject): string | undefined {
  if (message.type !== 'request' || message.method === 'OPTIONS' || isGbId(userOf(message.from))) return undefined;
  return `From ${userOf(message.from) || 'nobody'}`;
}

function hostlessContact({ message, passed }: MessageSubject): string | undefined {
  if (message.contact === '*' || !isRequest(message, 'REGISTER', 'INVITE')) return undefined;
  const uri = message.contact[0]?.uri;
  if (uri === undefined || !isSipUri(uri) || !isIp(uri.host) || passed.direction === 'out') return undefined;
  return uri.host === passed.remote.address ? undefined : `Contact is at ${uri.host}, it comes from ${passed.remote.address}`;
}

export const MESSAGE_RULES: readonly Rule<MessageSubject>[] = [
  { id: 'content-length', clause: 'RFC 3261 20.14', severity: 'wrong', says: 'Content-Length is not the length of the body', broken: wrongLength },
  { id: 'max-forwards', clause: 'RFC 3261 8.1.1.6', severity: 'loose', says: 'request without Max-Forwards', broken: ({ message }) => (message.type === 'request' && message.maxForwards === undefined ? message.method : undefined) },
  { id: 'from-tag', clause: 'RFC 3261 8.1.1.3', severity: 'wrong', says: 'From without a tag', broken: ({ message }) => (tagOf(message.from) === undefined ? message.cseq.method : undefined) },
  { id: 'to-tag', clause: 'RFC 3261 8.2.6.2', severity: 'wrong', says: 'answer without a To tag', broken: ({ message }) => (message.type === 'response' && message.status > 100 && tagOf(message.to) === undefined ? `${message.status} to ${message.cseq.method}` : undefined) },
  { id: 'branch', clause: 'RFC 3261 8.1.1.7', severity: 'wrong', says: 'branch does not begin with z9hG4bK', broken: ({ message }) => (message.type === 'request' && message.via[0]?.params.get('branch')?.startsWith(MAGIC_COOKIE) !== true ? `branch ${message.via[0]?.params.get('branch') ?? 'missing'}` : undefined) },
  { id: 'cseq-method', clause: 'RFC 3261 8.1.1.5', severity: 'wrong', says: 'CSeq names another method', broken: ({ message }) => (message.type === 'request' && message.method !== message.cseq.method ? `${message.method} with CSeq ${message.cseq.seq} ${message.cseq.method}` : undefined) },
  { id: 'contact', clause: 'RFC 3261 8.1.1.8, 12.1.1', severity: 'wrong', says: 'a dialog begins without Contact', broken: missingContact },
  { id: 'contact-host', clause: 'RFC 3581, GB/T 28181-2022 9.1.1', severity: 'loose', says: 'Contact is another address than it comes from', broken: hostlessContact },
  { id: 'line-ends', clause: 'RFC 3261 7', severity: 'wrong', says: 'header lines that do not end with CRLF', broken: ({ head }) => (/(^|[^\r])\n/.test(head) ? 'a lone LF' : undefined) },
  { id: 'header-spacing', clause: 'RFC 3261 7.3.1', severity: 'loose', says: 'more than one space behind the colon of a header', broken: ({ head }) => /^[\w-]+:[ \t]{2,}\S[^\r\n]{0,40}/m.exec(head)?.[0] },
  { id: 'datagram-size', clause: 'RFC 3261 18.1.1', severity: 'loose', says: 'request over 1300 octets over UDP', broken: ({ message, passed }) => (passed.transport === 'UDP' && message.type === 'request' && passed.bytes.length > MAX_DATAGRAM_REQUEST ? `${message.method} of ${passed.bytes.length} octets` : undefined) },
  { id: 'content-type', clause: 'GB/T 28181-2016 9.3, 9.5, RFC 3261 20.15', severity: 'wrong', says: 'Content-Type does not say what the body is', broken: badContentType },
  { id: 'party-id', clause: 'GB/T 28181-2016 6.1.2', severity: 'loose', says: 'From is no 20-digit ID', broken: foreignParty },
  { id: 'subject-missing', clause: 'GB/T 28181-2016 Annex K', severity: 'loose', says: 'INVITE without Subject', broken: ({ message }) => (isRequest(message, 'INVITE') && tagOf(message.to) === undefined && header(message, 'Subject') === undefined ? 'no Subject' : undefined) },
  { id: 'subject', clause: 'GB/T 28181-2016 Annex K', severity: 'wrong', says: 'Subject is not sender:stream,receiver:stream', broken: badSubject },
];

/** For what the parser refuses. */
export const UNREADABLE: Rule<Passed> = { id: 'unreadable', clause: 'RFC 3261 7', severity: 'wrong', says: 'no SIP message', broken: ({ parsed }) => (parsed.ok ? undefined : `${parsed.error.why} (octet ${parsed.error.at})`) };
