/** What can come next in a path of the configuration, or as its value, with a word of help in either language. */
import { type HelpLanguage, zhHelpOf } from './help-zh.ts';
import { isList, isObject, valueAt, type Json } from './json.ts';
import { bindPath, locate, parsePath, type BoundPath } from './path.ts';
import type { LeafNode, ListNode, SchemaNode } from './schema-tree.ts';

export interface ConfigCandidate {
  readonly word: string;
  readonly help: string;
}

/** A list of more is not read by anybody. */
const MAX_ENTRIES = 1000;

export const helpOf = (node: SchemaNode, language: HelpLanguage): string => (language === 'zh' ? (zhHelpOf(node.at) ?? node.help) : node.help);

/** After these whole words: keys, entries that `value` has, words and values that may be set. Empty: nothing, or the words are no path. */
export function completeConfig(words: readonly string[], value: Json, language: HelpLanguage = 'en'): readonly ConfigCandidate[] {
  const bound = pathOfWords(words);
  if (bound === undefined) return [];
  const { node } = bound;
  if (node.kind === 'object') return [...node.fields].map(([word, field]) => ({ word, help: describe(field, language) }));
  return node.kind === 'list' ? entries(node, bound, value, language) : values(node, language);
}

/** One line: what it is, how it may be, what it is by itself. */
export function describe(node: SchemaNode, language: HelpLanguage): string {
  const facts = [node.kind === 'leaf' ? bounds(node) : '', node.required ? 'required' : '', byDefault(node)].filter(part => part !== '');
  return [helpOf(node, language), facts.length === 0 ? '' : `(${facts.join('; ')})`].filter(part => part !== '').join(' ');
}

function pathOfWords(words: readonly string[]): BoundPath | undefined {
  const parsed = parsePath(words.join(' '));
  const bound = parsed.ok ? bindPath(parsed.value) : undefined;
  return typeof bound === 'object' ? bound : undefined;
}

function entries(node: ListNode, bound: BoundPath, value: Json, language: HelpLanguage): readonly ConfigCandidate[] {
  const { place, missing } = locate(value, bound);
  const list = missing === null ? valueAt(value, place) : [];
  if (!isList(list)) return [];
  const named = list.slice(0, MAX_ENTRIES).map((entry, index): ConfigCandidate => {
    const key = node.keyField !== null && isObject(entry) ? entry[node.keyField] : undefined;
    const name = isObject(entry) ? entry['name'] : entry;
    return { word: key === undefined ? String(index) : String(key), help: typeof name === 'string' && name !== key && node.item.secret === null ? name : '' };
  });
  return [...named, { word: node.keyField === null ? String(list.length) : `<${node.keyField}>`, help: `new: ${helpOf(node, language)}` }];
}

function values(node: LeafNode, language: HelpLanguage): readonly ConfigCandidate[] {
  const help = describe(node, language);
  if (node.type === 'boolean') return ['true', 'false'].map(word => ({ word, help: node.defaultValue === (word === 'true') ? `default; ${help}` : help }));
  if (node.words.length > 0) return node.words.map(word => ({ word, help: node.defaultValue === word ? `default; ${help}` : help }));
  return [{ word: `<${node.secret === null ? node.type : 'secret'}>`, help }];
}

function bounds({ words, min, max }: LeafNode): string {
  if (words.length > 0) return words.join(' | ');
  return min === null || max === null ? '' : `${min} to ${max}`;
}

function byDefault({ defaultValue, kind, secret }: SchemaNode): string {
  if (kind === 'object' || defaultValue === undefined || secret !== null) return '';
  return `default ${JSON.stringify(defaultValue)}`;
}

/** Whether a path leads to a secret: its value is asked for, never typed where others see it. */
export function isSecretPath(words: readonly string[]): boolean {
  const bound = pathOfWords(words);
  return bound !== undefined && bound.node.secret !== null;
}

