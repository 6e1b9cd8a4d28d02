/**
 * What a well-formed request must fulfil before anybody looks at its meaning (RFC 3261 8.2.1-8.2.3), independent of application.
 * Never send the answer when the request is an ACK; drop it then.
 */
import { trimLws } from './grammar.ts';
import { parseMediaType, tokenList } from './headers.ts';
import { type HeaderField, type SipRequest, header, headerValues, isSipUri } from './message.ts';
import { reasonPhrase } from './status.ts';

export interface RequestRules {
  /** Methods that we know, in the order of our Allow. Others: 501. */
  readonly methods: readonly string[];
  /** Methods of other protocols that are left to the application, and not offered. */
  readonly others: readonly string[];
  /** Option tags that we understand in Require and Proxy-Require. Others: 420. */
  readonly supported: readonly string[];
  /** By method: media types of bodies that we can read, and that our 2xx may carry. Not listed: any (415, 406). */
  readonly bodies: Readonly<Record<string, readonly string[]>>;
}

/** GB/T 28181's methods (gb28181.md 2.1), no extension, SDP in INVITE. */
export const DEFAULT_RULES: RequestRules = {
  methods: ['INVITE', 'ACK', 'BYE', 'CANCEL', 'OPTIONS', 'INFO', 'MESSAGE', 'SUBSCRIBE', 'NOTIFY', 'REGISTER'],
  // DB33/T 629 (gb28181.md 10.3).
  others: ['DO'],
  supported: [],
  bodies: { INVITE: ['application/sdp'] },
};

export interface Rejection {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly HeaderField[];
}

/** Fields that the parser keeps as text and that still may come only once (RFC 3261 7.3.1, RFC 6665, RFC 3515, RFC 4028). */
const SINGLE = ['Content-Disposition', 'Content-Encoding', 'Date', 'Event', 'MIME-Version', 'Min-Expires', 'Refer-To', 'Replaces', 'Session-Expires', 'Subject', 'Subscription-State'];

export function validateRequest(request: SipRequest, rules: RequestRules = DEFAULT_RULES): Rejection | null {
  return badForm(request) ?? unknownMethod(request, rules) ?? foreignScheme(request) ?? unsupported(request, rules) ?? unreadableBody(request, rules) ?? unwantedAnswer(request, rules);
}

const reject = (status: number, reason?: string, headers: readonly HeaderField[] = []): Rejection => ({ status, reason: reason ?? reasonPhrase(status), headers });

function badForm(request: SipRequest): Rejection | null {
  if (request.cseq.method !== request.method) return reject(400, 'CSeq Method Mismatch');
  if (request.contact === '*' && request.method !== 'REGISTER') return reject(400, 'Contact * Outside REGISTER');
  // RFC 3261 19.1.1: no headers in a Request-URI. Refused, not ignored: nothing may become a Route by this way (RFC 4475 3.1.2.11).
  if (isSipUri(request.uri) && request.uri.headers !== undefined) return reject(400, 'Headers in Request-URI');
  if (request.headers.length > 1) for (const name of SINGLE) if (headerValues(request, name).length > 1) return reject(400, `${name} Repeated`);
  return null;
}

function unknownMethod(request: SipRequest, rules: RequestRules): Rejection | null {
  if (rules.methods.includes(request.method) || rules.others.includes(request.method)) return null;
  return reject(501, undefined, [{ name: 'Allow', value: rules.methods.join(', ') }]);
}

const foreignScheme = (request: SipRequest): Rejection | null => (isSipUri(request.uri) ? null : reject(416));

/** RFC 3261 8.2.2.3: Require counts neither in CANCEL nor in ACK. Proxy-Require concerns us because we stand between two sides. */
function unsupported(request: SipRequest, rules: RequestRules): Rejection | null {
  if (request.method === 'ACK' || request.method === 'CANCEL') return null;
  const wanted = tokenList([...headerValues(request, 'Require'), ...headerValues(request, 'Proxy-Require')]);
  const unknown = [...new Set(wanted)].filter(tag => !rules.supported.includes(tag));
  return unknown.length === 0 ? null : reject(420, undefined, [{ name: 'Unsupported', value: unknown.join(', ') }]);
}

function unreadableBody(request: SipRequest, rules: RequestRules): Rejection | null {
  const readable = rules.bodies[request.method];
  if (readable === undefined || request.body.length === 0) return null;
  const accept = [{ name: 'Accept', value: readable.join(', ') }];
  if (request.contentType !== undefined && !readable.includes(request.contentType)) return reject(415, undefined, accept);
  const encoding = header(request, 'Content-Encoding');
  if (encoding === undefined || trimLws(encoding).toLowerCase() === 'identity') return null;
  return reject(415, undefined, [...accept, { name: 'Accept-Encoding', value: 'identity' }]);
}

/** 406: an Accept that leaves no form for our answer (RFC 3261 20.1). An empty Accept refuses every body. */
function unwantedAnswer(request: SipRequest, rules: RequestRules): Rejection | null {
  const forms = rules.bodies[request.method];
  const accept = headerValues(request, 'Accept');
  if (forms === undefined || accept.length === 0) return null;
  const ranges = accept.flatMap(value => value.split(',')).map(parseMediaType).flatMap(range => (range.ok ? [range.value.type] : []));
  const wanted = (form: string): boolean => ranges.some(range => range === '*/*' || range === form || range === `${form.slice(0, form.indexOf('/'))}/*`);
  return forms.some(wanted) ? null : reject(406);
}
