/**
 * INVITEs that reach us (RFC 3261 13.3, 14.2): from the first 100 to the ACK, with every CANCEL, re-INVITE and loss in between.
 */
import { type Ms } from '../units.ts';
import { type ResponseParts, buildResponse, contactFor } from './build.ts';
import { Dialog } from './dialog.ts';
import type { DialogTable } from './dialogs.ts';
import { type Engine, type Expiring, type Transmit, newTag } from './engine.ts';
import type { Flow } from './flow.ts';
import { InviteServerMachine } from './invite-server.ts';
import { type SipRequest, tagOf, userOf } from './message.ts';
import type { ServerTransaction, Transactions } from './transactions.ts';

export type IncomingInviteOutput =
  | { readonly type: 'invite'; readonly invite: IncomingInvite }
  | { readonly type: 'invite-ack'; readonly invite: IncomingInvite; readonly ack: SipRequest }
  | { readonly type: 'invite-ack-timeout'; readonly invite: IncomingInvite }
  | { readonly type: 'invite-cancelled'; readonly invite: IncomingInvite }
  | { readonly type: 'dialog-request'; readonly dialog: Dialog; readonly transaction: ServerTransaction };

/** One INVITE of a peer, until its ACK. `dialog`: of a re-INVITE from the beginning, else from our 2xx on. */
export class IncomingInvite implements Expiring {
  readonly transaction: ServerTransaction;
  readonly request: SipRequest;
  readonly machine: InviteServerMachine;
  readonly renews: boolean;
  dialog: Dialog | undefined;
  readonly #home: IncomingInvites;

  constructor(home: IncomingInvites, transaction: ServerTransaction, request: SipRequest, machine: InviteServerMachine, dialog: Dialog | undefined) {
    this.#home = home;
    this.transaction = transaction;
    this.request = request;
    this.machine = machine;
    this.dialog = dialog;
    this.renews = dialog !== undefined;
  }

  get deadline(): Ms {
    return this.machine.deadline;
  }

  expire(now: Ms): void {
    this.#home.expire(this, now);
  }
}

/** RFC 3261 14.2: 500 to an INVITE that overtakes another one says to come back within ten seconds. */
const OVERTAKEN_RETRY_S = 10;

export class IncomingInvites {
  readonly #engine: Engine<IncomingInviteOutput | Transmit>;
  readonly #transactions: Transactions;
  readonly #dialogs: DialogTable;
  readonly #byTransaction = new Map<ServerTransaction, IncomingInvite>();
  readonly #awaitingAck = new Map<Dialog, IncomingInvite>();
  readonly #onSettled: (dialog: Dialog, now: Ms) => void;
  /** By what stays equal when one INVITE reaches us on two paths (8.2.2.2). */
  readonly #initial = new Map<string, IncomingInvite>();

  /** `onSettled`: the 2xx of this dialog waits for its ACK no longer. */
  constructor(engine: Engine<IncomingInviteOutput | Transmit>, transactions: Transactions, dialogs: DialogTable, onSettled: (dialog: Dialog, now: Ms) => void) {
    this.#engine = engine;
    this.#onSettled = onSettled;
    this.#transactions = transactions;
    this.#dialogs = dialogs;
  }

  get size(): number {
    return this.#byTransaction.size;
  }

  of(transaction: ServerTransaction): IncomingInvite | undefined {
    return this.#byTransaction.get(transaction);
  }

