/** One catalogue subscription of a platform above us: IO around core/gb/catalog-notifier. */
import type { UpstreamConfig } from '#core/config/schema.ts';
import type { ItemState } from '#core/gb/catalog-changes.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { type BatchOutcome, CatalogNotifier, type NotifierOptions, type NotifierOutput } from '#core/gb/catalog-notifier.ts';
import { MAX_UDP_MESSAGE_BYTES, SIP_OVERHEAD_BYTES } from '#core/gb/catalog-pages.ts';
import { MANSCDP_TYPE } from '#core/gb/manscdp-write.ts';
import { encodeBody } from '#kit/charset.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Notifier, Outcome } from '#kit/sip-endpoint.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Counters } from '#kit/counters.ts';

/** A NOTIFY has Event, Subscription-State and Contact more than a MESSAGE. */
const NOTIFY_OVERHEAD_BYTES = SIP_OVERHEAD_BYTES + 150;

export interface CatalogSubscriptionParts {
  readonly id: string;
  /** The ID that was subscribed. */
  readonly scope: string;
  readonly config: UpstreamConfig;
  readonly notifier: Notifier;
  /** Of the first NOTIFY. */
  readonly sn: number;
  readonly clock: Clock;
  readonly store: StateStore;
  readonly counters: Counters;
  /** A NOTIFY left: the dialog went on. */
  onSent(): void;
}

export class CatalogSubscription implements Disposable {
  readonly #parts: CatalogSubscriptionParts;
  readonly #machine: CatalogNotifier;
  readonly #alarm: Alarm;
  #config: UpstreamConfig;
  #isOver = false;

  constructor(parts: CatalogSubscriptionParts) {
    this.#parts = parts;
    this.#config = parts.config;
    this.#machine = new CatalogNotifier(this.#options(), parts.sn, parts.store.loadTold(parts.id));
    this.#alarm = new Alarm(parts.clock, () => this.#run(this.#machine.tick(parts.clock.now())));
  }

  /** Nothing leaves any more; what it was told stays on disk. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#alarm[Symbol.dispose]();
  }

  begin(items: readonly CatalogItem[]): void {
    this.#run(this.#machine.begin(items));
  }

  view(items: readonly CatalogItem[], config: UpstreamConfig): void {
    this.#config = config;
    this.#run(this.#machine.view(items, this.#parts.clock.now(), this.#options()));
  }

  state(itemId: string, state: ItemState): void {
    this.#run(this.#machine.state(itemId, state, this.#parts.clock.now()));
  }

  #run(outputs: readonly NotifierOutput[]): void {
    const { id, store, counters, notifier } = this.#parts;
    if (this.#isOver) return;
    for (const output of outputs) {
      if (output.type === 'told') store.putTold(id, output.rows);
      else {
        counters.add('subscription.catalog-changes', output.items);
        const sent = notifier.notify({ contentType: MANSCDP_TYPE, body: encodeBody(output.body, this.#config.charset) });
        this.#parts.onSent();
        void sent.then(outcome => this.#settled(output.batch, outcome));
      }
    }
    this.#alarm.arm(this.#machine.deadline);
  }

  #settled(batch: number, outcome: Outcome): void {
    if (this.#isOver) return;
    const verdict = verdictOf(outcome);
    this.#parts.counters.add(`subscription.notify-${verdict}`);
    this.#run(this.#machine.settled(batch, verdict, this.#parts.clock.now()));
  }

  #options(): NotifierOptions {
    const { scope, notifier } = this.#parts;
    const { version, charset, catalog } = this.#config;
    const isUdp = notifier.state.dialog.target.transport === 'UDP';
    return {
      deviceId: scope, version, charset, itemsPerMessage: catalog.itemsPerMessage, windowMs: catalog.notifyAfterMs,
      bodyBudget: isUdp ? MAX_UDP_MESSAGE_BYTES - NOTIFY_OVERHEAD_BYTES : undefined,
    };
  }
}

export function verdictOf(outcome: Outcome): BatchOutcome {
  if (outcome.type !== 'response') return 'unanswered';
  return outcome.response.status < 300 ? 'accepted' : 'refused';
}
