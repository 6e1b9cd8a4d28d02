/**
 * SIP messages as values (RFC 3261 7). The parser makes them once at the door; nobody looks at header text after it.
 *
 * Header text is kept as a *byte string*: every character is one octet (0..255) of the wire, so that an unknown header
 * or a name in GB18030 is relayed byte for byte. `core/bytes` decodes it for people.
 */
import type { Params } from './grammar.ts';
import type { OtherUri, SipUri } from './uri.ts';

export type { Params } from './grammar.ts';
export type { OtherUri } from './uri.ts';

export interface HeaderField {
  /** As received, or canonical when we made it. Compared without regard to case, compact forms expanded. */
  readonly name: string;
  readonly value: string;
}

/** RFC 3261 20.42, RFC 3581. */
export interface Via {
  /** Upper case: UDP, TCP, TLS, or a token that we do not know. */
  readonly transport: string;
  readonly host: string;
  readonly port: number | undefined;
  readonly params: Params;
}

/** name-addr or addr-spec with header parameters: From, To, Contact, Route, Record-Route (RFC 3261 20.10). */
export interface NameAddr {
  /** Byte string without quotes; undefined when there is none. */
  readonly displayName: string | undefined;
  /** `sip:`/`sips:` parsed; any other scheme as its text only. */
  readonly uri: SipUri | OtherUri;
  readonly params: Params;
}

export const isSipUri = (uri: SipUri | OtherUri): uri is SipUri => 'host' in uri;

interface Common {
  readonly via: readonly Via[];
  readonly from: NameAddr;
  readonly to: NameAddr;
  readonly callId: string;
  readonly cseq: { readonly seq: number; readonly method: string };
  /** `*` only in REGISTER (RFC 3261 10.2.2). */
  readonly contact: readonly NameAddr[] | '*';
  readonly route: readonly NameAddr[];
  readonly recordRoute: readonly NameAddr[];
  /** Seconds. */
  readonly expires: number | undefined;
  /** Media type in lower case without parameters, e.g. `application/sdp`. Undefined when absent. */
  readonly contentType: string | undefined;
  /** Parameters of the media type (`boundary`, `charset`); absent or empty when there are none. */
  readonly contentTypeParams?: Params;
  /** Every other header, in order of arrival: User-Agent, Subject, Authorization, Event, Date, X-GB-Ver ... */
  readonly headers: readonly HeaderField[];
  /** Octets; empty when there is no body. Charset is the business of the reader. */
  readonly body: Uint8Array;
}

export interface SipRequest extends Common {
  readonly type: 'request';
  readonly method: string;
  readonly uri: SipUri | OtherUri;
  readonly maxForwards: number | undefined;
}

export interface SipResponse extends Common {
  readonly type: 'response';
  readonly status: number;
  /** Byte string. */
  readonly reason: string;
}

export type SipMessage = SipRequest | SipResponse;

export const NO_BODY: Uint8Array = new Uint8Array(0);

/** First value of a header that has no field of its own, without regard to case. */
export function header(message: SipMessage, name: string): string | undefined {
  const wanted = name.toLowerCase();
  return message.headers.find(field => field.name.toLowerCase() === wanted)?.value;
}

export function headerValues(message: Pick<SipMessage, 'headers'>, name: string): string[] {
  const wanted = name.toLowerCase();
  return message.headers.filter(field => field.name.toLowerCase() === wanted).map(field => field.value);
}

export const tagOf = (address: NameAddr): string | undefined => address.params.get('tag') ?? undefined;

/** The user part of a sip URI: in GB/T 28181 the 20-digit ID. Empty string when there is none. */
export const userOf = (address: { readonly uri: SipUri | OtherUri }): string => (isSipUri(address.uri) ? (address.uri.user ?? '') : '');