  begin(transaction: ServerTransaction, request: SipRequest, now: Ms): void {
    if (this.#initial.has(mergeKey(request))) return this.#reply(transaction, request, 482, {}, now);
    const invite = this.#admit(transaction, request, undefined, now);
    this.#initial.set(mergeKey(request), invite);
    this.#engine.out({ type: 'invite', invite });
  }

  /** 14.2: one INVITE at a time in a dialog. */
  beginAgain(transaction: ServerTransaction, request: SipRequest, dialog: Dialog, now: Ms): void {
    if (dialog.pendingInvite === 'ours') return this.#reply(transaction, request, 491, {}, now);
    if (dialog.pendingInvite === 'theirs') {
      const retryAfter = { name: 'Retry-After', value: String(this.#engine.dice.int(OVERTAKEN_RETRY_S + 1)) };
      return this.#reply(transaction, request, 500, { headers: [retryAfter] }, now);
    }
    dialog.pendingInvite = 'theirs';
    this.#admit(transaction, request, dialog, now);
    this.#engine.out({ type: 'dialog-request', dialog, transaction });
  }

  /** 100 at once to whom we know: it stops his retransmissions. Others get it after 200 ms, when the answer takes long. */
  #admit(transaction: ServerTransaction, request: SipRequest, dialog: Dialog | undefined, now: Ms): IncomingInvite {
    const invite = new IncomingInvite(this, transaction, request, new InviteServerMachine(this.#engine.timing, now), dialog);
    this.#byTransaction.set(transaction, invite);
    this.#engine.deadlines.set(invite, invite.deadline);
    if (transaction.trusted) this.trying(transaction, now);
    return invite;
  }

  trying(transaction: ServerTransaction, now: Ms): void {
    const request = transaction.request;
    if (request !== undefined) this.#transactions.respond(transaction, buildResponse(request, 100, {}, '', undefined), now);
  }

  /** Any answer of the owner. A 2xx makes the dialog; what comes after a final answer or a CANCEL does nothing. */
  answer(invite: IncomingInvite, status: number, parts: ResponseParts, now: Ms): void {
    if (invite.machine.state !== 'proceeding') return this.#engine.count('sip.response.superfluous');
    if (status < 200) return this.#reply(invite.transaction, invite.request, status, this.#withContact(invite, status, parts), now);
    if (status < 300) this.#accept(invite, status, parts, now);
    else this.#refuse(invite, status, parts, now);
  }

  #accept(invite: IncomingInvite, status: number, parts: ResponseParts, now: Ms): void {
    const { transaction, request } = invite;
    const { contact, ...rest } = this.#withContact(invite, status, parts);
    transaction.toTag ||= newTag(this.#engine.dice);
    if (invite.dialog === undefined) {
      invite.dialog = Dialog.asServer(request, transaction.flow, transaction.toTag, contact, this.#engine.dice.int(10_000));
      this.#dialogs.add(invite.dialog);
    } else {
      invite.dialog.pendingInvite = 'none';
      invite.dialog.refresh(request, transaction.flow);
    }
    this.#awaitingAck.set(invite.dialog, invite);
    invite.machine.accept(now);
    this.#reply(transaction, request, status, contact === undefined ? rest : { ...rest, contact }, now);
    this.#engine.deadlines.set(invite, invite.deadline);
  }

  #refuse(invite: IncomingInvite, status: number, parts: ResponseParts, now: Ms): void {
    this.#end(invite);
    this.#reply(invite.transaction, invite.request, status, parts, now);
  }

  /** The owner never answers: nobody else will. */
  drop(invite: IncomingInvite): void {
    this.#end(invite);
  }

  /** 9.2: only an INVITE without final answer is cancelled. The 200 to the CANCEL is the caller's. */
  cancel(transaction: ServerTransaction, now: Ms): void {
    const invite = this.#byTransaction.get(transaction);
    if (invite?.machine.state !== 'proceeding') return;
    this.#refuse(invite, 487, {}, now);
    if (!invite.renews) this.#engine.out({ type: 'invite-cancelled', invite });
  }

  /** Whether the ACK belonged to a 2xx of ours. */
  acknowledge(ack: SipRequest, flow: Flow, now: Ms): boolean {
    const dialog = this.#dialogs.find(ack) ?? this.#dialogs.findForgiving(ack, flow);
    const invite = dialog === undefined ? undefined : this.#awaitingAck.get(dialog);
    if (dialog === undefined || invite === undefined || invite.request.cseq.seq !== ack.cseq.seq) return false;
    this.#end(invite);
    if (!invite.renews) this.#engine.out({ type: 'invite-ack', invite, ack });
    this.#onSettled(dialog, now);
    return true;
  }

  isAwaitingAck(dialog: Dialog): boolean {
    return this.#awaitingAck.has(dialog);
  }

  /** The dialog is over, its 2xx need no ACK any more. */
  dialogEnded(dialog: Dialog, now: Ms): void {
    const invite = this.#awaitingAck.get(dialog);
    if (invite === undefined) return;
    this.#end(invite);
    this.#onSettled(dialog, now);
  }

  expire(invite: IncomingInvite, now: Ms): void {
    for (const action of invite.machine.tick(now)) {
      if (action === 'repeat') this.#transactions.repeat(invite.transaction);
      if (action === 'ack-timeout') this.#onAckTimeout(invite, now);
      if (action === 'give-up') this.#onGiveUp(invite, now);
    }
    this.#engine.deadlines.set(invite, invite.deadline);
  }

  #onAckTimeout(invite: IncomingInvite, now: Ms): void {
    this.#engine.count('sip.timer.ack');
    this.#end(invite);
    if (!invite.renews) this.#engine.out({ type: 'invite-ack-timeout', invite });
    if (invite.dialog !== undefined) this.#onSettled(invite.dialog, now);
  }

  #onGiveUp(invite: IncomingInvite, now: Ms): void {
    this.#engine.count('sip.unanswered');
    this.#end(invite);
    this.#reply(invite.transaction, invite.request, 408, {}, now);
    if (!invite.renews) this.#engine.out({ type: 'invite-cancelled', invite });
  }

  #end(invite: IncomingInvite): void {
    invite.machine.end();
    this.#engine.deadlines.delete(invite);
    this.#byTransaction.delete(invite.transaction);
    if (this.#initial.get(mergeKey(invite.request)) === invite) this.#initial.delete(mergeKey(invite.request));
    if (invite.dialog === undefined) return;
    if (this.#awaitingAck.get(invite.dialog) === invite) this.#awaitingAck.delete(invite.dialog);
    if (invite.renews && invite.dialog.pendingInvite === 'theirs') invite.dialog.pendingInvite = 'none';
  }

  #reply(transaction: ServerTransaction, request: SipRequest, status: number, parts: ResponseParts, now: Ms): void {
    transaction.toTag ||= newTag(this.#engine.dice);
    const userAgent = transaction.trusted ? this.#engine.userAgent : undefined;
    this.#transactions.respond(transaction, buildResponse(request, status, parts, transaction.toTag, userAgent), now);
  }

  /** 12.1.1: what makes or renews a dialog carries our Contact. */
  #withContact(invite: IncomingInvite, status: number, parts: ResponseParts): ResponseParts {
    if (status === 100 || parts.contact !== undefined) return parts;
    return { ...parts, contact: invite.dialog?.localContact ?? contactFor(invite.transaction.flow, userOf(invite.request.to)) };
  }
}

const mergeKey = (request: SipRequest): string => `${request.callId} ${tagOf(request.from) ?? ''} ${request.cseq.seq}`;
