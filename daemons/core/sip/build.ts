/**
 * Requests and responses as we write them: the headers that RFC 3261 8.1.1 and 8.2.6 ask for, and nothing else.
 */
import { normalizeHost } from '../ip.ts';
import type { Flow } from './flow.ts';
import { withParam } from './headers.ts';
import { type HeaderField, type NameAddr, type OtherUri, type SipRequest, type SipResponse, type Via, NO_BODY, headerValues, tagOf } from './message.ts';
import { withSource } from './serialize.ts';
import { reasonPhrase } from './status.ts';
import type { SipUri } from './uri.ts';

/** What a new request outside a dialog needs; Via, Max-Forwards, Content-Length, branch, Call-ID and From tag are the endpoint's work. */
export interface NewRequest {
  readonly method: string;
  readonly uri: SipUri;
  readonly from: NameAddr;
  readonly to: NameAddr;
  readonly callId?: string;
  readonly cseq?: number;
  readonly contact?: NameAddr;
  readonly expires?: number;
  /** Default: 70. What is handed on for somebody else has one less than it came with. */
  readonly maxForwards?: number;
  readonly contentType?: string;
  readonly headers?: readonly HeaderField[];
  readonly body?: Uint8Array;
}

export interface ResponseParts {
  readonly reason?: string;
  readonly contact?: NameAddr;
  readonly expires?: number;
  readonly contentType?: string;
  readonly headers?: readonly HeaderField[];
  readonly body?: Uint8Array;
}

/** What the caller of a request in a dialog may add. */
export interface InDialogParts {
  readonly contentType?: string;
  readonly headers?: readonly HeaderField[];
  readonly body?: Uint8Array;
  readonly expires?: number;
}

/** RFC 3261 8.1.1.7: a branch that begins so is unique over space and time. */
export const MAGIC_COOKIE = 'z9hG4bK';
const MAX_FORWARDS = 70;

/** Our Via for one hop; `rport` asks for the answer at the port that the packet leaves from (RFC 3581). */
export const viaFor = (flow: Flow, branch: string): Via => ({
  transport: flow.transport,
  host: flow.localAddress,
  port: flow.localPort,
  params: new Map<string, string | null>(flow.transport === 'UDP' ? [['rport', null], ['branch', branch]] : [['branch', branch]]),
});

/** Where we can be reached over this flow, for Contact. */
export const contactFor = (flow: Flow, user: string): NameAddr => ({
  displayName: undefined,
  uri: {
    scheme: 'sip',
    user: user === '' ? undefined : user,
    password: undefined,
    host: flow.localAddress,
    port: flow.localPort,
    params: new Map(flow.transport === 'TCP' ? [['transport', 'tcp']] : []),
    headers: undefined,
  },
  params: new Map(),
});

/** Body, type and free headers, in the shape of a message. */
const content = (parts: InDialogParts, userAgent: string | undefined): Pick<SipRequest, 'contentType' | 'headers' | 'body' | 'expires'> => ({
  expires: parts.expires,
  contentType: parts.contentType,
  headers: [...(parts.headers ?? []), ...(userAgent === undefined || userAgent === '' ? [] : [{ name: 'User-Agent', value: userAgent }])],
  body: parts.body ?? NO_BODY,
});

export interface Names {
  readonly branch: string;
  readonly callId: string;
  readonly fromTag: string;
  readonly cseq: number;
  readonly userAgent: string;
}

export function buildRequest(parts: NewRequest, flow: Flow, names: Names): SipRequest {
  return {
    type: 'request',
    method: parts.method,
    uri: parts.uri,
    maxForwards: parts.maxForwards ?? MAX_FORWARDS,
    via: [viaFor(flow, names.branch)],
    from: tagOf(parts.from) === undefined ? withParam(parts.from, 'tag', names.fromTag) : parts.from,
    to: parts.to,
    callId: names.callId,
    cseq: { seq: names.cseq, method: parts.method },
    contact: parts.contact === undefined ? [] : [parts.contact],
    route: [],
    recordRoute: [],
    ...content(parts, names.userAgent),
  };
}

