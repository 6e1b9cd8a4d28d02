/**
 * A dialog (RFC 3261 12): who talks to whom about what, in which order and along which route. It survives a restart as
 * `DialogState`.
 */
import { type NameAddr, type OtherUri, type SipRequest, type SipResponse, isSipUri, tagOf } from './message.ts';
import type { SipUri } from './uri.ts';
import { formatUri, parseUri } from './uri.ts';
import { formatNameAddr, parseNameAddr } from './headers.ts';
import { normalizeHost } from '../ip.ts';
import { type Flow, type Target, targetOf } from './flow.ts';

type Uri = SipUri | OtherUri;

/** Serializable state of a dialog, so that it survives a restart (RFC 3261 12). */
export interface DialogState {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly localUri: string;
  readonly remoteUri: string;
  /** Remote target: the peer's Contact, or its request URI / source address when it gave none. */
  readonly remoteTarget: string;
  readonly routeSet: readonly string[];
  readonly localSeq: number;
  readonly remoteSeq: number | undefined;
  /** Where requests go: transport and observed address. */
  readonly target: Target;
  /** Our Contact in target refresh requests; absent in states saved without it. */
  readonly localContact?: string | undefined;
}

interface DialogParts {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly localUri: Uri;
  readonly remoteUri: Uri;
  readonly remoteTarget: Uri;
  readonly routeSet: readonly NameAddr[];
  readonly localSeq: number;
  readonly remoteSeq: number | undefined;
  readonly target: Target;
  readonly localContact: NameAddr | undefined;
}

/** Request line and routing headers of the next request (12.2.1.1). */
export interface RoutedRequest {
  readonly uri: Uri;
  readonly route: readonly NameAddr[];
}

/** RFC 3261 12.2.1.1: sequence numbers are below 2^31. */
const MAX_SEQ = 0x7fffffff;

const withTag = (uri: Uri, tag: string): NameAddr => ({ displayName: undefined, uri, params: new Map(tag === '' ? [] : [['tag', tag]]) });

export class Dialog {
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly localUri: Uri;
  readonly remoteUri: Uri;
  readonly routeSet: readonly NameAddr[];
  readonly localContact: NameAddr | undefined;
  remoteTarget: Uri;
  target: Target;
  localSeq: number;
  remoteSeq: number | undefined;
  /** The INVITE in progress, for glare (14.1, 14.2). */
  pendingInvite: 'none' | 'ours' | 'theirs' = 'none';
  closed = false;

  constructor(parts: DialogParts) {
    this.callId = parts.callId;
    this.localTag = parts.localTag;
    this.remoteTag = parts.remoteTag;
    this.localUri = parts.localUri;
    this.remoteUri = parts.remoteUri;
    this.routeSet = parts.routeSet;
    this.localContact = parts.localContact;
    this.remoteTarget = parts.remoteTarget;
    this.target = parts.target;
    this.localSeq = parts.localSeq;
    this.remoteSeq = parts.remoteSeq;
  }

  /** 12.1.1: made by our 2xx to `request`, which came on `flow`. */
  static asServer(request: SipRequest, flow: Flow, localTag: string, localContact: NameAddr | undefined, firstSeq: number): Dialog {
    const remoteTarget = contactOf(request) ?? request.from.uri;
    return new Dialog({
      callId: request.callId,
      localTag,
      remoteTag: tagOf(request.from) ?? '',
      localUri: request.to.uri,
      remoteUri: request.from.uri,
      remoteTarget,
      routeSet: request.recordRoute,
      localSeq: firstSeq,
      remoteSeq: request.cseq.seq,
      target: nextHop(flow, request.recordRoute[0]?.uri ?? contactOf(request)),
      localContact,
    });
  }

  /** 12.1.2: made by the 2xx `response` to our `request`. A 2xx without Contact leaves the request URI as target (gb28181.md 11 quirk 15). */
  static asClient(request: SipRequest, response: SipResponse, flow: Flow): Dialog {
    const routeSet = [...response.recordRoute].reverse();
    return new Dialog({
      callId: request.callId,
      localTag: tagOf(request.from) ?? '',
      remoteTag: tagOf(response.to) ?? '',
      localUri: request.from.uri,
      remoteUri: request.to.uri,
      remoteTarget: contactOf(response) ?? request.uri,
      routeSet,
      localSeq: request.cseq.seq,
      remoteSeq: undefined,
      target: nextHop(flow, routeSet[0]?.uri ?? contactOf(response)),
      localContact: request.contact === '*' ? undefined : request.contact[0],
    });
  }

