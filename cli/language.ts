/** The language of this vlink: English, or the Chinese of zh.ts. What peers and daemons say stays as they said it. */
import { ZH } from './zh.ts';
import { sentenceZh } from './zh/sentences.ts';

export type Language = 'en' | 'zh';

/** One process speaks one language; `main` chooses it. */
let current: Language = 'en';

export function speak(language: Language): void {
  current = language;
}

export const currentLanguage = (): Language => current;

/** Text without a translation stays English. */
export const say = (english: string): string => (current === 'zh' ? (ZH[english] ?? english) : english);

/** A sentence of a daemon about a value, with what it is about before it. */
export const sayWhy = (english: string): string => (current === 'zh' ? sentenceZh(english) : english);

/** `--lang`, else the locale of the terminal; null: no language that we have. */
export function languageOf(option: string | undefined, environment: NodeJS.ProcessEnv): Language | null {
  if (option !== undefined) return option === 'en' || option === 'zh' ? option : null;
  const locale = environment['LC_ALL'] || environment['LC_MESSAGES'] || environment['LANG'] || '';
  return locale.startsWith('zh') ? 'zh' : 'en';
}
