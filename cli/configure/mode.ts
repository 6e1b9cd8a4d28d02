/** `vlink configure` inside the shell: the candidate of whoever sits here, edited line by line. */
import type { CandidateReport, EditStep } from '#contracts/configd.ts';
import { completeConfig } from '#core/config/complete.ts';
import { GatewayError } from '#core/result.ts';
import type { Candidate, Completion, Context, ModeStep, ShellMode } from '../command.ts';
import { explain } from '../explain.ts';
import { pairs } from '../help.ts';
import { currentLanguage, say as translated } from '../language.ts';
import { inert } from '../render.ts';
import { splitWords } from '../shell/words.ts';
import { author, candidateText, minutesIn, PATIENCE, pathText, revisionBack, tellCommit } from './common.ts';
import { committing } from './commit-wait.ts';
import { setStep } from './edits.ts';
import { load } from './files.ts';
import { history } from './looks.ts';
import { COMMIT_WORDS, type ConfigureAction, interpretLine, verbOf, VERBS } from './session.ts';

const NOTHING: Completion = { partial: '', candidates: [], hints: [] };
const BEHIND_COMMIT: ReadonlySet<string> = new Set(['commit', 'rollback']);

export class ConfigureMode implements ShellMode {
  readonly #context: Context;
  #edited = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** With the candidate that was left here the last time. */
  async begin(context: Context): Promise<this> {
    const report = await this.#candidate(context);
    this.#edited = report !== null;
    if (report !== null) context.out(candidateText(report));
    return this;
  }

  prompt(node: string): string {
    return `${inert(this.#context.identity.user)}@${node}${this.#edited ? '*' : ''}# `;
  }

  async complete(line: string): Promise<Completion> {
    const split = splitWords(line);
    if (!split.ok) return NOTHING;
    const words = split.value.map(({ text }) => text);
    const partial = split.value.at(-1)?.end === line.length ? (words.pop() ?? '') : '';
    const candidates = await this.#candidatesAfter(words);
    const typed = (word: string): boolean => !word.startsWith('<');
    return { partial, candidates: candidates.filter(({ word }) => typed(word) && word.startsWith(partial)), hints: partial === '' ? candidates.filter(({ word }) => !typed(word)) : [] };
  }

  async #candidatesAfter([first, ...words]: readonly string[]): Promise<readonly Candidate[]> {
    if (first === undefined) return VERBS.map(({ word, help }) => ({ word, help }));
    const verb = verbOf(first);
    if (verb === undefined) return [];
    if (BEHIND_COMMIT.has(verb.word)) return verb.word === 'rollback' && words.length === 0 ? [{ word: '<revision>', help: 'its number, or -1' }] : COMMIT_WORDS;
    if (verb.word === 'exit') return [{ word: 'discard', help: 'forgets what was not committed' }];
    if (!verb.path) return [];
    const { value } = await this.#context.configd(configd => configd.call('show', { path: '', of: 'candidate', author: author(this.#context) }, PATIENCE));
    return completeConfig(words, value, currentLanguage());
  }

  async run(line: string, context: Context): Promise<ModeStep> {
    try {
      return await this.#do(interpretLine(line.replace(/(^|\s)\?\s*$/, '$1help')), context);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      context.err(explain(error));
      return 'stay';
    }
  }

  async #do(action: ConfigureAction, context: Context): Promise<ModeStep> {
    const by = author(context);
    switch (action.kind) {
      case 'nothing': return 'stay';
      case 'refused': return say(context, action.why);
      case 'help': return tell(context, pairs(VERBS.map(({ word, help }) => ({ word, help: translated(help) }))));
      case 'set': return await this.#edit(context, [await setStep(context, action.words)]);
      case 'delete': return await this.#edit(context, [{ op: 'delete', path: pathText(action.words) }]);
      case 'show': return tell(context, (await context.configd(configd => configd.call('show', { path: pathText(action.words), of: 'candidate', author: by }, PATIENCE))).text.trimEnd());
      case 'compare': return await this.#compare(context);
      case 'history': return void (await history.run(context, { json: false })), 'stay';
      case 'load': return void (await load.run(context, { file: action.file, json: false })), (this.#edited = true), 'stay';
      case 'commit': return await this.#commit(action, context);
      case 'confirm': return tell(context, `revision ${(await context.configd(configd => configd.call('confirm', { author: by }))).revision} stays`);
      case 'rollback': return await this.#rollback(action, context);
      case 'discard': return await this.#discard(context, 'stay');
      case 'run': return { atTop: action.line };
      case 'exit': return await this.#exit(action.discard, context);
    }
  }

  async #candidate(context: Context): Promise<CandidateReport | null> {
    return await context.configd(configd => configd.call('candidate', { author: author(context) }, PATIENCE));
  }

  async #compare(context: Context): Promise<ModeStep> {
    const report = await this.#candidate(context);
    return tell(context, report === null ? 'nothing is edited' : candidateText(report));
  }

  /** Says nothing when all is well: what is wrong with the whole shows at compare and commit. */
  async #edit(context: Context, steps: readonly EditStep[]): Promise<ModeStep> {
    await context.configd(configd => configd.call('edit', { author: author(context), steps }, PATIENCE));
    this.#edited = true;
    return 'stay';
  }

  async #commit({ confirm, restart, reason }: Extract<ConfigureAction, { readonly kind: 'commit' }>, context: Context): Promise<ModeStep> {
    const result = await committing(context, configd => configd.call('commit', { author: author(context), reason, confirmMinutes: minutesIn(confirm ?? undefined), restart }, PATIENCE));
    if (tellCommit(context, result, false) === 0) this.#edited = false;
    return 'stay';
  }

  async #rollback({ revision, confirm, restart, reason }: Extract<ConfigureAction, { readonly kind: 'rollback' }>, context: Context): Promise<ModeStep> {
    const confirmMinutes = minutesIn(confirm ?? undefined);
    tellCommit(context, await committing(context, async configd => await configd.call('rollback', { author: author(context), revision: await revisionBack(configd, revision), reason, confirmMinutes, restart }, PATIENCE)), false);
    return 'stay';
  }

  async #discard(context: Context, then: ModeStep): Promise<ModeStep> {
    await context.configd(configd => configd.call('discard', { author: author(context) }));
    this.#edited = false;
    return then;
  }

  async #exit(discard: boolean, context: Context): Promise<ModeStep> {
    if (discard) return await this.#discard(context, 'leave');
    const report = await this.#candidate(context);
    if (report === null || report.changes.length === 0) return 'leave';
    return say(context, 'there are changes that were not committed: commit, or exit discard');
  }
}

function say(context: Context, text: string): ModeStep {
  context.err(text);
  return 'stay';
}

function tell(context: Context, text: string): ModeStep {
  context.out(text);
  return 'stay';
}
