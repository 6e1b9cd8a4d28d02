/**
 * The view of one upstream over the catalogues as they are now: core/gb/view and core/gb/catalog-tree with what they need to know.
 * The same class shows what another configuration would give (`vlink view --config`): then over a copy of the IDs.
 */
import { systemName } from '#core/config/cluster-schema.ts';
import type { GatewayConfig, UpstreamConfig } from '#core/config/schema.ts';
import type { Permission } from '#core/config/view-schema.ts';
import type { ItemState } from '#core/gb/catalog-changes.ts';
import type { CatalogItem } from '#core/gb/catalog-item.ts';
import type { FactBook } from '#core/gb/channel-facts.ts';
import { CatalogTree, type TreeChannel, type TreeNode } from '#core/gb/catalog-tree.ts';
import { civilCodeOf, networkOf, normalizeCivilCode } from '#core/gb/device-id.ts';
import type { IdMapping, MappingUpstream, Share } from '#core/gb/id-mapping.ts';
import { formatRoute, isPlatformId, isReturned, isSamePeer, mayOffer, parseRoute } from '#core/gb/origin.ts';
import { type Seen, View, type ViewChannel } from '#core/gb/view.ts';
import type { WeekMinute } from '#core/gb/view-times.ts';
import type { Catalogs, ChannelRef } from './catalogs.ts';
import type { Resources } from './resources.ts';

const MANUFACTURER = 'ViewLink';
const MODEL = 'Gateway';
/** Subscribed nodes whose content is kept. */
const MAX_SCOPES = 2000;

export interface ViewWorld {
  readonly catalogs: Catalogs;
  readonly resources: Resources;
  isOnline(deviceId: string): boolean;
  /** Where a device is registered now. */
  placeOf(deviceId: string): { readonly address: string; readonly port: number } | undefined;
  /** This channel of a platform below is one of ours that came back. */
  isOwn(channel: ChannelRef): boolean;
}

/** A channel as this upstream sees it. */
export interface SeenChannel extends ChannelRef {
  readonly item: CatalogItem;
  readonly online: boolean;
  readonly seen: Seen;
}

export class UpstreamView {
  readonly config: UpstreamConfig;
  readonly view: View;
  readonly #gateway: GatewayConfig;
  readonly #world: ViewWorld;
  readonly #mapping: IdMapping;
  readonly #facts: FactBook;
  readonly #own: ReadonlySet<string>;
  /** Verdicts of the rules; void when a catalogue changes. */
  readonly #verdicts = new Map<string, Map<string, Seen | null>>();
  /** What stands under which node, whatever its state; void when a catalogue changes. */
  readonly #scopes = new Map<string, ReadonlySet<string>>();
  #structure: CatalogTree | undefined;

  constructor(config: UpstreamConfig, gateway: GatewayConfig, facts: FactBook, mapping: IdMapping, world: ViewWorld) {
    this.config = config;
    this.view = new View(config);
    this.#gateway = gateway;
    this.#facts = facts;
    this.#mapping = mapping;
    this.#world = world;
    this.#own = new Set([gateway.sip.id, ...gateway.upstreams.map(({ localId }) => localId)]);
  }

  /** A catalogue changed, or somebody got an ID. */
  changed(): void {
    this.#verdicts.clear();
    this.#scopes.clear();
    this.#structure = undefined;
  }

