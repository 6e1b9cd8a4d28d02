/** One change spliced into the text of a configuration, so that every other line stays as its engineer wrote it. */
import { isAlias, isCollection, isMap, isPair, isScalar, isSeq, stringify, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';
import { isList, isObject, type Json, valueAt } from '#core/config/json.ts';
import type { Patch } from '#core/config/patch.ts';
import type { ConfigDocument } from './config-text.ts';

/** What cannot stand bare inside [] and {}. */
const FLOW_MARKS = /[,[\]{}#:"']|^[\s&*!|>%@`?-]|\s$/;
const INDENT = 2;

type Collection = YAMLMap | YAMLSeq;

/** The new text, or undefined when this change cannot be done by a splice. The caller reads it again and compares. */
export function splice({ text, document }: ConfigDocument, { place, value }: Patch): string | undefined {
  const holder = place.length === 1 ? document.contents : document.getIn(place.slice(0, -1), true);
  const last = place.at(-1);
  if (last === undefined || isAlias(holder)) return undefined;
  if (holder === null && typeof last === 'string' && value !== undefined) return `${text}${block({ [last]: value }, 0)}`;
  if (!isMap(holder) && !isSeq(holder)) return undefined;
  const item = itemAt(holder, last);
  if (value === undefined) return item === undefined ? undefined : cutOut(text, holder, last, item, keyAbove(document, place));
  if (item === undefined) return append(text, document, holder, place, value);
  return replaceScalar(text, isPair(item) ? item.value : item, value, holder.flow === true) ?? fillEmpty(text, isPair(item) ? item : undefined, value, holder);
}

function itemAt(holder: Collection, last: string | number): unknown {
  return isMap(holder) ? holder.items.find(({ key }) => isScalar(key) && String(key.value) === String(last)) : holder.items[Number(last)];
}

const rangeOf = (node: unknown): readonly [number, number, number] | undefined => (isScalar(node) || isCollection(node) || isAlias(node) ? ((node.range as [number, number, number] | null | undefined) ?? undefined) : undefined);
const isCompound = (value: Json): boolean => isList(value) || isObject(value);

function replaceScalar(text: string, node: unknown, value: Json, flow: boolean): string | undefined {
  const range = rangeOf(node);
  if (!isScalar(node) || range === undefined || isCompound(value) || node.type === 'BLOCK_FOLDED' || node.type === 'BLOCK_LITERAL' || range[0] === range[1]) return undefined;
  return `${text.slice(0, range[0])}${scalar(value, flow)}${text.slice(range[1])}`;
}

/** `known: []  # help` becomes a block under its key; the comment stays where it is. */
function fillEmpty(text: string, pair: Pair | undefined, value: Json, holder: Collection): string | undefined {
  const range = rangeOf(pair?.value);
  const key = rangeOf(pair?.key);
  if (holder.flow === true || key === undefined || range === undefined || !isCompound(value) || !isCollection(pair?.value) || pair.value.items.length > 0) return undefined;
  const end = lineEnd(text, range[1]);
  return `${text.slice(0, range[0]).trimEnd()}${text.slice(range[1], end)}${block(value, columnOf(text, key[0]) + INDENT)}${text.slice(end)}`;
}

function append(text: string, document: ConfigDocument['document'], holder: Collection, place: Patch['place'], value: Json): string | undefined {
  const last = holder.items.at(-1);
  const added: Json = isMap(holder) ? { [String(place.at(-1))]: value } : [value];
  if (last === undefined) {
    const above = place.length === 2 ? document.contents : document.getIn(place.slice(0, -2), true);
    const pair = isMap(above) ? itemAt(above, place.at(-2)!) : undefined;
    return isPair(pair) ? fillEmpty(text, pair, added, above as Collection) : undefined;
  }
  const node = isPair(last) ? (last.value ?? last.key) : last;
  const range = rangeOf(node);
  if (range === undefined) return undefined;
  if (holder.flow === true) return `${text.slice(0, range[1])}, ${isMap(holder) ? `${String(place.at(-1))}: ` : ''}${flowText(value)}${text.slice(range[1])}`;
  const column = columnOfItem(text, holder);
  const end = lineEnd(text, contentEnd(node));
  return column === undefined ? undefined : `${text.slice(0, end)}${block(added, column)}${text.slice(end)}`;
}

/** Whole lines, from the key or the dash to the end of what it holds. The last one leaves [] or {} behind the key above. */
function cutOut(text: string, holder: Collection, last: string | number, item: unknown, above: unknown): string | undefined {
  const first = rangeOf(isPair(item) ? item.key : item);
  const node = isPair(item) ? (item.value ?? item.key) : item;
  if (holder.flow === true || first === undefined || rangeOf(node) === undefined) return undefined;
  const start = text.lastIndexOf('\n', first[0] - 1) + 1;
  const before = text.slice(start, first[0]);
  if (!(typeof last === 'number' ? /^ *- +$/ : /^ *$/).test(before)) return undefined;
  const rest = text.slice(lineEnd(text, contentEnd(node)));
  if (holder.items.length > 1) return text.slice(0, start) + rest;
  const key = rangeOf(above);
  const colon = key === undefined ? -1 : text.indexOf(':', key[1]);
  return colon < 0 || colon > start ? undefined : `${text.slice(0, colon + 1)} ${isMap(holder) ? '{}' : '[]'}${text.slice(colon + 1, start)}${rest}`;
}

/** The key under which the holder of this place stands. */
function keyAbove(document: ConfigDocument['document'], place: Patch['place']): unknown {
  if (place.length < 2) return undefined;
  const above = place.length === 2 ? document.contents : document.getIn(place.slice(0, -2), true);
  const pair = isMap(above) ? itemAt(above, place.at(-2)!) : undefined;
  return isPair(pair) ? pair.key : undefined;
}

/** Behind the last word of a node, without the comments that follow it. */
function contentEnd(node: unknown): number {
  if (isCollection(node) && node.flow !== true && node.items.length > 0) {
    const last = node.items.at(-1);
    return contentEnd(isPair(last) ? (last.value ?? last.key) : last);
  }
  return rangeOf(node)?.[1] ?? 0;
}

/** Behind the line end of the line on which `at` is. */
function lineEnd(text: string, at: number): number {
  const found = text.indexOf('\n', at);
  return found < 0 ? text.length : found + 1;
}

const columnOf = (text: string, at: number): number => at - (text.lastIndexOf('\n', at - 1) + 1);

/** Of its keys, or of its dashes. */
function columnOfItem(text: string, holder: Collection): number | undefined {
  const first = holder.items[0];
  const range = rangeOf(isPair(first) ? first.key : first);
  if (range === undefined) return undefined;
  if (isMap(holder)) return columnOf(text, range[0]);
  const dash = /^( *)- +$/.exec(text.slice(text.lastIndexOf('\n', range[0] - 1) + 1, range[0]));
  return dash?.[1]?.length;
}

const block = (value: Json, column: number): string => stringify(value, { lineWidth: 0, indent: INDENT, version: '1.2' }).split('\n').map(line => (line === '' ? '' : ' '.repeat(column) + line)).join('\n');

function scalar(value: Json, flow: boolean): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  const written = stringify(value, { lineWidth: 0, version: '1.2' }).trimEnd();
  return written.includes('\n') || (flow && FLOW_MARKS.test(value)) ? JSON.stringify(value) : written;
}

function flowText(value: Json): string {
  if (isList(value)) return `[${value.map(flowText).join(', ')}]`;
  if (isObject(value)) return `{${Object.entries(value).map(([key, one]) => `${key}: ${flowText(one)}`).join(', ')}}`;
  return scalar(value, true);
}

/** The change done on the document, whose data `after` it then is: comments stay, except those of what is replaced. */
export function change({ document }: ConfigDocument, after: Json, { place }: Patch): void {
  let depth = place.length;
  // The deepest collection on the way is given its new content; its own comments go with what it loses.
  while (depth > 0 && !isCollection(depth === 1 ? document.contents : document.getIn(place.slice(0, depth - 1), true))) depth -= 1;
  const at = place.slice(0, depth);
  const value = valueAt(after, at);
  if (depth === 0) document.contents = document.createNode(after) as typeof document.contents;
  else if (value === undefined) document.deleteIn(at);
  else document.setIn(at, document.createNode(value));
}

/** The document written anew: the spacing becomes regular. */
export const written = ({ document }: ConfigDocument): string => document.toString({ lineWidth: 0, flowCollectionPadding: false });
