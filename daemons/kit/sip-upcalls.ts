/**
 * The way up: what the user agent reports becomes a call of the owner, with a handle for his answer.
 */
import type { Dialog as CoreDialog } from '#core/sip/dialog.ts';
import type { Transmit } from '#core/sip/engine.ts';
import type { IncomingInvite as CoreIncomingInvite } from '#core/sip/incoming-invites.ts';
import type { SipRequest } from '#core/sip/message.ts';
import type { Notifier as CoreNotifier } from '#core/sip/notifier.ts';
import type { OutgoingInvite as CoreOutgoingInvite } from '#core/sip/outgoing-invite.ts';
import type { Outcome, PendingRequest } from '#core/sip/pending-request.ts';
import type { Subscriber } from '#core/sip/subscriber.ts';
import type { ServerTransaction } from '#core/sip/transactions.ts';
import type { UserAgentOutput } from '#core/sip/user-agent.ts';
import type { Flow, IncomingInvite, IncomingRequest, IncomingSubscribe } from './sip-api.ts';
import { DialogHandle, IncomingInviteHandle, OutgoingInviteHandle, RequestHandle } from './sip-handles.ts';
import { IncomingSubscribeHandle, NotifierHandle, type SubscriptionHandleHost, SubscriptionHandle } from './sip-subscription-handles.ts';

export type Upcall = Exclude<UserAgentOutput, Transmit>;

/** What a dialog of nobody's answers: the call ends, everything else is not for us. */
const UNATTENDED: Readonly<Record<string, number>> = { BYE: 200, INVITE: 488, NOTIFY: 200 };

export class Upcalls {
  onRequest: ((incoming: IncomingRequest) => void) | undefined;
  onInvite: ((incoming: IncomingInvite) => void) | undefined;
  onSubscribe: ((incoming: IncomingSubscribe) => void) | undefined;
  onStrayNotify: ((request: SipRequest, flow: Flow) => void) | undefined;
  readonly #host: SubscriptionHandleHost;
  readonly #waiting = new Map<PendingRequest, (outcome: Outcome) => void>();
  readonly #dialogs = new WeakMap<CoreDialog, DialogHandle>();
  readonly #incoming = new WeakMap<CoreIncomingInvite, IncomingInviteHandle>();
  readonly #outgoing = new WeakMap<CoreOutgoingInvite, OutgoingInviteHandle>();
  readonly #subscriptions = new WeakMap<Subscriber, SubscriptionHandle>();
  readonly #notifiers = new WeakMap<CoreNotifier, NotifierHandle>();

  constructor(host: SubscriptionHandleHost) {
    this.#host = host;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  wait(pending: PendingRequest, resolve: (outcome: Outcome) => void): void {
    this.#waiting.set(pending, resolve);
  }

  /** Nothing will come any more. */
  settleAll(outcome: Outcome): void {
    for (const settle of this.#waiting.values()) settle(outcome);
    this.#waiting.clear();
  }

  ofDialog(dialog: CoreDialog): DialogHandle {
    return once(this.#dialogs, dialog, () => new DialogHandle(this.#host, dialog));
  }

  ofOutgoing(invite: CoreOutgoingInvite): OutgoingInviteHandle {
    return once(this.#outgoing, invite, () => new OutgoingInviteHandle(this.#host, invite));
  }

  ofSubscriber(subscriber: Subscriber): SubscriptionHandle {
    return once(this.#subscriptions, subscriber, () => new SubscriptionHandle(this.#host, subscriber));
  }

  ofNotifier(notifier: CoreNotifier): NotifierHandle {
    return once(this.#notifiers, notifier, () => new NotifierHandle(this.#host, notifier));
  }

  call(output: Upcall): void {
    switch (output.type) {
      case 'outcome':
        this.#waiting.get(output.pending)?.(output.outcome);
        return void this.#waiting.delete(output.pending);
      case 'request':
        return this.#onRequest(output.transaction, output.request);
      case 'stray-notify':
        return this.onStrayNotify?.(output.request, output.flow);
      case 'dialog-request':
        return this.#onDialogRequest(output.dialog, output.transaction);
      case 'invite': {
        const handle = once(this.#incoming, output.invite, () => new IncomingInviteHandle(this.#host, output.invite));
        return this.onInvite === undefined ? handle.respond(501) : this.onInvite(handle);
      }
      case 'invite-ack':
        return this.#incoming.get(output.invite)?.onAck?.(output.ack);
      case 'invite-ack-timeout':
        return this.#incoming.get(output.invite)?.onAckTimeout?.();
      case 'invite-cancelled':
        return this.#incoming.get(output.invite)?.onCancel?.();
      case 'invite-provisional':
        return this.#outgoing.get(output.invite)?.onProvisional?.(output.response);
      case 'invite-accepted':
        return this.#outgoing.get(output.invite)?.accepted(output.response, output.dialog);
      case 'invite-failed':
        return this.#outgoing.get(output.invite)?.onFailed?.(output.outcome);
      case 'subscribe':
        if (this.onSubscribe === undefined) return this.#onRequest(output.transaction, output.request);
        return this.onSubscribe(new IncomingSubscribeHandle(this.#host, output.transaction, output.request, output.event, output.expiresS));
      case 'subscription-active':
        return this.#subscriptions.get(output.subscriber)?.onActive?.(output.expiresS);
      case 'subscription-notify': {
        const owner = this.#subscriptions.get(output.subscriber)?.onNotify;
        const handle = new RequestHandle(this.#host, output.transaction, output.request);
        return owner === undefined ? handle.respond(200) : owner(handle, output.value);
      }
      case 'subscription-ended':
        return this.#subscriptions.get(output.subscriber)?.onEnded?.(output.cause, output.status);
      case 'notifier-refreshed':
        return this.#notifiers.get(output.notifier)?.onRefreshed?.(output.request, output.expiresS);
      case 'notifier-ended':
        return this.#notifiers.get(output.notifier)?.onEnded?.(output.cause);
    }
  }

  #onRequest(transaction: ServerTransaction, request: SipRequest): void {
    const handle = new RequestHandle(this.#host, transaction, request);
    if (this.onRequest === undefined) handle.respond(501);
    else this.onRequest(handle);
  }

  #onDialogRequest(dialog: CoreDialog, transaction: ServerTransaction): void {
    const request = transaction.request;
    if (request === undefined) return;
    const handle = new RequestHandle(this.#host, transaction, request);
    const owner = this.#dialogs.get(dialog)?.onRequest;
    if (owner === undefined) handle.respond(UNATTENDED[request.method] ?? 501);
    else owner(handle);
  }
}

function once<K extends WeakKey, V>(map: WeakMap<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
