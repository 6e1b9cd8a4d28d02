/** Set and delete on plain data, as the schema allows. The data may be unfinished: whether the whole is sound is asked later. */
import { issueWords } from './issue-words.ts';
import { isList, isObject, valueAt, type EditStep, type Json, type Place } from './json.ts';
import { formatPath, locate, readPath, type BoundPath } from './path.ts';
import { MASK } from './secrets.ts';
import type { LeafNode, ListNode, SchemaNode } from './schema-tree.ts';

/** What one step does to the data; `place` is where, `value` undefined takes away. */
export interface Patch {
  readonly place: Place;
  readonly value: Json | undefined;
}

export type PatchResult = { readonly ok: true; readonly value: Json; readonly patch: Patch; readonly bound: BoundPath } | { readonly ok: false; readonly why: string };

const refuse = (why: string): PatchResult => ({ ok: false, why });

export interface StepOptions {
  /** Makes what is stored of a value that was found good. */
  readonly seal?: (value: Json, node: SchemaNode) => Json;
  /** The value was stored before: it is not looked at again. */
  readonly stored?: boolean;
}

/** One step: the data as it is then, or a sentence. Secrets are never repeated in a sentence. */
export function applyStep(value: Json, step: EditStep, options: StepOptions = {}): PatchResult {
  const bound = readPath(step.path);
  if (typeof bound === 'string') return refuse(bound);
  if (bound.steps.length === 0) return refuse('name what is to change: a path is missing');
  return step.op === 'delete' ? remove(value, bound) : set(value, bound, step.value, options);
}

function remove(value: Json, bound: BoundPath): PatchResult {
  const { place, missing } = locate(value, bound);
  if (missing !== null) return refuse(`${formatPath(bound.steps.slice(0, missing + 1))} is not set`);
  return { ok: true, value: patched(value, { place, value: undefined }), patch: { place, value: undefined }, bound };
}

function set(value: Json, bound: BoundPath, given: Json, { seal, stored }: StepOptions): PatchResult {
  const path = formatPath(bound.steps);
  const why = stored === true ? null : refusalOf(bound.node, given);
  if (why !== null) return refuse(`${path}: ${why}`);
  const patch = patchFor(value, bound, seal === undefined ? given : seal(given, bound.node));
  if (typeof patch === 'string') return refuse(`${path}: ${patch}`);
  return { ok: true, value: patched(value, patch), patch, bound };
}

/** Why this value cannot stand there; null: it can. */
export function refusalOf(node: SchemaNode, given: Json): string | null {
  if (node.secret !== null && typeof given === 'string' && given.endsWith(MASK)) return `${MASK} is how a secret is shown: give the secret itself`;
  const parsed = node.schema.safeParse(given);
  if (parsed.success) return null;
  const issue = parsed.error.issues[0]!;
  const at = issue.path.map(String).join('.');
  return `${at === '' ? '' : `${at}: `}${(node.kind === 'leaf' && issue.path.length === 0 ? rangeWords(node) : null) ?? issueWords(issue)}`;
}

/** Null: it is no number between two others. */
function rangeWords({ words, type, min, max }: LeafNode): string | null {
  if (words.length > 0 || min === null || max === null) return null;
  return `expected a ${type === 'integer' ? 'whole number' : 'number'} from ${min} to ${max}`;
}

