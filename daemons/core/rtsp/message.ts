/**
 * RTSP/1.0 requests and responses as values (RFC 2326 4 to 7). Header text is a byte string: one character, one octet.
 * `reader.ts` cuts them out of a stream.
 */
import { concatBytes, fromByteString } from '../bytes.ts';
import { type Result, fail, ok } from '../result.ts';
import { isToken, isVisible, parseDecimal, trimLws } from '../sip/grammar.ts';
import type { HeaderField } from '../sip/message.ts';

export type { HeaderField } from '../sip/message.ts';

export const MAX_HEAD_BYTES = 16 * 1024;
export const MAX_HEADER_FIELDS = 64;
export const MAX_METHOD_CHARS = 32;
export const MAX_URI_CHARS = 2048;
/** A session description with room; nothing else has a body. */
export const MAX_BODY_BYTES = 64 * 1024;
const MAX_REASON_CHARS = 256;

export interface RtspRequest {
  readonly kind: 'request';
  readonly method: string;
  /** `*`, or an URL as it was written. */
  readonly uri: string;
  readonly headers: readonly HeaderField[];
  readonly body: Uint8Array;
}

export interface RtspResponse {
  readonly kind: 'response';
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly HeaderField[];
  readonly body: Uint8Array;
}

export type RtspMessage = RtspRequest | RtspResponse;

export const NO_BODY = new Uint8Array(0);

/** First value of a header; undefined when it is not there. `name` in lower case. */
export function headerOf(message: RtspMessage, name: string): string | undefined {
  return message.headers.find(field => field.name.toLowerCase() === name)?.value;
}

export const headersOf = (message: RtspMessage, name: string): string[] => message.headers.filter(field => field.name.toLowerCase() === name).map(field => field.value);

/** CSeq as a number; undefined when it is missing or no number of 31 bits. */
export function cseqOf(message: RtspMessage): number | undefined {
  const value = headerOf(message, 'cseq');
  return value === undefined ? undefined : parseDecimal(trimLws(value), 2 ** 31 - 1);
}

/** Session ID without its parameters. */
export function sessionOf(message: RtspMessage): string | undefined {
  const value = headerOf(message, 'session');
  return value === undefined ? undefined : trimLws(value.split(';')[0]!);
}

/** Start line and fields, without the empty line. The body is put to it later. `505` of a failure: another version. */
export function parseHead(text: string): Result<RtspMessage> {
  const lines = text.split('\n').map(line => (line.endsWith('\r') ? line.slice(0, -1) : line));
  const start = parseStartLine(lines[0] ?? '');
  if (!start.ok) return start;
  const headers = parseFields(lines);
  return headers.ok ? ok({ ...start.value, headers: headers.value, body: NO_BODY }) : headers;
}

type StartLine = Pick<RtspRequest, 'kind' | 'method' | 'uri'> | Pick<RtspResponse, 'kind' | 'status' | 'reason'>;

function parseStartLine(line: string): Result<StartLine> {
  if (line.startsWith('RTSP/')) {
    const form = /^RTSP\/1\.\d ([1-5]\d\d)(?: (.*))?$/.exec(line);
    if (form === null) return fail(0, 'not a status line of RTSP/1.0');
    const reason = form[2] ?? '';
    return reason.length > MAX_REASON_CHARS ? fail(0, 'reason too long') : ok({ kind: 'response', status: Number(form[1]), reason });
  }
  const [method = '', uri = '', version = '', more] = line.split(' ', 4);
  if (more !== undefined || method.length > MAX_METHOD_CHARS || !isToken(method)) return fail(0, 'not a request line');
  if (!/^RTSP\/\d\.\d$/.test(version)) return fail(0, 'not RTSP');
  if (!version.startsWith('RTSP/1.')) return fail(0, WRONG_VERSION);
  if (uri.length > MAX_URI_CHARS) return fail(method.length + 1, 'URI too long');
  return isVisible(uri) ? ok({ kind: 'request', method, uri }) : fail(method.length + 1, 'not a URI');
}

export const WRONG_VERSION = 'only RTSP/1.0 is spoken';

function parseFields(lines: readonly string[]): Result<HeaderField[]> {
  const fields: HeaderField[] = [];
  let at = lines[0]!.length;
  for (const line of lines.slice(1)) {
    const previous = fields.at(-1);
    if (/^[ \t]/.test(line) && previous !== undefined) {
      fields[fields.length - 1] = { name: previous.name, value: trimLws(`${previous.value} ${trimLws(line)}`) };
    } else if (line !== '') {
      const colon = line.indexOf(':');
      const name = trimLws(line.slice(0, Math.max(colon, 0)));
      if (!isToken(name)) return fail(at, 'a header field is name: value');
      const value = trimLws(line.slice(colon + 1));
      if (/[\0\r]/.test(value)) return fail(at, 'a control in a header field');
      if (fields.push({ name, value }) > MAX_HEADER_FIELDS) return fail(at, `more than ${MAX_HEADER_FIELDS} header fields`);
    }
    at += line.length + 1;
  }
  return ok(fields);
}

/** Octets of the body that follows; 0 when nothing says so. */
export function contentLength(message: RtspMessage): Result<number> {
  const values = headersOf(message, 'content-length');
  if (values.length === 0) return ok(0);
  if (values.some(value => value !== values[0])) return fail(0, 'two different Content-Length');
  const length = parseDecimal(values[0]!, Number.MAX_SAFE_INTEGER);
  return length === undefined ? fail(0, 'Content-Length is not a number') : ok(length);
}

/** The message on the wire. Content-Length is written from the body; one among the headers is left out. */
export function serialize(message: RtspMessage): Uint8Array {
  const start = message.kind === 'request' ? `${message.method} ${message.uri} RTSP/1.0` : `RTSP/1.0 ${message.status} ${message.reason}`;
  const fields = message.headers.filter(({ name }) => name.toLowerCase() !== 'content-length').map(({ name, value }) => `${name}: ${value.replace(/[\r\n\0]+/g, ' ')}\r\n`);
  const length = message.body.length > 0 ? `Content-Length: ${message.body.length}\r\n` : '';
  const head = fromByteString(`${start}\r\n${fields.join('')}${length}\r\n`);
  return message.body.length > 0 ? concatBytes(head, message.body) : head;
}

/** RFC 2326 7.1.1: the status codes that we send. */
export const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Request Entity Too Large',
  451: 'Parameter Not Understood',
  453: 'Not Enough Bandwidth',
  454: 'Session Not Found',
  455: 'Method Not Valid in This State',
  457: 'Invalid Range',
  459: 'Aggregate Operation Not Allowed',
  460: 'Only Aggregate Operation Allowed',
  461: 'Unsupported Transport',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'RTSP Version Not Supported',
  551: 'Option not supported',
};
