/** From the bytes of gateway.yaml to a GatewayConfig, or to every problem with its line. Values are never repeated in a problem: they may be secrets. */
import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { issueWords } from '#core/config/issue-words.ts';
import { checkConfig, type FieldProblem } from '#core/config/check.ts';
import { isList, isObject, type Json } from '#core/config/json.ts';
import { migrate } from '#core/config/migrate.ts';
import { gatewaySchema, type GatewayConfig } from '#core/config/schema.ts';
import { SCHEMA_TREE, type SchemaNode } from '#core/config/schema-tree.ts';
import { MASK } from '#core/config/secrets.ts';
import { isSealed, type KeyRing, openSecret } from './secret-box.ts';

/** 100,000 devices with credentials are 12 MB. */
const MAX_BYTES = 32 * 1024 * 1024;
const MAX_PROBLEMS = 50;
const MAX_TYPO_DISTANCE = 2;

export interface ConfigProblem {
  /** From 1; 0 when it concerns the file as a whole. */
  readonly line: number;
  readonly column: number;
  /** `devices.known[3].id`; empty for the file. */
  readonly path: string;
  readonly why: string;
}

export type ConfigResult = { readonly ok: true; readonly config: GatewayConfig } | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export const configFailure = (why: string): ConfigResult => ({ ok: false, problems: [{ line: 0, column: 0, path: '', why }] });

/** `line 12, devices.known[0].id: expected ...` */
export function formatProblem({ line, path, why }: ConfigProblem): string {
  return [line > 0 ? `line ${line}` : '', path].filter(part => part !== '').join(', ').concat(line > 0 || path !== '' ? `: ${why}` : why);
}

/** A text that is YAML: its document with comments, and its plain data with the texts where texts are wanted. Secrets are as they stand. */
export interface ConfigDocument {
  readonly text: string;
  readonly document: Document.Parsed;
  readonly value: Json;
  /** Line and column of a place. */
  problem(path: FieldProblem['path'], why: string): ConfigProblem;
}

/** Total: a document, or what keeps it from being one. Whether the configuration is good is another question. */
export function readConfigDocument(bytes: Uint8Array): ConfigDocument | readonly ConfigProblem[] {
  const text = readText(bytes);
  if (typeof text !== 'string') return [text];
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, version: '1.2', merge: false });
  const at = (offset: number, path: string, why: string): ConfigProblem => ({ line: lines.linePos(offset).line, column: lines.linePos(offset).col, path, why });
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) return broken.slice(0, MAX_PROBLEMS).map(error => at(error.pos[0], '', error.message));
  const plain = toPlain(document);
  if ('why' in plain) return [at(document.contents?.range[0] ?? 0, '', plain.why)];
  return { text, document, value: asWritten(plain.value as Json, document.contents, SCHEMA_TREE, document), problem: (path, why) => at(offsetOf(document, path), formatPath(path), why) };
}

/** `unopened`: secrets that are sealed or masked are not looked at; whoever only judges the rest needs no key. */
export type SecretKeys = KeyRing | 'unopened';

/** What stands in for a secret that is not opened: one of them fits. */
const STAND_INS = ['a'.repeat(64), 'a'.repeat(32), 'https://127.0.0.1/', 'rtmp://127.0.0.1/app/stream'];

/** Total: every input gives a configuration or problems. Sealed secrets are opened with `keys`. */
export function parseConfig(bytes: Uint8Array, keys: SecretKeys = []): ConfigResult {
  const read = readConfigDocument(bytes);
  return isDocument(read) ? configOf(read, keys) : { ok: false, problems: read };
}

export const isDocument = (read: ConfigDocument | readonly ConfigProblem[]): read is ConfigDocument => !Array.isArray(read);

