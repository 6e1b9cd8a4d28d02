/**
 * The one door between SIP and sockets: binds UDP and TCP, frames, parses, runs the transaction automata of core/sip
 * and keeps their timers. It knows nothing of GB/T 28181.
 */
import type { SipMessage, SipRequest, SipResponse, HeaderField, NameAddr } from '#core/sip/message.ts';
import type { SipUri } from '#core/sip/uri.ts';
import type { Clock } from './clock.ts';
import type { Hashes } from './hashes.ts';
import type { Log } from './log.ts';
import type { Random } from './random.ts';

export type SipTransport = 'UDP' | 'TCP';

/** Where a message came from or goes to. */
export interface Flow {
  readonly transport: SipTransport;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Set for TCP: the connection. A target with a live connectionId uses it; otherwise a connection to remote is reused or made. */
  readonly connectionId?: number;
}

export interface Target {
  readonly transport: SipTransport;
  readonly address: string;
  readonly port: number;
  readonly connectionId?: number | undefined;
}

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
  readonly contentType?: string;
  readonly headers?: readonly HeaderField[];
  readonly body?: Uint8Array;
}

/** How a client transaction ended. */
export type Outcome =
  | { readonly type: 'response'; readonly response: SipResponse; readonly flow: Flow }
  | { readonly type: 'timeout' }
  | { readonly type: 'transport-error'; readonly why: string };

export interface ResponseParts {
  readonly reason?: string;
  readonly contact?: NameAddr;
  readonly expires?: number;
  readonly contentType?: string;
  readonly headers?: readonly HeaderField[];
  readonly body?: Uint8Array;
}

/** A request that reached us, in a server transaction of its own. Answer exactly once; retransmissions are absorbed below. */
export interface IncomingRequest {
  readonly request: SipRequest;
  readonly flow: Flow;
  respond(status: number, parts?: ResponseParts): void;
  /** No answer at all, ever: scanners and unknown sources (faults.md 21, 25). */
  drop(): void;
}

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
}

/** Requests inside an established dialog (RFC 3261 12.2). */
export interface Dialog {
  readonly state: DialogState;
  /** Sends BYE, INFO, MESSAGE, NOTIFY, SUBSCRIBE refresh, re-INVITE (ACKed by the endpoint) ... CSeq and routes are kept here. */
  request(method: string, parts?: { contentType?: string; headers?: readonly HeaderField[]; body?: Uint8Array; expires?: number }): Promise<Outcome>;
  /** Requests of the peer in this dialog, BYE included (answer it yourself); ACK goes to the invite handle. CSeq order was checked. */
  onRequest: ((incoming: IncomingRequest) => void) | undefined;
  /** Forgets the dialog: later requests in it get 481. */
  close(): void;
}

/** INVITE that reached us and started a dialog of ours to be (RFC 3261 13.3). 100 was sent by itself after 200 ms at the latest. */
export interface IncomingInvite extends IncomingRequest {
  /** 180/183 with our To tag. */
  provisional(status: number): void;
  /** 2xx: retransmitted until the ACK comes (13.3.1.4). The dialog exists from here on. `commit` is awaited before the answer leaves. */
  accept(parts: ResponseParts): Dialog;
  onAck: ((ack: SipRequest) => void) | undefined;
  /** No ACK in 64*T1. The owner sends BYE. */
  onAckTimeout: (() => void) | undefined;
  /** CANCEL came before our final answer; 487 and the 200 to CANCEL were sent by the endpoint. */
  onCancel: (() => void) | undefined;
}

/** INVITE that we sent (13.2). Exactly one of onAccepted / onFailed is called; forked or late 2xx are ACKed and BYEd by the endpoint. */
export interface OutgoingInvite {
  onProvisional: ((response: SipResponse) => void) | undefined;
  /** The 2xx. Its ACK leaves when `ack()` is called, and again at every retransmission of the 2xx. */
  onAccepted: ((accepted: { response: SipResponse; dialog: Dialog; ack(body?: { contentType: string; body: Uint8Array }): void }) => void) | undefined;
  onFailed: ((outcome: Outcome) => void) | undefined;
  /** CANCEL as soon as RFC 3261 9.1 allows. A 2xx that crosses it is ACKed and BYEd; then onFailed gets a 487-like outcome. */
  cancel(): void;
}

export interface SipEndpoint extends AsyncDisposable {
  /** Actual addresses, with the ports that the system chose for port 0. */
  readonly bound: readonly { readonly transport: SipTransport; readonly address: string; readonly port: number }[];
  /** Requests outside any dialog, INVITE excluded. */
  onRequest: ((incoming: IncomingRequest) => void) | undefined;
  onInvite: ((incoming: IncomingInvite) => void) | undefined;
  /** A TCP connection ended (2022: device behind NAT counts as offline). */
  onFlowClosed: ((flow: Flow) => void) | undefined;
  /** Every message that passed, for the recorder and for tests. */
  onTrace: ((direction: 'in' | 'out', message: SipMessage, flow: Flow) => void) | undefined;
  /** One non-INVITE request outside a dialog, to its final answer. */
  request(request: NewRequest, target: Target): Promise<Outcome>;
  invite(request: NewRequest, target: Target): OutgoingInvite;
  /** Takes up a dialog saved before a restart. */
  restoreDialog(state: DialogState): Dialog;
  /** The local address that packets to this peer would carry (for Via, Contact, SDP). */
  localAddressFor(target: Target): { readonly address: string; readonly port: number };
  readonly counters: Readonly<Record<string, number>>;
}

export interface SipEndpointOptions {
  readonly listen: readonly { readonly transport: 'udp' | 'tcp'; readonly address: string; readonly port: number }[];
  readonly userAgent: string;
  readonly tcpMaxConnections?: number;
  readonly tcpMaxPerPeer?: number;
  /** Peers that are registered or configured: not rate-limited. Asked per datagram, so it must be a map look-up. */
  readonly isTrusted?: (address: string) => boolean;
  /** Requests a second from one untrusted address; the rest is dropped before parsing and counted. */
  readonly unknownRequestsPerS?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
}
