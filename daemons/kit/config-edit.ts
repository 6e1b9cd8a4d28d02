/** Edits the text of a configuration: comments and order stay; and shows it with its secrets masked. */
import { isScalar, stringify } from 'yaml';
import { sameValue } from '#core/config/diff.ts';
import { isList, isObject, type EditStep, type Json } from '#core/config/json.ts';
import { applyStep, type Patch, type StepOptions } from '#core/config/patch.ts';
import { SCHEMA_TREE, type SchemaNode } from '#core/config/schema-tree.ts';
import { maskValue } from '#core/config/secrets.ts';
import { formatProblem, isDocument, readConfigDocument, type ConfigDocument } from './config-text.ts';
import { change, splice, written } from './config-splice.ts';

/** Beyond either, the document is written once for all steps: reading it again after each would take too long. */
const MAX_SPLICED_STEPS = 50;
const MAX_SPLICED_CHARACTERS = 512 * 1024;

export type TextResult = { readonly ok: true; readonly read: ConfigDocument } | { readonly ok: false; readonly why: string };

/** A text that is YAML, or a sentence. */
export function readText(text: string): TextResult {
  const read = readConfigDocument(new TextEncoder().encode(text));
  return isDocument(read) ? { ok: true, read } : { ok: false, why: read.map(formatProblem).join('; ') };
}

/** A patch and the data after it. */
interface Done {
  readonly patch: Patch;
  readonly after: Json;
}

/** All steps or none. The text is made so that it reads as the edited data, which is checked. */
export function editText(read: ConfigDocument, steps: readonly EditStep[], options: StepOptions = {}): TextResult {
  const done: Done[] = [];
  let after = read.value;
  for (const step of steps) {
    const result = applyStep(after, step, options);
    if (!result.ok) return result;
    after = result.value;
    done.push({ patch: result.patch, after });
  }
  const bulk = steps.length > MAX_SPLICED_STEPS || read.text.length > MAX_SPLICED_CHARACTERS;
  return { ok: true, read: bulk ? rewritten(read, done) : done.reduce(withPatch, read) };
}

function withPatch(read: ConfigDocument, { patch, after }: Done): ConfigDocument {
  const text = splice(read, patch);
  const spliced = text === undefined ? undefined : readText(text);
  return spliced?.ok === true && sameValue(spliced.read.value, after) ? spliced.read : rewritten(read, [{ patch, after }]);
}

function rewritten(read: ConfigDocument, done: readonly Done[]): ConfigDocument {
  const last = done.at(-1);
  if (last === undefined) return read;
  for (const { patch, after } of done) change(read, after, patch);
  const result = readText(written(read));
  if (result.ok && sameValue(result.read.value, last.after)) return result.read;
  // What the comments were attached to is gone with them; the data counts.
  const plain = readText(stringify(last.after, { lineWidth: 0, version: '1.2' }));
  if (!plain.ok) throw new Error(`edited configuration cannot be read: ${plain.why}`);
  return plain.read;
}

/** The text with every secret masked, comments kept. */
export const maskText = (read: ConfigDocument): string => withSecrets(read, maskValue(read.value, SCHEMA_TREE));

/** The text with the secrets of `secrets`, which is otherwise the same data; all else stays to the letter. */
export function withSecrets({ text, document, value }: ConfigDocument, secrets: Json): string {
  const holes: { readonly from: number; readonly to: number; readonly secret: Json }[] = [];
  findSecrets(document.contents, secrets, SCHEMA_TREE, ([from, to], secret) => holes.push({ from, to, secret }));
  let changed = '';
  let at = 0;
  for (const { from, to, secret } of holes.sort((a, b) => a.from - b.from)) {
    // A block of text ends with its line.
    changed += `${text.slice(at, from)}${JSON.stringify(secret)}${text.slice(from, to).endsWith('\n') ? '\n' : ''}`;
    at = to;
  }
  return sameValue(value, secrets) ? text : changed + text.slice(at);
}

type Found = (range: readonly [number, number, number], secret: Json) => void;

function findSecrets(node: unknown, value: Json | undefined, schema: SchemaNode | undefined, found: Found): void {
  if (typeof node !== 'object' || node === null || schema === undefined || value === undefined || value === null) return;
  if (schema.secret !== null) {
    const range = 'range' in node ? (node.range as [number, number, number] | undefined) : undefined;
    if (range !== undefined) found(range, value);
    return;
  }
  if (schema.kind === 'leaf' || !('items' in node)) return;
  const items = node.items as readonly unknown[];
  if (schema.kind === 'list' && isList(value)) items.forEach((item, i) => findSecrets(item, value[i], schema.item, found));
  if (schema.kind !== 'object' || !isObject(value)) return;
  for (const pair of items as readonly { readonly key: unknown; readonly value: unknown }[]) {
    const key = isScalar(pair.key) ? String(pair.key.value) : '';
    findSecrets(pair.value, value[key], schema.fields.get(key), found);
  }
}

/** A part as text, secrets masked. */
export const maskedPart = (value: Json, node: SchemaNode | undefined): string => stringify(maskValue(value, node), { lineWidth: 0, version: '1.2' });
