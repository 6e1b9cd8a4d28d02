/** What can stand at the cursor, with the names that the daemons know: channels, devices, upstreams. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Candidate, Completion, Context, GrammarNode, ValueKind } from '../command.ts';
import { completeConfig } from '#core/config/complete.ts';
import { allChannels } from '../all-channels.ts';
import { authorOf } from '../identity.ts';
import { currentLanguage, say } from '../language.ts';
import { FILTER_HELP } from './filters.ts';
import { type Expectation, expectAfter } from './grammar.ts';
import { quoteWord, splitWords, type Word } from './words.ts';

/** Of one kind; nobody reads more. */
const MAX_CANDIDATES = 10_000;
const MAX_FILES = 1000;
/** Somebody waits with a finger on the Tab key. */
const PATIENCE = { timeoutMs: 1500 };

export type ValueSource = (kind: ValueKind, partial: string, words: readonly string[]) => Promise<readonly Candidate[]>;

const NOTHING: Completion = { partial: '', candidates: [], hints: [] };

export async function complete(root: GrammarNode, line: string, values: ValueSource): Promise<Completion> {
  const split = splitWords(line);
  if (!split.ok) return NOTHING;
  const words = [...split.value];
  const last = words.at(-1);
  // The word that is being typed has no blank behind it.
  const typing: Word | null = last !== undefined && last.end === line.length ? last : null;
  if (typing !== null) words.pop();
  const partial = typing?.text ?? '';
  const pipe = words.findLastIndex(word => word.pipe);
  if (pipe >= 0) return completeFilter(words.length - pipe - 1, partial);
  return completeWords(root, words.map(({ text }) => text), partial, values);
}

/** `words` are whole; `partial` is what stands at the cursor. */
export async function completeWords(root: GrammarNode, words: readonly string[], partial: string, values: ValueSource): Promise<Completion> {
  const expected = expectAfter(root, words);
  const { value } = expected;
  const given: Candidate[] = value === null ? [] : value.choices.map(word => ({ word, help: value.help }));
  if (value !== null && value.kind !== null) given.push(...(await values(value.kind, partial, words)));
  // Options are shown when they are asked for, or when nothing else can come.
  const options = partial.startsWith('-') || given.length === 0 ? expected.words : expected.words.filter(({ word }) => !word.startsWith('--'));
  const candidates = [...given.map(each => ({ ...each, word: quoteWord(each.word) })), ...options].filter(({ word }) => word.startsWith(partial));
  return { partial, candidates, hints: partial === '' ? hintsOf(expected) : [] };
}

function hintsOf({ value, words, complete: isComplete }: Expectation): readonly Candidate[] {
  const hints: Candidate[] = [];
  if (value !== null && value.choices.length === 0) hints.push({ word: `<${value.name}>`, help: say(value.help) });
  hints.push(...words.filter(({ word }) => word.startsWith('--')));
  if (isComplete) hints.push({ word: '<Enter>', help: say('run it') });
  return hints;
}

function completeFilter(position: number, partial: string): Completion {
  if (position > 0) return { ...NOTHING, partial, hints: partial === '' ? [{ word: '<text>', help: '' }] : [] };
  const candidates = Object.entries(FILTER_HELP).map(([word, help]) => ({ word, help }));
  return { partial, candidates: candidates.filter(({ word }) => word.startsWith(partial)), hints: [] };
}

/** A daemon that does not answer has no names. */
export function valuesFrom(context: Context, commandWords: readonly string[]): ValueSource {
  return async (kind, partial, words) => {
    try {
      return await NAMES[kind](context, partial, kind === 'config-path' ? words : commandWords);
    } catch {
      return [];
    }
  };
}

type Names = (context: Context, partial: string, commandWords: readonly string[]) => Promise<readonly Candidate[]>;

const NAMES: Readonly<Record<ValueKind, Names>> = {
  channel: channels,
  device: context => context.sipd(async client => (await client.call('listDevices', {}, PATIENCE)).map(({ id, name }) => ({ word: id, help: name ?? '' }))),
  upstream: context => context.sipd(async client => (await client.call('listUpstreams', {}, PATIENCE)).map(({ name, address }) => ({ word: name, help: address }))),
  file: (_, partial) => files(partial),
  'config-path': configPaths,
  daemon: async context => ['sipd', 'configd', 'healthd', 'apid', ...(await context.mediadInstances()).map(instance => `mediad@${instance}`)].map(word => ({ word, help: '' })),
  command: async (_context, _partial, commandWords) => commandWords.map(word => ({ word, help: '' })),
};

function channels(context: Context): Promise<readonly Candidate[]> {
  return context.sipd(async client => (await allChannels(client, {}, { atMost: MAX_CANDIDATES, ...PATIENCE })).map(({ channelId, name }) => ({ word: channelId, help: name })));
}

async function files(partial: string): Promise<readonly Candidate[]> {
  const folder = partial.endsWith('/') ? partial : dirname(partial === '' ? '.' : partial);
  const begin = partial.endsWith('/') ? '' : basename(partial);
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter(({ name }) => name.startsWith(begin) && (begin.startsWith('.') || !name.startsWith('.')))
    .slice(0, MAX_FILES)
    .map(entry => ({ word: `${partial.includes('/') || partial === '' ? join(folder, entry.name) : entry.name}${entry.isDirectory() ? '/' : ''}`, help: '' }));
}

/** Behind `config set` and its like: the words of the command itself are no path. */
async function configPaths(context: Context, _: string, words: readonly string[]): Promise<readonly Candidate[]> {
  const { value } = await context.configd(configd => configd.call('show', { path: '', of: 'candidate', author: authorOf(context.identity) }, PATIENCE));
  return completeConfig(words.slice(2).filter(word => !word.startsWith('--')), value, currentLanguage()).filter(({ word }) => !word.startsWith('<'));
}
