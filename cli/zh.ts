/** English as it stands in the commands, and the Chinese for it. What is missing here stays English; a test lets nothing be missing. */
import { COMMANDS_ZH } from './zh/commands.ts';
import { TITLES_ZH } from './zh/titles.ts';
import { VALUES_ZH } from './zh/values.ts';
import { WORDS_ZH } from './zh/words.ts';

export const ZH: Readonly<Record<string, string>> = { ...COMMANDS_ZH, ...VALUES_ZH, ...TITLES_ZH, ...WORDS_ZH };
