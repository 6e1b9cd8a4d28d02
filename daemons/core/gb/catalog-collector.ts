/**
 * One catalogue answer in many messages (gb28181.md 3.2, A.2; quirks 30, 31; faults.md 43-45): collects by SumNum, and by silence
 * where SumNum is wrong.
 *
 *     WAITING --first part--> COLLECTING --as many as SumNum--> SETTLING --quiet 0.5 s--> COMPLETE (late parts: `extra`)
 *        | 120 s                  | quiet 10 s and SumNum reached with repeated IDs ----> COMPLETE
 *        v                        | quiet 30 s
 *     PARTIAL (no answer)         v
 *                              PARTIAL: nothing that is missing may be deleted
 */
import type { CatalogItem } from './catalog-item.ts';
import type { CatalogBody } from './manscdp.ts';
import { type Ms, NEVER, addMs } from '../units.ts';

export const FIRST_PART_MS = 120_000;
/** Devices that count per message go on after their SumNum. */
export const SETTLE_MS = 500;
export const QUIET_MS = 10_000;
export const GIVE_UP_MS = 30_000;
export const MAX_CATALOG_ITEMS = 100_000;

export interface CatalogResult {
  /** `partial`: items may be missing; those known before stay. */
  readonly state: 'complete' | 'partial';
  readonly why: 'complete' | 'no-answer' | 'items-missing' | 'items-unreadable' | 'too-many';
  /** SumNum; 0 when no message came. */
  readonly expected: number;
  /** In order of first arrival, one for each DeviceID; of repeated ones the last. */
  readonly items: readonly CatalogItem[];
  readonly duplicates: number;
  readonly dropped: number;
}

export type CatalogOutput =
  | { readonly type: 'done'; readonly result: CatalogResult }
  /** Items of a device that sends more than it announced, after `done`. */
  | { readonly type: 'extra'; readonly items: readonly CatalogItem[] };

export class CatalogCollector {
  readonly #items = new Map<string, CatalogItem>();
  #phase: 'waiting' | 'collecting' | 'settling' | 'done' = 'waiting';
  #deadline: Ms;
  /** Highest SumNum; undefined while none could be read. */
  #expected: number | undefined;
  /** Items in messages that were no repetition, dropped ones included. */
  #arrived = 0;
  #duplicates = 0;
  #dropped = 0;
  #tooMany = false;

  constructor(now: Ms) {
    this.#deadline = addMs(now, FIRST_PART_MS);
  }

  get deadline(): Ms {
    return this.#deadline;
  }

  get progress(): { readonly running: boolean; readonly expected: number; readonly received: number } {
    return { running: this.#phase !== 'done', expected: this.#expected ?? 0, received: this.#items.size };
  }

  /** A message with our SN. */
  part(body: CatalogBody, now: Ms): CatalogOutput[] {
    if (this.#phase === 'done') return body.items.length === 0 ? [] : [{ type: 'extra', items: body.items }];
    if (body.sumNum !== undefined) this.#expected = Math.max(this.#expected ?? 0, body.sumNum);
    this.#take(body);
    const reached = this.#expected !== undefined && this.#items.size + this.#dropped >= this.#expected;
    this.#phase = reached ? 'settling' : 'collecting';
    this.#deadline = addMs(now, reached ? SETTLE_MS : this.#allArrived ? QUIET_MS : GIVE_UP_MS);
    return [];
  }

  tick(now: Ms): CatalogOutput[] {
    if (now < this.#deadline) return [];
    const why = this.#phase === 'waiting' ? 'no-answer' : this.#verdict();
    this.#phase = 'done';
    this.#deadline = NEVER;
    const result: CatalogResult = { state: why === 'complete' ? 'complete' : 'partial', why, expected: this.#expected ?? 0, items: [...this.#items.values()], duplicates: this.#duplicates, dropped: this.#dropped };
    this.#items.clear();
    return [{ type: 'done', result }];
  }

  #verdict(): CatalogResult['why'] {
    if (this.#tooMany) return 'too-many';
    if (this.#dropped > 0) return 'items-unreadable';
    return this.#allArrived ? 'complete' : 'items-missing';
  }

  /** Never true of a device that names no SumNum. */
  get #allArrived(): boolean {
    return this.#expected !== undefined && this.#arrived >= this.#expected;
  }

  #take({ items, dropped }: CatalogBody): void {
    const repeated = items.filter(item => this.#items.has(item.deviceId)).length;
    // A device that got no 200 in time sends the whole message again: that counts nothing.
    if (repeated > 0 && repeated === items.length && dropped === 0) {
      for (const item of items) this.#items.set(item.deviceId, item);
      return;
    }
    this.#arrived += items.length + dropped;
    this.#dropped += dropped;
    for (const item of items) this.#takeOne(item);
  }

  #takeOne(item: CatalogItem): void {
    const isNew = !this.#items.has(item.deviceId);
    if (!isNew) this.#duplicates++;
    else if (this.#items.size === MAX_CATALOG_ITEMS) {
      this.#tooMany = true;
      return;
    }
    this.#items.set(item.deviceId, item);
  }
}
