/**
 * The SIP user agent as one automaton: messages, wishes and time in; bytes to send and events for the owner out.
 *
 *   receive -> Transactions -> (validate) -> dialog? -> re-INVITE, BYE ...: 'dialog-request'
 *                                         -> CANCEL, INVITE:                IncomingInvites
 *                                         -> else:                          'request'
 *   request, invite, requestInDialog -> Transactions -> 'outcome', 'invite-accepted' ...
 *
 * After every call take the outputs with `drain` and carry them out in order; call `tick` at `deadline`.
 */
import { Deadlines } from '../deadlines.ts';
import type { Ms } from '../units.ts';
import { type InDialogParts, type NewRequest, type ResponseParts, buildInDialog, buildRequest, buildResponse, contactFor, responseFlow, withReceived } from './build.ts';
import { Dialog, type DialogState } from './dialog.ts';
import { DialogTable } from './dialogs.ts';
import { type Engine, type EngineOptions, type Expiring, type Transmit, newBranch, newCallId, newTag } from './engine.ts';
import type { Flow, Target } from './flow.ts';
import { type IncomingInvite, type IncomingInviteOutput, IncomingInvites } from './incoming-invites.ts';
import { type SipMessage, type SipRequest, tagOf, userOf } from './message.ts';
import { OutgoingInvite, type OutgoingInviteOutput } from './outgoing-invite.ts';
import type { SipParseError } from './parse.ts';
import { type Outcome, type OutcomeOutput, PendingRequest } from './pending-request.ts';
import { meant } from './quirks.ts';
import { serializeRejection } from './serialize.ts';
import { type SubscriptionLink, type SubscriptionOutput, Subscriptions } from './subscriptions.ts';
import { type ServerTransaction, type TransactionLimits, type TransactionUser, Transactions } from './transactions.ts';
import { DEFAULT_RULES, type RequestRules, validateRequest } from './validate.ts';

export type UserAgentOutput =
  | Transmit
  | OutcomeOutput
  | IncomingInviteOutput
  | OutgoingInviteOutput
  | SubscriptionOutput
  /** A NOTIFY that was answered 481, for whoever knows what it was about: its dialog may have gone with an earlier process. */
  | { readonly type: 'stray-notify'; readonly request: SipRequest; readonly flow: Flow }
  /** Outside any dialog. */
  | { readonly type: 'request'; readonly transaction: ServerTransaction; readonly request: SipRequest };

export interface UserAgentOptions extends EngineOptions {
  readonly limits: TransactionLimits;
  readonly rules?: RequestRules;
}

/** Requests that mean nothing without their dialog (12.2.2, RFC 6665 4.1.3: 481). */
const DIALOG_ONLY = new Set(['BYE', 'INFO', 'NOTIFY']);
/** Methods in which a To tag that we never gave is overlooked: peers keep the tags of an old MESSAGE or REGISTER. */
const TAG_OVERLOOKED = new Set(['MESSAGE', 'REGISTER', 'OPTIONS']);
/** Target refresh requests carry our Contact (12.2.1.1). */
const TARGET_REFRESH = new Set(['INVITE', 'SUBSCRIBE', 'NOTIFY']);

interface HeldBye {
  readonly pending: PendingRequest;
  readonly parts: InDialogParts;
}

export class UserAgent implements TransactionUser, SubscriptionLink {
  readonly subscriptions: Subscriptions;
  readonly #engine: Engine<UserAgentOutput>;
  readonly #rules: RequestRules;
  readonly #deadlines = new Deadlines<Expiring>();
  readonly #dialogs = new DialogTable();
  readonly #transactions: Transactions;
  readonly #incoming: IncomingInvites;
  /** 15: the callee's BYE waits for the ACK to its 2xx, or for its time-out. */
  readonly #heldByes = new Map<Dialog, HeldBye>();
  #outputs: UserAgentOutput[] = [];

