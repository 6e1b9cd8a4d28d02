/** Business groups and virtual organisations as one device publishes them (gb28181.md 1.7), with whom they hold; loops and strangers are cut. */
import type { CatalogItem } from './catalog-item.ts';
import { resolveParents } from './catalog-parents.ts';
import { kindOf } from './device-id.ts';

export interface PublishedNode {
  readonly id: string;
  readonly kind: 'business-group' | 'virtual-org';
  readonly name: string;
  readonly civilCode: string | undefined;
  /** Organisation above it. */
  readonly parent: string | undefined;
  /** The group that it is in; undefined for a group, and for an organisation that nobody put into one. */
  readonly group: string | undefined;
}

export interface PublishedGroups {
  readonly nodes: ReadonlyMap<string, PublishedNode>;
  /** Nodes that an item says it is in, in its order. */
  membershipOf(item: CatalogItem): readonly string[];
}

export function publishedGroups(items: readonly CatalogItem[], rootId: string): PublishedGroups {
  const groupItems = items.filter(({ deviceId }) => kindOf(deviceId) === 'business-group' || kindOf(deviceId) === 'virtual-org');
  const byId = new Map(groupItems.map(item => [item.deviceId, item]));
  const parents = resolveParents(groupItems, rootId);
  const nodes = new Map<string, PublishedNode>();
  for (const item of byId.values()) {
    const id = item.deviceId;
    const isGroup = kindOf(id) === 'business-group';
    const above = parents.get(id);
    const parent = !isGroup && above !== undefined && kindOf(above) === 'virtual-org' ? above : undefined;
    nodes.set(id, { id, kind: isGroup ? 'business-group' : 'virtual-org', name: item.name ?? id, civilCode: item.civilCode, parent, group: isGroup ? undefined : groupOf(item, parents, byId) });
  }
  return {
    nodes,
    membershipOf: item => {
      const named = (item.parentId ?? '').split('/', 16).map(segment => segment.trim()).filter(id => nodes.get(id)?.kind === 'virtual-org');
      if (named.length > 0) return [...new Set(named)];
      return item.businessGroupId !== undefined && nodes.get(item.businessGroupId)?.kind === 'business-group' ? [item.businessGroupId] : [];
    },
  };
}

/** The group at the top; where the way up ends without one, the group that it names itself. */
function groupOf(item: CatalogItem, parents: ReadonlyMap<string, string>, byId: ReadonlyMap<string, CatalogItem>): string | undefined {
  let here: string | undefined = parents.get(item.deviceId);
  while (here !== undefined && byId.has(here)) {
    if (kindOf(here) === 'business-group') return here;
    const named: string | undefined = byId.get(here)?.businessGroupId;
    if (named !== undefined && byId.has(named) && kindOf(named) === 'business-group') return named;
    here = parents.get(here);
  }
  const own = item.businessGroupId;
  return own !== undefined && byId.has(own) && kindOf(own) === 'business-group' ? own : undefined;
}
