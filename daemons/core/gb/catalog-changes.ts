/**
 * What a subscriber was told of one catalogue item, in one number, and which event takes it from there to what is true now
 * (gb28181.md 5.4).
 */
import { fingerprint } from '../fingerprint.ts';
import { type CatalogItem, formatCatalogItem } from './catalog-item.ts';
import type { GbVersion } from './dialect.ts';

export type ItemState = 'ON' | 'OFF' | 'VLOST' | 'DEFECT';
export type CatalogEvent = ItemState | 'ADD' | 'DEL' | 'UPDATE';

const STATES: readonly ItemState[] = ['ON', 'OFF', 'VLOST', 'DEFECT'];
const UNSURE = 4;
const WIDTH = 8;

/**
 * content * 8 + state: content is the fingerprint of the item without its status, 0 when it is not sure; state is an index of
 * STATES, 4 when it is not sure. -1: not even sure that the subscriber has the item.
 */
export type Mark = number;
export const MAYBE: Mark = -1;

/** What is true now. `item` is absent when only its state is known to have changed. */
export interface Wanted {
  readonly item: CatalogItem | undefined;
  readonly content: number;
  readonly state: ItemState;
}

export const markOf = ({ content, state }: Pick<Wanted, 'content' | 'state'>): Mark => content * WIDTH + STATES.indexOf(state);
export const contentOf = (mark: Mark): number => Math.floor(mark / WIDTH);

/** Of a channel whose device is there or not. */
export const stateOf = ({ status, fault }: CatalogItem, online: boolean): ItemState => (online ? (fault ?? status ?? 'ON') : 'OFF');

/** Items without a status, such as regions, count as ON. */
export function wantedOf(item: CatalogItem, version: GbVersion): Wanted {
  const { status: _status, fault: _fault, ...content } = item;
  return { item, content: fingerprint(formatCatalogItem(content, version)), state: stateOf(item, true) };
}

/** Undefined: the subscriber knows. `told` undefined: it does not have the item. `wanted` null: the item is gone. */
export function eventFor(told: Mark | undefined, wanted: Wanted | null): CatalogEvent | undefined {
  if (wanted === null) return told === undefined ? undefined : 'DEL';
  const { item, content, state } = wanted;
  if (told === undefined || told === MAYBE) return item === undefined ? undefined : 'ADD';
  if (item !== undefined && contentOf(told) !== content) return 'UPDATE';
  return told % WIDTH === STATES.indexOf(state) ? undefined : state;
}

/** What the subscriber knows when this event has reached it; undefined: nothing of this item. ADD and UPDATE carry Status, which is ON or OFF only. */
export function after(event: CatalogEvent, told: Mark | undefined, { content, state }: Pick<Wanted, 'content' | 'state'>): Mark | undefined {
  if (event === 'DEL') return undefined;
  if (event === 'ADD' || event === 'UPDATE') return markOf({ content, state: state === 'ON' ? 'ON' : 'OFF' });
  return contentOf(told ?? 0) * WIDTH + STATES.indexOf(event);
}

/** What is sure when nobody knows whether this event has reached it. */
export function inDoubt(event: CatalogEvent, told: Mark | undefined): Mark {
  if (event === 'ADD' || event === 'DEL') return MAYBE;
  return event === 'UPDATE' ? UNSURE : contentOf(told ?? 0) * WIDTH + UNSURE;
}

/** `<Item>`: whole for ADD and UPDATE, else ID and event. */
export function formatChange(event: CatalogEvent, deviceId: string, { item, state }: Pick<Wanted, 'item' | 'state'>, version: GbVersion): string {
  if ((event !== 'ADD' && event !== 'UPDATE') || item === undefined) return formatCatalogItem({ deviceId, event }, version);
  return formatCatalogItem({ ...item, event, status: state === 'ON' ? 'ON' : 'OFF' }, version);
}
