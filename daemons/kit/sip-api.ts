/**
 * What a SIP endpoint offers to its owner. `openSipEndpoint` makes one.
 */
import type { InDialogParts, NewRequest, ResponseParts } from '#core/sip/build.ts';
import type { DialogState } from '#core/sip/dialog.ts';
import type { Flow, SipTransport, Target } from '#core/sip/flow.ts';
import type { SipMessage, SipRequest, SipResponse } from '#core/sip/message.ts';
import type { Outcome } from '#core/sip/pending-request.ts';
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
  /** 2xx: retransmitted until the ACK comes (13.3.1.4). The dialog exists from here on. */
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
  /** What is held at this moment: transactions, dialogs, invites, timers, connections. All fall to 0 in an idle endpoint. */
  readonly sizes: Readonly<Record<string, number>>;
}

export interface SipEndpointOptions {
  readonly listen: readonly { readonly transport: 'udp' | 'tcp'; readonly address: string; readonly port: number }[];
  readonly userAgent: string;
  readonly tcpMaxConnections?: number;
  readonly tcpMaxPerPeer?: number;
  /** Peers that are registered or configured: not rate-limited. Asked per datagram, so it must be a map look-up. Absent: all are. */
  readonly isTrusted?: (address: string) => boolean;
  /** Requests a second from one untrusted address; the rest is dropped before parsing and counted. */
  readonly unknownRequestsPerS?: number;
  /** The same for all untrusted addresses together, so that no number of them takes the machine. */
  readonly unknownTotalPerS?: number;
  /** Words in User-Agent that scanners use; such a request of an untrusted source gets no answer. */
  readonly scannerAgents?: readonly string[];
  /** Round-trip estimate and its kin; the RFC's values when absent. */
  readonly timing?: SipTiming;
  readonly limits?: TransactionLimits;
  readonly rules?: RequestRules;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
}

export type { DialogState, Flow, InDialogParts, NewRequest, Outcome, ResponseParts, SipTransport, Target };
