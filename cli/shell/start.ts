/** Puts the shell together for whoever sits here. */
import { homedir, hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#kit/clock.ts';
import type { Command, ShellMode } from '../command.ts';
import { createContext, type Output } from '../context.ts';
import { explain } from '../explain.ts';
import { GRAMMAR } from '../program.ts';
import { inert, inertLines } from '../render.ts';
import { assertMayRun, type Desk, runArgv } from '../run.ts';
import { History } from './history.ts';
import { IdleWatch } from './idle-watch.ts';
import { OperationalMode } from './operational-mode.ts';
import { PagedOutput } from './paged-output.ts';
import { Shell } from './shell.ts';
import { Standing } from './standing.ts';
import type { Filter } from './filters.ts';
import { findCommand } from './grammar.ts';
import { GatewayError } from '#core/result.ts';

export interface ShellSettings {
  readonly idleMs: number;
  /** The mode of this command alone: leaving it ends the shell. */
  readonly only?: Command;
}

/** The command of these words, when it is a mode of its own. */
export function modeCommand(words: readonly string[]): Command | null {
  const found = findCommand(GRAMMAR, words);
  return 'why' in found || found.rest.length > 0 || found.command.enter === undefined ? null : found.command;
}

const NEVER_ABORTED = new AbortController().signal;

/** Exit code. */
export async function startShell(desk: Desk, output: Output, { idleMs, only }: ShellSettings): Promise<number> {
  using idle = new IdleWatch(systemClock, idleMs);
  const surroundings = { options: {}, environment: desk.environment, identity: desk.identity, grammar: GRAMMAR };
  // What the line that runs now prints to, and what stops it.
  let current: { readonly output: Output; readonly signal: AbortSignal } = { output, signal: NEVER_ABORTED };
  const here = () => ({ ...surroundings, ...current });
  const execute = async (command: Command, argv: readonly string[], filters: readonly Filter[]): Promise<void> => {
    const isLive = command.live === true || argv.includes('--follow');
    const to = filters.length > 0 || isLive ? new PagedOutput(isLive && filters.length === 0 ? output : current.output, filters, !isLive) : current.output;
    await runArgv(argv, desk, to, current.signal);
    if (to instanceof PagedOutput && to !== current.output) await to.finish(idle);
  };
  const begin = async (command: Command): Promise<ShellMode> => {
    await assertMayRun(command, here());
    return command.enter!(createContext(here()));
  };
  const enter = async (command: Command): Promise<ShellMode | null> => {
    try {
      return await begin(command);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      current.output.err(`${inertLines(explain(error))}\n`);
      return null;
    }
  };
  const top = new OperationalMode({ grammar: GRAMMAR, user: inert(desk.identity.user), execute, enter, context: () => createContext(here()) });
  const first = only === undefined ? top : await begin(only);
  const shell = new Shell(first, { output, surroundings, top, standing: new Standing(() => createContext({ ...surroundings, output, signal: NEVER_ABORTED }), hostname()), history: await History.open(join(desk.restricted ? userInfo().homedir : homedir(), '.vlink_history')), idle, onRun: (to, signal) => void (current = { output: to, signal }) });
  await shell.run();
  return 0;
}
