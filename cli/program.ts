/** The list of commands as a program: what the words on a command line mean. */
import { Command as Program, Option } from 'commander';
import type { ArgSpec, Candidate, Command, GrammarNode } from './command.ts';
import { COMMANDS } from './commands.ts';
import type { GlobalOptions, Output } from './context.ts';
import { GROUP_HELP, helpText } from './help.ts';
import { say } from './language.ts';
import { inertLines } from './render.ts';
import { grammarOf } from './shell/grammar.ts';
import { version } from './version.ts';

const GLOBAL_OPTIONS: Readonly<Record<keyof GlobalOptions, readonly [flags: string, help: string]>> = {
  runDir: ['--run-dir <dir>', 'sockets of the daemons (VLINK_RUN_DIR; else as configured)'],
  config: ['--config <file>', 'configuration (VLINK_CONFIG; else /etc/viewlink/gateway.yaml)'],
  lang: ['--lang <lang>', 'en or zh; else as the terminal is set'],
};

export const GRAMMAR: GrammarNode = grammarOf(COMMANDS.filter(({ hidden }) => hidden !== true), GROUP_HELP);

export const globalHelp = (): readonly Candidate[] => Object.values(GLOBAL_OPTIONS).map(([word, help]) => ({ word, help: say(help) }));

export type Run = (command: Command, args: Readonly<Record<string, unknown>>, options: GlobalOptions) => Promise<void>;

export function createProgram(output: Output, run: Run): Program {
  const configure = (one: Program, node: GrammarNode | undefined, path: string): Program => {
    one.exitOverride().configureOutput({ writeOut: text => output.out(inertLines(text)), writeErr: text => output.err(inertLines(text)) }).helpCommand(false);
    if (node !== undefined) one.helpInformation = () => helpText(node, path, globalHelp());
    return one;
  };
  const program = configure(new Program('vlink'), GRAMMAR, '').version(version()).enablePositionalOptions();
  for (const [flags, help] of Object.values(GLOBAL_OPTIONS)) program.option(flags, help);
  for (const command of COMMANDS) {
    let above = program;
    let node: GrammarNode | undefined = GRAMMAR;
    const words = command.path.split(' ');
    for (const [index, word] of words.entries()) {
      node = node?.children.get(word);
      above = above.commands.find(one => one.name() === word) ?? configure(above.command(word), node, words.slice(0, index + 1).join(' '));
    }
    declare(above, program, command, run);
  }
  return program;
}

function declare(one: Program, program: Program, command: Command, run: Run): void {
  for (const [key, spec] of Object.entries(command.args)) declareArg(one, key, spec);
  if (command.passOn === true) one.passThroughOptions().allowUnknownOption().helpOption(false);
  // They may stand behind the command too, unless it has an option of that name itself.
  const global = Object.entries(GLOBAL_OPTIONS).filter(([key]) => command.args[key] === undefined);
  for (const [, [flags, help]] of global) one.addOption(new Option(flags, help).hideHelp());
  const behind = (): GlobalOptions => Object.fromEntries(global.map(([key]) => [key, one.opts<GlobalOptions>()[key as keyof GlobalOptions]]).filter(([, value]) => value !== undefined));
  one.action((...given: unknown[]) => run(command, collectArgs(one, command, given), { ...program.opts<GlobalOptions>(), ...behind() }));
}

function declareArg(one: Program, key: string, { type, help, optional }: ArgSpec): void {
  if (type === 'rest') one.argument(`[${key}...]`, help);
  else if (type === 'argument') one.argument(optional === true ? `[${key}]` : `<${key}>`, help);
  else one.option(type === 'flag' ? `--${key}` : `--${key} <${key}>`, help);
}

/** Commander gives positional values first, in order, then options. */
function collectArgs(one: Program, { args }: Command, given: readonly unknown[]): Readonly<Record<string, unknown>> {
  const options = one.opts<Record<string, unknown>>();
  const positional = Object.keys(args).filter(key => args[key]!.type === 'argument' || args[key]!.type === 'rest');
  const valueOf = (key: string): unknown => (positional.includes(key) ? given[positional.indexOf(key)] : args[key]!.type === 'flag' ? options[key] === true : options[key]);
  return Object.fromEntries(Object.keys(args).map(key => [key, valueOf(key)]));
}
