/**
 * A subscription of ours at a peer (RFC 6665 4.1): SUBSCRIBE, refreshes with the same body, NOTIFYs, the end.
 */
import type { Ms } from '../units.ts';
import type { InDialogParts, NewRequest } from './build.ts';
import { Dialog } from './dialog.ts';
import type { Expiring } from './engine.ts';
import type { Flow } from './flow.ts';
import { type SipRequest, type SipResponse, header, headerValues, tagOf } from './message.ts';
import type { Outcome, PendingRequest } from './pending-request.ts';
import { type EndCause, type SubscriberAction, SubscriberMachine, type SubscriptionStateValue, parseSubscriptionState } from './subscription.ts';
import type { SubscriptionHost } from './subscription-host.ts';
import type { ServerTransaction } from './transactions.ts';

/** A SUBSCRIBE outside a dialog. `event` is the whole value of Event: type and `;id=`. */
export interface NewSubscription extends Omit<NewRequest, 'method' | 'expires'> {
  readonly event: string;
  readonly expires: number;
}

export type SubscriberOutput =
  /** The peer granted so many seconds, at first or again. */
  | { readonly type: 'subscription-active'; readonly subscriber: Subscriber; readonly expiresS: number }
  /** A NOTIFY of the subscription; the owner answers it. */
  | { readonly type: 'subscription-notify'; readonly subscriber: Subscriber; readonly transaction: ServerTransaction; readonly request: SipRequest; readonly value: SubscriptionStateValue }
  | { readonly type: 'subscription-ended'; readonly subscriber: Subscriber; readonly cause: EndCause; readonly status: number | undefined };

/** RFC 6665 4.1.2.1: 423 names the shortest span; followed once. */
const TOO_BRIEF = 423;

export class Subscriber implements Expiring {
  readonly event: string;
  readonly callId: string;
  readonly localTag: string;
  dialog: Dialog | undefined;
  readonly machine: SubscriberMachine;
  #expiresS: number;
  #content: InDialogParts;
  readonly #request: SipRequest | undefined;
  readonly #host: SubscriptionHost<SubscriberOutput>;
  #status: number | undefined;
  #lengthened = false;

  /** With `request`: just sent, `dialog` to come. With `dialog`: taken up again. */
  constructor(host: SubscriptionHost<SubscriberOutput>, event: string, expiresS: number, content: InDialogParts, from: SipRequest | Dialog) {
    this.#host = host;
    this.event = event;
    this.#expiresS = expiresS;
    this.#content = content;
    this.machine = new SubscriberMachine(host.engine.timing);
    this.#request = from instanceof Dialog ? undefined : from;
    this.dialog = from instanceof Dialog ? from : undefined;
    this.callId = from.callId;
    this.localTag = from instanceof Dialog ? from.localTag : (tagOf(from.from) ?? '');
  }

  get deadline(): Ms {
    return this.machine.deadline;
  }

  /** Seconds that are left of what the peer granted. */
  remainingS(now: Ms): number {
    return Math.max(0, Math.floor(((this.machine.expiresAt ?? now) - now) / 1000));
  }

  onInitialOutcome(outcome: Outcome, now: Ms): void {
    if (outcome.type === 'response' && outcome.response.status < 300 && this.dialog === undefined && this.#request !== undefined) {
      this.#adopt(Dialog.asClient(this.#request, outcome.response, outcome.flow));
    }
    this.#onOutcome(outcome, now);
  }