/** As `parseConfig`, of what was read already. */
export function configOf(read: ConfigDocument, keys: SecretKeys): ConfigResult {
  const migrated = migrate(read.value);
  if (typeof migrated === 'string') return { ok: false, problems: [read.problem(['version'], migrated)] };
  const { fields, locked } = keys === 'unopened' ? withStandIns(migrated.value) : withKeys(migrated.value, keys);
  const problems = locked.length > 0 ? locked : Array.isArray(fields) ? (fields as readonly FieldProblem[]) : [];
  return problems.length === 0 ? { ok: true, config: fields as GatewayConfig } : { ok: false, problems: problems.slice(0, MAX_PROBLEMS).map(({ path, why }) => read.problem(path, why)) };
}

type Path = FieldProblem['path'];
interface Validated {
  readonly fields: GatewayConfig | readonly FieldProblem[];
  /** Secrets that could not be opened. */
  readonly locked: readonly FieldProblem[];
}

function withKeys(value: Json, keys: KeyRing): Validated {
  const locked: FieldProblem[] = [];
  const open = (text: string, path: Path): string => {
    const secret = isSealed(text) ? openSecret(keys, text) : text;
    if (secret === undefined) locked.push({ path, why: 'this secret cannot be opened: its key is not here, or it was changed' });
    return secret ?? text;
  };
  const opened = mapTexts(value, [], open);
  return { fields: validate(opened), locked };
}

function withStandIns(value: Json): Validated {
  const tried = new Map<string, number>();
  const standIn = (text: string, path: Path): string => {
    if (!isSealed(text) && !text.endsWith(MASK)) return text;
    const at = path.join('/');
    tried.set(at, tried.get(at) ?? 0);
    return STAND_INS[tried.get(at)!]!;
  };
  for (;;) {
    const fields = validate(mapTexts(value, [], standIn));
    const unfit = (Array.isArray(fields) ? (fields as readonly FieldProblem[]) : []).map(({ path }) => path.join('/')).filter(at => (tried.get(at) ?? Infinity) < STAND_INS.length - 1);
    if (unfit.length === 0) return { fields, locked: [] };
    for (const at of unfit) tried.set(at, tried.get(at)! + 1);
  }
}

function mapTexts(value: Json, path: Path, replace: (text: string, path: Path) => string): Json {
  if (typeof value === 'string') return replace(value, path);
  if (isList(value)) return value.map((one, i) => mapTexts(one, [...path, i], replace));
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, mapTexts(one, [...path, key], replace)])) : value;
}

function readText(bytes: Uint8Array): string | ConfigProblem {
  const problem = (index: number, why: string): ConfigProblem => ({ line: bytes.subarray(0, index).reduce((count, byte) => count + (byte === 0x0a ? 1 : 0), 1), column: 0, path: '', why });
  if (bytes.length === 0) return { line: 0, column: 0, path: '', why: 'the file is empty' };
  if (bytes.length > MAX_BYTES) return { line: 0, column: 0, path: '', why: `the file is larger than ${MAX_BYTES} bytes` };
  const control = bytes.findIndex(byte => byte < 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09);
  if (control >= 0) return problem(control, `control character 0x${bytes[control]!.toString(16).padStart(2, '0')}`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return problem(firstInvalidUtf8(bytes), 'not UTF-8');
  }
  // A file cut off in the middle is often still good YAML. Its missing line end gives it away; JSON ends by its own bracket.
  if (!text.endsWith('\n') && !text.trimStart().startsWith('{')) return problem(bytes.length, 'the last line has no line end: is the file cut off?');
  if (usesExplicitKeys(text)) return problem(0, 'keys written with ? are not used here');
  return text;
}

/** `? key`: the YAML parser takes minutes over some kilobytes of them. */
function usesExplicitKeys(text: string): boolean {
  if (!/\?\s/.test(text)) return false;
  for (const token of new Lexer().lex(text)) if (token === '?') return true;
  return false;
}

function firstInvalidUtf8(bytes: Uint8Array): number {
  const text = new TextDecoder('utf-8').decode(bytes, { stream: true });
  const valid = text.indexOf('\ufffd');
  return valid < 0 ? bytes.length : new TextEncoder().encode(text.slice(0, valid)).length;
}

