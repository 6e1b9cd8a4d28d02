/**
 * A typed line as words. There is no shell behind it: `;`, `$()`, backticks, `>` and `&` are text like any other. Quotes
 * keep blanks together; a `|` that stands alone begins one of our own filters (filters.ts).
 */
import { fail, ok, type Result } from '#core/result.ts';

const MAX_LINE_CHARACTERS = 16_384;
const MAX_WORDS = 256;
/** What no key types and no path needs. */
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;

export interface Word {
  readonly text: string;
  /** Where it begins in the line, with its quotes, and where it ends. */
  readonly start: number;
  readonly end: number;
  /** `|`, by itself and not in quotes. */
  readonly pipe: boolean;
  /** False: a quote in it has no end yet. */
  readonly closed: boolean;
}

export function splitWords(line: string): Result<readonly Word[]> {
  if (line.length > MAX_LINE_CHARACTERS) return fail(MAX_LINE_CHARACTERS, `longer than ${MAX_LINE_CHARACTERS} characters`);
  const control = CONTROL.exec(line);
  if (control !== null) return fail(control.index, 'a control character');
  const words: Word[] = [];
  for (let at = skipBlanks(line, 0); at < line.length; at = skipBlanks(line, at)) {
    if (words.length === MAX_WORDS) return fail(at, `more than ${MAX_WORDS} words`);
    const word = wordAt(line, at);
    words.push(word);
    at = word.end;
  }
  return ok(words);
}

const isBlank = (character: string): boolean => character === ' ' || character === '\t' || character === '\u3000';

function skipBlanks(line: string, from: number): number {
  let at = from;
  while (at < line.length && isBlank(line[at]!)) at += 1;
  return at;
}

function wordAt(line: string, start: number): Word {
  let text = '';
  let quote: string | null = null;
  let quoted = false;
  let at = start;
  for (; at < line.length && (quote !== null || !isBlank(line[at]!)); at += 1) {
    const character = line[at]!;
    if (quote === null && (character === '"' || character === "'")) {
      quote = character;
      quoted = true;
    } else if (character === quote) {
      quote = null;
    } else if (quote === '"' && character === '\\' && (line[at + 1] === '"' || line[at + 1] === '\\')) {
      at += 1;
      text += line[at]!;
    } else {
      text += character;
    }
  }
  return { text, start, end: at, pipe: text === '|' && !quoted, closed: quote === null };
}

/** As it must be typed to be read back as one word. */
export function quoteWord(text: string): string {
  if (text !== '' && text !== '|' && !/[\s\u3000"']/.test(text)) return text;
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