  /** A NOTIFY with our tags. Before the 2xx it is what makes the dialog (RFC 6665 4.4.1). */
  onNotify(transaction: ServerTransaction, request: SipRequest, now: Ms): void {
    if (this.dialog === undefined && this.#request !== undefined) this.#adopt(notifiedDialog(this.#request, request, transaction.flow));
    else this.dialog?.refresh(request, transaction.flow);
    const value = parseSubscriptionState(header(request, 'Subscription-State'));
    this.#host.engine.out({ type: 'subscription-notify', subscriber: this, transaction, request, value });
    if (value.state === 'terminated') return this.#run(this.machine.terminated(value.reason ?? ''), now);
    // Nought is no span but the habit of peers that fill in every field.
    const expiresS = value.expiresS === 0 ? undefined : value.expiresS;
    if (this.machine.state === 'subscribing' || expiresS !== undefined) this.machine.granted(Math.min(expiresS ?? this.#expiresS, this.#expiresS), now);
    this.#host.engine.deadlines.set(this, this.deadline);
  }

  /** Sends SUBSCRIBE again, with another body or span if given. */
  refresh(now: Ms, parts?: InDialogParts): void {
    if (parts !== undefined) {
      this.#content = { ...parts, headers: parts.headers ?? [] };
      this.#expiresS = parts.expires ?? this.#expiresS;
    }
    if (this.machine.state === 'active') this.#subscribe(this.#expiresS, now);
  }

  unsubscribe(now: Ms): PendingRequest | undefined {
    return this.machine.leave(now) ? this.#subscribe(0, now) : undefined;
  }

  /** Over at once; later NOTIFYs of it get 481. */
  replace(now: Ms): void {
    this.#run(this.machine.replaced(), now);
  }

  /** Takes up a subscription saved before a restart. */
  resume(remainingS: number, now: Ms): void {
    this.machine.granted(remainingS, now);
    this.#host.engine.deadlines.set(this, this.deadline);
  }

  expire(now: Ms): void {
    this.#run(this.machine.tick(now), now);
  }

  #subscribe(expiresS: number, now: Ms): PendingRequest | undefined {
    if (this.dialog === undefined) return undefined;
    const parts = { ...this.#content, headers: [{ name: 'Event', value: this.event }, ...(this.#content.headers ?? [])], expires: expiresS };
    const pending = this.#host.requestInDialog(this.dialog, 'SUBSCRIBE', parts, (outcome, at) => this.#onOutcome(outcome, at), now);
    this.#host.engine.deadlines.set(this, this.deadline);
    return pending;
  }

  #onOutcome(outcome: Outcome, now: Ms): void {
    if (outcome.type !== 'response') return this.#run(this.machine.unanswered(now), now);
    const { response, flow } = outcome;
    this.#status = response.status;
    if (response.status >= 300) return this.#onRefused(response, now);
    this.dialog?.refresh(response, flow);
    if (this.machine.state !== 'subscribing' && this.machine.state !== 'active') return;
    // A 2xx says how long, and never longer than we asked (RFC 6665 4.1.2.1); where it says nothing, we got what we asked for.
    const expiresS = Math.min(response.expires ?? this.#expiresS, this.#expiresS);
    this.machine.granted(expiresS, now);
    this.#host.engine.deadlines.set(this, this.deadline);
    this.#host.engine.out({ type: 'subscription-active', subscriber: this, expiresS });
  }

  #onRefused(response: SipResponse, now: Ms): void {
    const minExpires = Number(headerValues(response, 'Min-Expires')[0] ?? NaN);
    if (response.status === TOO_BRIEF && this.dialog !== undefined && this.machine.state === 'active' && Number.isInteger(minExpires) && !this.#lengthened) {
      this.#lengthened = true;
      this.#expiresS = Math.max(this.#expiresS, minExpires);
      this.#subscribe(this.#expiresS, now);
      return;
    }
    this.#run(this.machine.refused(response.status, now), now);
  }

  #adopt(dialog: Dialog): void {
    this.dialog = dialog;
    this.#host.adopt(this, dialog);
  }

  #run(actions: readonly SubscriberAction[], now: Ms): void {
    for (const action of actions) {
      if (action === 'refresh') this.#subscribe(this.#expiresS, now);
      if (action === 'ended') {
        this.#host.forget(this, this.dialog);
        this.#host.engine.out({ type: 'subscription-ended', subscriber: this, cause: this.machine.cause, status: this.#status });
      }
    }
    this.#host.engine.deadlines.set(this, this.deadline);
  }
}

/** The dialog that a NOTIFY makes: ours is the SUBSCRIBE's tag and number, theirs the NOTIFY's. */
function notifiedDialog(subscribe: SipRequest, notify: SipRequest, flow: Flow): Dialog {
  const contact = subscribe.contact === '*' ? undefined : subscribe.contact[0];
  return Dialog.asServer(notify, flow, tagOf(subscribe.from) ?? '', contact, subscribe.cseq.seq);
}
