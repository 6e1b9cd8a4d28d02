/**
 * Paths of the configuration: `upstreams[city].port`, `devices.known[34020000001110000001].password`, `sip.listen[0]`.
 * Entries of a list are named by their key, else by index. People may write blanks or dots instead: `upstreams city port`.
 */
import { fail, ok, type Result } from '../result.ts';
import { isList, isObject, type Json, type Place } from './json.ts';
import { SCHEMA_TREE, type ListNode, type SchemaNode } from './schema-tree.ts';

const MAX_PATH = 1024;
const MAX_STEPS = 32;
const MAX_INDEX_DIGITS = 6;

/** A key of an object, or an entry of a list by its key or index. */
export type PathStep = { readonly key: string } | { readonly entry: string };

const KEY = /[A-Za-z0-9_-]+/y;
const BARE_ENTRY = /\[([^\]"[\u0000-\u001f\u007f]+)\]/y;
const QUOTED_ENTRY = /\[("(?:[^"\\\u0000-\u001f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")\]/y;
const GAP = /[. \t]+/y;

/** Total: steps, or where it ends to be a path. Knows nothing of the schema. */
export function parsePath(text: string): Result<readonly PathStep[]> {
  if (text.length > MAX_PATH) return fail(MAX_PATH, `a path has at most ${MAX_PATH} characters`);
  const steps: PathStep[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at += match[0].length;
    return match;
  };
  while (at < text.length) {
    if (steps.length === MAX_STEPS) return fail(at, `a path has at most ${MAX_STEPS} steps`);
    const quoted = take(QUOTED_ENTRY);
    const entry = quoted === null ? take(BARE_ENTRY)?.[1] : (JSON.parse(quoted[1]!) as string);
    if (entry !== undefined) {
      steps.push({ entry });
      continue;
    }
    if (take(GAP) !== null && at === text.length) return fail(at, 'a key is missing at the end');
    const key = take(KEY)?.[0];
    if (key === undefined) return fail(at, text[at] === '[' ? 'expected [KEY] or ["KEY"]' : 'expected a key: letters, digits, - or _');
    steps.push({ key });
  }
  return ok(steps);
}

export function formatPath(steps: readonly PathStep[]): string {
  return steps.reduce((text, step) => ('entry' in step ? `${text}[${formatEntry(step.entry)}]` : text === '' ? step.key : `${text}.${step.key}`), '');
}

const formatEntry = (entry: string): string => (/^[^\]"[\u0000-\u001f\u007f]+$/.test(entry) ? entry : JSON.stringify(entry));

export interface BoundPath {
  readonly steps: readonly PathStep[];
  readonly node: SchemaNode;
  /** One node a step, from below the root on. */
  readonly nodes: readonly SchemaNode[];
}

/** The path as the schema has it: a word at a list is an entry. A sentence when the schema knows no such place. */
export function bindPath(steps: readonly PathStep[], root: SchemaNode = SCHEMA_TREE): BoundPath | string {
  let node: SchemaNode = root;
  const bound: PathStep[] = [];
  const nodes: SchemaNode[] = [];
  for (const step of steps) {
    const word = 'entry' in step ? step.entry : step.key;
    const here = formatPath(bound);
    if (node.kind === 'leaf') return `${here} is a value: nothing stands below it`;
    const next: SchemaNode | undefined = node.kind === 'list' ? node.item : 'entry' in step ? undefined : node.fields.get(word);
    if (next === undefined) return `${formatPath([...bound, step])}: ${node.kind === 'object' && 'entry' in step ? `${here} is no list` : `no such key${known(node)}`}`;
    bound.push(node.kind === 'list' ? { entry: word } : { key: word });
    nodes.push(next);
    node = next;
  }
  return { steps: bound, node, nodes };
}

const known = (node: SchemaNode): string => (node.kind === 'object' ? `; known here: ${[...node.fields.keys()].join(', ')}` : '');

/** `parsePath`, then `bindPath`: a path in words, or why it is none. */
export function readPath(text: string): BoundPath | string {
  const parsed = parsePath(text);
  return parsed.ok ? bindPath(parsed.value) : `${text.slice(0, MAX_PATH)}: ${parsed.error.why} (character ${parsed.error.at + 1})`;
}

/** Where the entry is in a list: by its key, by its text in a list of plain words, else by index. -1: nowhere. */
export function indexOfEntry(list: readonly Json[], entry: string, { keyField }: Pick<ListNode, 'keyField'>): number {
  const named = list.findIndex(one => (isObject(one) ? keyField !== null && textOf(one[keyField]) === entry : textOf(one) === entry));
  if (named >= 0 || !/^\d+$/.test(entry) || entry.length > MAX_INDEX_DIGITS) return named;
  return Number(entry) < list.length ? Number(entry) : -1;
}

const textOf = (value: Json | undefined): string | undefined => (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined);

/** Keys and indices of a path in plain data; `missing`: the first step that is not there, or null. */
export function locate(value: Json, { steps, nodes }: BoundPath, root: SchemaNode = SCHEMA_TREE): { readonly place: Place; readonly missing: number | null } {
  const place: (string | number)[] = [];
  let here: Json | undefined = value;
  for (const [i, step] of steps.entries()) {
    const holder = i === 0 ? root : nodes[i - 1]!;
    const next: string | number = 'key' in step ? step.key : isList(here) ? indexOfEntry(here, step.entry, holder as ListNode) : -1;
    const found: Json | undefined = typeof next === 'number' ? (isList(here) ? here[next] : undefined) : isObject(here) && Object.hasOwn(here, next) ? here[next] : undefined;
    if (found === undefined) return { place, missing: i };
    place.push(next);
    here = found;
  }
  return { place, missing: null };
}

/** The path of a place, entries named by their keys as they stand in `value`. */
export function pathOf(place: Place, value: Json): string {
  let node: SchemaNode | undefined = SCHEMA_TREE;
  let here: Json | undefined = value;
  const steps: PathStep[] = [];
  for (const step of place) {
    const inside: Json | undefined = typeof step === 'number' ? (isList(here) ? here[step] : undefined) : isObject(here) ? here[step] : undefined;
    steps.push(typeof step === 'number' ? { entry: entryName(here, inside, node, step) } : { key: step });
    node = node?.kind === 'list' ? node.item : node?.kind === 'object' ? node.fields.get(String(step)) : undefined;
    here = inside;
  }
  return formatPath(steps);
}

/** Its key when that leads back to it, else its index. */
function entryName(list: Json | undefined, entry: Json | undefined, node: SchemaNode | undefined, index: number): string {
  if (node?.kind !== 'list' || node.keyField === null || !isObject(entry) || !isList(list)) return String(index);
  const name = textOf(entry[node.keyField]);
  return name !== undefined && name !== '' && indexOfEntry(list, name, node) === index ? name : String(index);
}
