/** The top of the shell: every command of vlink, abbreviated where it is unique, with filters behind `|`. No terminal here. */
import type { Command, Completion, Context, GrammarNode, ModeStep, ShellMode } from '../command.ts';
import { pairs } from '../help.ts';
import { say } from '../language.ts';
import { complete, valuesFrom } from './complete.ts';
import { type Filter, takeFilters } from './filters.ts';
import { findCommand } from './grammar.ts';
import { splitWords, type Word } from './words.ts';

const LEAVING: ReadonlySet<string> = new Set(['exit', 'quit', 'logout', 'bye']);
/** Names that a device has do not change between two strokes of a key. */
const LEAVE_HELP = { word: 'exit', help: 'leave' };

export interface OperationalHost {
  readonly grammar: GrammarNode;
  readonly user: string;
  /** Runs words of vlink; what it prints goes through the filters. */
  execute(command: Command, argv: readonly string[], filters: readonly Filter[]): Promise<void>;
  /** For a command that is a mode of its own. Null: it was refused, and said so. */
  enter(command: Command): Promise<ShellMode | null>;
  context(): Context;
}

/** A line as words that can be run, or why not. */
export type Reading = { readonly kind: 'nothing' | 'leave' } | { readonly kind: 'refused'; readonly why: string } | { readonly kind: 'run'; readonly command: Command; readonly argv: readonly string[]; readonly filters: readonly Filter[] };

export function readLine(grammar: GrammarNode, line: string): Reading {
  const split = splitWords(line);
  if (!split.ok) return { kind: 'refused', why: `${split.error.why}, at character ${split.error.at + 1}` };
  if (split.value.some(({ closed }) => !closed)) return { kind: 'refused', why: 'a quote has no end' };
  const piped = takeFilters(split.value);
  if (!piped.ok) return { kind: 'refused', why: piped.error.why };
  const { words, filters } = piped.value;
  const [first] = words;
  if (first === undefined) return filters.length === 0 ? { kind: 'nothing' } : { kind: 'refused', why: 'no command before |' };
  if (words.length === 1 && LEAVING.has(first.text)) return { kind: 'leave' };
  return readCommand(grammar, words, filters);
}

function readCommand(grammar: GrammarNode, words: readonly Word[], filters: readonly Filter[]): Reading {
  const found = findCommand(grammar, words.map(({ text }) => text));
  if ('why' in found) return { kind: 'refused', why: found.why };
  const { command, path, rest } = found;
  const wantsJson = filters.some(({ kind }) => kind === 'json');
  if (wantsJson && command.args['json'] === undefined) return { kind: 'refused', why: `${command.path} has no raw answer` };
  const argv = [...path, ...rest, ...(wantsJson && !rest.includes('--json') ? ['--json'] : [])];
  return { kind: 'run', command, argv, filters: filters.filter(({ kind }) => kind !== 'json') };
}

export class OperationalMode implements ShellMode {
  readonly #host: OperationalHost;

  constructor(host: OperationalHost) {
    this.#host = host;
  }

  prompt(node: string): string {
    return `${this.#host.user}@${node}> `;
  }

  async complete(line: string): Promise<Completion> {
    const { grammar } = this.#host;
    const completion = await complete(grammar, line, valuesFrom(this.#host.context(), [...grammar.children.keys()]));
    const isFirst = line.trimStart() === completion.partial;
    const own = isFirst && LEAVE_HELP.word.startsWith(completion.partial) ? [LEAVE_HELP] : [];
    return { ...completion, candidates: [...completion.candidates, ...own].map(({ word, help }) => ({ word, help: say(help) })) };
  }

  async run(line: string, context: Context): Promise<ModeStep> {
    // `show devices ?` with Enter, as it is typed where there is no terminal.
    if (/(^|\s)\?\s*$/.test(line)) return this.#explain(line.replace(/\?\s*$/, ''), context);
    const reading = readLine(this.#host.grammar, line);
    if (reading.kind === 'leave') return 'leave';
    if (reading.kind === 'refused') context.err(reading.why);
    if (reading.kind !== 'run') return 'stay';
    if (reading.command.enter !== undefined && reading.argv.length === reading.command.path.split(' ').length) return (await this.#host.enter(reading.command)) ?? 'stay';
    await this.#host.execute(reading.command, reading.argv, reading.filters);
    return 'stay';
  }

  async #explain(line: string, context: Context): Promise<ModeStep> {
    context.out(completionText(await this.complete(line)));
    return 'stay';
  }
}

/** What `?` shows. */
export function completionText({ candidates, hints }: Completion): string {
  const all = [...candidates, ...hints];
  const [first] = all;
  if (first === undefined) return `  ${say('nothing can come here')}`;
  return pairs([...new Map(all.map(({ word, help }) => [word, { word, help: say(help) }])).values()]);
}
