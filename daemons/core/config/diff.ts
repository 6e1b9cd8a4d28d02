/** What a reload must act on: which sections changed, and which entries inside a list. */
import { gatewaySchema, type ConfigSection, type GatewayConfig } from './schema.ts';

export const CONFIG_SECTIONS = Object.keys(gatewaySchema.shape) as readonly ConfigSection[];

export function changedSections(before: GatewayConfig, after: GatewayConfig): readonly ConfigSection[] {
  return CONFIG_SECTIONS.filter(section => !sameValue(before[section], after[section]));
}

export interface ListChange<T> {
  readonly added: readonly T[];
  readonly removed: readonly T[];
  readonly changed: readonly { readonly before: T; readonly after: T }[];
}

/** Entries matched by `keyOf` (a device's id, an upstream's name); their order is no change. */
export function diffList<T>(before: readonly T[], after: readonly T[], keyOf: (entry: T) => string): ListChange<T> {
  const old = new Map(before.map(entry => [keyOf(entry), entry]));
  const kept = new Set(after.map(keyOf));
  const added: T[] = [];
  const changed: { before: T; after: T }[] = [];
  for (const entry of after) {
    const was = old.get(keyOf(entry));
    if (was === undefined) added.push(entry);
    else if (!sameValue(was, entry)) changed.push({ before: was, after: entry });
  }
  return { added, removed: before.filter(entry => !kept.has(keyOf(entry))), changed };
}

/** Deep equality of plain data; a key that is undefined counts as absent. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false;
  const left = definedEntries(a);
  const right = new Map(definedEntries(b));
  return left.length === right.size && left.every(([key, value]) => right.has(key) && sameValue(value, right.get(key)));
}

const definedEntries = (value: object): [string, unknown][] => Object.entries(value).filter(([, item]) => item !== undefined);
