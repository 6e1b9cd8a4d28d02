/** What must never be shown: values that the schema marks as secrets, masked in data. */
import { isList, isObject, type Json } from './json.ts';
import type { ListNode, SchemaNode, SecretKind } from './schema-tree.ts';

export const MASK = '***';
const URL_FRONT = /^[a-z]+:\/\/[^/\s@]+\/[^/\s?]*\//i;

/** What is shown of a secret. Of a URL the server and the application; nothing of what could not be read. */
export function maskSecret(value: Json, kind: SecretKind): Json {
  if (kind === 'url' && typeof value === 'string') return `${URL_FRONT.exec(value)?.[0] ?? ''}${MASK}`;
  return MASK;
}

/** What to put in place of a secret; `before` is the one at the same path of the data that it is compared with. */
export type ReplaceSecret = (secret: Json, kind: SecretKind, before: Json | undefined, node: SchemaNode) => Json;

/** The same data with every secret replaced. `node` says what the data is. */
export function mapSecrets(value: Json, node: SchemaNode | undefined, replace: ReplaceSecret, before?: Json): Json {
  if (node === undefined) return value;
  if (node.secret !== null) return value === null ? null : replace(value, node.secret, before, node);
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, mapSecrets(one, node.kind === 'object' ? node.fields.get(key) : undefined, replace, isObject(before) && Object.hasOwn(before, key) ? before[key] : undefined)]));
  if (!isList(value) || node.kind !== 'list') return value;
  const partner = partners(node, isList(before) ? before : []);
  return value.map((entry, i) => mapSecrets(entry, node.item, replace, partner(entry, i)));
}

/** Finds the entry of the other list that is the same one: by its key, else by its place. */
function partners({ keyField }: ListNode, others: readonly Json[]): (entry: Json, index: number) => Json | undefined {
  if (keyField === null) return (_, index) => others[index];
  const keyOf = (entry: Json): Json | undefined => (isObject(entry) ? entry[keyField] : undefined);
  const known = new Map(others.map(entry => [keyOf(entry), entry]));
  return entry => known.get(keyOf(entry));
}

/** The same data with every secret masked. Of what the schema does not know nobody can say that it is none. */
export const maskValue = (value: Json, node: SchemaNode | undefined): Json => (node === undefined ? MASK : mapSecrets(value, node, maskSecret));
