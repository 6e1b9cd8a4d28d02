/** What the commands of the configuration share: whom they speak for, how long they wait, how changes and outcomes read. */
import type { Author, CandidateReport, CommitResult, ConfigChange, ConfigdRequests, Json } from '#contracts/configd.ts';
import { COMMIT_PATIENCE_MS } from '#core/config/comeback.ts';
import { bindPath, formatPath, parsePath, type BoundPath } from '#core/config/path.ts';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import type { RpcClient } from '#kit/rpc.ts';
import type { Context } from '../command.ts';
import { authorOf } from '../identity.ts';
import { sayWhy } from '../language.ts';
import { wallText } from '../values.ts';

export const PATIENCE = { timeoutMs: COMMIT_PATIENCE_MS };
const REFUSED = 1;

export type Configd = RpcClient<ConfigdRequests>;

export const author = (context: Context): Author => authorOf(context.identity);

/** Words as typed, dots, brackets and blanks alike. BAD_REQUEST with what the schema knows there. */
export function pathIn(words: readonly string[]): BoundPath {
  const parsed = parsePath(words.join(' '));
  if (!parsed.ok) throw new GatewayError('BAD_REQUEST', { path: words.join(' '), why: parsed.error.why });
  const bound = bindPath(parsed.value);
  if (typeof bound === 'string') throw new GatewayError('BAD_REQUEST', { why: bound });
  return bound;
}

export const pathText = (words: readonly string[]): string => formatPath(pathIn(words).steps);

const valueText = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** `+ path value`, `- path value`, `~ path: before -> after`. */
export function changesText(changes: readonly ConfigChange[]): string {
  if (changes.length === 0) return 'nothing is changed';
  return changes
    .map(({ path, kind, before, after }) => (kind === 'added' ? `+ ${path} ${valueText(after)}` : kind === 'removed' ? `- ${path} ${valueText(before)}` : `~ ${path}: ${valueText(before)} -> ${valueText(after)}`))
    .join('\n');
}

export function candidateText({ baseRevision, changes, issues }: CandidateReport): string {
  const problems = issues.map(({ line, path, why }) => `! ${[line > 0 ? `line ${line}` : '', path].filter(part => part !== '').join(', ')}${path === '' && line === 0 ? '' : ': '}${sayWhy(why)}`);
  return [changesText(changes), ...problems, ...(issues.length > 0 ? ['it cannot be committed like that'] : []), `(from revision ${baseRevision})`].join('\n');
}

/** Says how it ended. Exit code. */
export function tellCommit(context: Context, result: CommitResult, json: boolean): number {
  const { revision, issues, refusals, warnings, confirmByWallMs } = result;
  if (json) context.print(result, true, () => '');
  else {
    for (const warning of warnings) context.err(warning);
    for (const { line, path, why } of issues) context.err(`${[line > 0 ? `line ${line}` : '', path].filter(part => part !== '').join(', ')}${line > 0 || path !== '' ? ': ' : ''}${sayWhy(why)}`);
    for (const { daemon, why } of refusals) context.err(`${daemon}: refused: ${why}`);
    if (revision === null) context.err('nothing was committed');
    else if (confirmByWallMs === null) context.out(`revision ${revision} is in force`);
    else context.out(`revision ${revision} is in force until ${wallText(confirmByWallMs)}; then the one before it comes back, unless you confirm: config confirm`);
  }
  if (revision !== null) return 0;
  return refusals.length > 0 ? REFUSED : EXIT_CODE.CONFIG_INVALID;
}

export function minutesIn(text: string | undefined): number | null {
  if (text === undefined) return null;
  const minutes = Number(text);
  if (!(minutes > 0 && minutes <= 1440)) throw new GatewayError('BAD_REQUEST', { minutes: text, why: 'expected minutes, up to 1440' });
  return minutes;
}

export function revisionIn(text: string): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1) throw new GatewayError('BAD_REQUEST', { revision: text, why: 'expected the number of a revision: config history' });
  return Number(text);
}

/** The number itself, or so many steps back: `-1` is the one before the current one. */
export async function revisionBack(configd: Configd, text: string): Promise<number> {
  if (!/^-\d{1,4}$/.test(text)) return revisionIn(text);
  const rows = await configd.call('history', { limit: 1000 });
  const kept = rows.filter(({ state }) => state !== 'returned' && state !== 'aside');
  const current = kept.findIndex(({ state }) => state === 'current' || state === 'pending');
  const wanted = kept[current - Number(text)];
  if (wanted === undefined) throw new GatewayError('BAD_REQUEST', { revision: text, why: 'so many are not kept' });
  return wanted.revision;
}

export const RESTART_FLAG = { type: 'flag', help: 'daemons that cannot apply something alive start anew' } as const;
export const LOCAL_FLAG = { type: 'flag', help: 'in a pair: on this node alone, although it is not the active one; only where that one cannot be reached' } as const;
/** Whoever does not say `--local` is handed on to the active node. */
export const whereOf = (local: boolean): { readonly where?: 'local' } => (local ? { where: 'local' } : {});
export const REASON_OPTION = { type: 'option', help: 'why, for the history' } as const;
export const CONFIRM_OPTION = { type: 'option', help: 'minutes: the old configuration comes back by itself unless config confirm is given by then' } as const;
