/** Subscriptions of the platform (gb28181.md 5): every NOTIFY that came, and the catalogue as it would look to an operator. */
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { type SipRequest, header } from '#core/sip/message.ts';
import { decodeBody } from '#kit/charset.ts';
import type { Clock } from '#kit/clock.ts';
import type { IncomingRequest, Subscription } from '#kit/sip-endpoint.ts';
import { Conditions, within } from '../common/waiting.ts';

export interface Notification {
  readonly request: SipRequest;
  readonly message: Manscdp;
  /** `active`, `terminated`, as it came. */
  readonly state: string;
}

const DEFAULT_TIMEOUT_MS = 15_000;

export class PlatformSubscription {
  readonly notifications: Notification[] = [];
  /** Status or last event of every item by ID; a subscriber takes for ON what it never hears of. */
  readonly picture = new Map<string, { readonly state: string; readonly item: CatalogItem | undefined }>();
  /** Every event of an item in order, such as `OFF 3401...`. */
  readonly events: string[] = [];
  /** Status for the next NOTIFYs; `drop`: no answer. Undefined: 200. */
  policy: ((notification: Notification) => number | 'drop' | undefined) | undefined;
  /** Why it ended; undefined while it lives. */
  ended: string | undefined;
  /** Seconds that were granted last. */
  granted: number | undefined;
  /** NOTIFYs that ended it carry no body. */
  empty = 0;
  readonly #subscription: Subscription;
  readonly #clock: Clock;
  readonly #conditions = new Conditions();

  constructor(subscription: Subscription, clock: Clock) {
    this.#subscription = subscription;
    this.#clock = clock;
    subscription.onActive = (expiresS): void => {
      this.granted = expiresS;
      this.#conditions.check();
    };
    subscription.onEnded = (cause, status): void => {
      this.ended = status === undefined ? cause : `${cause} ${status}`;
      this.#conditions.check();
    };
    subscription.onNotify = (incoming, value): void => this.#onNotify(incoming, value.state);
  }

  /** The dialog, for tests that look into it. */
  get state(): Subscription['state'] {
    return this.#subscription.state;
  }

  /** Known items with a catalogue that was asked for: what an operator sees before the first NOTIFY. */
  know(items: readonly CatalogItem[]): void {
    for (const item of items) this.picture.set(item.deviceId, { state: 'ON', item });
  }

  async when(what: string, holds: (subscription: this) => boolean, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    await within(this.#clock, timeoutMs, () => `${what}: not with ${this.notifications.length} NOTIFYs`, this.#conditions.when(() => holds(this)));
  }

  refresh(): void {
    this.#subscription.refresh();
  }

  async unsubscribe(): Promise<number | undefined> {
    const outcome = await this.#subscription.unsubscribe();
    return outcome?.type === 'response' ? outcome.response.status : undefined;
  }

  #onNotify(incoming: IncomingRequest, state: string): void {
    const { request } = incoming;
    if (request.body.length === 0) {
      this.empty += 1;
      incoming.respond(200);
      return this.#conditions.check();
    }
    const parsed = parseManscdp(decodeBody(request.body).text);
    if (!parsed.ok) return incoming.respond(400);
    const notification = { request, message: parsed.value, state };
    const verdict = this.policy?.(notification) ?? 200;
    if (verdict === 'drop') incoming.drop();
    else incoming.respond(verdict);
    if (verdict === 200) this.#take(notification);
    this.#conditions.check();
  }

  #take(notification: Notification): void {
    this.notifications.push(notification);
    const { body } = notification.message;
    if (body.kind !== 'catalog') return;
    for (const item of body.items) {
      const event = item.event ?? '';
      const known = this.picture.get(item.deviceId);
      this.events.push(`${event} ${item.deviceId}`);
      if (event === 'DEL') this.picture.delete(item.deviceId);
      else if (event === 'ADD' || event === 'UPDATE') this.picture.set(item.deviceId, { state: item.status ?? 'ON', item });
      else this.picture.set(item.deviceId, { state: event, item: known?.item });
    }
  }
}

export const eventOf = (request: SipRequest): string => header(request, 'Event') ?? '';
