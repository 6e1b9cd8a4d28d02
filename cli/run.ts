/** One command: may he, write it down, do it, write down how it went, say why not. */
import { CommanderError } from 'commander';
import { access } from 'node:fs/promises';
import { EXIT_CODE, GatewayError, type ErrorCode } from '#core/result.ts';
import { loadConfig } from '#kit/config-store.ts';
import { AuditTrail } from './audit-trail.ts';
import type { ArgSpec, Command } from './command.ts';
import { configPathOf, createContext, type Output, runDirOf, type Surroundings } from './context.ts';
import { explain } from './explain.ts';
import { assertPermitted, type Identity } from './identity.ts';
import { EXIT_INTERRUPTED, Interrupted } from './interrupted.ts';
import { createProgram, GRAMMAR } from './program.ts';
import { inertLines, safeJson } from './render.ts';

/** Who sits here, and what of his surroundings is believed. */
export interface Desk {
  readonly environment: NodeJS.ProcessEnv;
  readonly identity: Identity;
  /** Under a forced command: no other files and daemons than those of the gateway. */
  readonly restricted: boolean;
}

const NEVER_ABORTED = new AbortController().signal;

/** Exit code. Never throws for what a user or a daemon did. */
export async function runArgv(argv: readonly string[], desk: Desk, output: Output, signal: AbortSignal = NEVER_ABORTED): Promise<number> {
  let code = 0;
  let usage = '';
  const json = argv.includes('--json');
  // What commander says of bad words is the message of the failure.
  const program = createProgram({ out: text => output.out(text), err: text => (json ? void (usage += text) : output.err(text)) }, async (command, args, options) => {
    code = await runCommand(command, args, { options: { ...options }, environment: desk.environment, output, identity: desk.identity, signal, grammar: GRAMMAR }, desk.restricted);
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof Interrupted) return EXIT_INTERRUPTED;
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      if (json) sayFailure(output, true, 'BAD_REQUEST', usage.trim());
      return EXIT_CODE.BAD_REQUEST;
    }
    if (!(error instanceof GatewayError)) throw error;
    sayFailure(output, json, error.code, explain(error), error.detail);
    return EXIT_CODE[error.code];
  }
}

/** Whoever asked for JSON gets JSON, where he looks for it. */
export function sayFailure(output: Output, json: boolean, code: ErrorCode, message: string, detail: GatewayError['detail'] = {}): void {
  if (json) output.out(`${safeJson({ error: { code, message, detail } })}\n`);
  else output.err(`${inertLines(message)}\n`);
}

/** Rejects with NOT_PERMITTED before anything has been looked at. */
export async function assertMayRun(command: Command, surroundings: Surroundings): Promise<void> {
  if (command.access === 'none') return;
  try {
    await assertPermitted(surroundings.identity, command.access, `vlink ${command.path}`, () => runDirOf(surroundings));
  } catch (error) {
    await AuditTrail.refused(command, createContext(surroundings));
    throw error;
  }
}

async function runCommand(command: Command, args: Readonly<Record<string, unknown>>, surroundings: Surroundings, restricted: boolean): Promise<number> {
  await assertMayRun(command, surroundings);
  if (restricted) assertRestrained(command, args, surroundings);
  const context = createContext(surroundings);
  if (command.access === 'none' || command.access === 'read') return command.run(context, args);
  const trail = await AuditTrail.begin(command, args, createContext({ ...surroundings, signal: NEVER_ABORTED }), await spoolDirectory(surroundings));
  try {
    const code = await command.run(context, args);
    await trail.end(code === 0 ? 'done' : 'failed', `exit code ${code}`);
    return code;
  } catch (error) {
    const code = error instanceof GatewayError ? error.code : error instanceof Error ? error.name : 'unknown';
    await trail.end(code === 'NOT_PERMITTED' ? 'refused' : 'failed', code);
    throw error;
  }
}

/** Where it outlives a restart of the machine; else beside the sockets. */
async function spoolDirectory(surroundings: Surroundings): Promise<string> {
  const loaded = await loadConfig(configPathOf(surroundings));
  const wanted = loaded.ok ? loaded.config.state.directory : null;
  const there = wanted !== null && (await access(wanted).then(() => true, () => false));
  return there ? wanted : await runDirOf(surroundings);
}

const NAMES_A_FILE = /^(file|pcap|html|config|out|output)$/;
const isFile = (name: string, { values }: ArgSpec): boolean => values === 'file' || (values === undefined && NAMES_A_FILE.test(name));
/** A name in his own directory, and none that some program reads at log-in. */
const PLAIN_NAME = /^[^./\0][^/\0]{0,127}$/;

/** A forced command is all that this user has: it must not become a way to the rest of the machine. */
function assertRestrained(command: Command, args: Readonly<Record<string, unknown>>, { options }: Surroundings): void {
  if (command.unrestricted === true) throw new GatewayError('NOT_PERMITTED', { what: `vlink ${command.path}`, why: 'not in a restricted session' });
  for (const name of ['runDir', 'config'] as const) if (options[name] !== undefined) throw new GatewayError('NOT_PERMITTED', { what: `--${name === 'runDir' ? 'run-dir' : name}`, why: 'not in a restricted session' });
  for (const [name, spec] of Object.entries(command.args)) {
    const value = args[name];
    if (typeof value === 'string' && isFile(name, spec) && !PLAIN_NAME.test(value)) throw new GatewayError('NOT_PERMITTED', { what: value, why: 'in a restricted session a file is a plain name, in your own directory' });
  }
}
