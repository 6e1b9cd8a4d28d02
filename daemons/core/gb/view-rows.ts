/** A catalogue as people read it: one row an item, in the order of the tree; and what another configuration would change in it. */
import type { CatalogItem } from './catalog-item.ts';
import type { CatalogTree } from './catalog-tree.ts';
import { type IdKind, kindOf, parentCivilCode } from './device-id.ts';
import type { ChannelKey } from './id-mapping.ts';

export interface ViewRow {
  /** As the upstream knows it. */
  readonly id: string;
  readonly kind: IdKind | 'channel';
  /** 0 at the top. */
  readonly depth: number;
  /** What it is printed under; null at the top. */
  readonly under: string | null;
  readonly name: string;
  /** Null where an item has none. */
  readonly status: 'ON' | 'OFF' | null;
  readonly parentId: string | null;
  readonly civilCode: string | null;
  /** Below us; null for what is no channel. */
  readonly deviceId: string | null;
  readonly channelId: string | null;
  /** What may be done with it now. */
  readonly permitted: readonly string[];
  /** And at other times of the week only. */
  readonly atTimes: readonly string[];
}

export interface ViewChange {
  readonly type: 'added' | 'removed' | 'changed';
  readonly before: ViewRow | null;
  readonly after: ViewRow | null;
  /** Of a changed one: the fields that differ. */
  readonly fields: readonly string[];
}

export interface Behind extends ChannelKey {
  readonly permitted: readonly string[];
  readonly atTimes: readonly string[];
}

const NOTHING: readonly string[] = [];

/** Children behind their parents, depth first, in the order of the catalogue. `behind`: the channel of a leaf. */
export function viewRows(tree: CatalogTree, behind: (id: string) => Behind | undefined): ViewRow[] {
  const under = new Map<string | null, CatalogItem[]>();
  for (const item of tree.items) {
    const above = placeOf(item, tree);
    const siblings = under.get(above);
    if (siblings === undefined) under.set(above, [item]);
    else siblings.push(item);
  }
  const rows: ViewRow[] = [];
  const stack: { readonly item: CatalogItem; readonly above: string | null; readonly depth: number }[] = [];
  const push = (above: string | null, depth: number): void => {
    for (const item of (under.get(above) ?? []).toReversed()) stack.push({ item, above, depth });
  };
  push(null, 0);
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    rows.push(rowOf(next.item, next.above, next.depth, behind(next.item.deviceId)));
    push(next.item.deviceId, next.depth + 1);
  }
  return rows;
}

function rowOf(item: CatalogItem, under: string | null, depth: number, behind: Behind | undefined): ViewRow {
  return {
    id: item.deviceId, kind: behind === undefined ? kindOf(item.deviceId) : 'channel', depth, under,
    name: item.name ?? item.deviceId, status: item.status ?? null, parentId: item.parentId ?? null, civilCode: item.civilCode ?? null,
    deviceId: behind?.deviceId ?? null, channelId: behind?.channelId ?? null, permitted: behind?.permitted ?? NOTHING, atTimes: behind?.atTimes ?? NOTHING,
  };
}

/** Where it stands for the eye: under its region where regions are items, else under its last parent. */
function placeOf(item: CatalogItem, tree: CatalogTree): string | null {
  const isThere = (id: string | undefined): id is string => id !== undefined && id !== item.deviceId && tree.get(id) !== undefined;
  const parents = (item.parentId ?? '').split('/');
  const kind = kindOf(item.deviceId);
  const last = parents.at(-1);
  if (kind === 'civil') {
    for (let code = parentCivilCode(item.deviceId); code !== undefined; code = parentCivilCode(code)) if (isThere(code)) return code;
    return tree.items[0] !== item && tree.items[0] !== undefined && kindOf(tree.items[0].deviceId) === 'system' ? tree.items[0].deviceId : null;
  }
  if (isThere(last) && kindOf(last) !== 'system') return last;
  if (kind === 'virtual-org' && isThere(item.businessGroupId)) return item.businessGroupId;
  if (kind === 'device' && isThere(item.civilCode)) return item.civilCode;
  return isThere(last) ? last : null;
}

const COMPARED = ['id', 'name', 'status', 'under', 'parentId', 'civilCode', 'permitted', 'atTimes'] as const satisfies readonly (keyof ViewRow)[];

/** Channels are matched by what is behind them, so that another ID is a change; everything else by its ID. */
export function diffViews(before: readonly ViewRow[], after: readonly ViewRow[]): ViewChange[] {
  const keyOf = (row: ViewRow): string => (row.deviceId === null ? row.id : `${row.deviceId}/${row.channelId ?? ''}`);
  const old = new Map(before.map(row => [keyOf(row), row]));
  const changes: ViewChange[] = [];
  for (const row of after) {
    const was = old.get(keyOf(row));
    old.delete(keyOf(row));
    if (was === undefined) changes.push({ type: 'added', before: null, after: row, fields: [] });
    else {
      const fields = COMPARED.filter(field => String(was[field]) !== String(row[field]));
      if (fields.length > 0) changes.push({ type: 'changed', before: was, after: row, fields });
    }
  }
  return [...[...old.values()].map((row): ViewChange => ({ type: 'removed', before: row, after: null, fields: [] })), ...changes];
}
