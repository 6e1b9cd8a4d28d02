/**
 * The catalogue that one upstream sees (gb28181.md 1.7 mode A): our system, the civil regions, the shared channels; parents before
 * children, low-side addresses and passwords left out (faults.md 5.5).
 */
import { stateOf } from './catalog-changes.ts';
import type { CatalogItem } from './catalog-item.ts';
import { civilCodeOf, civilPath, kindOf, normalizeCivilCode } from './device-id.ts';

export interface SharedChannel {
  /** Its ID toward this upstream. */
  readonly mappedId: string;
  /** As its device published it. */
  readonly item: CatalogItem;
  /** The device is registered. */
  readonly online: boolean;
  /** Of the device, where the item names none. */
  readonly manufacturer?: string | undefined;
  readonly model?: string | undefined;
}

export interface TreeOptions {
  /** Our ID toward this upstream. */
  readonly localId: string;
  readonly name: string;
  readonly manufacturer: string;
  readonly model: string;
  /** Publish our system and the civil regions as items of their own; false: channels only. */
  readonly civilTree: boolean;
  /** Names of regions by normalized code, as devices gave them; others are named by their code. */
  readonly civilNames?: ReadonlyMap<string, string>;
}

/** Where a channel is in the network below and how to get into it, its groups there, and what nobody has checked. */
const PRIVATE_FIELDS: ReadonlySet<string> = new Set(['ipAddress', 'port', 'password', 'event', 'businessGroupId', 'extras', 'fault']);

const publicPart = (item: CatalogItem): Partial<CatalogItem> => Object.fromEntries(Object.entries(item).filter(([field]) => !PRIVATE_FIELDS.has(field)));

export class CatalogTree {
  readonly #options: TreeOptions;
  /** Region of each channel item. */
  readonly #region = new Map<string, string | undefined>();
  readonly #byId = new Map<string, CatalogItem>();
  readonly items: readonly CatalogItem[];

  constructor(options: TreeOptions, channels: readonly SharedChannel[]) {
    this.#options = options;
    const ownRegion = civilCodeOf(options.localId);
    const devices = channels.map(channel => this.#deviceItem(channel, ownRegion));
    this.items = options.civilTree ? [this.#systemItem(ownRegion), ...this.#regionItems(ownRegion), ...devices] : devices;
    for (const item of this.items) this.#byId.set(item.deviceId, item);
  }

  /**
   * What a query for this ID is answered with: our system everything, a region itself and what lies in it, a channel itself.
   * Undefined: nothing of that ID is here (SumNum 0).
   */
  select(queriedId: string): readonly CatalogItem[] | undefined {
    if (queriedId === this.#options.localId) return this.items;
    if (kindOf(queriedId) === 'civil') return this.#selectRegion(queriedId);
    const item = this.#byId.get(queriedId);
    return item === undefined ? undefined : [item];
  }

  #selectRegion(queried: string): readonly CatalogItem[] | undefined {
    const code = normalizeCivilCode(queried);
    if (code === undefined) return undefined;
    const inside = this.items.filter(item => (kindOf(item.deviceId) === 'civil' ? item.deviceId : this.#region.get(item.deviceId))?.startsWith(code));
    return inside.length === 0 ? undefined : inside;
  }

  #systemItem(ownRegion: string | undefined): CatalogItem {
    const { localId, name, manufacturer, model } = this.#options;
    return { deviceId: localId, name, manufacturer, model, owner: name, ...(ownRegion !== undefined && { civilCode: ownRegion }), address: name, registerWay: '1', secrecy: '0', status: 'ON' };
  }

  /** Every region that holds a channel, with those above it: from our own region down, or from the province when it is outside. */
  #regionItems(ownRegion: string | undefined): CatalogItem[] {
    const codes = new Set<string>(ownRegion === undefined ? [] : [ownRegion]);
    for (const region of new Set(this.#region.values())) {
      if (region === undefined) continue;
      const inside = ownRegion !== undefined && region.startsWith(ownRegion);
      for (const code of civilPath(region)) if (!inside || code.length >= ownRegion.length) codes.add(code);
    }
    const sorted = [...codes].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    return sorted.map(code => ({ deviceId: code, name: this.#options.civilNames?.get(code) ?? code }));
  }

  /** Mandatory fields that the device left out are filled; a child of ours is a leaf under our system. */
  #deviceItem({ mappedId, item, online, manufacturer, model }: SharedChannel, ownRegion: string | undefined): CatalogItem {
    const { localId, civilTree } = this.#options;
    const region = (item.civilCode === undefined ? undefined : normalizeCivilCode(item.civilCode)) ?? civilCodeOf(item.deviceId) ?? ownRegion;
    this.#region.set(mappedId, region);
    const civilCode = civilTree ? region : (item.civilCode ?? region);
    const name = item.name ?? mappedId;
    return {
      ...publicPart(item),
      deviceId: mappedId,
      name,
      manufacturer: item.manufacturer ?? manufacturer ?? this.#options.manufacturer,
      model: item.model ?? model ?? this.#options.model,
      owner: item.owner ?? this.#options.name,
      ...(civilCode !== undefined && { civilCode }),
      address: item.address ?? name,
      parental: '0',
      parentId: localId,
      safetyWay: item.safetyWay ?? '0',
      registerWay: item.registerWay ?? '1',
      secrecy: item.secrecy ?? '0',
      status: stateOf(item, online) === 'ON' ? 'ON' : 'OFF',
      // Mandatory in 2022 (3.4): "not built at grassroots level" and "other point" where the camera says nothing. 2016 has neither.
      info: { ...item.info, grassrootsCode: item.info?.grassrootsCode ?? '000000', pointType: item.info?.pointType ?? '9' },
      ...(online && item.fault !== undefined && { fault: item.fault }),
    };
  }
}
