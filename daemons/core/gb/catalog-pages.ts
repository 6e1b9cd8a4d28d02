/**
 * Answers a Catalog query in messages, each after the 200 to the one before (gb28181.md 3.2, 8.2, 12.3).
 *
 *     start --send(1)--> WAITING --accepted, pause--> send(next) ... --last accepted--> done
 *                           |  ^
 *                 failed,   |  +-- the same page again, twice at most; then the next one
 *                 6 s quiet +----- three pages in a row without a 200 ----------> done, given up
 */
import { type CatalogItem, formatCatalogItem } from './catalog-item.ts';
import { type Charset, type GbVersion, PROLOGUE_BYTES, encodedLength } from './dialect.ts';
import { type Head, buildCatalogPage } from './manscdp-write.ts';
import { type Ms, NEVER, addMs } from '../units.ts';

const PAGE_TIMEOUT_MS = 6_000;
const RETRIES = 2;
const GIVE_UP_AFTER_PAGES = 3;
/** A SIP MESSAGE around a body: request line, Via, From, To, Call-ID and the rest, with long names. */
export const SIP_OVERHEAD_BYTES = 500;
/** RFC 3261 18.1.1 with the fragment rule of 12.3: a whole SIP message over UDP. */
export const MAX_UDP_MESSAGE_BYTES = 1_300;

export interface PagerOptions {
  readonly head: Head;
  readonly items: readonly CatalogItem[];
  readonly version: GbVersion;
  readonly charset: Charset;
  readonly itemsPerMessage: number;
  /** Bytes of a body over UDP; at least one item goes in all the same. Undefined over TCP. */
  readonly bodyBudget?: number | undefined;
  /** Between the 200 to a page and the next page; default: none. */
  readonly pauseMs?: number;
}

export type PagerInput = { readonly type: 'start' } | { readonly type: 'accepted'; readonly page: number } | { readonly type: 'failed'; readonly page: number } | { readonly type: 'tick' };

export type PagerOutput =
  /** `page` comes back with its outcome; the same page may be sent again. */
  | { readonly type: 'send'; readonly page: number; readonly body: string }
  | { readonly type: 'done'; readonly pages: number; readonly accepted: number; readonly gaveUp: boolean };

/** Whether all of it goes into one message. */
export function fitsOnePage({ head, items, version, charset, itemsPerMessage, bodyBudget = Infinity }: PagerOptions): boolean {
  if (items.length > itemsPerMessage) return false;
  let bytes = PROLOGUE_BYTES + buildCatalogPage(head, items.length, []).length;
  for (const item of items) {
    bytes += encodedLength(formatCatalogItem(item, version), charset);
    if (bytes > bodyBudget) return false;
  }
  return true;
}

export class CatalogPager {
  readonly #options: PagerOptions;
  /** Bytes of a page without items. */
  readonly #frameBytes: number;
  #nextItem = 0;
  #page = 0;
  #body = '';
  #tries = 0;
  #accepted = 0;
  #lostInARow = 0;
  #deadline: Ms = NEVER;
  #finished = false;
  /** Between two pages: the deadline is the time of the next one. */
  #pausing = false;

  constructor(options: PagerOptions) {
    this.#options = options;
    const frame = buildCatalogPage(options.head, options.items.length, []);
    this.#frameBytes = PROLOGUE_BYTES + frame.length + `<DeviceList Num="${options.itemsPerMessage}">\r\n</DeviceList>\r\n`.length;
  }

  get deadline(): Ms {
    return this.#deadline;
  }

  handle(input: PagerInput, now: Ms): PagerOutput[] {
    if (this.#finished) return [];
    switch (input.type) {
      case 'start':
        return this.#page === 0 ? this.#next(now) : [];
      case 'accepted':
        return input.page === this.#page && !this.#pausing ? this.#onAccepted(now) : [];
      case 'failed':
        return input.page === this.#page && !this.#pausing ? this.#onLost(now) : [];
      case 'tick':
        return now < this.#deadline ? [] : this.#pausing ? this.#next(now) : this.#onLost(now);
    }
  }

  #onAccepted(now: Ms): PagerOutput[] {
    this.#accepted++;
    this.#lostInARow = 0;
    const { pauseMs = 0, items } = this.#options;
    if (pauseMs === 0 || this.#nextItem >= items.length) return this.#next(now);
    this.#pausing = true;
    this.#deadline = addMs(now, pauseMs);
    return [];
  }

  #onLost(now: Ms): PagerOutput[] {
    if (this.#tries <= RETRIES) return this.#send(now);
    return ++this.#lostInARow >= GIVE_UP_AFTER_PAGES ? this.#finish(true) : this.#next(now);
  }

  #next(now: Ms): PagerOutput[] {
    this.#pausing = false;
    if (this.#page > 0 && this.#nextItem >= this.#options.items.length) return this.#finish(false);
    this.#page++;
    this.#tries = 0;
    this.#body = this.#fillPage();
    return this.#send(now);
  }

  #send(now: Ms): PagerOutput[] {
    this.#tries++;
    this.#deadline = addMs(now, PAGE_TIMEOUT_MS);
    return [{ type: 'send', page: this.#page, body: this.#body }];
  }

  #finish(gaveUp: boolean): PagerOutput[] {
    this.#finished = true;
    this.#deadline = NEVER;
    return [{ type: 'done', pages: this.#page, accepted: this.#accepted, gaveUp }];
  }

  /** As many items as the count and the budget let in, at least one. */
  #fillPage(): string {
    const { head, items, version, charset, itemsPerMessage, bodyBudget = Infinity } = this.#options;
    const page: string[] = [];
    let bytes = this.#frameBytes;
    while (this.#nextItem < items.length && page.length < itemsPerMessage) {
      const text = formatCatalogItem(items[this.#nextItem]!, version);
      if (bodyBudget < Infinity) bytes += encodedLength(text, charset);
      if (page.length > 0 && bytes > bodyBudget) break;
      page.push(text);
      this.#nextItem++;
    }
    return buildCatalogPage(head, items.length, page);
  }
}
