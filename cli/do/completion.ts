import { defineCommand } from '../command.ts';
import { inert } from '../render.ts';
import { completeWords, valuesFrom } from '../shell/complete.ts';

/** Asks vlink itself at every Tab: what is new in it needs no new script. */
const BASH = `# bash completion of vlink: eval "$(vlink completion bash)"
_vlink() {
  local line
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    [ -n "$line" ] && COMPREPLY+=("$line")
  done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _vlink vlink`;

export const completionBash = defineCommand({
  path: 'completion bash',
  access: 'none',
  help: 'prints what makes the Tab key of bash know vlink: eval "$(vlink completion bash)"',
  args: {},
  async run(context) {
    context.out(BASH);
    return 0;
  },
});

/** `vlink __complete -- WORD... PARTIAL`: one candidate a line, with its help behind a tab. */
export const completeForShell = defineCommand({
  path: '__complete',
  access: 'none',
  hidden: true,
  help: 'candidates for the last word',
  args: { words: { type: 'rest', help: 'words of the line; the last one is being typed' } },
  async run(context, { words }) {
    const partial = words.at(-1) ?? '';
    const before = withoutGlobals(words.slice(0, -1));
    const { candidates } = await completeWords(context.grammar, before, partial, valuesFrom(context, [...context.grammar.children.keys()]));
    const usable = candidates.filter(({ word }) => !/[\s"']/.test(word)).map(({ word, help }) => `${inert(word)}\t${inert(help)}`);
    if (usable.length > 0) context.raw(`${usable.join('\n')}\n`);
    return 0;
  },
});

/** `--run-dir X show devices`: what stands before the command is no word of it. */
function withoutGlobals(words: readonly string[]): readonly string[] {
  let at = 0;
  while (words[at]?.startsWith('--') === true) at += words[at]!.includes('=') ? 1 : 2;
  return words.slice(at);
}
