/**
 * What a SIP endpoint offers to its owner. `openSipEndpoint` makes one.
 */
import type { Evidence } from '#core/host/ban-policy.ts';
import type { InDialogParts, NewRequest, ResponseParts } from '#core/sip/build.ts';
import type { DialogState } from '#core/sip/dialog.ts';
import type { SipRecorder } from '#core/diagnose/recorder.ts';
import type { Flow, SipTransport, Target } from '#core/sip/flow.ts';
import type { SipMessage, SipRequest, SipResponse } from '#core/sip/message.ts';
import type { Outcome } from '#core/sip/pending-request.ts';
import type { NewSubscription } from '#core/sip/subscriber.ts';
import type { EndCause, SubscriptionStateValue } from '#core/sip/subscription.ts';
import type { SubscriptionState } from '#core/sip/subscriptions.ts';
import type { SipTiming } from '#core/sip/timing.ts';
import type { TransactionLimits } from '#core/sip/transactions.ts';
import type { RequestRules } from '#core/sip/validate.ts';
import type { Clock } from './clock.ts';
import type { Hashes } from './hashes.ts';
import type { Log } from './log.ts';
import type { Random } from './random.ts';

/** A request that reached us, in a server transaction of its own. Answer exactly once; retransmissions are absorbed below. */
export interface IncomingRequest {
  readonly request: SipRequest;
  readonly flow: Flow;
  respond(status: number, parts?: ResponseParts): void;
  /** No answer at all, ever: scanners and unknown sources (faults.md 21, 25). */
  drop(): void;
}

/** Requests inside an established dialog (RFC 3261 12.2). */
export interface Dialog {
  readonly state: DialogState;
  /** Sends BYE, INFO, MESSAGE, NOTIFY, SUBSCRIBE refresh, re-INVITE (ACKed by the endpoint) ... CSeq and routes are kept here. */
  request(method: string, parts?: InDialogParts): Promise<Outcome>;
  /** Requests of the peer in this dialog, BYE included (answer it yourself); ACK goes to the invite handle. CSeq order was checked. */
  onRequest: ((incoming: IncomingRequest) => void) | undefined;
  /** Forgets the dialog: later requests in it get 481. */
  close(): void;
}

