/**
 * SIP as a stranger writes and reads it: text, without the gateway's own parser and serializer, so that a fault in those cannot
 * hide from a test.
 */
import { createHash, randomBytes } from 'node:crypto';

export interface Place {
  readonly address: string;
  readonly port: number;
}

const EMPTY_LINE = Buffer.from('\r\n\r\n');

/** A message that came. */
export class SipText {
  readonly bytes: Buffer;
  readonly from: Place;
  readonly startLine: string;
  readonly body: Buffer;
  readonly #fields: readonly (readonly [name: string, value: string])[];

  constructor(bytes: Buffer, from: Place) {
    const end = bytes.indexOf(EMPTY_LINE);
    const [startLine = '', ...lines] = bytes.subarray(0, end < 0 ? bytes.length : end).toString('utf8').split('\r\n');
    this.bytes = bytes;
    this.from = from;
    this.startLine = startLine;
    this.body = end < 0 ? Buffer.alloc(0) : bytes.subarray(end + EMPTY_LINE.length);
    this.#fields = lines.map(line => [line.slice(0, line.indexOf(':')).trim().toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const);
  }

  /** Undefined in a request. */
  get status(): number | undefined {
    const match = /^SIP\/2\.0 (\d{3}) /.exec(this.startLine);
    return match === null ? undefined : Number(match[1]);
  }

  /** Undefined in a response. */
  get method(): string | undefined {
    return this.status === undefined ? this.startLine.split(' ')[0] : undefined;
  }

  /** User part of the Request-URI. */
  get uriUser(): string {
    return /^\S+ sips?:([^@\s]*)@/.exec(this.startLine)?.[1] ?? '';
  }

  headers(name: string): string[] {
    return this.#fields.filter(field => field[0] === name.toLowerCase()).map(field => field[1]);
  }

  /** The first one; empty when there is none. */
  header(name: string): string {
    return this.headers(name)[0] ?? '';
  }

  get callId(): string {
    return this.header('Call-ID');
  }

  get cseq(): { readonly seq: number; readonly method: string } {
    const [seq = '', method = ''] = this.header('CSeq').split(/\s+/);
    return { seq: Number(seq), method };
  }

  tag(name: 'From' | 'To'): string {
    return /;tag=([^;>\s]+)/.exec(this.header(name))?.[1] ?? '';
  }

  user(name: 'From' | 'To'): string {
    return /sips?:([^@>;\s]*)@/.exec(this.header(name))?.[1] ?? '';
  }

  /** Text of the first element of that name in the body. */
  xml(element: string): string {
    return new RegExp(`<${element}>([^<]*)</${element}>`).exec(this.body.toString('latin1'))?.[1] ?? '';
  }
}

export interface RequestParts {
  readonly method: string;
  /** Request-URI. */
  readonly uri: string;
  /** Values of From and To with their tags. */
  readonly from: string;
  readonly to: string;
  readonly callId?: string;
  readonly seq?: number;
  readonly branch?: string;
  /** Whole values; replaces the one that is made. Empty: no Via at all. */
  readonly via?: readonly string[];
  /** Value of Contact. */
  readonly contact?: string | undefined;
  readonly maxForwards?: number;
  /** Further lines, `Name: value`. */
  readonly headers?: readonly string[];
  readonly contentType?: string;
  readonly body?: string | Buffer;
}

export const token = (): string => randomBytes(6).toString('hex');

/** `sentBy`: transport and address of our Via. */
export function requestBytes(parts: RequestParts, sentBy: Place & { readonly transport: 'UDP' | 'TCP' }): Buffer {
  const body = Buffer.from(parts.body ?? '');
  const via = parts.via ?? [`SIP/2.0/${sentBy.transport} ${hostPort(sentBy)};rport;branch=${parts.branch ?? `z9hG4bK${token()}`}`];
  return withBody(
    [
      `${parts.method} ${parts.uri} SIP/2.0`,
      ...via.map(value => `Via: ${value}`),
      `From: ${parts.from}`,
      `To: ${parts.to}`,
      `Call-ID: ${parts.callId ?? token()}`,
      `CSeq: ${parts.seq ?? 1} ${parts.method}`,
      ...(parts.contact === undefined ? [] : [`Contact: ${parts.contact}`]),
      `Max-Forwards: ${parts.maxForwards ?? 70}`,
      ...(parts.headers ?? []),
      ...(body.length === 0 ? [] : [`Content-Type: ${parts.contentType ?? 'Application/MANSCDP+xml'}`]),
    ],
    body,
  );
}

