/** vlink: the command line of the gateway. `main` makes a program of the command list; each command is a file of its own. */
import { Command as Program, CommanderError, Option } from 'commander';
import { readFileSync } from 'node:fs';
import { EXIT_CODE, GatewayError } from '#core/result.ts';
import type { Command } from './command.ts';
import { COMMANDS } from './commands.ts';
import { createContext, type GlobalOptions, type Output } from './context.ts';
import { explain } from './explain.ts';
import { inertLines } from './render.ts';

const GROUP_HELP: Readonly<Record<string, string>> = { show: 'what is', catalog: 'catalogues of devices', config: 'the configuration' };

const GLOBAL_OPTIONS: Readonly<Record<keyof GlobalOptions, readonly [flags: string, help: string]>> = {
  runDir: ['--run-dir <dir>', 'sockets of the daemons (VLINK_RUN_DIR; else as configured)'],
  config: ['--config <file>', 'configuration (VLINK_CONFIG; else /etc/viewlink/gateway.yaml)'],
};

const version = (): string => (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version;

const TERMINAL: Output = { out: text => void process.stdout.write(text), err: text => void process.stderr.write(text) };

/** Exit code. Never throws for what a user or a daemon did. */
export async function main(argv: readonly string[], environment: NodeJS.ProcessEnv = process.env, output: Output = TERMINAL): Promise<number> {
  let code = 0;
  const program = createProgram(output, async (command, args, options) => {
    code = await command.run(createContext(options, environment, output), args);
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_CODE.BAD_REQUEST;
    if (!(error instanceof GatewayError)) throw error;
    output.err(`${inertLines(explain(error))}\n`);
    return EXIT_CODE[error.code];
  }
}

type Run = (command: Command, args: Readonly<Record<string, unknown>>, options: GlobalOptions) => Promise<void>;

function createProgram(output: Output, run: Run): Program {
  const configure = (one: Program): Program => one.exitOverride().configureOutput({ writeOut: text => output.out(inertLines(text)), writeErr: text => output.err(inertLines(text)) });
  const program = configure(new Program('vlink'))
    .description('ViewLink Gateway: see it and steer it')
    .version(version())
    .enablePositionalOptions();
  for (const [flags, help] of Object.values(GLOBAL_OPTIONS)) program.option(flags, help);
  for (const command of COMMANDS) {
    const words = command.path.split(' ');
    const name = words.pop()!;
    const parent = words.reduce((above, word) => above.commands.find(one => one.name() === word) ?? configure(above.command(word).description(GROUP_HELP[word] ?? '')), program);
    const one = configure(parent.command(name).description(command.help));
    declareArgs(one, command);
    // They may stand behind the command too, unless it has an option of that name itself.
    const global = Object.entries(GLOBAL_OPTIONS).filter(([key]) => command.args[key] === undefined);
    for (const [, [flags, help]] of global) one.addOption(new Option(flags, help).hideHelp());
    const behind = (): GlobalOptions => Object.fromEntries(global.map(([key]) => [key, one.opts<GlobalOptions>()[key as keyof GlobalOptions]]).filter(([, value]) => value !== undefined));
    one.action((...given: unknown[]) => run(command, collectArgs(one, command, given), { ...program.opts<GlobalOptions>(), ...behind() }));
  }
  return program;
}

function declareArgs(one: Program, { args }: Command): void {
  for (const [key, { type, help, optional }] of Object.entries(args)) {
    if (type === 'argument') one.argument(optional === true ? `[${key}]` : `<${key}>`, help);
    else one.option(type === 'flag' ? `--${key}` : `--${key} <${key}>`, help);
  }
}

/** Commander gives positional values first, in order, then options. */
function collectArgs(one: Program, { args }: Command, given: readonly unknown[]): Readonly<Record<string, unknown>> {
  const options = one.opts<Record<string, unknown>>();
  const positional = Object.keys(args).filter(key => args[key]!.type === 'argument');
  const valueOf = (key: string): unknown => (args[key]!.type === 'argument' ? given[positional.indexOf(key)] : args[key]!.type === 'flag' ? options[key] === true : options[key]);
  return Object.fromEntries(Object.keys(args).map(key => [key, valueOf(key)]));
}

if (import.meta.main) {
  // `vlink show channels | head`: the reader has seen enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : EXIT_CODE.STORE_FAILED));
  process.exitCode = await main(process.argv.slice(2));
}