function toPlain(document: Document.Parsed): { readonly value: unknown } | { readonly why: string } {
  try {
    // A file of comments only is a configuration of defaults only.
    return { value: document.toJS() ?? {} };
  } catch (error) {
    return { why: (error as Error).message };
  }
}

/** The configuration, or what is wrong with it. */
function validate(plain: Json): GatewayConfig | readonly FieldProblem[] {
  const parsed = gatewaySchema.safeParse(plain);
  if (!parsed.success) return parsed.error.issues.flatMap(issueProblems);
  const problems = checkConfig(parsed.data);
  return problems.length > 0 ? problems : parsed.data;
}

/** IDs and passwords of digits only read as numbers in YAML, and 20 digits would lose some: where text is wanted, the text as written counts. */
function asWritten(plain: Json, written: unknown, schema: SchemaNode | undefined, document: Document.Parsed): Json {
  const node = isAlias(written) ? written.resolve(document) : written;
  if (schema === undefined) return plain;
  if (schema.kind === 'leaf') {
    if (schema.type !== 'string' || typeof plain !== 'number' || !isScalar(node) || typeof node.source !== 'string') return plain;
    // So that the document says the same when it is written again.
    node.value = node.source;
    return node.source;
  }
  if (isList(plain) && isSeq(node)) return plain.map((one, i) => asWritten(one, node.items[i], schema.kind === 'list' ? schema.item : undefined, document));
  if (!isObject(plain) || !isMap(node)) return plain;
  const under = new Map(node.items.map(({ key, value }) => [String(isScalar(key) ? key.value : key), value]));
  return Object.fromEntries(Object.entries(plain).map(([key, one]) => [key, asWritten(one, under.get(key), schema.kind === 'object' ? schema.fields.get(key) : undefined, document)]));
}

function issueProblems(issue: z.core.$ZodIssue): readonly FieldProblem[] {
  const path = issue.path.map(step => (typeof step === 'symbol' ? String(step) : step));
  if (issue.code === 'unrecognized_keys') return issue.keys.slice(0, MAX_PROBLEMS).map(key => ({ path: [...path, key], why: `unknown key${suggestion(key, keysAt(path))}` }));
  return [{ path, why: issueWords(issue) }];
}

/** Keys that the schema knows at a path. */
function keysAt(path: readonly (string | number)[]): readonly string[] {
  let schema: unknown = gatewaySchema;
  for (const step of [...path, undefined]) {
    while (isWrapper(schema)) schema = schema.def.innerType;
    if (step === undefined) break;
    schema = typeof step === 'number' ? (schema as z.ZodArray).element : (schema as z.ZodObject).shape[step];
  }
  return Object.keys((schema as z.ZodObject).shape);
}

const isWrapper = (schema: unknown): schema is { readonly def: { readonly innerType: unknown } } => typeof schema === 'object' && schema !== null && 'def' in schema && 'innerType' in (schema.def as object);

function suggestion(key: string, known: readonly string[]): string {
  const near = known.find(candidate => editDistance(candidate.toLowerCase(), key.slice(0, 64).toLowerCase()) <= MAX_TYPO_DISTANCE);
  return near === undefined ? `; known here: ${known.join(', ')}` : `; did you mean ${near}?`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** Offset of the deepest key or entry on the path that is really there. */
function offsetOf(document: Document.Parsed, path: FieldProblem['path']): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range[0] ?? 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(item => isScalar(item.key) && String(item.key.value) === String(step));
      if (!isScalar(pair?.key)) break;
      offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      if (typeof node !== 'object' || node === null || !('range' in node)) break;
      offset = (node.range as [number] | undefined)?.[0] ?? offset;
    } else break;
  }
  return offset;
}

const formatPath = (path: FieldProblem['path']): string => path.reduce<string>((text, step) => (typeof step === 'number' ? `${text}[${step}]` : text === '' ? step : `${text}.${step}`), '');
