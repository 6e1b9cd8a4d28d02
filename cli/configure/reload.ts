import { CONFIG_SECTIONS } from '#core/config/diff.ts';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import { defineCommand, type Context } from '../command.ts';
import { explain } from '../explain.ts';
import { checkFile } from './check.ts';

const REFUSED = 1;
const TIMEOUT_MS = 30_000;
const sections = [...CONFIG_SECTIONS];

type Reload = (checkOnly: boolean) => Promise<{ readonly refused: string | null }>;

/** Media first, then signalling: sipd asks for nothing that mediad has not heard of. */
async function daemons(context: Context): Promise<readonly (readonly [string, Reload])[]> {
  const media = (await context.mediadInstances()).map((instance): readonly [string, Reload] => [`mediad-${instance}`, checkOnly => context.mediad(instance, client => client.call('reload', { sections, checkOnly }, { timeoutMs: TIMEOUT_MS }))]);
  return [...media, ['sipd', checkOnly => context.sipd(client => client.call('reload', { sections, checkOnly }, { timeoutMs: TIMEOUT_MS }))]];
}

/** 0, or the exit code of what went wrong. */
async function reloadOne(context: Context, name: string, reload: Reload, checkOnly: boolean): Promise<number> {
  try {
    const { refused } = await reload(checkOnly);
    if (refused === null && !checkOnly) context.out(`${name}: reloaded`);
    if (refused !== null) context.err(`${name}: refused: ${refused}`);
    return refused === null ? 0 : REFUSED;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    context.err(`${name}: ${explain(error)}`);
    return EXIT_CODE[error.code];
  }
}

export default defineCommand({
  path: 'config reload',
  access: 'configure',
  help: 'check the configuration, then let every daemon apply what changed; sessions go on',
  args: {},
  async run(context) {
    if (!(await checkFile(context, context.configPath))) return EXIT_CODE.CONFIG_INVALID;
    const all = await daemons(context);
    // One refusal aborts the whole: everybody is asked before anybody changes.
    for (const [name, reload] of all) {
      const code = await reloadOne(context, name, reload, true);
      if (code !== 0) {
        context.err('nothing was reloaded');
        return code;
      }
    }
    const done: string[] = [];
    for (const [name, reload] of all) {
      const code = await reloadOne(context, name, reload, false);
      if (code === 0) done.push(name);
      else {
        context.err(`stopped here; ${done.length === 0 ? 'nothing was reloaded' : `already reloaded: ${done.join(', ')}`}`);
        return code;
      }
    }
    return 0;
  },
});