  /** Undefined when the saved text no longer parses. The connection of a saved target died with the process that saved it. */
  static restore(state: DialogState): Dialog | undefined {
    const uris = [state.localUri, state.remoteUri, state.remoteTarget].map(text => parseUri(text));
    const routes = state.routeSet.map(text => parseNameAddr(text));
    const contact = state.localContact === undefined ? undefined : parseNameAddr(state.localContact);
    const [localUri, remoteUri, remoteTarget] = uris;
    if (!localUri?.ok || !remoteUri?.ok || !remoteTarget?.ok) return undefined;
    const routeSet = routes.flatMap(route => (route.ok ? [route.value] : []));
    if (routeSet.length !== routes.length) return undefined;
    const { connectionId: _dead, ...target } = state.target;
    return new Dialog({
      callId: state.callId,
      localTag: state.localTag,
      remoteTag: state.remoteTag,
      localUri: localUri.value,
      remoteUri: remoteUri.value,
      remoteTarget: remoteTarget.value,
      routeSet,
      localSeq: state.localSeq,
      remoteSeq: state.remoteSeq,
      target,
      localContact: contact?.ok === true ? contact.value : undefined,
    });
  }

  get state(): DialogState {
    return {
      callId: this.callId,
      localTag: this.localTag,
      remoteTag: this.remoteTag,
      localUri: formatUri(this.localUri),
      remoteUri: formatUri(this.remoteUri),
      remoteTarget: formatUri(this.remoteTarget),
      routeSet: this.routeSet.map(formatNameAddr),
      localSeq: this.localSeq,
      remoteSeq: this.remoteSeq,
      target: this.target,
      localContact: this.localContact === undefined ? undefined : formatNameAddr(this.localContact),
    };
  }

  get from(): NameAddr {
    return withTag(this.localUri, this.localTag);
  }

  get to(): NameAddr {
    return withTag(this.remoteUri, this.remoteTag);
  }

  takeSeq(): number {
    this.localSeq = this.localSeq >= MAX_SEQ ? 1 : this.localSeq + 1;
    return this.localSeq;
  }

  /** 12.2.1.1. A first hop without `lr` is a strict router: it wants itself in the request line and the target at the end. */
  routed(): RoutedRequest {
    const first = this.routeSet[0];
    if (first === undefined || !isSipUri(first.uri) || first.uri.params.has('lr')) return { uri: this.remoteTarget, route: this.routeSet };
    const last: NameAddr = { displayName: undefined, uri: this.remoteTarget, params: new Map() };
    return { uri: first.uri, route: [...this.routeSet.slice(1), last] };
  }

  /** 12.2.2: a number lower than one seen before is out of order. ACK and CANCEL repeat the number of their INVITE. */
  inOrder(request: SipRequest): boolean {
    if (request.method === 'ACK' || request.method === 'CANCEL') return true;
    if (this.remoteSeq !== undefined && request.cseq.seq < this.remoteSeq) return false;
    this.remoteSeq = request.cseq.seq;
    return true;
  }

  /** Target refresh by a re-INVITE, its 2xx, or a SUBSCRIBE or NOTIFY (12.2.1.2, 12.2.2). Without Contact only the observed address moves. */
  refresh(message: SipRequest | SipResponse, flow: Flow): void {
    this.remoteTarget = contactOf(message) ?? this.remoteTarget;
    this.target = nextHop(flow, this.routeSet[0]?.uri ?? contactOf(message));
  }
}

const contactOf = (message: SipRequest | SipResponse): Uri | undefined => (message.contact === '*' ? undefined : message.contact[0]?.uri);

/**
 * Behind NAT a Contact names an address that nobody can reach, so requests go where the message came from. A hop that names
 * the address we observe is not behind NAT: then its port counts, because it may send from another one.
 */
function nextHop(flow: Flow, hop: Uri | undefined): Target {
  const observed = targetOf(flow);
  if (hop === undefined || !isSipUri(hop) || normalizeHost(hop.host) !== flow.remoteAddress) return observed;
  return { ...observed, port: hop.port ?? 5060 };
}
