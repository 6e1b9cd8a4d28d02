/** vlink: the command line of the gateway. `main` runs one command, a line of an SSH client, or the shell; each command is a file of its own. */
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import type { Output } from './context.ts';
import { explain } from './explain.ts';
import { identityOf } from './identity.ts';
import { languageOf, speak } from './language.ts';
import { type Desk, runArgv, sayFailure } from './run.ts';
import { runLine } from './shell/run-line.ts';
import { modeCommand, startShell } from './shell/start.ts';
import { DEFAULT_IDLE_MINUTES, sshSession, type SshSession } from './ssh.ts';
import { terminalOf } from './terminal.ts';

const TERMINAL: Output = { out: text => void process.stdout.write(text), err: text => void process.stderr.write(text), terminal: terminalOf(process.stdin, process.stdout) };

/** Exit code. Never throws for what a user or a daemon did. */
export async function main(argv: readonly string[], environment: NodeJS.ProcessEnv = process.env, output: Output = TERMINAL): Promise<number> {
  const isTerminal = output.terminal !== undefined && output.terminal !== null;
  try {
    const ssh = sshSession(argv, environment);
    if (ssh !== null) return await serve(ssh, output, isTerminal);
    chooseLanguage(argv, environment);
    const desk: Desk = { environment, identity: identityOf(environment), restricted: false };
    const { words, given } = leadingOptions(argv);
    const only = modeCommand(words);
    if (isTerminal && (words.length === 0 || only !== null)) return await startShell({ ...desk, environment: { ...environment, ...given } }, output, { idleMs: idleMs(desk), ...(only !== null && { only }) });
    using interrupt = interruptedByKey();
    return await runArgv(argv, desk, output, interrupt.signal);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    sayFailure(output, argv.includes('--json'), error.code, explain(error), error.detail);
    return EXIT_CODE[error.code];
  }
}

/** At the console a shell may stay open; over the network it ends when nobody is there. VLINK_IDLE_MINUTES: after how long, 0: never. */
function idleMs({ environment, identity }: Desk): number {
  const minutes = environment['VLINK_IDLE_MINUTES'] ?? '';
  if (/^\d{1,4}$/.test(minutes)) return Number(minutes) * 60_000;
  return identity.address === null ? 0 : DEFAULT_IDLE_MINUTES * 60_000;
}

const LEADING: Readonly<Record<string, string>> = { '--lang': 'VLINK_LANG', '--run-dir': 'VLINK_RUN_DIR', '--config': 'VLINK_CONFIG' };

/** Options before the first word, as the shell finds them in its environment. */
function leadingOptions(argv: readonly string[]): { readonly words: readonly string[]; readonly given: Readonly<Record<string, string>> } {
  const given: Record<string, string> = {};
  let at = 0;
  for (;;) {
    const [, name = '', inline] = /^(--[a-z-]+)(?:=(.*))?$/s.exec(argv[at] ?? '') ?? [];
    const variable = LEADING[name];
    const value = inline ?? argv[at + 1];
    if (variable === undefined || value === undefined) return { words: argv.slice(at), given };
    given[variable] = value;
    at += inline === undefined ? 2 : 1;
  }
}

async function serve({ environment, line, idleMs }: SshSession, output: Output, isTerminal: boolean): Promise<number> {
  chooseLanguage([], environment);
  const desk: Desk = { environment, identity: identityOf(environment), restricted: true };
  const only = line === null ? null : modeCommand(line.trim().split(/\s+/));
  if (only !== null && isTerminal) return startShell(desk, output, { idleMs, only });
  if (line !== null) return runLine(line, desk, output);
  if (isTerminal) return startShell(desk, output, { idleMs });
  throw new GatewayError('BAD_REQUEST', { why: 'no terminal and no command: ssh -t, or ssh HOST show devices' });
}

function chooseLanguage(argv: readonly string[], environment: NodeJS.ProcessEnv): void {
  const at = argv.findIndex(word => word === '--lang' || word.startsWith('--lang='));
  const word = argv[at];
  const language = languageOf(at < 0 ? undefined : word === '--lang' ? argv[at + 1] : word!.slice('--lang='.length), environment);
  if (language === null) throw new GatewayError('BAD_REQUEST', { why: '--lang: en or zh' });
  speak(language);
}

/** Ctrl-C on a command of its own: what it waits for is given up, what it began it ends properly. The next one ends vlink. */
function interruptedByKey(): Disposable & { readonly signal: AbortSignal } {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once('SIGINT', onSignal);
  return { signal: stop.signal, [Symbol.dispose]: () => void process.off('SIGINT', onSignal) };
}

if (import.meta.main) {
  // `vlink show channels | head`: the reader has seen enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : EXIT_CODE.STORE_FAILED));
  process.exitCode = await main(process.argv.slice(2));
}
