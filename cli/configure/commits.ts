import { GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { type CommitWords, commitWords } from './session.ts';
import { author, CONFIRM_OPTION, LOCAL_FLAG, minutesIn, PATIENCE, REASON_OPTION, RESTART_FLAG, revisionBack, tellCommit, whereOf } from './common.ts';
import { committing } from './commit-wait.ts';

/** The words of `configure` and the options mean the same. */
function said(words: readonly string[], options: { readonly reason: string | undefined; readonly confirm: string | undefined; readonly restart: boolean }): CommitWords {
  const read = commitWords(words);
  if (typeof read === 'string') throw new GatewayError('BAD_REQUEST', { why: read });
  return { reason: options.reason ?? read.reason, confirm: options.confirm ?? read.confirm, restart: options.restart || read.restart };
}

export const commit = defineCommand({
  path: 'config commit',
  access: 'configure',
  help: 'your candidate into force: every daemon is asked first, one refusal leaves all as it was',
  args: { words: { type: 'rest', help: 'as in configure: confirm MINUTES, restart, comment TEXT' }, reason: REASON_OPTION, confirm: CONFIRM_OPTION, restart: RESTART_FLAG, local: LOCAL_FLAG, check: { type: 'flag', help: 'only what would come of it' }, json: JSON_FLAG },
  async run(context, { words, local, check, json, ...options }) {
    const { reason, confirm, restart } = said(words, options);
    if (check) {
      const result = await context.configd(configd => configd.call('check', { author: author(context), restart }, PATIENCE));
      const isGood = result.issues.length === 0 && result.refusals.length === 0;
      if (!isGood || json) return tellCommit(context, result, json);
      for (const warning of result.warnings) context.err(warning);
      context.out('it can be committed');
      return 0;
    }
    const confirmMinutes = minutesIn(confirm ?? undefined);
    return tellCommit(context, await committing(context, configd => configd.call('commit', { author: author(context), reason, confirmMinutes, restart, ...whereOf(local) }, PATIENCE)), json);
  },
});

export const confirm = defineCommand({
  path: 'config confirm',
  access: 'configure',
  help: 'what waits for it stays in force',
  args: { local: LOCAL_FLAG, json: JSON_FLAG },
  async run(context, { local, json }) {
    context.print(await context.configd(configd => configd.call('confirm', { author: author(context), ...whereOf(local) }, PATIENCE)), json, ({ revision }) => `revision ${revision} stays`);
    return 0;
  },
});

export const rollback = defineCommand({
  path: 'config rollback',
  access: 'configure',
  help: 'a kept revision into force again, as a new one; while a commit waits for confirm, the one before it at once',
  args: { revision: { type: 'argument', help: 'its number; -1: the one before the current one', optional: true }, reason: REASON_OPTION, confirm: CONFIRM_OPTION, restart: RESTART_FLAG, local: LOCAL_FLAG, json: JSON_FLAG },
  async run(context, { revision, reason = '', confirm, restart, local, json }) {
    if (revision === undefined) throw new GatewayError('BAD_REQUEST', { why: 'to which revision? config history shows them; -1 is the one before the current one' });
    const confirmMinutes = minutesIn(confirm);
    const result = await committing(context, async configd => await configd.call('rollback', { author: author(context), revision: await revisionBack(configd, revision), reason, confirmMinutes, restart, ...whereOf(local) }, PATIENCE));
    return tellCommit(context, result, json);
  },
});

export const adopt = defineCommand({
  path: 'config adopt',
  access: 'configure',
  help: 'gateway.yaml as somebody wrote it with an editor becomes a revision, and the daemons read it',
  args: { reason: REASON_OPTION, confirm: CONFIRM_OPTION, local: LOCAL_FLAG, json: JSON_FLAG },
  async run(context, { reason = '', confirm, local, json }) {
    const confirmMinutes = minutesIn(confirm);
    return tellCommit(context, await committing(context, configd => configd.call('adopt', { author: author(context), reason, confirmMinutes, ...whereOf(local) }, PATIENCE)), json);
  },
});

export const factoryReset = defineCommand({
  path: 'config factory-reset',
  access: ['configure', 'security'],
  help: 'the configuration as delivered; the one before stays as a revision to come back to',
  args: { yes: { type: 'flag', help: 'nothing is asked' }, reason: REASON_OPTION, confirm: CONFIRM_OPTION, json: JSON_FLAG },
  async run(context, { yes, reason = '', confirm, json }) {
    if (!yes) {
      context.err('every device and platform loses this gateway: give --yes when that is meant');
      return 1;
    }
    const confirmMinutes = minutesIn(confirm);
    return tellCommit(context, await committing(context, configd => configd.call('factoryReset', { author: author(context), reason, confirmMinutes }, PATIENCE)), json);
  },
});

export const rotateSecrets = defineCommand({
  path: 'config secrets rotate',
  access: 'security',
  help: 'a new key for the secrets of the configuration; everything that is kept is sealed with it',
  args: { reason: REASON_OPTION, json: JSON_FLAG },
  async run(context, { reason = '', json }) {
    return tellCommit(context, await committing(context, configd => configd.call('rotateSecrets', { author: author(context), reason }, PATIENCE)), json);
  },
});
