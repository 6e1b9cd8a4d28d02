/** One line from the terminal, with editing, history, Tab and `?`. Between two lines the terminal is as everybody knows it. */
import { createInterface, type Interface } from 'node:readline';
import type { Completion } from '../command.ts';
import type { History } from './history.ts';

const HISTORY_LINES = 1000;
/** Wider lists are better read with `?`. */
const MAX_SHOWN = 200;

export interface LineReaderOptions {
  readonly history: History;
  readonly onKey: () => void;
}

/** `interrupted`: Ctrl-C came right behind it, before it could run. */
export interface ReadLine {
  readonly text: string;
  readonly interrupted: boolean;
}

type Answer = (error: null, result: [string[], string]) => void;
type Complete = (before: string) => Promise<Completion>;

export class LineReader {
  readonly #options: LineReaderOptions;
  /** Whole lines that came at once, and what was typed behind the last of them. */
  #pasted: string[] = [];
  #begun = '';
  #open: Interface | null = null;

  constructor(options: LineReaderOptions) {
    this.#options = options;
  }

  /** Null: Ctrl-D. `explain` is given what `?` asks for. */
  async read(prompt: string, complete: Complete, explain: (completion: Completion) => void): Promise<ReadLine | null> {
    let over = false;
    let asking = false;
    const pasted = this.#pasted.shift();
    if (pasted !== undefined) {
      process.stdout.write(`${prompt}${pasted}\n`);
      return { text: pasted, interrupted: false };
    }
    const reader = createInterface({
      input: process.stdin,
      output: process.stdout,
      terminal: true,
      prompt,
      historySize: HISTORY_LINES,
      history: this.#options.history.newestFirst,
      removeHistoryDuplicates: true,
      completer: (line: string, answer: Answer) => {
        // One at a time: two answers to one place would be put into the line twice.
        if (asking) return answer(null, [[], '']);
        asking = true;
        void complete(line).then(completion => {
          asking = false;
          answer(null, over ? [[], ''] : forReadline(completion));
        });
      },
    });
    this.#open = reader;
    // What is found for a line that has been run meanwhile belongs nowhere.
    reader.once('line', () => void (over = true));
    using _question = watchKeys(reader, complete, explain, this.#options.onKey);
    let interrupted = false;
    reader.on('SIGINT', () => {
      if (over) return void (interrupted = true);
      process.stdout.write('^C\n');
      reader.write(null, { ctrl: true, name: 'e' });
      reader.write(null, { ctrl: true, name: 'u' });
    });
    reader.prompt();
    if (this.#begun !== '') reader.write(this.#begun);
    this.#begun = '';
    const text = await this.#firstLine(reader);
    this.#open = null;
    return text === null ? null : { text, interrupted };
  }

  close(): void {
    this.#open?.close();
    this.#open = null;
  }

  /** The others of the same paste are kept for the next calls. */
  #firstLine(reader: Interface): Promise<string | null> {
    return new Promise(resolve => {
      let first: string | null = null;
      reader.on('line', text => {
        if (first === null) {
          first = text;
          // What came in the same read comes before this.
          setImmediate(() => reader.close());
        } else {
          this.#pasted.push(text);
        }
      });
      reader.once('close', () => {
        if (first !== null) this.#begun = reader.line;
        resolve(first);
      });
    });
  }
}

/** A single candidate gets its blank; a folder does not. */
function forReadline({ candidates, partial }: Completion): [string[], string] {
  const words = candidates.slice(0, MAX_SHOWN).map(({ word }) => word);
  return [words.length === 1 && !words[0]!.endsWith('/') ? [`${words[0]} `] : words, partial];
}

/** `?` outside quotes at the end of what was typed (in the middle of a paste it is text) asks what can come next; readline has put it into the line by then. */
function watchKeys(reader: Interface, complete: Complete, explain: (completion: Completion) => void, onKey: () => void): Disposable {
  let last = false;
  let marks = 0;
  const onData = (bytes: Buffer | string): void => {
    const text = bytes.toString();
    marks = text.split('?').length - 1;
    last = text.endsWith('?');
    onKey();
  };
  const onKeypress = (text: string | undefined): void => {
    if (text !== '?' || !last || (marks -= 1) > 0 || reader.line[reader.cursor - 1] !== '?') return;
    const before = reader.line.slice(0, reader.cursor - 1);
    if (isInQuotes(before)) return;
    reader.write(null, { name: 'backspace' });
    void complete(before).then(completion => {
      process.stdout.write('\n');
      explain(completion);
      reader.prompt(true);
    });
  };
  process.stdin.prependListener('data', onData);
  process.stdin.on('keypress', onKeypress);
  return {
    [Symbol.dispose]: () => {
      process.stdin.off('data', onData);
      process.stdin.off('keypress', onKeypress);
    },
  };
}

function isInQuotes(text: string): boolean {
  let quote: string | null = null;
  for (const character of text) {
    if (quote === null ? character === '"' || character === "'" : character === quote) quote = quote === null ? character : null;
  }
  return quote !== null;
}
