/**
 * All subscriptions, ours and those of peers (RFC 6665): begins them, and finds the one that a SUBSCRIBE or NOTIFY belongs to.
 */
import type { Ms } from '../units.ts';
import { type InDialogParts, type NewRequest, type ResponseParts, contactFor } from './build.ts';
import { Dialog, type DialogState } from './dialog.ts';
import type { DialogTable } from './dialogs.ts';
import { type Engine, type Expiring, newTag } from './engine.ts';
import type { Target } from './flow.ts';
import { type SipRequest, header, tagOf, userOf } from './message.ts';
import { Notifier, type NotifierOutput } from './notifier.ts';
import type { Outcome, PendingRequest } from './pending-request.ts';
import { type NewSubscription, Subscriber, type SubscriberOutput } from './subscriber.ts';
import type { SubscriptionHost } from './subscription-host.ts';
import type { ServerTransaction } from './transactions.ts';

export type SubscriptionOutput =
  | SubscriberOutput
  | NotifierOutput
  /** A SUBSCRIBE outside any dialog. Answer with `accept`, or refuse it as any request. */
  | { readonly type: 'subscribe'; readonly transaction: ServerTransaction; readonly request: SipRequest; readonly event: string; readonly expiresS: number };

/** What the user agent does for subscriptions. */
export interface SubscriptionLink {
  reply(transaction: ServerTransaction, request: SipRequest, status: number, parts: ResponseParts, now: Ms): void;
  /** The request that leaves, or would leave if there were a way. */
  sendNew(parts: NewRequest, target: Target, onSettled: (outcome: Outcome, now: Ms) => void, now: Ms): SipRequest;
  requestInDialog(dialog: Dialog, method: string, parts: InDialogParts, onSettled: (outcome: Outcome, now: Ms) => void, now: Ms): PendingRequest;
}

/** Serializable, to take up a subscription after a restart. */
export interface SubscriptionState {
  readonly dialog: DialogState;
  readonly event: string;
  /** At the time of saving; take off what has passed since. */
  readonly remainingS: number;
}

/** Of a SUBSCRIBE without Expires: Huawei leaves it out (gb28181.md 5.2). */
export const DEFAULT_SUBSCRIPTION_S = 3600;
/** Nobody gets more at once: who wants to stay refreshes. */
export const MAX_SUBSCRIPTION_S = 86_400;

const wantedS = (request: SipRequest): number => Math.min(request.expires ?? DEFAULT_SUBSCRIPTION_S, MAX_SUBSCRIPTION_S);

export class Subscriptions implements SubscriptionHost<SubscriptionOutput> {
  readonly engine: Engine<SubscriptionOutput>;
  readonly #link: SubscriptionLink;
  readonly #dialogs: DialogTable;
  readonly #byDialog = new Map<Dialog, Subscriber | Notifier>();
  /** Until the dialog exists: by Call-ID and our tag. */
  readonly #young = new Map<string, Subscriber>();

  constructor(engine: Engine<SubscriptionOutput>, dialogs: DialogTable, link: SubscriptionLink) {
    this.engine = engine;
    this.#dialogs = dialogs;
    this.#link = link;
  }

  get size(): number {
    return this.#byDialog.size + this.#young.size;
  }

  // --- ours at a peer --------------------------------------------------------------------------------------------------

  subscribe(wanted: NewSubscription, target: Target, now: Ms): Subscriber {
    const flow = this.engine.route(target);
    const contact = wanted.contact ?? (flow === undefined ? undefined : contactFor(flow, userOf(wanted.from)));
    const parts: NewRequest = { ...wanted, method: 'SUBSCRIBE', headers: [{ name: 'Event', value: wanted.event }, ...(wanted.headers ?? [])], ...(contact === undefined ? {} : { contact }) };
    const content: InDialogParts = { headers: wanted.headers ?? [], ...(wanted.contentType === undefined ? {} : { contentType: wanted.contentType }), ...(wanted.body === undefined ? {} : { body: wanted.body }) };
    let subscriber: Subscriber | undefined;
    const waiting: { outcome: Outcome; now: Ms }[] = [];
    const request = this.#link.sendNew(parts, target, (outcome, at) => (subscriber === undefined ? void waiting.push({ outcome, now: at }) : subscriber.onInitialOutcome(outcome, at)), now);
    subscriber = new Subscriber(this, wanted.event, wanted.expires, content, request);
    this.#young.set(youngKey(subscriber.callId, subscriber.localTag), subscriber);
    for (const early of waiting) subscriber.onInitialOutcome(early.outcome, early.now);
    return subscriber;
  }

