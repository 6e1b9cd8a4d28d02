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

type LeafFacts = Pick<LeafNode, 'type' | 'words' | 'min' | 'max'>;
const TEXT: LeafFacts = { type: 'string', words: [], min: null, max: null };

/** Of a union the kinds that are no single word; a number that may also be 0 has the bounds of both. */
function leafFacts(schema: z.ZodType): LeafFacts {
  if (schema instanceof z.ZodEnum) return { ...TEXT, words: schema.options.map(String) };
  if (schema instanceof z.ZodBoolean) return { ...TEXT, type: 'boolean' };
  if (schema instanceof z.ZodNumber) return { ...TEXT, type: schema.format?.includes('int') === true ? 'integer' : 'number', min: bound(schema.minValue), max: bound(schema.maxValue) };
  if (schema instanceof z.ZodLiteral) return literalFacts(schema.value);
  if (!(schema instanceof z.ZodUnion)) return TEXT;
  const options = (schema.options as readonly z.ZodType[]).map(option => leafFacts(bare(option)));
  const numbers = options.filter(({ type }) => type === 'integer' || type === 'number');
  return numbers.length === 0 ? { ...TEXT, words: options.every(({ words }) => words.length > 0) ? options.flatMap(({ words }) => words) : [] } : { ...TEXT, type: numbers.at(-1)!.type, min: least(numbers.map(({ min }) => min)), max: most(numbers.map(({ max }) => max)) };
}

const literalFacts = (value: unknown): LeafFacts => (typeof value === 'number' ? { ...TEXT, type: 'integer', min: value, max: value } : typeof value === 'boolean' ? { ...TEXT, type: 'boolean' } : { ...TEXT, words: typeof value === 'string' && value !== '' ? [value] : [] });
const bound = (value: number | null): number | null => (value === null || !Number.isFinite(value) || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? null : value);
const least = (values: readonly (number | null)[]): number | null => values.reduce((a, b) => (a === null || b === null ? null : Math.min(a, b)));
const most = (values: readonly (number | null)[]): number | null => values.reduce((a, b) => (a === null || b === null ? null : Math.max(a, b)));

export const SCHEMA_TREE = nodeOf(gatewaySchema, '') as ObjectNode;

/** Every node below and with `node`, depth first. */
export function* everyNode(node: SchemaNode): Generator<SchemaNode> {
  yield node;
  if (node.kind === 'object') for (const field of node.fields.values()) yield* everyNode(field);
  if (node.kind === 'list') yield* everyNode(node.item);
}