/** INVITE that reached us and started a dialog of ours to be (RFC 3261 13.3). 100 was sent by itself after 200 ms at the latest. */
export interface IncomingInvite extends IncomingRequest {
  /** 180/183 with our To tag. */
  provisional(status: number, parts?: ResponseParts): void;
  /** 2xx: retransmitted until the ACK comes (13.3.1.4). The dialog exists from here on; `commit` gets it before the answer leaves. */
  accept(parts: ResponseParts, commit?: (dialog: Dialog) => void): Dialog;
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

/** A SUBSCRIBE outside any dialog (RFC 6665 4.2.1). */
export interface IncomingSubscribe extends IncomingRequest {
  /** Value of Event; empty when there was none. */
  readonly event: string;
  /** What the peer asks for, a day at most; 3600 when it does not say. 0: `end` it with its one NOTIFY, or an empty one leaves by itself. */
  readonly expiresS: number;
  /** 200 with Expires. Send the first NOTIFY yourself, as soon as possible (4.2.1.4). Undefined when it was answered before. */
  accept(parts?: ResponseParts & { readonly expiresS?: number }): Notifier | undefined;
}

/** A subscription of a peer at us. It refreshes, expires and ends by itself; NOTIFYs are the owner's. */
export interface Notifier {
  readonly event: string;
  readonly state: SubscriptionState;
  /** False as soon as it was unsubscribed, or has run out: only its last NOTIFY is under way, if that. */
  readonly isActive: boolean;
  /** NOTIFY with Event and `Subscription-State: active;expires=...`. Await it before the next one if order matters over UDP. */
  notify(parts: InDialogParts, state?: 'active' | 'pending'): Promise<Outcome>;
  /** Last NOTIFY, with this reason (RFC 6665 4.1.3): `noresource`, `deactivated`, `timeout` ... */
  end(reason: string, parts?: InDialogParts): Promise<Outcome>;
  /** Over without a word, because the same peer began another one for the same; onEnded follows. */
  replace(): void;
  /** The peer refreshed, perhaps with a new body; 200 was sent. RFC 6665 4.2.1.4 wants a NOTIFY now. */
  onRefreshed: ((request: SipRequest, expiresS: number) => void) | undefined;
  /** Over: expired, unsubscribed, or nobody answers our NOTIFYs. */
  onEnded: ((cause: EndCause) => void) | undefined;
}

/** A subscription of ours at a peer. It is refreshed by itself at 80 % of what was granted. */
export interface Subscription {
  /** Undefined until the peer has answered. */
  readonly state: SubscriptionState | undefined;
  /** SUBSCRIBE now, with another body if given. */
  refresh(parts?: InDialogParts): void;
  /** SUBSCRIBE with Expires 0; onEnded follows. Undefined outcome: there was nothing to end. */
  unsubscribe(): Promise<Outcome | undefined>;
  /** Over without a word, because the peer has forgotten it; onEnded follows. */
  replace(): void;
  /** Granted, at first or again. */
  onActive: ((expiresS: number) => void) | undefined;
  /** A NOTIFY; answer it. Without handler: 200. */
  onNotify: ((incoming: IncomingRequest, value: SubscriptionStateValue) => void) | undefined;
  /** `status`: of the last response, when there was one. */
  onEnded: ((cause: EndCause, status: number | undefined) => void) | undefined;
}

export interface SipEndpoint extends AsyncDisposable {
  /** Actual addresses, with the ports that the system chose for port 0. */
  readonly bound: readonly { readonly transport: SipTransport; readonly address: string; readonly port: number }[];
  /** Of one that was opened `held`: takes what came meanwhile, in order, and holds nothing any more. */
  begin(): void;
  /** Requests outside any dialog, INVITE excluded. */
  onRequest: ((incoming: IncomingRequest) => void) | undefined;
  onInvite: ((incoming: IncomingInvite) => void) | undefined;
  /** Absent: SUBSCRIBE goes to onRequest. */
  onSubscribe: ((incoming: IncomingSubscribe) => void) | undefined;
  /** A NOTIFY in a dialog that is none (any more): it was answered 481 (RFC 6665 4.1.3). */
  onStrayNotify: ((request: SipRequest, flow: Flow) => void) | undefined;
  /** A TCP connection ended (2022: device behind NAT counts as offline). */
  onFlowClosed: ((flow: Flow) => void) | undefined;
  /** Every message that passed, for the recorder and for tests. */
  onTrace: ((direction: 'in' | 'out', message: SipMessage, flow: Flow) => void) | undefined;
  /** One non-INVITE request outside a dialog, to its final answer. */
  request(request: NewRequest, target: Target): Promise<Outcome>;
  invite(request: NewRequest, target: Target): OutgoingInvite;
  subscribe(request: NewSubscription, target: Target): Subscription;
  /** Takes up a dialog saved before a restart. Throws TypeError when it is none. */
  restoreDialog(state: DialogState): Dialog;
  /** `content`: what refreshes carry, as with `subscribe`; its `expires` is the span to ask for. */
  restoreSubscription(state: SubscriptionState, content?: InDialogParts): Subscription;
  restoreNotifier(state: SubscriptionState): Notifier;
  /** The local address that packets to this peer would carry (for Via, Contact, SDP). */
  localAddressFor(target: Target): { readonly address: string; readonly port: number };
  /**
   * Since the start, by name; one that is absent is 0.
   * - traffic: sip.in.requests, sip.in.responses, sip.out.messages, sip.keepalive
   * - not taken: sip.malformed, sip.rejected (answered by form), sip.dropped.rate, sip.dropped.rate-total, sip.dropped.scanner, sip.dropped.busy
   * - not matched: sip.response.stray, sip.ack.stray, sip.quirk.dialog-tag and sip.quirk.cseq-method (taken although these were wrong)
   * - owners: sip.unanswered, sip.response.superfluous (a second answer), sip.response.lost (its way was gone)
   * - calls: sip.timer.ack (none came), sip.invite.disowned (2xx that nobody wanted), sip.invite.forks
   * - TCP: sip.tcp.header-timeout, .message-timeout, .idle-timeout, .connect-timeout, .broken, .oversize, .write-overflow, .fallback,
   *   .evicted, .refused.peer, .refused.total, .accept-failed; sip.udp.error
   */
  readonly counters: Readonly<Record<string, number>>;
  /** What is held at this moment: transactions, dialogs, invites, timers, connections. All fall to 0 in an idle endpoint. */
  readonly sizes: Readonly<Record<string, number>>;
}

/** Who watches the door: shuts out, and hears what strangers do. Both are called for every datagram of a stranger. */
export interface SipGate {
  isBanned(address: string): boolean;
  offence(evidence: Evidence): void;
}

export interface SipEndpointOptions {
  readonly listen: readonly { readonly transport: 'udp' | 'tcp'; readonly address: string; readonly port: number }[];
  readonly userAgent: string;
  /** What comes waits until `begin`: nobody is answered by an owner who does not know yet what he has. Default: false. */
  readonly held?: boolean;
  readonly tcpMaxConnections?: number;
  readonly tcpMaxPerPeer?: number;
  /** Peers that are registered or configured: not rate-limited. Asked per datagram, so it must be a map look-up. Absent: all are. */
  readonly isTrusted?: (address: string) => boolean;
  /** Requests a second from one untrusted address; the rest is dropped before parsing and counted. */
  readonly unknownRequestsPerS?: number;
  /** The same for all untrusted addresses together, so that no number of them takes the machine. */
  readonly unknownTotalPerS?: number;
  /** Peers whose Content-Length is known to be wrong: their datagrams count as they arrived (gb28181.md 11, 2). Absent: none. */
  readonly hasWrongLengths?: (address: string) => boolean;
  /** Words in User-Agent that scanners use; such a request of an untrusted source gets no answer. */
  readonly scannerAgents?: readonly string[];
  /** Absent: nobody is shut out. */
  readonly gate?: SipGate;
  /** Round-trip estimate and its kin; the RFC's values when absent. */
  readonly timing?: SipTiming;
  readonly limits?: TransactionLimits;
  readonly rules?: RequestRules;
  /** Keeps the octets of what comes in, broken or not, and of what leaves; not what is dropped unread. */
  readonly recorder?: SipRecorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
}

export type { DialogState, EndCause, Flow, InDialogParts, NewRequest, NewSubscription, Outcome, ResponseParts, SipTransport, SubscriptionState, SubscriptionStateValue, Target };