  restoreSubscriber(state: SubscriptionState, content: InDialogParts, now: Ms): Subscriber | undefined {
    const dialog = Dialog.restore(state.dialog);
    if (dialog === undefined) return undefined;
    const subscriber = new Subscriber(this, state.event, content.expires ?? DEFAULT_SUBSCRIPTION_S, content, dialog);
    this.adopt(subscriber, dialog);
    subscriber.resume(state.remainingS, now);
    return subscriber;
  }

  // --- a peer's at us --------------------------------------------------------------------------------------------------

  /** Answers the SUBSCRIBE of 'subscribe' with 200 and begins the dialog; undefined when it was answered before. */
  accept(transaction: ServerTransaction, parts: ResponseParts, expiresS: number, now: Ms): Notifier | undefined {
    const request = transaction.request;
    if (request === undefined) return undefined;
    transaction.toTag ||= newTag(this.engine.dice);
    const contact = parts.contact ?? contactFor(transaction.flow, userOf(request.to));
    const dialog = Dialog.asServer(request, transaction.flow, transaction.toTag, contact, 0);
    const notifier = this.#addNotifier(dialog, header(request, 'Event') ?? '', expiresS, now);
    this.#link.reply(transaction, request, 200, { ...parts, contact, expires: expiresS }, now);
    return notifier;
  }

  restoreNotifier(state: SubscriptionState, now: Ms): Notifier | undefined {
    const dialog = Dialog.restore(state.dialog);
    return dialog === undefined ? undefined : this.#addNotifier(dialog, state.event, state.remainingS, now);
  }

  #addNotifier(dialog: Dialog, event: string, expiresS: number, now: Ms): Notifier {
    const notifier = new Notifier(this, dialog, event, expiresS, now);
    this.#dialogs.add(dialog);
    this.#byDialog.set(dialog, notifier);
    return notifier;
  }

  // --- requests that reach us ------------------------------------------------------------------------------------------

  onSubscribe(transaction: ServerTransaction, request: SipRequest): void {
    this.engine.out({ type: 'subscribe', transaction, request, event: header(request, 'Event') ?? '', expiresS: wantedS(request) });
  }

  /** A NOTIFY whose dialog it makes itself; false when nobody waits for one. */
  onEarlyNotify(transaction: ServerTransaction, request: SipRequest, now: Ms): boolean {
    const subscriber = this.#young.get(youngKey(request.callId, tagOf(request.to) ?? ''));
    subscriber?.onNotify(transaction, request, now);
    return subscriber !== undefined;
  }

  /** SUBSCRIBE or NOTIFY in a dialog. 481: the dialog has no such subscription (RFC 6665 4.1.3, faults.md 50). */
  onDialogRequest(dialog: Dialog, transaction: ServerTransaction, request: SipRequest, now: Ms): void {
    const subscription = this.#byDialog.get(dialog);
    if (request.method === 'NOTIFY' && subscription instanceof Subscriber) return subscription.onNotify(transaction, request, now);
    if (request.method !== 'SUBSCRIBE' || !(subscription instanceof Notifier)) return this.#link.reply(transaction, request, 481, {}, now);
    dialog.refresh(request, transaction.flow);
    const expiresS = wantedS(request);
    const contact = dialog.localContact ?? contactFor(transaction.flow, userOf(request.to));
    this.#link.reply(transaction, request, 200, { contact, expires: expiresS }, now);
    subscription.refreshed(request, expiresS, now);
  }

  // --- SubscriptionHost ------------------------------------------------------------------------------------------------

  requestInDialog(dialog: Dialog, method: string, parts: InDialogParts, onSettled: (outcome: Outcome, now: Ms) => void, now: Ms): PendingRequest {
    return this.#link.requestInDialog(dialog, method, parts, onSettled, now);
  }

  adopt(subscription: Expiring, dialog: Dialog): void {
    if (!(subscription instanceof Subscriber)) return;
    this.#young.delete(youngKey(subscription.callId, subscription.localTag));
    this.#dialogs.add(dialog);
    this.#byDialog.set(dialog, subscription);
  }

  forget(subscription: Expiring, dialog: Dialog | undefined): void {
    this.engine.deadlines.delete(subscription);
    if (subscription instanceof Subscriber) this.#young.delete(youngKey(subscription.callId, subscription.localTag));
    if (dialog === undefined) return;
    this.#byDialog.delete(dialog);
    this.#dialogs.delete(dialog);
  }
}

const youngKey = (callId: string, localTag: string): string => `${callId} ${localTag}`;
