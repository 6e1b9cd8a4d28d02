import { needsText } from '#core/access/roles.ts';
import { GatewayError } from '#core/result.ts';
import type { Candidate } from '../command.ts';
import { type ArgSpec, defineCommand, type GrammarNode, JSON_FLAG } from '../command.ts';
import { say } from '../language.ts';
import { exitCodeHelp, filterHelp, helpText, keyHelp, pairs } from '../help.ts';

const TOPICS: Readonly<Record<string, () => readonly Candidate[]>> = { 'exit-codes': exitCodeHelp, filters: filterHelp, keys: keyHelp };

interface RawCommand {
  readonly path: string;
  readonly help: string;
  readonly access: string;
  readonly args: readonly (ArgSpec & { readonly name: string })[];
}

/** Every command at this place and below it. */
function rawHelp({ command, children }: GrammarNode): readonly RawCommand[] {
  const own = command === null ? [] : [{ path: command.path, help: say(command.help), access: needsText(command.access), args: Object.entries(command.args).map(([name, spec]) => ({ name, ...spec, help: say(spec.help) })) }];
  return [...own, ...[...children.values()].flatMap(rawHelp)];
}

export default defineCommand({
  path: 'help',
  access: 'none',
  help: 'what a command does and takes; topics: exit-codes, filters, keys',
  args: { words: { type: 'rest', help: 'a command, or a topic', values: 'command' }, json: JSON_FLAG },
  async run(context, { words, json }) {
    const topic = TOPICS[words.join(' ')];
    if (topic !== undefined) {
      context.print(topic(), json, pairs);
      return 0;
    }
    let node = context.grammar;
    for (const word of words) {
      const next = node.children.get(word);
      if (next === undefined) throw new GatewayError('BAD_REQUEST', { why: `no command ${words.join(' ')}`, topics: Object.keys(TOPICS).join(', ') });
      node = next;
    }
    context.print(json ? rawHelp(node) : null, json, () => helpText(node, words.join(' '), []).trimEnd());
    return 0;
  },
});
