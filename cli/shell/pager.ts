/**
 * Long output page by page.
 *
 *            more lines than rows          space, enter, /text: until the last line
 *   showing -----------------------> asking ------------------------------------> done
 *                                     |  ^                                          ^
 *                                  /  |  | enter, escape                            |
 *                                     v  |                                          |
 *                                  searching                       q, ctrl-c -------+
 *
 * Pure: keys in, text for the terminal out.
 */
import { clip, displayWidth } from '../render.ts';
import { CLEAR_LINE, type Key } from '../terminal.ts';

const MAX_SEARCH = 200;

export interface PagerSize {
  readonly columns: number;
  readonly rows: number;
}

export interface PagerStep {
  readonly write: string;
  readonly done: boolean;
}

/** Rows of the screen that a line takes. */
export const rowsOf = (line: string, columns: number): number => Math.max(1, Math.ceil(displayWidth(line) / columns));

export class Pager {
  readonly #lines: readonly string[];
  readonly #size: () => PagerSize;
  /** The first line that has not been shown. */
  #next = 0;
  /** What is being typed after `/`; null outside. */
  #typing: string | null = null;
  #searched = '';
  #note = '';

  constructor(lines: readonly string[], size: () => PagerSize) {
    this.#lines = lines;
    this.#size = size;
  }

  /** The first page, or the prompt alone when a screen is full already. */
  start(screenIsFull: boolean): PagerStep {
    return screenIsFull ? this.#ask('') : this.#page();
  }

  key(key: Key): PagerStep {
    this.#note = '';
    if (this.#typing !== null) return this.#typed(key);
    switch (key) {
      case 'q':
      case 'Q':
      case 'ctrl-c':
      case 'ctrl-d':
        return { write: CLEAR_LINE, done: true };
      case 'space':
      case 'f':
      case 'page-down':
        return this.#page();
      case 'enter':
      case 'down':
      case 'j':
        return this.#show(1);
      case 'b':
      case 'page-up':
        return this.#back();
      case 'G':
      case 'end':
        return this.#show(this.#lines.length);
      case '/':
        this.#typing = '';
        return this.#ask('');
      case 'n':
        return this.#search();
      default:
        return this.#ask('');
    }
  }

  #typed(key: Key): PagerStep {
    const text = this.#typing!;
    if (key === 'enter') {
      this.#typing = null;
      if (text !== '') this.#searched = text;
      return this.#search();
    }
    if (key === 'escape' || key === 'ctrl-c') this.#typing = null;
    else if (key === 'backspace') this.#typing = text === '' ? null : [...text].slice(0, -1).join('');
    else if (key === 'space') this.#typing = `${text} `;
    else if ([...key].length === 1 && text.length < MAX_SEARCH) this.#typing = text + key;
    return this.#ask('');
  }

  /** From the next line on that has the text, with that line on top. */
  #search(): PagerStep {
    const wanted = this.#searched.toLowerCase();
    const found = wanted === '' ? -1 : this.#lines.findIndex((line, at) => at >= this.#next && line.toLowerCase().includes(wanted));
    if (found < 0) {
      this.#note = wanted === '' ? '' : 'not found below; ';
      return this.#ask('');
    }
    const skipped = found > this.#next ? `${CLEAR_LINE}...\n` : '';
    this.#next = found;
    const page = this.#page();
    return { ...page, write: skipped + page.write };
  }

  /** The page before this one again. */
  #back(): PagerStep {
    const height = this.#size().rows - 1;
    this.#next = Math.max(0, this.#next - 2 * height);
    const page = this.#page();
    return { ...page, write: `${CLEAR_LINE}...\n${page.write}` };
  }

  #page(): PagerStep {
    const { columns, rows } = this.#size();
    let room = rows - 1;
    let count = 0;
    for (let at = this.#next; at < this.#lines.length && room > 0; at += 1) {
      room -= rowsOf(this.#lines[at]!, columns);
      if (room < 0 && count > 0) break;
      count += 1;
    }
    return this.#show(count);
  }

  #show(count: number): PagerStep {
    const shown = this.#lines.slice(this.#next, this.#next + count);
    this.#next += shown.length;
    const text = shown.map(line => `${line}\n`).join('');
    return this.#next >= this.#lines.length ? { write: CLEAR_LINE + text, done: true } : this.#ask(text);
  }

  #ask(text: string): PagerStep {
    const left = this.#lines.length - this.#next;
    const words = this.#typing === null ? `-- ${this.#note}${left} more lines: space page, enter line, b back, / search, q quit --` : `/${this.#typing}`;
    return { write: `${CLEAR_LINE}${text}${clip(words, this.#size().columns - 1)}`, done: false };
  }
}