  /** Whether an item stands under a group, an organisation or a device. */
  covers(scope: string, itemId: string): boolean {
    let inside = this.#scopes.get(scope);
    if (inside === undefined) {
      inside = (this.#structure ??= this.tree().tree).below(scope);
      if (this.#scopes.size >= MAX_SCOPES) this.#scopes.clear();
      this.#scopes.set(scope, inside);
    }
    return inside.has(itemId);
  }

  /** How it sees this channel, or the camera that this is one way to; undefined: not at all. */
  see(channel: ChannelRef): SeenChannel | undefined {
    const { resources } = this.#world;
    const ways = resources.sourcesOf(channel);
    const [primary = channel] = ways;
    const shown = resources.shown(primary);
    if (shown === undefined || !ways.some(way => this.view.isShared(way)) || !ways.every(way => this.#mayOffer(way))) return undefined;
    const item = this.#facts.complete(primary, shown.item);
    const seen = this.#verdict(primary, item);
    return seen === undefined ? undefined : { ...primary, item, online: shown.online, seen };
  }

  /** Why a channel is not in its catalogue, for people. */
  hiddenWhy(channel: ChannelRef): string {
    const { resources } = this.#world;
    const ways = resources.sourcesOf(channel);
    const [primary = channel] = ways;
    const shown = resources.shown(primary);
    if (!resources.isPrimary(channel)) return `another way to ${primary.deviceId}/${primary.channelId}`;
    if (!ways.some(way => this.view.isShared(way))) return 'not in share';
    for (const way of ways) if (!this.#mayOffer(way)) return this.#isOwn(way) ? `${way.deviceId} has it from us` : 'it came from this platform, or through it';
    const seen = this.see(channel);
    if (seen === undefined) {
      const rule = shown && this.view.ruleOf(this.#viewChannel(primary, this.#facts.complete(primary, shown.item)));
      return rule === undefined ? 'no rule shows it' : `rule ${rule + 1} hides it`;
    }
    if (this.stateOf(seen) === undefined) return 'it is not ON';
    return this.idOf(channel) === undefined ? 'no ID is left for it' : 'it is in no organisation';
  }

  /** Everything that it sees, one for each camera. */
  *channels(of: Iterable<ChannelRef> = this.#world.catalogs.allChannels()): Generator<SeenChannel> {
    for (const { deviceId, channelId } of of) {
      if (!this.#world.resources.isPrimary({ deviceId, channelId })) continue;
      const seen = this.see({ deviceId, channelId });
      if (seen !== undefined) yield seen;
    }
  }

  permits(channel: ChannelRef, what: Permission, at: WeekMinute | 'ever'): boolean {
    const seen = this.see(channel)?.seen;
    return seen !== undefined && (at === 'ever' ? this.view.everPermits(seen, what) : this.view.permits(seen, what, at));
  }

  /** Its ID: whoever of its sources was given one first, so that an ID that an upstream knows stays. */
  idOf(channel: ChannelRef): string | undefined {
    for (const source of this.#world.resources.sourcesOf(channel)) {
      const id = this.#mapping.idOf(this.config.name, source);
      if (id !== undefined) return id;
    }
    return undefined;
  }

  /** Undefined: hidden while it is so, or not seen. */
  stateOf({ item, online }: SeenChannel): ItemState | undefined {
    return this.view.stateOf(item, online);
  }

  /** The item of a device, where devices are items. */
  deviceNodeOf(deviceId: string): string | undefined {
    return this.config.view.devices && this.#world.catalogs.channels(deviceId).size > 0 && !this.#world.catalogs.channels(deviceId).has(deviceId) ? this.#mapping.idOf(this.config.name, { deviceId, channelId: deviceId }) : undefined;
  }

  /** All that needs an ID among these channels: themselves, and the nodes that they stand under. */
  *shares(of?: Iterable<ChannelRef>): Generator<Share> {
    const nodes = new Set<string>();
    for (const { deviceId, channelId, item } of this.channels(of)) {
      const channel = { deviceId, channelId };
      for (const nodeId of this.#nativeNodesOf(deviceId, item)) {
        if (nodes.has(`${deviceId}\n${nodeId}`)) continue;
        nodes.add(`${deviceId}\n${nodeId}`);
        yield { deviceId, channelId: nodeId, isNode: true };
      }
      // Not when its camera has one by another way.
      const resource = this.#world.resources.resourceOf(channel);
      if (this.#mapping.idOf(this.config.name, channel) !== undefined || this.idOf(channel) === undefined) yield { ...channel, wantedId: resource?.rule === 'configured' ? resource.id : undefined };
    }
  }

  get mapping(): MappingUpstream {
    const { sip, upstreams } = this.#gateway;
    const { name, localId, view } = this.config;
    const groups = view.groups.flatMap(group => [group.id, ...group.organisations.map(({ id }) => id)]);
    const reserved = [sip.id, ...upstreams.flatMap(each => [each.id, each.localId]), ...groups, this.#ownGroup];
    return { name, localId, reserved, fixedIdOf: this.view.fixedIdOf, fixedIds: this.view.fixedIds, ownIds: view.ids === 'own', prefix: view.idPrefix };
  }

  /** The catalogue, and the channel behind each of its leaves. */
  tree(): { readonly tree: CatalogTree; readonly behind: ReadonlyMap<string, SeenChannel> } {
    const { catalogs } = this.#world;
    const behind = new Map<string, SeenChannel>();
    const leaves: TreeChannel[] = [];
    const nodes = new Map<string, TreeNode>();
    for (const channel of this.channels()) {
      const mappedId = this.idOf(channel);
      const state = this.stateOf(channel);
      if (mappedId === undefined || state === undefined) continue;
      const memberOf = this.#memberOf(channel, nodes);
      if (this.view.shape === 'groups' && memberOf.length === 0 && this.config.view.ungrouped === 'hidden') continue;
      const facts = catalogs.facts(channel.deviceId);
      const device = this.#deviceNode(channel.deviceId, nodes);
      behind.set(mappedId, channel);
      leaves.push({ mappedId, item: channel.item, name: channel.seen.name, region: channel.seen.region, state, memberOf, device, manufacturer: facts.manufacturer ?? undefined, model: facts.model ?? undefined, route: this.#routeOf(channel) });
    }
    const { localId, view } = this.config;
    const options = { localId, name: systemName(this.#gateway), manufacturer: MANUFACTURER, model: MODEL, shape: this.view.shape, composite: view.compositeParents, civilNames: catalogs.civilNames() };
    return { tree: new CatalogTree(options, leaves, [...this.#configuredNodes(), ...nodes.values()]), behind };
  }

  /** Neither back to whom it came from, nor to anybody what was ours in the first place. */
  #mayOffer({ deviceId, channelId }: ChannelRef): boolean {
    const { id, address, port } = this.config;
    const { placeOf } = this.#world;
    const fromThisPeer = isSamePeer({ id, at: { address, port } }, { id: deviceId, at: isPlatformId(deviceId) ? placeOf(deviceId) : undefined });
    return mayOffer(id, { fromThisPeer, route: this.#wayOf({ deviceId, channelId }) }) && !this.#isOwn({ deviceId, channelId });
  }

  #isOwn = (channel: ChannelRef): boolean => isReturned(this.#wayOf(channel), this.#own) || this.#world.isOwn(channel);

  #wayOf = ({ deviceId, channelId }: ChannelRef): readonly string[] => parseRoute(this.#world.catalogs.channels(deviceId).get(channelId)?.route) ?? [];

  #routeOf({ deviceId, item }: SeenChannel): string | undefined {
    if (!this.config.view.route) return undefined;
    const before = parseRoute(item.route) ?? [];
    return formatRoute(this.#gateway.sip.id, before.length === 0 && isPlatformId(deviceId) ? [deviceId] : before);
  }

  #verdict({ deviceId, channelId }: ChannelRef, item: CatalogItem): Seen | undefined {
    let ofDevice = this.#verdicts.get(deviceId);
    if (ofDevice === undefined) this.#verdicts.set(deviceId, (ofDevice = new Map()));
    let verdict = ofDevice.get(channelId);
    if (verdict === undefined) {
      verdict = this.view.see(this.#viewChannel({ deviceId, channelId }, item)) ?? null;
      ofDevice.set(channelId, verdict);
    }
    return verdict ?? undefined;
  }

  #viewChannel({ deviceId, channelId }: ChannelRef, item: CatalogItem): ViewChannel {
    return { deviceId, channelId, item, tags: this.#facts.of({ deviceId, channelId })?.tags ?? [], nodes: this.#world.catalogs.nodesOf(deviceId, item) };
  }

  // --- nodes -----------------------------------------------------------------------------------------------------------

  get #ownGroup(): string {
    const { localId } = this.config;
    return `${localId.slice(0, 10)}215${networkOf(localId) ?? '0'}000000`;
  }

  get #usesDeviceGroups(): boolean {
    return this.view.shape === 'groups' && this.config.view.groupsFrom === 'devices';
  }

  /** What a channel stands under, as its device calls it. */
  *#nativeNodesOf(deviceId: string, item: CatalogItem): Generator<string> {
    if (this.config.view.devices && deviceId !== item.deviceId) yield deviceId;
    const groups = this.#usesDeviceGroups ? this.#world.catalogs.groupsOf(deviceId) : undefined;
    for (const start of groups?.membershipOf(item) ?? []) {
      for (let here: string | undefined = start; here !== undefined; here = groups!.nodes.get(here)?.parent) {
        yield here;
        const group = groups!.nodes.get(here)?.group;
        if (group !== undefined) yield group;
      }
    }
  }

  #memberOf({ deviceId, item, seen }: SeenChannel, nodes: Map<string, TreeNode>): readonly string[] {
    if (this.view.shape !== 'groups') return [];
    if (!this.#usesDeviceGroups) return seen.organisations;
    const groups = this.#world.catalogs.groupsOf(deviceId);
    if (groups === undefined) return [];
    for (const id of this.#nativeNodesOf(deviceId, item)) this.#groupNode(deviceId, id, nodes);
    return groups.membershipOf(item).flatMap(id => this.#mapping.idOf(this.config.name, { deviceId, channelId: id }) ?? []);
  }

  #groupNode(deviceId: string, nativeId: string, nodes: Map<string, TreeNode>): void {
    const mapped = (id: string | undefined): string | undefined => (id === undefined ? undefined : this.#mapping.idOf(this.config.name, { deviceId, channelId: id }));
    const node = this.#world.catalogs.groupsOf(deviceId)?.nodes.get(nativeId);
    const id = mapped(nativeId);
    if (node === undefined || id === undefined || nodes.has(id)) return;
    const group = node.kind === 'virtual-org' ? (mapped(node.group) ?? this.#ownGroup) : undefined;
    if (group === this.#ownGroup) nodes.set(group, { id: group, kind: 'business-group', name: systemName(this.#gateway) });
    nodes.set(id, { id, kind: node.kind, name: node.name, region: node.civilCode === undefined ? undefined : normalizeCivilCode(node.civilCode), group, parent: mapped(node.parent) });
  }

  #deviceNode(deviceId: string, nodes: Map<string, TreeNode>): string | undefined {
    const id = this.deviceNodeOf(deviceId);
    if (id === undefined || nodes.has(id)) return id;
    const { name, manufacturer, model } = this.#world.catalogs.facts(deviceId);
    const state = this.view.stateOf({ deviceId }, this.#world.isOnline(deviceId));
    nodes.set(id, { id, kind: 'device', name: name ?? id, region: civilCodeOf(deviceId), state, manufacturer: manufacturer ?? undefined, model: model ?? undefined });
    return id;
  }

  *#configuredNodes(): Generator<TreeNode> {
    const { groups, groupsFrom } = this.config.view;
    if (this.view.shape !== 'groups' || groupsFrom !== 'configuration') return;
    for (const group of groups) {
      const region = group.civilCode === '' ? undefined : normalizeCivilCode(group.civilCode);
      yield { id: group.id, kind: 'business-group', name: group.name, region };
      for (const { id, name, parent } of group.organisations) yield { id, kind: 'virtual-org', name, region, group: group.id, ...(parent !== '' && { parent }) };
    }
  }
}
