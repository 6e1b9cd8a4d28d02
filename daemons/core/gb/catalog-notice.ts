/** What a device says about its catalogue in a NOTIFY (gb28181.md 5.4), taken into what we know of it. */
import type { CatalogItem } from './catalog-item.ts';

/** IDs of each kind; an item whose place or fields changed is in `changed` only. */
export interface NoticeEffect {
  readonly changed: ReadonlySet<string>;
  /** Only the state is another one. */
  readonly states: ReadonlySet<string>;
  readonly gone: ReadonlySet<string>;
  /** A state of an item that is not known: something was missed. */
  readonly unknown: ReadonlySet<string>;
}

export interface NoticeRules {
  /** Of some platforms states in NOTIFYs are wrong (quirk 4). */
  readonly ignoresStates: boolean;
  readonly maxItems: number;
}

const STATES: ReadonlySet<string> = new Set(['ON', 'OFF', 'VLOST', 'DEFECT']);

/** In order; the last word about an item counts. Items without an event are those of senders who list what there is (2011). */
export function applyNotice(items: Map<string, CatalogItem>, notices: readonly CatalogItem[], { ignoresStates, maxItems }: NoticeRules): NoticeEffect {
  const effect = { changed: new Set<string>(), states: new Set<string>(), gone: new Set<string>(), unknown: new Set<string>() };
  for (const { event = 'UPDATE', extras: _extras, ...item } of notices) {
    const id = item.deviceId;
    const known = items.get(id);
    if (STATES.has(event)) {
      if (ignoresStates) continue;
      if (known === undefined) effect.unknown.add(id);
      else if (setState(items, known, event)) effect.states.add(id);
    } else if (event === 'DEL') {
      if (items.delete(id)) effect.gone.add(id);
      effect.changed.delete(id);
      effect.states.delete(id);
    } else if ((event === 'ADD' || event === 'UPDATE') && (known !== undefined || items.size < maxItems)) {
      items.set(id, merged(known, item, ignoresStates));
      effect.changed.add(id);
      effect.gone.delete(id);
    }
  }
  for (const id of effect.changed) effect.states.delete(id);
  return effect;
}

function setState(items: Map<string, CatalogItem>, { fault, ...known }: CatalogItem, event: string): boolean {
  const lost = event === 'VLOST' || event === 'DEFECT' ? event : undefined;
  const status = event === 'ON' ? 'ON' : 'OFF';
  if (lost === fault && status === (known.status ?? 'ON')) return false;
  items.set(known.deviceId, { ...known, status, ...(lost !== undefined && { fault: lost }) });
  return true;
}

/** Some send only the fields that changed. A new Status says that an earlier fault is over. */
function merged(known: CatalogItem | undefined, item: CatalogItem, ignoresStates: boolean): CatalogItem {
  const { fault, ...before } = known ?? item;
  const status = ignoresStates && known !== undefined ? known.status : (item.status ?? before.status);
  const keepsFault = fault !== undefined && (ignoresStates || item.status === undefined || item.status === 'OFF');
  return { ...before, ...item, ...(status !== undefined && { status }), ...(keepsFault && { fault }) };
}
