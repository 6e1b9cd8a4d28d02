/** What one device below us has said of itself: its facts, its items, and what follows from them. IO is in catalogs.ts. */
import type { CatalogCollector } from '#core/gb/catalog-collector.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import { nodesAbove, publishedItems } from '#core/gb/catalog-parents.ts';
import type { Charset } from '#core/gb/dialect.ts';
import { type PublishedGroups, publishedGroups } from '#core/gb/published-groups.ts';
import type { Alarm } from '#kit/clock.ts';
import type { ChannelStateRow } from '#kit/state-store.ts';

export interface DeviceFacts {
  readonly name: string | null;
  readonly manufacturer: string | null;
  readonly model: string | null;
  readonly firmware: string | null;
  readonly channelCount: number | null;
}

export interface CatalogView {
  readonly state: 'none' | 'running' | 'complete' | 'partial';
  readonly expected: number;
  readonly received: number;
  readonly atWallMs: number | null;
}

export const NO_FACTS: DeviceFacts = { name: null, manufacturer: null, model: null, firmware: null, channelCount: null };
export const NO_CATALOG: CatalogView = { state: 'none', expected: 0, received: 0, atWallMs: null };

export class DeviceCatalog {
  readonly id: string;
  facts: DeviceFacts = NO_FACTS;
  /** Every item of the device, by ID. */
  readonly items = new Map<string, CatalogItem>();
  /** Those that can be played. */
  channels = new Map<string, CatalogItem>();
  view: CatalogView = NO_CATALOG;
  collecting: { readonly sn: number; readonly collector: CatalogCollector; readonly alarm: Alarm } | undefined;
  again: Disposable | undefined;
  /** What it said while its catalogue was being collected: the answer may be older than this. */
  meanwhile: CatalogItem[] = [];
  late: CatalogItem[] = [];
  lateTimer: Disposable | undefined;
  /** How its last message was written. */
  charset: Charset | undefined;
  // Undefined: to be made anew when somebody asks.
  #ordinals: ReadonlyMap<string, number> | undefined;
  #nodes: ((item: CatalogItem) => readonly string[]) | undefined;
  #groups: PublishedGroups | undefined;

  constructor(id: string) {
    this.id = id;
  }

  /** Items came, went or changed their places. */
  rebuild(): void {
    this.channels = new Map(publishedItems([...this.items.values()], this.id).map(item => [item.deviceId, item]));
    this.#ordinals = undefined;
    this.#nodes = undefined;
    this.#groups = undefined;
  }

  /** Only the states of these are others. */
  restate(ids: Iterable<string>): void {
    for (const id of ids) if (this.channels.has(id)) this.channels.set(id, this.items.get(id)!);
  }

  /** What stands above an item, the device last. */
  nodesOf(item: CatalogItem): readonly string[] {
    return (this.#nodes ??= nodesAbove([...this.items.values()], this.id))(item);
  }

  get groups(): PublishedGroups {
    return (this.#groups ??= publishedGroups([...this.items.values()], this.id));
  }

  rowsOf(ids: readonly string[]): ChannelStateRow[] {
    const ordinals = (this.#ordinals ??= new Map([...this.items.keys()].map((id, ordinal) => [id, ordinal])));
    return ids.map(id => rowOf(this.id, this.items.get(id)!, ordinals.get(id)!));
  }

  stopTimers(): void {
    this.collecting?.alarm[Symbol.dispose]();
    this.again?.[Symbol.dispose]();
    this.lateTimer?.[Symbol.dispose]();
  }
}

const rowOf = (deviceId: string, item: CatalogItem, ordinal: number): ChannelStateRow => ({
  deviceId,
  channelId: item.deviceId,
  ordinal,
  name: item.name ?? item.deviceId,
  status: item.status ?? 'ON',
  civilCode: item.civilCode ?? null,
  parentId: item.parentId ?? null,
  manufacturer: item.manufacturer ?? null,
  itemJson: JSON.stringify(item),
});

/** Unknown elements are not sent on to anybody and would cost most of the memory. */
export function withoutExtras({ extras: _extras, event: _event, ...item }: CatalogItem): CatalogItem {
  return item;
}
