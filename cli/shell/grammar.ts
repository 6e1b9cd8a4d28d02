/** The words of vlink as a tree, made of the list of commands: which command a line means, and what can come next in it. */
import type { ArgSpec, Candidate, Command, GrammarNode, ValueKind } from '../command.ts';

interface Growing extends GrammarNode {
  help: string;
  command: Command | null;
  readonly children: Map<string, Growing>;
}

const growing = (word: string, help: string): Growing => ({ word, help, command: null, children: new Map() });

export function grammarOf(commands: readonly Command[], groupHelp: Readonly<Record<string, string>>): GrammarNode {
  const root = growing('', '');
  for (const command of commands) {
    let node = root;
    for (const word of command.path.split(' ')) {
      const next = node.children.get(word) ?? growing(word, groupHelp[word] ?? '');
      node.children.set(word, next);
      node = next;
    }
    node.command = command;
    node.help = command.help;
  }
  return root;
}

/** The child that is meant by a word or by its beginning; a list of them when it could be several. */
function childFor(node: GrammarNode, word: string): GrammarNode | readonly GrammarNode[] {
  const exact = node.children.get(word);
  if (exact !== undefined) return exact;
  const begun = word === '' ? [] : [...node.children.values()].filter(child => child.word.startsWith(word));
  return begun.length === 1 ? begun[0]! : begun;
}

export type Found = { readonly command: Command; readonly path: readonly string[]; readonly rest: readonly string[] } | { readonly why: string };

/** Abbreviations count where they are unique. `why`: one sentence for whoever typed it. */
export function findCommand(root: GrammarNode, words: readonly string[]): Found {
  const path: string[] = [];
  let node = root;
  for (const [index, word] of words.entries()) {
    const next = node.children.size === 0 ? [] : childFor(node, word);
    if (isNode(next)) {
      path.push(next.word);
      node = next;
      continue;
    }
    if (next.length > 1) return { why: `${word} could be ${next.map(child => child.word).join(', ')}` };
    if (node.command !== null) return { command: node.command, path, rest: words.slice(index) };
    return { why: `no command ${[...path, word].join(' ')}; ? shows what there is` };
  }
  if (node.command !== null) return { command: node.command, path, rest: [] };
  return { why: `${path.join(' ')}: ${[...node.children.keys()].join(', ')}?` };
}

const isNode = (found: GrammarNode | readonly GrammarNode[]): found is GrammarNode => !Array.isArray(found);

export interface Expectation {
  /** Words of the grammar and options that have not been given. */
  readonly words: readonly Candidate[];
  /** A value that may stand here. */
  readonly value: { readonly name: string; readonly help: string; readonly kind: ValueKind | null; readonly choices: readonly string[] } | null;
  /** The line is a command as it is. */
  readonly complete: boolean;
}

const NOTHING: Expectation = { words: [], value: null, complete: false };

/** What can come after these whole words. */
export function expectAfter(root: GrammarNode, words: readonly string[]): Expectation {
  let node = root;
  for (const [index, word] of words.entries()) {
    const next = childFor(node, word);
    if (isNode(next)) node = next;
    else return node.command === null || next.length > 1 ? NOTHING : expectArgument(node.command, words.slice(index));
  }
  const children = [...node.children.values()].map(({ word, help }) => ({ word, help }));
  if (node.command === null) return { ...NOTHING, words: children };
  const own = expectArgument(node.command, []);
  return { ...own, words: [...children, ...own.words] };
}

function expectArgument({ args }: Command, given: readonly string[]): Expectation {
  const specs = Object.entries(args);
  const used = new Set<string>();
  let positions = 0;
  let awaited: string | null = null;
  for (const word of given) {
    if (awaited !== null) awaited = null;
    else if (!word.startsWith('--')) positions += 1;
    else {
      const name = word.slice(2).split('=')[0]!;
      used.add(name);
      awaited = args[name]?.type === 'option' && !word.includes('=') ? name : null;
    }
  }
  if (awaited !== null) return { ...NOTHING, value: valueOf(awaited, args[awaited]!) };
  const options = specs.filter(([name, { type }]) => type !== 'argument' && type !== 'rest' && !used.has(name)).map(([name, { help }]) => ({ word: `--${name}`, help }));
  const positional = specs.filter(([, { type }]) => type === 'argument' || type === 'rest');
  const [name, spec] = positional[positions] ?? positional.filter(([, { type }]) => type === 'rest')[0] ?? [];
  const missing = positional.slice(positions).some(([, { type, optional }]) => type === 'argument' && optional !== true);
  return { words: options, value: name === undefined ? null : valueOf(name, spec!), complete: !missing };
}

/** Where a command says nothing, its name says it. */
const KIND_OF_NAME: Readonly<Record<string, ValueKind>> = { channel: 'channel', device: 'device', upstream: 'upstream', file: 'file' };

function valueOf(name: string, { help, values }: ArgSpec): Expectation['value'] {
  const choices = typeof values === 'object' ? values : [];
  const kind = typeof values === 'string' ? values : values === undefined ? (KIND_OF_NAME[name] ?? null) : null;
  return { name, help, kind, choices };
}