/** The value with everything around it that is not there yet: objects, and entries with their key. */
function patchFor(value: Json, bound: BoundPath, given: Json): Patch | string {
  const { place, missing } = locate(value, bound);
  if (missing === null) {
    if (isNewBesideIndex(value, place, bound, given)) return { place: [...place.slice(0, -1), (valueAt(value, place.slice(0, -1)) as readonly Json[]).length], value: given };
    const key = keyProblem(bound, given);
    return key ?? { place, value: given };
  }
  let wrapped: Json = given;
  for (let i = bound.steps.length - 1; i > missing; i--) {
    const step = bound.steps[i]!;
    if ('key' in step) wrapped = { [step.key]: wrapped };
    else {
      const entry = newEntry(wrapped, step.entry, bound.nodes[i - 1] as ListNode, 0);
      if (typeof entry === 'string') return entry;
      wrapped = [entry.value];
    }
  }
  const first = bound.steps[missing]!;
  if ('key' in first) return { place: [...place, first.key], value: wrapped };
  const list = valueAt(value, place);
  const length = isList(list) ? list.length : 0;
  const entry = newEntry(wrapped, first.entry, bound.nodes[missing - 1] as ListNode, length);
  return typeof entry === 'string' ? entry : { place: [...place, length], value: entry.value };
}

/** An entry that is not there yet: named by its key, or the index behind the last one. */
function newEntry(inside: Json, entry: string, { keyField }: ListNode, length: number): { readonly value: Json } | string {
  if (keyField === null) return entry === String(length) ? { value: inside } : `there is no entry ${entry}; a new one is number ${length}`;
  if (!isObject(inside)) return 'an entry of this list has keys of its own';
  if (Object.hasOwn(inside, keyField) && inside[keyField] !== entry) return `its ${keyField} is not ${entry}`;
  return { value: { [keyField]: entry, ...inside } };
}

/** `upstreams[0]` with an entry named 0, where the first one has another name: that one is not meant. */
function isNewBesideIndex(value: Json, place: Place, { steps, nodes }: BoundPath, given: Json): boolean {
  const [last, list, there] = [steps.at(-1), nodes.at(-2), valueAt(value, place)];
  if (last === undefined || 'key' in last || list?.kind !== 'list' || list.keyField === null || !isObject(given) || !isObject(there)) return false;
  return given[list.keyField] === last.entry && there[list.keyField] !== last.entry;
}

/** A whole entry that is replaced keeps its key. */
function keyProblem({ steps, nodes }: BoundPath, given: Json): string | null {
  const last = steps.at(-1)!;
  const list = nodes.at(-2);
  if ('key' in last || list?.kind !== 'list' || list.keyField === null || !isObject(given)) return null;
  return given[list.keyField] === last.entry || /^\d{1,6}$/.test(last.entry) ? null : `its ${list.keyField} is not ${last.entry}`;
}

/** A copy with the patch in it; what it does not touch is shared. */
export function patched(value: Json, { place, value: given }: Patch): Json {
  if (place.length === 0) return given ?? {};
  const [step, ...rest] = place as [string | number, ...(string | number)[]];
  if (typeof step === 'number') {
    const list = isList(value) ? [...value] : [];
    if (rest.length === 0 && given === undefined) list.splice(step, 1);
    else list[step] = rest.length === 0 ? given! : patched(list[step] ?? {}, { place: rest, value: given });
    return list;
  }
  const { [step]: old, ...others } = isObject(value) ? value : {};
  if (rest.length === 0 && given === undefined) return others;
  const next = rest.length === 0 ? given! : patched(old ?? (typeof rest[0] === 'number' ? [] : {}), { place: rest, value: given });
  return isObject(value) && Object.hasOwn(value, step) ? { ...value, [step]: next } : { ...others, [step]: next };
}

/** What a person typed as a value of this place: `true`, `5060`, `udp`, `["a","b"]`, `a,b` for a list of words. */
export function readValue(node: SchemaNode, text: string): Json {
  if (node.kind === 'leaf') return leafValue(node, text);
  try {
    return JSON.parse(text) as Json;
  } catch {
    if (node.kind !== 'list' || node.item.kind !== 'leaf') return text;
    const item = node.item;
    return text.trim() === '' ? [] : text.split(',').map(one => leafValue(item, one.trim()));
  }
}

function leafValue({ type }: LeafNode, text: string): Json {
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (type === 'string' || text.trim() === '') return text;
  return Number.isNaN(Number(text)) ? text : Number(text);
}
