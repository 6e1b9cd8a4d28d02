import { CONFIG_SECTIONS } from '#core/config/diff.ts';
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG, type Context } from '../command.ts';
import { explain } from '../explain.ts';
import { checkFile } from './check.ts';
import { author, CONFIRM_OPTION, minutesIn, PATIENCE, REASON_OPTION, tellCommit } from './common.ts';
import { committing } from './commit-wait.ts';

const REFUSED = 1;
const ROOT_UID = 0;
const TIMEOUT_MS = 30_000;
const sections = [...CONFIG_SECTIONS];

type Reload = (checkOnly: boolean) => Promise<ReloadAnswer>;
type Named = readonly [name: string, reload: Reload];
interface Reloads {
  call(method: 'reload', params: ReloadParams, options: { readonly timeoutMs: number }): Promise<ReloadAnswer>;
}

/** Media first, then signalling: sipd asks for nothing that mediad has not heard of. */
async function daemons(context: Context): Promise<readonly Named[]> {
  const ask = (checkOnly: boolean) => (client: Reloads) => client.call('reload', { sections, checkOnly }, { timeoutMs: TIMEOUT_MS });
  const media = (await context.mediadInstances()).map((instance): Named => [`mediad-${instance}`, checkOnly => context.mediad(instance, ask(checkOnly))]);
  return [...media, ['sipd', checkOnly => context.sipd(ask(checkOnly))], ['healthd', checkOnly => context.healthd(ask(checkOnly))], ['apid', checkOnly => context.apid(ask(checkOnly))]];
}

/** 0, null when nobody is there, or the exit code of what went wrong. */
async function reloadOne(context: Context, [name, reload]: Named, checkOnly: boolean): Promise<number | null> {
  try {
    const { refused } = await reload(checkOnly);
    if (refused === null && !checkOnly) context.out(`${name}: reloaded`);
    if (refused !== null) context.err(`${name}: refused: ${refused}`);
    return refused === null ? 0 : REFUSED;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    if (isAway(error)) return null;
    context.err(`${name}: ${explain(error)}`);
    return EXIT_CODE[error.code];
  }
}

/** Nobody listens there: one that hangs is another matter. */
const isAway = ({ code, detail }: GatewayError): boolean => code === 'DAEMON_UNREACHABLE' && (detail['why'] === 'ENOENT' || detail['why'] === 'ECONNREFUSED');

/** For whoever mends a gateway whose configd is gone. One refusal aborts the whole: everybody is asked before anybody changes. */
async function withoutConfigd(context: Context): Promise<number> {
  context.err('viewlink-configd is away: the file is applied as it stands; it becomes a revision with config adopt');
  if (!(await checkFile(context, context.configPath))) return EXIT_CODE.CONFIG_INVALID;
  const there: Named[] = [];
  for (const one of await daemons(context)) {
    const code = await reloadOne(context, one, true);
    if (code === 0) there.push(one);
    else if (code !== null) return context.err('nothing was reloaded'), code;
  }
  if (there.length === 0) throw new GatewayError('DAEMON_UNREACHABLE', { why: 'no daemon is there' });
  const done: string[] = [];
  for (const one of there) {
    const code = (await reloadOne(context, one, false)) ?? EXIT_CODE.DAEMON_UNREACHABLE;
    if (code !== 0) return context.err(`stopped here; ${done.length === 0 ? 'nothing was reloaded' : `already reloaded: ${done.join(', ')}`}`), code;
    done.push(one[0]);
  }
  return 0;
}

export default defineCommand({
  path: 'config reload',
  access: 'configure',
  help: 'the same as config adopt; root, when viewlink-configd is away: every daemon reads the file as it stands',
  args: { reason: REASON_OPTION, confirm: CONFIRM_OPTION, json: JSON_FLAG },
  async run(context, { reason = '', confirm, json }) {
    const confirmMinutes = minutesIn(confirm);
    try {
      return tellCommit(context, await committing(context, configd => configd.call('adopt', { author: author(context), reason, confirmMinutes }, PATIENCE)), json);
    } catch (error) {
      if (!(error instanceof GatewayError) || !isAway(error) || context.identity.uid !== ROOT_UID || json) throw error;
      return await withoutConfigd(context);
    }
  },
});
