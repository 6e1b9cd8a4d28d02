/** What a line means inside `vlink configure`. Nothing is done here: a line goes in, an action comes out. */
import { splitWords } from '../shell/words.ts';

export type ConfigureAction =
  | { readonly kind: 'nothing' | 'discard' | 'confirm' | 'history' | 'compare' | 'help' }
  | { readonly kind: 'set' | 'delete' | 'show'; readonly words: readonly string[] }
  | { readonly kind: 'commit'; readonly confirm: string | null; readonly restart: boolean; readonly reason: string }
  | { readonly kind: 'rollback'; readonly revision: string; readonly confirm: string | null; readonly restart: boolean; readonly reason: string }
  | { readonly kind: 'load'; readonly file: string }
  /** A line of the top, with its filters. */
  | { readonly kind: 'run'; readonly line: string }
  /** `exit` with changes that nobody committed is refused; `exit discard` forgets them. */
  | { readonly kind: 'exit'; readonly discard: boolean }
  | { readonly kind: 'refused'; readonly why: string };

export interface Verb {
  readonly word: string;
  readonly help: string;
  /** What stands behind it is a path of the configuration. */
  readonly path: boolean;
}

export const VERBS: readonly Verb[] = [
  { word: 'set', help: 'PATH VALUE: a value; a secret is asked for', path: true },
  { word: 'delete', help: 'PATH: takes it out', path: true },
  { word: 'show', help: '[PATH]: the candidate', path: true },
  { word: 'compare', help: 'what it changes', path: false },
  { word: 'commit', help: '[confirm MINUTES] [restart] [comment TEXT]: into force', path: false },
  { word: 'confirm', help: 'what waits for it stays', path: false },
  { word: 'rollback', help: 'REVISION: a kept one into force', path: false },
  { word: 'history', help: 'kept revisions', path: false },
  { word: 'load', help: 'FILE: a whole file as candidate', path: false },
  { word: 'run', help: 'COMMAND: of vlink, such as run show devices', path: false },
  { word: 'discard', help: 'forgets the candidate', path: false },
  { word: 'exit', help: '[discard]: leaves', path: false },
  { word: 'help', help: 'this', path: false },
];
/** Behind `commit` and `rollback N`. */
export const COMMIT_WORDS = [
  { word: 'confirm', help: 'MINUTES: comes back by itself unless confirmed' },
  { word: 'restart', help: 'daemons that cannot apply something alive start anew' },
  { word: 'comment', help: 'TEXT: why, for the history' },
] as const;

const refused = (why: string): ConfigureAction => ({ kind: 'refused', why });

/** The verb that a word means: itself, or the only one that begins so. */
export function verbOf(word: string): Verb | undefined {
  const begun = VERBS.filter(verb => verb.word.startsWith(word));
  return VERBS.find(verb => verb.word === word) ?? (begun.length === 1 ? begun[0] : undefined);
}

export function interpretLine(line: string): ConfigureAction {
  const run = /^\s*run(?:\s+(.*))?$/s.exec(line);
  if (run !== null) return run[1] === undefined || run[1].trim() === '' ? refused('run which command? such as run show devices') : { kind: 'run', line: run[1] };
  const split = splitWords(line);
  if (!split.ok) return refused(split.error.why);
  if (split.value.some(({ closed }) => !closed)) return refused('a quote has no end');
  const [first, ...words] = split.value.map(({ text }) => text);
  if (first === undefined) return { kind: 'nothing' };
  if (first === 'quit' || first === 'abort') return interpretLine(['exit', ...words].join(' '));
  const verb = verbOf(first)?.word;
  switch (verb) {
    case 'set': return words.length === 0 ? refused('set what? PATH VALUE') : { kind: 'set', words };
    case 'delete': return words.length === 0 ? refused('delete what? PATH') : { kind: 'delete', words };
    case 'show': return { kind: 'show', words };
    case 'commit': return commitAction(words);
    case 'rollback': return rollbackAction(words);
    case 'load': return words.length === 1 ? { kind: 'load', file: words[0]! } : refused('load which file?');
    case 'exit': return exitAction(words);
    case 'compare': case 'confirm': case 'history': case 'discard': case 'help': return words.length === 0 ? { kind: verb } : refused(`${verb} takes nothing`);
    default: return refused(`no command ${first}; ? shows what there is`);
  }
}

export interface CommitWords {
  readonly confirm: string | null;
  readonly restart: boolean;
  readonly reason: string;
}

/** The words behind `commit`, or a sentence. */
export function commitWords(words: readonly string[]): CommitWords | string {
  let confirm: string | null = null;
  let restart = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === 'comment') return i + 1 < words.length ? { confirm, restart, reason: words.slice(i + 1).join(' ') } : 'comment: the text is missing';
    if (word === 'restart') restart = true;
    else if (word === 'confirm') {
      const minutes = words[++i];
      if (minutes === undefined || !/^\d+(\.\d+)?$/.test(minutes)) return 'confirm within how many minutes?';
      confirm = minutes;
    } else return `${word}: expected confirm MINUTES, restart or comment TEXT`;
  }
  return { confirm, restart, reason: '' };
}

function commitAction(words: readonly string[]): ConfigureAction {
  const read = commitWords(words);
  return typeof read === 'string' ? refused(read) : { kind: 'commit', ...read };
}

function rollbackAction([revision, ...words]: readonly string[]): ConfigureAction {
  if (revision === undefined || !/^-?\d{1,9}$/.test(revision)) return refused('rollback to which revision? history shows them; -1 is the one before the current one');
  const read = commitWords(words);
  return typeof read === 'string' ? refused(read) : { kind: 'rollback', revision, ...read };
}

function exitAction(words: readonly string[]): ConfigureAction {
  if (words.length > 1 || (words.length === 1 && words[0] !== 'discard')) return refused('exit, or exit discard');
  return { kind: 'exit', discard: words.length === 1 };
}
