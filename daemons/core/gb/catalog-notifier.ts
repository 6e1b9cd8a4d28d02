/**
 * One catalogue subscription of a platform above us (gb28181.md 5.3): the NOTIFYs that take what it was told to what it may see.
 *
 *   begin: the subscriber takes every item for ON, so the first NOTIFYs name those that are not
 *
 *            change               window over, or a whole batch waits           accepted
 *   QUIET ----------> COLLECTING -------------------------------> SENDING(batch) ---------> QUIET, or SENDING(next) while changes wait
 *                                                                   |      ^
 *                                  unanswered, refused: what it says|      | pause over; the events are made anew from what is
 *                                  is in doubt, and waits again     v      | sure then, so that none of them does harm twice
 *                                                                 PAUSING -+       refused 3 times: the batch counts as told
 *
 * Changes of one item while it waits become one. ADDs come parents first, before DELs, which come children first.
 */
import { NEVER, type Ms, addMs } from '../units.ts';
import { MAYBE, type CatalogEvent, type Mark, type Wanted, type ItemState, after, contentOf, eventFor, formatChange, inDoubt, markOf, wantedOf } from './catalog-changes.ts';
import type { CatalogItem } from './catalog-item.ts';
import { type Charset, type GbVersion, PROLOGUE_BYTES, encodedLength } from './dialect.ts';
import { buildCatalogNotify } from './manscdp-write.ts';

const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;
const MAX_REFUSALS = 3;
const MAX_SN = 0x7fff_fffe;

export interface NotifierOptions {
  /** The ID that was subscribed: DeviceID of every NOTIFY. */
  readonly deviceId: string;
  readonly version: GbVersion;
  readonly charset: Charset;
  readonly itemsPerMessage: number;
  /** Bytes of a body over UDP; at least one item goes in all the same. Undefined over TCP. */
  readonly bodyBudget: number | undefined;
  /** Changes are collected so long before they leave, unless a whole batch waits. */
  readonly windowMs: number;
}

export type ToldRow = readonly [itemId: string, mark: Mark | null];

export type NotifierOutput =
  /** Its outcome comes back through `settled`. */
  | { readonly type: 'notify'; readonly batch: number; readonly body: string; readonly items: number }
  /** To keep, so that a restart goes on from here; null: forget the item. */
  | { readonly type: 'told'; readonly rows: readonly ToldRow[] };

export type BatchOutcome = 'accepted' | 'refused' | 'unanswered';

interface Change {
  readonly id: string;
  readonly event: CatalogEvent;
  readonly wanted: Wanted | null;
}

const GONE: Pick<Wanted, 'item' | 'content' | 'state'> = { item: undefined, content: 0, state: 'OFF' };

export class CatalogNotifier {
  #options: NotifierOptions;
  readonly #told: Map<string, Mark>;
  /** Items of which the subscriber may not know the truth; null: gone. */
  readonly #waiting = new Map<string, Wanted | null>();
  #sending: { readonly batch: number; readonly changes: ReadonlyMap<string, Change> } | undefined;
  #batch = 0;
  #sn: number;
  #pauseMs = FIRST_PAUSE_MS;
  #refusals = 0;
  #deadline: Ms = NEVER;
  /** Batches that the subscriber refused for good. */
  givenUp = 0;

  /** `told`: kept from before a restart. `sn`: of the first NOTIFY. */
  constructor(options: NotifierOptions, sn: number, told: readonly (readonly [string, Mark])[] = []) {
    this.#options = options;
    this.#sn = sn;
    this.#told = new Map(told);
  }

  get deadline(): Ms {
    return this.#deadline;
  }

  /** Items that the subscriber was told of or is about to be. */
  get size(): number {
    return this.#told.size;
  }

  /** Changes that wait or are under way. */
  get held(): number {
    return this.#waiting.size + (this.#sending?.changes.size ?? 0);
  }

  /** Nothing waits and nothing is under way. */
  get settledAll(): boolean {
    return this.#sending === undefined && this.#waiting.size === 0;
  }

