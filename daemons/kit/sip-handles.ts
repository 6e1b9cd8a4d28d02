/**
 * What the owner of an endpoint holds in his hands: thin wraps of the automata's objects.
 */
import type { Dialog as CoreDialog } from '#core/sip/dialog.ts';
import type { IncomingInvite as CoreIncomingInvite } from '#core/sip/incoming-invites.ts';
import type { SipRequest, SipResponse } from '#core/sip/message.ts';
import type { OutgoingInvite as CoreOutgoingInvite } from '#core/sip/outgoing-invite.ts';
import type { PendingRequest } from '#core/sip/pending-request.ts';
import type { ServerTransaction } from '#core/sip/transactions.ts';
import type { Dialog, DialogState, Flow, IncomingInvite, IncomingRequest, InDialogParts, OutgoingInvite, Outcome, ResponseParts } from './sip-api.ts';

/** What handles ask of the stack; every call runs the automaton and what it puts out. */
export interface HandleHost {
  respond(transaction: ServerTransaction, status: number, parts: ResponseParts): void;
  drop(transaction: ServerTransaction): void;
  outcomeOf(pending: PendingRequest): Promise<Outcome>;
  requestInDialog(dialog: CoreDialog, method: string, parts: InDialogParts): PendingRequest;
  closeDialog(dialog: CoreDialog): void;
  handleOf(dialog: CoreDialog): DialogHandle;
  /** `commit` runs before the answer leaves. */
  accept(invite: CoreIncomingInvite, parts: ResponseParts, commit: (dialog: CoreDialog) => void): CoreDialog;
  acknowledge(invite: CoreOutgoingInvite, parts: InDialogParts): void;
  cancel(invite: CoreOutgoingInvite): void;
}

export class RequestHandle implements IncomingRequest {
  readonly request: SipRequest;
  protected readonly host: HandleHost;
  protected readonly transaction: ServerTransaction;

  constructor(host: HandleHost, transaction: ServerTransaction, request: SipRequest) {
    this.host = host;
    this.transaction = transaction;
    this.request = request;
  }

  get flow(): Flow {
    return this.transaction.flow;
  }

  respond(status: number, parts: ResponseParts = {}): void {
    this.host.respond(this.transaction, status, parts);
  }

  drop(): void {
    this.host.drop(this.transaction);
  }
}

export class DialogHandle implements Dialog {
  onRequest: ((incoming: IncomingRequest) => void) | undefined;
  readonly #host: HandleHost;
  readonly #dialog: CoreDialog;

  constructor(host: HandleHost, dialog: CoreDialog) {
    this.#host = host;
    this.#dialog = dialog;
  }

  get state(): DialogState {
    return this.#dialog.state;
  }

  request(method: string, parts: InDialogParts = {}): Promise<Outcome> {
    return this.#host.outcomeOf(this.#host.requestInDialog(this.#dialog, method, parts));
  }

  close(): void {
    this.#host.closeDialog(this.#dialog);
  }
}

export class IncomingInviteHandle extends RequestHandle implements IncomingInvite {
  onAck: ((ack: SipRequest) => void) | undefined;
  onAckTimeout: (() => void) | undefined;
  onCancel: (() => void) | undefined;
  readonly #invite: CoreIncomingInvite;

  constructor(host: HandleHost, invite: CoreIncomingInvite) {
    super(host, invite.transaction, invite.request);
    this.#invite = invite;
  }

  provisional(status: number, parts: ResponseParts = {}): void {
    this.respond(status, parts);
  }

  accept(parts: ResponseParts, commit: (dialog: Dialog) => void = () => undefined): Dialog {
    return this.host.handleOf(this.host.accept(this.#invite, parts, dialog => commit(this.host.handleOf(dialog))));
  }
}

export class OutgoingInviteHandle implements OutgoingInvite {
  onProvisional: ((response: SipResponse) => void) | undefined;
  onAccepted: OutgoingInvite['onAccepted'];
  onFailed: ((outcome: Outcome) => void) | undefined;
  readonly #host: HandleHost;
  readonly #invite: CoreOutgoingInvite;

  constructor(host: HandleHost, invite: CoreOutgoingInvite) {
    this.#host = host;
    this.#invite = invite;
  }

  accepted(response: SipResponse, dialog: CoreDialog): void {
    this.onAccepted?.({ response, dialog: this.#host.handleOf(dialog), ack: body => this.#host.acknowledge(this.#invite, body ?? {}) });
  }

  cancel(): void {
    this.#host.cancel(this.#invite);
  }
}
