/** Help of vlink, out of the list of commands: the same text for `--help`, `vlink help` and `?`. */
import { needsText } from '#core/access/roles.ts';
import { EXIT_CODE, type ErrorCode } from '#core/result.ts';
import type { ArgSpec, Candidate, Command, GrammarNode } from './command.ts';
import { say } from './language.ts';
import { displayWidth, inert } from './render.ts';
import { FILTER_HELP } from './shell/filters.ts';

export const GROUP_HELP: Readonly<Record<string, string>> = {
  show: 'what is',
  catalog: 'catalogues of devices',
  config: 'the configuration',
  secrets: 'its keys and passwords',
  sim: 'cameras and platforms that are none, for trying things out',
  completion: 'completion of the Tab key in other shells',
  audit: 'the log of who did what',
  alarm: 'alarms',
  check: 'what others do as they should',
  ban: 'addresses that are shut out',
  api: 'the HTTP interface',
  cluster: 'the pair of nodes',
  user: 'users of the HTTP interface',
};

/** Two columns that stand straight with Chinese words. */
export function pairs(rows: readonly Candidate[]): string {
  const width = rows.reduce((widest, { word }) => Math.max(widest, displayWidth(inert(word))), 0);
  return rows.map(({ word, help }) => `  ${inert(word)}${' '.repeat(width - displayWidth(inert(word)))}  ${inert(help)}`.trimEnd()).join('\n');
}

const placeholder = (name: string, { type, optional }: ArgSpec): string => (type === 'rest' ? `[${name}...]` : optional === true ? `[${name}]` : `<${name}>`);

const positionals = ({ args }: Command): string => Object.entries(args).filter(([, { type }]) => type === 'argument' || type === 'rest').map(([name, spec]) => placeholder(name, spec)).join(' ');

function commandHelp(command: Command): string {
  const options = Object.entries(command.args).map(([name, spec]): Candidate => {
    const isPositional = spec.type === 'argument' || spec.type === 'rest';
    const word = isPositional ? placeholder(name, spec) : spec.type === 'flag' ? `--${name}` : `--${name} <${name}>`;
    const choices = typeof spec.values === 'object' && spec.values.length > 0 ? ` (${spec.values.join(' | ')})` : '';
    return { word, help: say(spec.help) + choices };
  });
  const lines = [`${say('Usage')}: vlink ${[command.path, positionals(command), '[options]'].filter(part => part !== '').join(' ')}`, '', say(command.help), ''];
  if (options.length > 0) lines.push(pairs(options), '');
  lines.push(`${say('Needs')}: ${needsText(command.access)}`);
  return `${lines.join('\n')}\n`;
}

function groupText(node: GrammarNode, path: string, globals: readonly Candidate[]): string {
  const commands = [...node.children.values()].filter(({ command, children }) => command?.hidden !== true || children.size > 0).map((child): Candidate => {
    const what = child.command === null ? '...' : positionals(child.command);
    return { word: `${child.word}${what === '' ? '' : ` ${what}`}`, help: say(child.help) };
  });
  const lines = [`${say('Usage')}: vlink ${path === '' ? '' : `${path} `}<${say('command')}>`, '', pairs(commands), ''];
  if (path === '') lines.push(pairs(globals), '', say('Without a command on a terminal: a shell with Tab, ? and a history. vlink help exit-codes, vlink help filters: more.'));
  return `${lines.join('\n').trimEnd()}\n`;
}

/** Of a place in the grammar, by its whole words. */
export const helpText = (node: GrammarNode, path: string, globals: readonly Candidate[]): string => (node.command === null ? groupText(node, path, globals) : commandHelp(node.command));

/** What each failure means to whoever runs vlink in a script. */
export const EXIT_HELP: Readonly<Record<ErrorCode, string>> = {
  CONFLICT: 'it does not go with what is there now, such as a commit that waits to be confirmed',
  BAD_REQUEST: 'what was typed makes no sense',
  CONFIG_INVALID: 'the configuration is wrong',
  PEER_UNKNOWN: 'no such device, upstream or entry',
  PEER_OFFLINE: 'the device is offline',
  CHANNEL_UNKNOWN: 'no such channel',
  NOT_PERMITTED: 'your role does not permit it',
  SIP_TIMEOUT: 'the device did not answer',
  SIP_REJECTED: 'the device refused',
  MEDIA_TARGET_REFUSED: 'media may not go there',
  MEDIA_SILENT: 'the device sends nothing',
  PORTS_EXHAUSTED: 'no media port is free',
  CAPACITY_EXHAUSTED: 'no capacity is free; try again',
  MEDIA_UNAVAILABLE: 'the media cannot be served now',
  BRIDGE_UNKNOWN: 'that session has ended',
  STORE_FAILED: 'the disk failed',
  NODE_STANDBY: 'the other node of the pair is active',
  DAEMON_UNREACHABLE: 'a daemon does not answer',
};

export function exitCodeHelp(): readonly Candidate[] {
  const codes = Map.groupBy(Object.entries(EXIT_CODE), ([, code]) => code);
  const failures = [...codes].sort(([a], [b]) => a - b).map(([code, entries]): Candidate => ({ word: String(code), help: entries.map(([name]) => say(EXIT_HELP[name as ErrorCode])).join('; ') }));
  return [{ word: '0', help: say('well') }, { word: '1', help: say('it was done, and what it found is broken, offline or refused') }, ...failures, { word: '130', help: say('interrupted by Ctrl-C') }];
}

export const filterHelp = (): readonly Candidate[] => Object.entries(FILTER_HELP).map(([word, help]) => ({ word: `| ${word}`, help: say(help) }));

export const keyHelp = (): readonly Candidate[] => [
  { word: 'Tab', help: say('completes the word; twice: what there is') },
  { word: '?', help: say('what can come next, at any place') },
  { word: 'Up, Down, Ctrl-R', help: say('lines typed before') },
  { word: 'Ctrl-C', help: say('ends the command that runs, or clears the line') },
  { word: 'Ctrl-D, exit', help: say('leaves') },
  { word: '"..."', help: say('keeps blanks together; nothing else has a meaning, there is no shell behind') },
];
