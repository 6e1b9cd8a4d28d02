/**
 * A subscription of a peer at us (RFC 6665 4.2). The owner decides what to say; when and how it ends is decided here.
 */
import type { Ms } from '../units.ts';
import type { InDialogParts } from './build.ts';
import type { Dialog } from './dialog.ts';
import type { Expiring } from './engine.ts';
import type { SipRequest } from './message.ts';
import type { Outcome, PendingRequest } from './pending-request.ts';
import { type EndCause, type NotifierAction, NotifierMachine } from './subscription.ts';
import type { SubscriptionHost } from './subscription-host.ts';

export type NotifierOutput =
  /** The peer asked for more time, perhaps with a new body; it was granted. RFC 6665 4.2.1.4 wants a NOTIFY now. */
  | { readonly type: 'notifier-refreshed'; readonly notifier: Notifier; readonly request: SipRequest; readonly expiresS: number }
  | { readonly type: 'notifier-ended'; readonly notifier: Notifier; readonly cause: EndCause };

export class Notifier implements Expiring {
  /** Value of Event as the subscriber wrote it. */
  readonly event: string;
  readonly dialog: Dialog;
  readonly machine: NotifierMachine;
  readonly #host: SubscriptionHost<NotifierOutput>;

  constructor(host: SubscriptionHost<NotifierOutput>, dialog: Dialog, event: string, expiresS: number, now: Ms) {
    this.#host = host;
    this.dialog = dialog;
    this.event = event;
    this.machine = new NotifierMachine(expiresS, now);
    host.engine.deadlines.set(this, this.deadline);
  }

  get deadline(): Ms {
    return this.machine.deadline;
  }

  remainingS(now: Ms): number {
    return Math.max(0, Math.ceil((this.machine.expiresAt - now) / 1000));
  }

  notify(parts: InDialogParts, state: 'active' | 'pending', now: Ms): PendingRequest {
    return this.#send(parts, `${state};expires=${this.remainingS(now)}`, now);
  }

  /** Last NOTIFY. `reason` as in RFC 6665 4.1.3: noresource, deactivated, timeout ... */
  end(parts: InDialogParts, reason: string, cause: EndCause, now: Ms): PendingRequest | undefined {
    return this.machine.ending(cause) ? this.#send(parts, `terminated;reason=${reason}`, now) : undefined;
  }

  /** Over without a last NOTIFY, which a peer that began anew would take for the end of its new subscription. */
  replace(now: Ms): void {
    this.#run(this.machine.replaced(), now);
  }

  /** SUBSCRIBE in the dialog was answered with `expiresS`; 0 ends it. */
  refreshed(request: SipRequest, expiresS: number, now: Ms): void {
    if (expiresS === 0) return void this.end({}, 'timeout', 'unsubscribed', now);
    this.machine.refreshed(expiresS, now);
    this.#host.engine.deadlines.set(this, this.deadline);
    this.#host.engine.out({ type: 'notifier-refreshed', notifier: this, request, expiresS });
  }

  expire(now: Ms): void {
    this.#run(this.machine.tick(now), now);
  }

  #send(parts: InDialogParts, state: string, now: Ms): PendingRequest {
    const headers = [{ name: 'Event', value: this.event }, { name: 'Subscription-State', value: state }, ...(parts.headers ?? [])];
    const pending = this.#host.requestInDialog(this.dialog, 'NOTIFY', { ...parts, headers }, (outcome, at) => this.#onOutcome(outcome, at), now);
    this.#host.engine.deadlines.set(this, this.deadline);
    return pending;
  }

  #onOutcome(outcome: Outcome, now: Ms): void {
    this.#run(this.machine.answered(outcome.type === 'response' ? outcome.response.status : undefined), now);
  }

  #run(actions: readonly NotifierAction[], now: Ms): void {
    for (const action of actions) {
      if (action === 'expired') this.end({}, 'timeout', 'expired', now);
      if (action === 'ended') {
        this.#host.forget(this, this.dialog);
        this.#host.engine.out({ type: 'notifier-ended', notifier: this, cause: this.machine.cause });
      }
    }
    this.#host.engine.deadlines.set(this, this.deadline);
  }
}
