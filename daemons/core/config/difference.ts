/** What is different between two configurations as plain data, entry by entry and key by key. */
import { sameValue } from './diff.ts';
import { isList, isObject, type EditStep, type Json } from './json.ts';
import { formatPath, type PathStep } from './path.ts';
import { SCHEMA_TREE, type ListNode, type SchemaNode } from './schema-tree.ts';
import { maskValue } from './secrets.ts';

/** Before and after as they stand; `maskChange` before anybody sees them. Null: not there. */
export interface Change {
  readonly steps: readonly PathStep[];
  readonly node: SchemaNode | undefined;
  readonly kind: 'added' | 'removed' | 'changed';
  readonly before: Json;
  readonly after: Json;
}

export interface ShownChange {
  readonly path: string;
  readonly kind: Change['kind'];
  readonly before: Json;
  readonly after: Json;
}

/** In the order of the schema; the order of entries that have a key is no difference. */
export function difference(before: Json, after: Json): readonly Change[] {
  return [...differ(before, after, SCHEMA_TREE, [])];
}

export const shown = ({ steps, node, kind, before, after }: Change): ShownChange => ({ path: formatPath(steps), kind, before: maskValue(before, node), after: maskValue(after, node) });

/** Steps that make `after` of `before`. Lists without keys are set as a whole. */
export const asSteps = (changes: readonly Change[]): readonly EditStep[] => changes.map(({ steps, kind, after }): EditStep => (kind === 'removed' ? { op: 'delete', path: formatPath(steps) } : { op: 'set', path: formatPath(steps), value: after }));

function* differ(before: Json | undefined, after: Json | undefined, node: SchemaNode | undefined, steps: readonly PathStep[]): Generator<Change> {
  if (sameValue(before, after)) return;
  if (before === undefined || after === undefined) {
    yield { steps, node, kind: before === undefined ? 'added' : 'removed', before: before ?? null, after: after ?? null };
  } else if (node?.kind === 'object' && isObject(before) && isObject(after)) {
    const keys = new Set([...node.fields.keys(), ...Object.keys(before), ...Object.keys(after)]);
    for (const key of keys) yield* differ(own(before, key), own(after, key), node.fields.get(key), [...steps, { key }]);
  } else {
    const keyed = node?.kind === 'list' && isList(before) && isList(after) ? [keysOf(before, node), keysOf(after, node)] : undefined;
    if (keyed?.[0] === undefined || keyed[1] === undefined) yield { steps, node, kind: 'changed', before, after };
    else for (const key of new Set([...keyed[0].keys(), ...keyed[1].keys()])) yield* differ(keyed[0].get(key), keyed[1].get(key), (node as ListNode).item, [...steps, { entry: key }]);
  }
}

const own = (value: { readonly [key: string]: Json }, key: string): Json | undefined => (Object.hasOwn(value, key) ? value[key] : undefined);

/** Entries by their key; undefined when not every one has a key of its own. */
function keysOf(list: readonly Json[], { keyField }: ListNode): ReadonlyMap<string, Json> | undefined {
  if (keyField === null) return undefined;
  const found = new Map<string, Json>();
  for (const entry of list) {
    const key = isObject(entry) ? entry[keyField] : undefined;
    if (typeof key !== 'string' || key === '' || found.has(key)) return undefined;
    found.set(key, entry);
  }
  return found;
}

/** The first of `ours` that touches what `theirs` changed, or null: then both can stand together. */
export function overlapOf(ours: readonly Change[], theirs: readonly Change[]): { readonly ours: Change; readonly theirs: Change } | null {
  for (const one of ours) {
    const other = theirs.find(({ steps }) => isWithin(steps, one.steps) || isWithin(one.steps, steps));
    if (other !== undefined) return { ours: one, theirs: other };
  }
  return null;
}

const isWithin = (inner: readonly PathStep[], outer: readonly PathStep[]): boolean => outer.every((step, i) => inner[i] !== undefined && JSON.stringify(inner[i]) === JSON.stringify(step));
