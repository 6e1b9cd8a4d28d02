/**
 * The catalogue that one upstream sees (gb28181.md 1.7), as a tree of its choice: civil regions (mode A), business groups with
 * virtual organisations (mode B), or flat. Parents before children; low-side addresses and passwords left out (faults.md 5.5).
 *
 *   our system > regions | groups > organisations > devices > channels
 */
import type { ItemState } from './catalog-changes.ts';
import type { CatalogItem } from './catalog-item.ts';
import { civilCodeOf, civilPath, kindOf, normalizeCivilCode } from './device-id.ts';

export interface TreeChannel {
  /** Its ID toward this upstream. */
  readonly mappedId: string;
  /** As its device published it. */
  readonly item: CatalogItem;
  readonly name: string;
  /** Normalized civil code. */
  readonly region: string | undefined;
  readonly state: ItemState;
  /** Groups and organisations that it is in, as this upstream knows them. */
  readonly memberOf: readonly string[];
  /** The item of its device, where devices are items. */
  readonly device?: string | undefined;
  /** Of the device, where the item names none. */
  readonly manufacturer?: string | undefined;
  readonly model?: string | undefined;
  /** The way that it took, ours included; undefined: is not told. */
  readonly route?: string | undefined;
}

export interface TreeNode {
  readonly id: string;
  readonly kind: 'business-group' | 'virtual-org' | 'device';
  readonly name: string;
  readonly region?: string | undefined;
  /** virtual-org: the group that it is in. */
  readonly group?: string | undefined;
  /** virtual-org: the organisation above it. */
  readonly parent?: string | undefined;
  /** device. */
  readonly state?: ItemState | undefined;
  readonly manufacturer?: string | undefined;
  readonly model?: string | undefined;
}

export interface TreeOptions {
  /** Our ID toward this upstream. */
  readonly localId: string;
  readonly name: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly shape: 'civil' | 'groups' | 'flat';
  /** ParentID with every parent. */
  readonly composite: boolean;
  /** Names of regions by normalized code, as devices gave them; others are named by their code. */
  readonly civilNames?: ReadonlyMap<string, string>;
}

/** Where a channel is in the network below and how to get into it, its groups there, and what nobody has checked. */
const PRIVATE_FIELDS: ReadonlySet<string> = new Set(['ipAddress', 'port', 'password', 'event', 'businessGroupId', 'extras', 'fault', 'route']);

const publicPart = (item: CatalogItem): Partial<CatalogItem> => Object.fromEntries(Object.entries(item).filter(([field]) => !PRIVATE_FIELDS.has(field)));

const onOff = (state: ItemState): 'ON' | 'OFF' => (state === 'ON' ? 'ON' : 'OFF');

export class CatalogTree {
  readonly #options: TreeOptions;
  readonly #ownRegion: string | undefined;
  /** Region of each item that is no region. */
  readonly #region = new Map<string, string | undefined>();
  /** What hangs directly under an item, beside regions. */
  readonly #children = new Map<string, string[]>();
  readonly #byId = new Map<string, CatalogItem>();
  readonly items: readonly CatalogItem[];