  /** Right after the 200: everything that is not ON, or an empty NOTIFY when all is well (RFC 6665 4.2.1.4). */
  begin(items: readonly CatalogItem[]): NotifierOutput[] {
    const rows: [string, Mark | null][] = [...this.#told.keys()].map(id => [id, null]);
    this.#told.clear();
    this.#waiting.clear();
    for (const item of items) {
      const wanted = wantedOf(item, this.#options.version);
      const mark = markOf({ content: wanted.content, state: 'ON' });
      this.#told.set(item.deviceId, mark);
      rows.push([item.deviceId, mark]);
      if (wanted.state !== 'ON') this.#waiting.set(item.deviceId, wanted);
    }
    return [{ type: 'told', rows }, ...this.#send(true)];
  }

  /** The whole scope as it is now, in the order in which it would be queried. */
  view(items: readonly CatalogItem[], now: Ms, options: NotifierOptions = this.#options): NotifierOutput[] {
    this.#options = options;
    const seen = new Set<string>();
    this.#waiting.clear();
    for (const item of items) {
      seen.add(item.deviceId);
      this.#consider(item.deviceId, wantedOf(item, options.version));
    }
    for (const id of [...this.#told.keys()].reverse()) if (!seen.has(id)) this.#consider(id, null);
    return this.#collect(now);
  }

  /** Only this changed; an item that is not in scope is nobody's. */
  state(id: string, state: ItemState, now: Ms): NotifierOutput[] {
    const waiting = this.#waiting.get(id);
    if (waiting === null) return [];
    const known = waiting ?? this.#sending?.changes.get(id)?.wanted;
    const told = this.#told.get(id);
    if (known === undefined || known === null) {
      if (told !== undefined && told !== MAYBE) this.#consider(id, { item: undefined, content: contentOf(told), state });
    } else this.#consider(id, { ...known, state });
    return this.#collect(now);
  }

  /** How the NOTIFY of this batch ended: a 2xx, another final status, or nothing. */
  settled(batch: number, outcome: BatchOutcome, now: Ms): NotifierOutput[] {
    if (this.#sending?.batch !== batch) return [];
    const changes = [...this.#sending.changes.values()];
    this.#sending = undefined;
    if (outcome === 'refused' && ++this.#refusals >= MAX_REFUSALS) this.givenUp++;
    else if (outcome !== 'accepted') return this.#pause(changes, now);
    this.#refusals = 0;
    this.#pauseMs = FIRST_PAUSE_MS;
    const rows = changes.map(({ id, event, wanted }): ToldRow => this.#setTold(id, after(event, this.#told.get(id), wanted ?? GONE)));
    for (const { id, wanted } of changes) if (!this.#waiting.has(id)) this.#consider(id, wanted);
    return [{ type: 'told', rows }, ...this.#send(false)];
  }

  tick(now: Ms): NotifierOutput[] {
    return now < this.#deadline ? [] : this.#send(false);
  }

  /** Nobody knows what of it arrived: the events are made anew, and what changed meanwhile counts. */
  #pause(changes: readonly Change[], now: Ms): NotifierOutput[] {
    const later = [...this.#waiting];
    this.#waiting.clear();
    for (const { id, wanted } of changes) this.#waiting.set(id, wanted);
    for (const [id, wanted] of later) this.#waiting.set(id, wanted);
    this.#deadline = addMs(now, this.#pauseMs);
    this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2);
    return [];
  }

  #setTold(id: string, mark: Mark | undefined): ToldRow {
    if (mark === undefined) this.#told.delete(id);
    else this.#told.set(id, mark);
    return [id, mark ?? null];
  }

  /** What is under way is no excuse: it may be lost. */
  #consider(id: string, wanted: Wanted | null): void {
    if (this.#sending?.changes.has(id) === true || eventFor(this.#told.get(id), wanted) !== undefined) this.#waiting.set(id, wanted);
    else this.#waiting.delete(id);
  }

  #collect(now: Ms): NotifierOutput[] {
    if (this.#sending !== undefined) return [];
    if (this.#waiting.size === 0) {
      this.#deadline = NEVER;
      return [];
    }
    const isPausing = this.#pauseMs > FIRST_PAUSE_MS;
    if (!isPausing && this.#waiting.size >= this.#options.itemsPerMessage) return this.#send(false);
    if (this.#deadline === NEVER) this.#deadline = addMs(now, this.#options.windowMs);
    return [];
  }

  #send(evenEmpty: boolean): NotifierOutput[] {
    this.#deadline = NEVER;
    const { changes, texts } = this.#fill();
    if (changes.length === 0 && !evenEmpty) return [];
    this.#sending = { batch: ++this.#batch, changes: new Map(changes.map(change => [change.id, change])) };
    this.#sn = (this.#sn % MAX_SN) + 1;
    const body = buildCatalogNotify({ sn: this.#sn, deviceId: this.#options.deviceId }, texts);
    const notify: NotifierOutput = { type: 'notify', batch: this.#batch, body, items: changes.length };
    if (changes.length === 0) return [notify];
    // In doubt from here on until the answer, also for whoever takes up after a crash.
    return [{ type: 'told', rows: changes.map(({ id, event }) => this.#setTold(id, inDoubt(event, this.#told.get(id)))) }, notify];
  }

  /** As many changes as the count and the budget let in, at least one; they wait no longer. */
  #fill(): { changes: Change[]; texts: string[] } {
    const { version, charset, itemsPerMessage, bodyBudget, deviceId } = this.#options;
    const changes: Change[] = [];
    const texts: string[] = [];
    let bytes = PROLOGUE_BYTES + buildCatalogNotify({ sn: MAX_SN, deviceId }, []).length + `<DeviceList Num="${itemsPerMessage}">\r\n</DeviceList>\r\n`.length;
    for (const [id, wanted] of this.#waiting) {
      if (changes.length >= itemsPerMessage) break;
      const event = eventFor(this.#told.get(id), wanted);
      if (event !== undefined) {
        const text = formatChange(event, id, wanted ?? GONE, version);
        if (bodyBudget !== undefined) bytes += encodedLength(text, charset);
        if (changes.length > 0 && bytes > (bodyBudget ?? Infinity)) break;
        changes.push({ id, event, wanted });
        texts.push(text);
      }
      this.#waiting.delete(id);
    }
    return { changes, texts };
  }
}
