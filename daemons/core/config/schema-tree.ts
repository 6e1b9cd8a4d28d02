/** The schema as a tree to walk: what stands at a path, its help, bounds and words, and whether it is a secret. Made once. */
import { z } from 'zod';
import { gatewaySchema } from './schema.ts';

/** What a schema may be marked as, `.meta({ secret: 'whole' })`. `url`: its server and application may be seen; `hash`: stored as it is, for it is no password. */
export const SECRET_KINDS = ['whole', 'url', 'hash'] as const;
export type SecretKind = (typeof SECRET_KINDS)[number];

interface Common {
  /** Keys from the root, `[]` for entries: `devices.known[].password`. */
  readonly at: string;
  readonly help: string;
  readonly secret: SecretKind | null;
  /** It must be given where its object is. */
  readonly required: boolean;
  /** Undefined: without a default. */
  readonly defaultValue: unknown;
  /** Reads what may stand here. */
  readonly schema: z.ZodType;
}
export interface ObjectNode extends Common {
  readonly kind: 'object';
  readonly fields: ReadonlyMap<string, SchemaNode>;
}
export interface ListNode extends Common {
  readonly kind: 'list';
  readonly item: SchemaNode;
  /** By which its entries are named in paths; null: by index. */
  readonly keyField: 'name' | 'id' | null;
}
export interface LeafNode extends Common {
  readonly kind: 'leaf';
  readonly type: 'string' | 'integer' | 'number' | 'boolean';
  /** Of an enumeration; empty: any text. */
  readonly words: readonly string[];
  readonly min: number | null;
  readonly max: number | null;
}
export type SchemaNode = ObjectNode | ListNode | LeafNode;

/** What is used here of a leaf in JSON Schema, as zod writes it. */
interface Facts {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly Facts[];
}

const isWrapper = (schema: z.ZodType): schema is z.ZodType & { readonly def: { readonly innerType: z.ZodType } } => 'innerType' in schema.def;

function bare(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (isWrapper(inner)) inner = inner.def.innerType;
  return inner;
}

function secretOf(schema: z.ZodType): SecretKind | null {
  const mark = schema.meta()?.['secret'];
  return SECRET_KINDS.find(kind => kind === mark) ?? null;
}

function nodeOf(schema: z.ZodType, at: string): SchemaNode {
  const inner = bare(schema);
  const absent = schema.safeParse(undefined);
  const common = { at, help: schema.meta()?.description ?? '', secret: secretOf(schema), required: !absent.success, defaultValue: absent.success ? absent.data : undefined, schema };
  if (inner instanceof z.ZodObject) {
    const fields = Object.entries(inner.shape as Record<string, z.ZodType>).map(([key, field]): [string, SchemaNode] => [key, nodeOf(field, at === '' ? key : `${at}.${key}`)]);
    return { ...common, kind: 'object', fields: new Map(fields) };
  }
  if (inner instanceof z.ZodArray) {
    const item = nodeOf(inner.element as z.ZodType, `${at}[]`);
    return { ...common, kind: 'list', item, keyField: keyFieldOf(item) };
  }
  return { ...common, kind: 'leaf', ...leafFacts(inner) };
}

/** The first of its fields that names it and must be there. */
function keyFieldOf(item: SchemaNode): ListNode['keyField'] {
  if (item.kind !== 'object') return null;
  const key = [...item.fields].find(([name, field]) => (name === 'name' || name === 'id') && field.required)?.[0];
  return key === undefined ? null : (key as 'name' | 'id');
}

function leafFacts(schema: z.ZodType): Pick<LeafNode, 'type' | 'words' | 'min' | 'max'> {
  const facts = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Facts;
  const first = facts.anyOf?.find(({ type }) => type !== undefined) ?? facts;
  const type = first.type === 'integer' || first.type === 'number' || first.type === 'boolean' ? first.type : 'string';
  const bounded = facts.anyOf ?? [facts];
  const bound = (pick: (one: Facts) => number | undefined, better: (...values: number[]) => number): number | null => {
    const values = bounded.flatMap(one => pick(one) ?? []);
    return values.length === 0 ? null : better(...values);
  };
  return { type, words: facts.enum ?? [], min: bound(one => one.minimum, Math.min), max: bound(one => one.maximum, Math.max) };
}

export const SCHEMA_TREE = nodeOf(gatewaySchema, '') as ObjectNode;

/** Every node below and with `node`, depth first. */
export function* everyNode(node: SchemaNode): Generator<SchemaNode> {
  yield node;
  if (node.kind === 'object') for (const field of node.fields.values()) yield* everyNode(field);
  if (node.kind === 'list') yield* everyNode(node.item);
}