  constructor(options: TreeOptions, channels: readonly TreeChannel[], nodes: readonly TreeNode[] = []) {
    this.#options = options;
    this.#ownRegion = civilCodeOf(options.localId);
    const groups = options.shape === 'groups' ? nodes.filter(({ kind }) => kind === 'business-group') : [];
    const organisations = options.shape === 'groups' ? parentsFirst(nodes.filter(({ kind }) => kind === 'virtual-org')) : [];
    const groupOf = new Map(organisations.map(({ id, group }) => [id, group]));
    const devices = nodes.filter(({ kind }) => kind === 'device').map(node => this.#deviceNode(node));
    const leaves = channels.map(channel => this.#channelItem(channel, groupOf));
    const virtual = [...groups.map(node => this.#groupItem(node)), ...organisations.map(node => this.#organisationItem(node))];
    const regions = options.shape === 'civil' ? this.#regionItems() : [];
    this.items = [...(options.shape === 'flat' ? [] : [this.#systemItem()]), ...regions, ...virtual, ...devices, ...leaves];
    for (const item of this.items) this.#byId.set(item.deviceId, item);
  }

  /**
   * What a query for this ID is answered with: our system everything; a region itself and what lies in it; a group, an organisation
   * and a device themselves and what hangs under them; a channel itself. Undefined: nothing of that ID is here (SumNum 0).
   */
  select(queriedId: string): readonly CatalogItem[] | undefined {
    if (queriedId === this.#options.localId) return this.items;
    if (kindOf(queriedId) === 'civil') return this.#selectRegion(queriedId);
    const item = this.#byId.get(queriedId);
    if (item === undefined) return undefined;
    if (!this.#children.has(queriedId)) return [item];
    const inside = this.below(queriedId);
    return this.items.filter(({ deviceId }) => inside.has(deviceId));
  }

  get(id: string): CatalogItem | undefined {
    return this.#byId.get(id);
  }

  /** IDs of an item and of what hangs under it; regions have nothing hanging under them. */
  below(topId: string): ReadonlySet<string> {
    if (!this.#byId.has(topId)) return NOTHING;

    const inside = new Set([topId]);
    for (const id of inside) for (const child of this.#children.get(id) ?? []) inside.add(child);
    return inside;
  }

  #selectRegion(queried: string): readonly CatalogItem[] | undefined {
    const code = normalizeCivilCode(queried);
    if (code === undefined) return undefined;
    const regionOf = ({ deviceId }: CatalogItem): string | undefined => (kindOf(deviceId) === 'civil' ? deviceId : this.#region.get(deviceId));
    const inside = this.items.filter(item => regionOf(item)?.startsWith(code));
    return inside.length === 0 ? undefined : inside;
  }

  #hang(id: string, under: readonly string[]): void {
    for (const parent of under) {
      const known = this.#children.get(parent);
      if (known === undefined) this.#children.set(parent, [id]);
      else known.push(id);
    }
  }

  #systemItem(): CatalogItem {
    const { localId, name, manufacturer, model } = this.#options;
    return { deviceId: localId, name, manufacturer, model, owner: name, ...(this.#ownRegion !== undefined && { civilCode: this.#ownRegion }), address: name, registerWay: '1', secrecy: '0', status: 'ON' };
  }

  /** Every region that holds something, with those above it: from our own region down, or from the province when it is outside. */
  #regionItems(): CatalogItem[] {
    const own = this.#ownRegion;
    const codes = new Set<string>(own === undefined ? [] : [own]);
    for (const region of new Set(this.#region.values())) {
      if (region === undefined) continue;
      const inside = own !== undefined && region.startsWith(own);
      for (const code of civilPath(region)) if (!inside || code.length >= own.length) codes.add(code);
    }
    const sorted = [...codes].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    return sorted.map(code => ({ deviceId: code, name: this.#options.civilNames?.get(code) ?? code }));
  }

  /** Groups stand under the system and never in each other. */
  #groupItem({ id, name, region = this.#ownRegion }: TreeNode): CatalogItem {
    return { deviceId: id, name, ...(region !== undefined && { civilCode: region }), parentId: this.#options.localId };
  }

  /** ParentID only when there is an organisation above it (1.7). */
  #organisationItem({ id, name, group, parent, region = this.#ownRegion }: TreeNode): CatalogItem {
    this.#hang(id, parent !== undefined ? [parent] : group !== undefined ? [group] : []);
    return { deviceId: id, name, ...(region !== undefined && { civilCode: region }), ...(parent !== undefined && { parentId: parent }), ...(group !== undefined && { businessGroupId: group }) };
  }

  #deviceNode({ id, name, region = this.#ownRegion, state = 'ON', manufacturer, model }: TreeNode): CatalogItem {
    const { localId, name: owner } = this.#options;
    this.#region.set(id, region);
    return {
      deviceId: id, name, manufacturer: manufacturer ?? this.#options.manufacturer, model: model ?? this.#options.model, owner, ...(region !== undefined && { civilCode: region }),
      address: name, parental: '1', parentId: localId, safetyWay: '0', registerWay: '1', secrecy: '0', status: onOff(state), info: MANDATORY_INFO,
    };
  }

  /** The real parent first, then the organisations; one only, the last, where the upstream cannot read several (quirk 27). */
  #parentsOf({ memberOf, device }: TreeChannel, groupOf: ReadonlyMap<string, string | undefined>): { readonly parentId: string; readonly businessGroupId?: string } {
    const { localId, shape, composite } = this.#options;
    const real = device ?? localId;
    if (shape !== 'groups' || memberOf.length === 0) return { parentId: real };
    const [first] = memberOf;
    const group = groupOf.has(first!) ? groupOf.get(first!) : first;
    return { parentId: composite ? [real, ...memberOf].join('/') : first!, ...(group !== undefined && { businessGroupId: group }) };
  }

  /** Mandatory fields that the device left out are filled; a child of ours is a leaf. */
  #channelItem(channel: TreeChannel, groupOf: ReadonlyMap<string, string | undefined>): CatalogItem {
    const { mappedId, item, name, region, state, manufacturer, model, route } = channel;
    const { shape } = this.#options;
    this.#region.set(mappedId, region);
    this.#hang(mappedId, [...(shape === 'groups' ? channel.memberOf : []), ...(channel.device === undefined ? [] : [channel.device])]);
    const civilCode = shape === 'flat' ? (item.civilCode ?? region) : region;
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
      ...this.#parentsOf(channel, groupOf),
      safetyWay: item.safetyWay ?? '0',
      registerWay: item.registerWay ?? '1',
      secrecy: item.secrecy ?? '0',
      status: onOff(state),
      info: { ...item.info, grassrootsCode: item.info?.grassrootsCode ?? MANDATORY_INFO.grassrootsCode, pointType: item.info?.pointType ?? MANDATORY_INFO.pointType },
      ...((state === 'VLOST' || state === 'DEFECT') && { fault: state }),
      ...(route !== undefined && { route }),
    };
  }
}

const NOTHING: ReadonlySet<string> = new Set();

/** Mandatory in 2022 (3.4): "not built at grassroots level" and "other point" where the camera says nothing. 2016 has neither. */
const MANDATORY_INFO = { grassrootsCode: '000000', pointType: '9' } as const;

/** An organisation behind the one above it; what hangs nowhere comes last. */
function parentsFirst(nodes: readonly TreeNode[]): TreeNode[] {
  const known = new Set(nodes.map(({ id }) => id));
  const below = new Map<string, TreeNode[]>();
  const sorted: TreeNode[] = [];
  for (const node of nodes) {
    const siblings = node.parent === undefined || !known.has(node.parent) ? sorted : (below.get(node.parent) ?? []);
    siblings.push(node);
    if (siblings !== sorted) below.set(node.parent!, siblings);
  }
  // What is added is looked at in turn.
  for (const node of sorted) for (const child of below.get(node.id) ?? []) sorted.push(child);
  return sorted;
}