/** What a dialog knows about its next request. */
export interface DialogNames {
  readonly uri: SipUri | OtherUri;
  readonly route: readonly NameAddr[];
  readonly from: NameAddr;
  readonly to: NameAddr;
  readonly callId: string;
  readonly seq: number;
  readonly contact: NameAddr | undefined;
}

export function buildInDialog(method: string, parts: InDialogParts, names: DialogNames, flow: Flow, branch: string, userAgent: string): SipRequest {
  return {
    type: 'request',
    method,
    uri: names.uri,
    maxForwards: MAX_FORWARDS,
    via: [viaFor(flow, branch)],
    from: names.from,
    to: names.to,
    callId: names.callId,
    cseq: { seq: names.seq, method },
    contact: names.contact === undefined ? [] : [names.contact],
    route: names.route,
    recordRoute: [],
    ...content(parts, userAgent),
  };
}

/** 17.1.1.3: the ACK to a final non-2xx goes the way of its INVITE, with the same branch. */
export const buildAckForFailure = (invite: SipRequest, response: SipResponse): SipRequest => hopByHop(invite, 'ACK', response.to);

/** 9.1: a CANCEL repeats what identifies its INVITE, with the same branch. */
export const buildCancel = (invite: SipRequest): SipRequest => hopByHop(invite, 'CANCEL', invite.to);

const hopByHop = (invite: SipRequest, method: string, to: NameAddr): SipRequest => ({
  type: 'request',
  method,
  uri: invite.uri,
  maxForwards: MAX_FORWARDS,
  via: invite.via.slice(0, 1),
  from: invite.from,
  to,
  callId: invite.callId,
  cseq: { seq: invite.cseq.seq, method },
  contact: [],
  route: invite.route,
  recordRoute: [],
  expires: undefined,
  contentType: undefined,
  headers: [],
  body: NO_BODY,
});

/** 8.2.6. `toTag` is added where To has none; 100 carries none, but the Timestamp (8.2.6.1). */
export function buildResponse(request: SipRequest, status: number, parts: ResponseParts, toTag: string, userAgent: string | undefined): SipResponse {
  const built = content(parts, userAgent);
  const timestamps = status === 100 ? headerValues(request, 'Timestamp').map(value => ({ name: 'Timestamp', value })) : [];
  return {
    type: 'response',
    status,
    reason: parts.reason ?? reasonPhrase(status),
    via: request.via,
    from: request.from,
    to: status === 100 || toTag === '' || tagOf(request.to) !== undefined ? request.to : withParam(request.to, 'tag', toTag),
    callId: request.callId,
    cseq: request.cseq,
    contact: parts.contact === undefined ? [] : [parts.contact],
    route: [],
    recordRoute: status > 100 && status < 300 ? request.recordRoute : [],
    ...built,
    headers: [...timestamps, ...built.headers],
  };
}

/** The request as it is answered: its source stands in the top Via (18.2.1, RFC 3581 4). */
export function withReceived(request: SipRequest, flow: Flow): SipRequest {
  const [top, ...below] = request.via;
  if (top === undefined) return request;
  const stamped = withSource(top, flow.remoteAddress, flow.remotePort);
  return stamped === top ? request : { ...request, via: [stamped, ...below] };
}

/** Cheap answer first: a peer without NAT writes its address as we see it. */
const isHost = (host: string, address: string): boolean => host === address || normalizeHost(host) === address;

/**
 * Where the response goes (18.2.2, RFC 3581 4): over TCP back on the connection; over UDP to the source port when the peer asks
 * for it or sits behind NAT (its sent-by is not what we see), else to the port of its sent-by.
 */
export function responseFlow(top: Via | undefined, flow: Flow): Flow {
  if (flow.transport === 'TCP' || top === undefined || top.params.has('rport')) return flow;
  const port = isHost(top.host, flow.remoteAddress) ? (top.port ?? 5060) : flow.remotePort;
  return port === flow.remotePort ? flow : { ...flow, remotePort: port };
}

/** 18.2.2: when the connection is gone, the response is tried at the source address and the port of sent-by. */
export const sentByPort = (request: SipRequest): number => request.via[0]?.port ?? 5060;
