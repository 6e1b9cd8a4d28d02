/**
 * What the owner of an endpoint holds of a subscription.
 */
import type { Notifier as CoreNotifier } from '#core/sip/notifier.ts';
import type { SipRequest } from '#core/sip/message.ts';
import type { Subscriber } from '#core/sip/subscriber.ts';
import type { ServerTransaction } from '#core/sip/transactions.ts';
import type { Ms } from '#core/units.ts';
import type { EndCause, IncomingRequest, IncomingSubscribe, InDialogParts, Notifier, Outcome, ResponseParts, Subscription, SubscriptionState, SubscriptionStateValue } from './sip-api.ts';
import { type HandleHost, RequestHandle } from './sip-handles.ts';

export interface SubscriptionHandleHost extends HandleHost {
  now(): Ms;
  run(input: (now: Ms) => void): void;
  acceptSubscription(transaction: ServerTransaction, parts: ResponseParts, expiresS: number): Notifier | undefined;
}

export class IncomingSubscribeHandle extends RequestHandle implements IncomingSubscribe {
  readonly event: string;
  readonly expiresS: number;
  readonly #host: SubscriptionHandleHost;

  constructor(host: SubscriptionHandleHost, transaction: ServerTransaction, request: SipRequest, event: string, expiresS: number) {
    super(host, transaction, request);
    this.#host = host;
    this.event = event;
    this.expiresS = expiresS;
  }

  accept(parts: ResponseParts & { readonly expiresS?: number } = {}): Notifier | undefined {
    const { expiresS, ...rest } = parts;
    return this.#host.acceptSubscription(this.transaction, rest, expiresS ?? this.expiresS);
  }
}

export class NotifierHandle implements Notifier {
  onRefreshed: ((request: SipRequest, expiresS: number) => void) | undefined;
  onEnded: ((cause: EndCause) => void) | undefined;
  readonly #host: SubscriptionHandleHost;
  readonly #notifier: CoreNotifier;

  constructor(host: SubscriptionHandleHost, notifier: CoreNotifier) {
    this.#host = host;
    this.#notifier = notifier;
  }

  get event(): string {
    return this.#notifier.event;
  }

  get state(): SubscriptionState {
    return { dialog: this.#notifier.dialog.state, event: this.#notifier.event, remainingS: this.#notifier.remainingS(this.#host.now()) };
  }

  get isActive(): boolean {
    return this.#notifier.machine.state === 'active';
  }

  notify(parts: InDialogParts, state: 'active' | 'pending' = 'active'): Promise<Outcome> {
    return this.#host.outcomeOf(this.#notifier.notify(parts, state, this.#host.now()));
  }

  end(reason: string, parts: InDialogParts = {}): Promise<Outcome> {
    const pending = this.#notifier.end(parts, reason, `terminated:${reason}`, this.#host.now());
    return pending === undefined ? Promise.resolve({ type: 'transport-error', why: 'the subscription is over' }) : this.#host.outcomeOf(pending);
  }

  replace(): void {
    this.#host.run(now => this.#notifier.replace(now));
  }
}

export class SubscriptionHandle implements Subscription {
  onActive: ((expiresS: number) => void) | undefined;
  onNotify: ((incoming: IncomingRequest, value: SubscriptionStateValue) => void) | undefined;
  onEnded: ((cause: EndCause, status: number | undefined) => void) | undefined;
  readonly #host: SubscriptionHandleHost;
  readonly #subscriber: Subscriber;

  constructor(host: SubscriptionHandleHost, subscriber: Subscriber) {
    this.#host = host;
    this.#subscriber = subscriber;
  }

  get state(): SubscriptionState | undefined {
    const { dialog, event } = this.#subscriber;
    return dialog === undefined ? undefined : { dialog: dialog.state, event, remainingS: this.#subscriber.remainingS(this.#host.now()) };
  }

  refresh(parts?: InDialogParts): void {
    this.#host.run(now => this.#subscriber.refresh(now, parts));
  }

  replace(): void {
    this.#host.run(now => this.#subscriber.replace(now));
  }

  async unsubscribe(): Promise<Outcome | undefined> {
    const pending = this.#subscriber.unsubscribe(this.#host.now());
    return pending === undefined ? undefined : this.#host.outcomeOf(pending);
  }
}
