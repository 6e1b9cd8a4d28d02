import { GatewayError } from '#core/result.ts';
import type { Candidate } from '../command.ts';
import { defineCommand } from '../command.ts';
import { exitCodeHelp, filterHelp, helpText, keyHelp, pairs } from '../help.ts';

const TOPICS: Readonly<Record<string, () => readonly Candidate[]>> = { 'exit-codes': exitCodeHelp, filters: filterHelp, keys: keyHelp };

export default defineCommand({
  path: 'help',
  access: 'none',
  help: 'what a command does and takes; topics: exit-codes, filters, keys',
  args: { words: { type: 'rest', help: 'a command, or a topic', values: 'command' } },
  async run(context, { words }) {
    const topic = TOPICS[words.join(' ')];
    if (topic !== undefined) {
      context.out(pairs(topic()));
      return 0;
    }
    let node = context.grammar;
    for (const word of words) {
      const next = node.children.get(word);
      if (next === undefined) throw new GatewayError('BAD_REQUEST', { why: `no command ${words.join(' ')}`, topics: Object.keys(TOPICS).join(', ') });
      node = next;
    }
    context.out(helpText(node, words.join(' '), []).trimEnd());
    return 0;
  },
});
