/** Who is whose child in a device's catalogue, whatever its ParentIDs say (faults.md 44; quirks 26, 27, 29). */
import type { CatalogItem } from './catalog-item.ts';
import { isVideoChannel, isVoiceOutput, kindOf, parentCivilCode } from './device-id.ts';

/**
 * Parent of every item: another item, or `rootId` (the device). Of a composite ParentID the last segment that exists counts;
 * none, `null`, itself and strangers mean the root; a loop is cut where it was entered.
 */
export function resolveParents(items: readonly CatalogItem[], rootId: string): ReadonlyMap<string, string> {
  const known = new Set(items.map(item => item.deviceId));
  const parents = new Map<string, string>();
  for (const item of items) parents.set(item.deviceId, item.deviceId === rootId ? rootId : claimedParent(item, known, rootId));
  cutLoops(parents, rootId);
  return parents;
}

function claimedParent(item: CatalogItem, known: ReadonlySet<string>, rootId: string): string {
  const segments = (item.parentId ?? '').split('/', 16).map(segment => segment.trim());
  const usable = (id: string | undefined): id is string => id !== undefined && id !== item.deviceId && known.has(id);
  const named = segments.findLast(usable);
  if (named !== undefined) return named;
  if (usable(item.businessGroupId)) return item.businessGroupId;
  if (kindOf(item.deviceId) === 'civil') {
    const above = parentCivilCode(item.deviceId);
    if (usable(above)) return above;
  }
  return rootId;
}

/** Walks up from every item once; what comes back to its own walk is hung under the root. */
function cutLoops(parents: Map<string, string>, rootId: string): void {
  const safe = new Set<string>([rootId]);
  for (const start of parents.keys()) {
    const walk = new Set<string>();
    let here = start;
    while (!safe.has(here)) {
      walk.add(here);
      const above = parents.get(here) ?? rootId;
      if (walk.has(above)) parents.set(here, rootId);
      here = walk.has(above) ? rootId : above;
    }
    for (const id of walk) safe.add(id);
  }
}

/** What a platform above may ask for: cameras, and loudspeakers, whose absence would say that there is no sound (9.1). */
export const publishedItems = (items: readonly CatalogItem[], rootId: string): CatalogItem[] => [...videoChannels(items, rootId), ...items.filter(({ deviceId }) => isVoiceOutput(deviceId))];

/** The items that can be played (gb28181.md 1.3). A device that lists itself is a channel only when it lists nothing else. */
export function videoChannels(items: readonly CatalogItem[], rootId: string): CatalogItem[] {
  const withChildren = new Set(resolveParents(items, rootId).values());
  return items.filter(item => kindOf(item.deviceId) === 'device' && isVideoChannel(item.deviceId, withChildren.has(item.deviceId) && items.length > 1));
}

/** So many levels above an item count. */
const MAX_LEVELS = 32;

/** What stands above each item, nearest first, the device last: every parent that it names, its business group, and what is above those. */
export function nodesAbove(items: readonly CatalogItem[], rootId: string): (item: CatalogItem) => readonly string[] {
  const known = new Set(items.map(item => item.deviceId));
  const parents = resolveParents(items, rootId);
  return item => {
    const named = [...(item.parentId ?? '').split('/', 16).map(segment => segment.trim()).reverse(), item.businessGroupId ?? '', parents.get(item.deviceId) ?? rootId];
    const nodes = new Set<string>();
    for (const start of named) {
      if (start === item.deviceId || !known.has(start)) continue;
      for (let here: string | undefined = start; here !== undefined && here !== rootId && nodes.size < MAX_LEVELS && !nodes.has(here); here = parents.get(here)) nodes.add(here);
    }
    return [...nodes, rootId];
  };
}