export interface AnswerParts {
  readonly toTag?: string;
  readonly contact?: string;
  readonly headers?: readonly string[];
  readonly contentType?: string;
  readonly body?: string | Buffer;
}

/** The answer to a request that came: its Via, From, To, Call-ID and CSeq, as RFC 3261 8.2.6 wants them. */
export function answerBytes(request: SipText, status: number, parts: AnswerParts = {}): Buffer {
  const to = request.header('To');
  const body = Buffer.from(parts.body ?? '');
  return withBody(
    [
      `SIP/2.0 ${status} Said So`,
      ...request.headers('Via').map(value => `Via: ${value}`),
      ...request.headers('Record-Route').map(value => `Record-Route: ${value}`),
      `From: ${request.header('From')}`,
      `To: ${/;tag=/.test(to) || status === 100 ? to : `${to};tag=${parts.toTag ?? 'stranger'}`}`,
      `Call-ID: ${request.callId}`,
      `CSeq: ${request.header('CSeq')}`,
      ...(parts.contact === undefined ? [] : [`Contact: ${parts.contact}`]),
      ...(parts.headers ?? []),
      ...(body.length === 0 ? [] : [`Content-Type: ${parts.contentType ?? 'Application/MANSCDP+xml'}`]),
    ],
    body,
  );
}

function withBody(lines: readonly string[], body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${[...lines, `Content-Length: ${body.length}`].join('\r\n')}\r\n\r\n`), body]);
}

export const hostPort = ({ address, port }: Place): string => `${address.includes(':') ? `[${address}]` : address}:${port}`;

/** How many octets of `buffered` are the first message on a stream; 0 when it is not whole yet. */
export function frameLength(buffered: Buffer): number {
  const end = buffered.indexOf(EMPTY_LINE);
  if (end < 0) return 0;
  const length = /^Content-Length:[ \t]*(\d+)/im.exec(buffered.subarray(0, end).toString('latin1'));
  const whole = end + EMPTY_LINE.length + Number(length?.[1] ?? 0);
  return buffered.length >= whole ? whole : 0;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly method: string;
  readonly uri: string;
  readonly nc?: number;
  /** Without qop even when it was offered. */
  readonly plain?: boolean;
  readonly cnonce?: string;
  /** In place of the right one. */
  readonly response?: string;
}

/** The parameter of a challenge, or of credentials. */
export const param = (field: string, name: string): string => new RegExp(`(?:^|[\\s,])${name}="?([^",]*)"?`, 'i').exec(field)?.[1] ?? '';

/** RFC 7616 3.4.1 with MD5, done here once more so that the gateway's own is not its judge. */
export function authorization(challenge: string, { username, password, method, uri, nc = 1, plain = false, cnonce = token(), response }: Credentials): string {
  const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
  const realm = param(challenge, 'realm');
  const nonce = param(challenge, 'nonce');
  const ha1 = md5(`${username}:${realm}:${password}`);
  const ha2 = md5(`${method}:${uri}`);
  const head = `Digest username="${username}",realm="${realm}",nonce="${nonce}",uri="${uri}",algorithm=MD5`;
  if (plain) return `${head},response="${response ?? md5(`${ha1}:${nonce}:${ha2}`)}"`;
  const count = nc.toString(16).padStart(8, '0');
  return `${head},qop=auth,nc=${count},cnonce="${cnonce}",response="${response ?? md5(`${ha1}:${nonce}:${count}:${cnonce}:auth:${ha2}`)}"`;
}