  constructor(options: UserAgentOptions) {
    this.#engine = { ...options, deadlines: this.#deadlines, out: output => void this.#outputs.push(output) };
    this.#rules = options.rules ?? DEFAULT_RULES;
    this.#transactions = new Transactions(this.#engine, this, options.limits);
    this.subscriptions = new Subscriptions(this.#engine, this.#dialogs, this);
    this.#incoming = new IncomingInvites(this.#engine, this.#transactions, this.#dialogs, (dialog, now) => this.#releaseBye(dialog, now));
  }

  get deadline(): Ms {
    return this.#deadlines.next;
  }

  /** What is held at this moment, for leak tests and `show counters`. */
  get sizes(): { readonly serverTransactions: number; readonly clientTransactions: number; readonly dialogs: number; readonly invites: number; readonly subscriptions: number; readonly timers: number } {
    return {
      serverTransactions: this.#transactions.serverCount,
      clientTransactions: this.#transactions.clientCount,
      dialogs: this.#dialogs.size,
      invites: this.#incoming.size,
      subscriptions: this.subscriptions.size,
      timers: this.#deadlines.size,
    };
  }

  drain(): UserAgentOutput[] {
    const outputs = this.#outputs;
    if (outputs.length > 0) this.#outputs = [];
    return outputs;
  }

  // --- what happens to us ----------------------------------------------------------------------------------------------

  receive(message: SipMessage, flow: Flow, trusted: boolean, now: Ms): void {
    if (message.type === 'response') this.#transactions.receiveResponse(message, flow, now);
    else this.#transactions.receiveRequest(withReceived(message, flow), flow, trusted, now);
  }

  /** Answers what could not become a message, once and without state; never a response or an ACK. */
  refuse(error: SipParseError, flow: Flow): void {
    if (error.status === null || error.partial === null) return;
    const parts = { toTag: newTag(this.#engine.dice), received: flow.remoteAddress, receivedPort: flow.remotePort };
    this.#engine.out({ type: 'transmit', bytes: serializeRejection(error.status, error.partial, parts), flow: responseFlow(error.partial.topVia, flow), message: undefined });
  }

  tick(now: Ms): void {
    for (let due = this.#deadlines.takeDue(now); due !== undefined; due = this.#deadlines.takeDue(now)) due.expire(now);
  }

  connectionClosed(connectionId: number, now: Ms): void {
    this.#transactions.connectionClosed(connectionId, now);
  }

  transmitFailed(transmit: Transmit, why: string, now: Ms): void {
    if (transmit.sender !== undefined) this.#transactions.failed(transmit.sender, why, now);
  }

  // --- what the owner wants --------------------------------------------------------------------------------------------

  request(parts: NewRequest, target: Target, now: Ms): PendingRequest {
    const pending = new PendingRequest(this.#engine.out);
    this.#send(parts, target, pending, now);
    return pending;
  }

  invite(parts: NewRequest, target: Target, now: Ms): OutgoingInvite {
    const flow = this.#engine.route(target);
    const named = flow ?? nowhere(target);
    const contact = parts.contact ?? contactFor(named, userOf(parts.from));
    const invite = new OutgoingInvite({ engine: this.#engine, transactions: this.#transactions, dialogs: this.#dialogs }, this.#newRequest({ ...parts, method: 'INVITE', contact }, named));
    if (flow === undefined) invite.onFailed('transport-error', noWay(target).why, now);
    else invite.start(flow, now);
    return invite;
  }

  requestInDialog(dialog: Dialog, method: string, parts: InDialogParts, onSettled: ((outcome: Outcome, now: Ms) => void) | undefined, now: Ms): PendingRequest {
    const pending = new PendingRequest(this.#engine.out, method === 'BYE' ? (_outcome, at): void => this.closeDialog(dialog, at) : onSettled);
    if (dialog.closed) pending.settle({ type: 'transport-error', why: 'the dialog is over' }, now);
    else if (method === 'BYE' && this.#incoming.isAwaitingAck(dialog)) this.#heldByes.set(dialog, { pending, parts });
    else this.#sendInDialog(dialog, method, parts, pending, now);
    return pending;
  }

  /** Answer of the owner to what 'request', 'invite' or 'dialog-request' handed to him. */
  respond(transaction: ServerTransaction, status: number, parts: ResponseParts, now: Ms): void {
    const invite = this.#incoming.of(transaction);
    if (invite !== undefined) return this.#incoming.answer(invite, status, parts, now);
    const request = transaction.request;
    if (request === undefined) return this.#engine.count('sip.response.superfluous');
    this.reply(transaction, request, status, parts, now);
    if (request.method === 'BYE' && status >= 200 && status < 300) {
      const dialog = this.#dialogOf(request, transaction.flow);
      if (dialog !== undefined) this.closeDialog(dialog, now);
    }
  }

  /** 2xx to an INVITE. The dialog is closed from the start when the INVITE was cancelled or answered before. */
  accept(invite: IncomingInvite, parts: ResponseParts, now: Ms): Dialog {
    this.#incoming.answer(invite, 200, parts, now);
    if (invite.dialog !== undefined) return invite.dialog;
    const dead = Dialog.asServer(invite.request, invite.transaction.flow, invite.transaction.toTag, parts.contact, 0);
    dead.closed = true;
    return dead;
  }

  drop(transaction: ServerTransaction, now: Ms): void {
    const invite = this.#incoming.of(transaction);
    if (invite !== undefined) this.#incoming.drop(invite);
    this.#transactions.silence(transaction, now);
  }

  restoreDialog(state: DialogState): Dialog | undefined {
    const dialog = Dialog.restore(state);
    if (dialog !== undefined) this.#dialogs.add(dialog);
    return dialog;
  }

  closeDialog(dialog: Dialog, now: Ms): void {
    this.#dialogs.delete(dialog);
    this.#incoming.dialogEnded(dialog, now);
  }

  // --- TransactionUser -------------------------------------------------------------------------------------------------

  onRequest(transaction: ServerTransaction, now: Ms): void {
    const request = transaction.request;
    if (request === undefined) return;
    const forgiven = transaction.trusted ? meant(request) : undefined;
    if (forgiven !== undefined) this.#engine.count('sip.quirk.cseq-method');
    const rejection = validateRequest(forgiven ?? request, this.#rules);
    if (rejection !== null) {
      this.#engine.count('sip.rejected');
      return this.reply(transaction, request, rejection.status, { reason: rejection.reason, headers: rejection.headers }, now);
    }
    if (request.method === 'CANCEL') return this.#onCancel(transaction, request, now);
    const dialog = this.#dialogOf(request, transaction.flow);
    if (dialog !== undefined) return this.#onDialogRequest(dialog, transaction, request, now);
    if (request.method === 'NOTIFY' && this.subscriptions.onEarlyNotify(transaction, request, now)) return;
    const strayTag = tagOf(request.to) !== undefined && !TAG_OVERLOOKED.has(request.method);
    if (strayTag || DIALOG_ONLY.has(request.method)) {
      if (request.method === 'NOTIFY') this.#engine.out({ type: 'stray-notify', request, flow: transaction.flow });
      return this.reply(transaction, request, 481, {}, now);
    }
    if (request.method === 'INVITE') return this.#incoming.begin(transaction, request, now);
    if (request.method === 'SUBSCRIBE') return this.subscriptions.onSubscribe(transaction, request);
    this.#engine.out({ type: 'request', transaction, request });
  }

  onTrying(transaction: ServerTransaction, now: Ms): void {
    this.#incoming.trying(transaction, now);
  }

  onAck(ack: SipRequest, flow: Flow, now: Ms): void {
    if (!this.#incoming.acknowledge(ack, flow, now)) this.#engine.count('sip.ack.stray');
  }

  // --- SubscriptionLink ------------------------------------------------------------------------------------------------

  reply(transaction: ServerTransaction, request: SipRequest, status: number, parts: ResponseParts, now: Ms): void {
    if (status > 100) transaction.toTag ||= newTag(this.#engine.dice);
    const userAgent = transaction.trusted ? this.#engine.userAgent : undefined;
    this.#transactions.respond(transaction, buildResponse(request, status, parts, transaction.toTag, userAgent), now);
  }

  sendNew(parts: NewRequest, target: Target, onSettled: (outcome: Outcome, now: Ms) => void, now: Ms): SipRequest {
    return this.#send(parts, target, new PendingRequest(this.#engine.out, onSettled), now);
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  #dialogOf(request: SipRequest, flow: Flow): Dialog | undefined {
    const exact = tagOf(request.to) === undefined ? undefined : this.#dialogs.find(request);
    if (exact !== undefined || !DIALOG_ONLY.has(request.method)) return exact;
    const meant = this.#dialogs.findForgiving(request, flow);
    if (meant !== undefined) this.#engine.count('sip.quirk.dialog-tag');
    return meant;
  }

  #onDialogRequest(dialog: Dialog, transaction: ServerTransaction, request: SipRequest, now: Ms): void {
    // A peer that loses tags loses count as well (MiBeeNvr: CSeq 2 always), so order is asked of exact matches only.
    const exact = tagOf(request.to) === dialog.localTag;
    if (exact && !dialog.inOrder(request)) return this.reply(transaction, request, 500, { reason: 'Out Of Order' }, now);
    if (request.method === 'INVITE') return this.#incoming.beginAgain(transaction, request, dialog, now);
    if (request.method === 'SUBSCRIBE' || request.method === 'NOTIFY') return this.subscriptions.onDialogRequest(dialog, transaction, request, now);
    if (request.method === 'BYE') this.#incoming.dialogEnded(dialog, now);
    this.#engine.out({ type: 'dialog-request', dialog, transaction });
  }

  #onCancel(transaction: ServerTransaction, request: SipRequest, now: Ms): void {
    const invite = this.#transactions.findCancelled(request, transaction.flow);
    if (invite === undefined) return this.reply(transaction, request, 481, {}, now);
    invite.toTag ||= newTag(this.#engine.dice);
    transaction.toTag = invite.toTag;
    this.reply(transaction, request, 200, {}, now);
    this.#incoming.cancel(invite, now);
  }

  /** The request as it left, or as it would have. */
  #send(parts: NewRequest, target: Target, pending: PendingRequest, now: Ms): SipRequest {
    const flow = this.#engine.route(target);
    const request = this.#newRequest(parts, flow ?? nowhere(target));
    if (flow === undefined) pending.settle(noWay(target), now);
    else this.#transactions.send(request, flow, pending, now);
    return request;
  }

  #newRequest(parts: NewRequest, flow: Flow): SipRequest {
    const { dice, userAgent } = this.#engine;
    return buildRequest(parts, flow, { branch: newBranch(dice), callId: parts.callId ?? newCallId(dice, flow), fromTag: newTag(dice), cseq: parts.cseq ?? 1, userAgent });
  }

  #sendInDialog(dialog: Dialog, method: string, parts: InDialogParts, pending: PendingRequest, now: Ms): void {
    const flow = this.#engine.route(dialog.target);
    if (flow === undefined) return pending.settle(noWay(dialog.target), now);
    const busy = method === 'INVITE' && (dialog.pendingInvite !== 'none' || this.#incoming.isAwaitingAck(dialog));
    if (busy) return pending.settle({ type: 'transport-error', why: 'another INVITE is pending in this dialog' }, now);
    const contact = TARGET_REFRESH.has(method) ? (dialog.localContact ?? contactFor(flow, userOf({ uri: dialog.localUri }))) : undefined;
    const names = { ...dialog.routed(), from: dialog.from, to: dialog.to, callId: dialog.callId, seq: dialog.takeSeq(), contact };
    const request = buildInDialog(method, parts, names, flow, newBranch(this.#engine.dice), this.#engine.userAgent);
    if (method !== 'INVITE') return void this.#transactions.send(request, flow, pending, now);
    dialog.pendingInvite = 'ours';
    const home = { engine: this.#engine, transactions: this.#transactions, dialogs: this.#dialogs };
    new OutgoingInvite(home, request, { dialog, pending }).start(flow, now);
  }

  #releaseBye(dialog: Dialog, now: Ms): void {
    const held = this.#heldByes.get(dialog);
    if (held === undefined) return;
    this.#heldByes.delete(dialog);
    this.#sendInDialog(dialog, 'BYE', held.parts, held.pending, now);
  }
}

const noWay = (target: Target): { type: 'transport-error'; why: string } => ({ type: 'transport-error', why: `no ${target.transport} way to ${target.address}:${target.port}` });

/** Stands in for the flow of a request that will not leave. */
const nowhere = (target: Target): Flow => ({ transport: target.transport, localAddress: 'invalid', localPort: 0, remoteAddress: target.address, remotePort: target.port });
