/** The terminal that somebody sits at: its size, its keys, and what is written over. */
import type { ReadStream, WriteStream } from 'node:tty';

/** `space`, `enter`, `escape`, `up`, `ctrl-c`; anything else is the character itself. */
export type Key = string;

export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  /** As it is: with sequences of ours, and nothing of anybody else's. */
  write(text: string): void;
  /** Keys one by one, without echo, until it is disposed. */
  keys(onKey: (key: Key) => void): Disposable;
  /** Told of a new size until it is disposed. */
  resized(onSize: () => void): Disposable;
}

export const CLEAR_LINE = '\r\x1b[K';
export const ALTERNATE_SCREEN = '\x1b[?1049h\x1b[?25l';
export const MAIN_SCREEN = '\x1b[?25h\x1b[?1049l';
export const HOME = '\x1b[H';
export const CLEAR_BELOW = '\x1b[J';

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
const MIN_SIZE = 2;

const NAMED: Readonly<Record<string, Key>> = {
  ' ': 'space', '\r': 'enter', '\n': 'enter', '\x1b': 'escape', '\x7f': 'backspace', '\b': 'backspace', '\t': 'tab', '\x03': 'ctrl-c', '\x04': 'ctrl-d',
  '\x1b[A': 'up', '\x1b[B': 'down', '\x1b[C': 'right', '\x1b[D': 'left', '\x1b[5~': 'page-up', '\x1b[6~': 'page-down', '\x1b[H': 'home', '\x1b[F': 'end',
};

/** What one read of a terminal in raw mode holds. Sequences that are not known are passed over. */
export function keysIn(text: string): readonly Key[] {
  const parts = text.match(/\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)?|[^\x1b]/gu) ?? [];
  return parts.flatMap(part => NAMED[part.replace(/^\x1bO/, '\x1b[')] ?? (part.startsWith('\x1b') || part < ' ' ? [] : part));
}

/** Null unless both ends are one. */
export function terminalOf(input: ReadStream, output: WriteStream): Terminal | null {
  if (!input.isTTY || !output.isTTY) return null;
  return {
    get columns() {
      return Math.max(MIN_SIZE, output.columns || DEFAULT_COLUMNS);
    },
    get rows() {
      return Math.max(MIN_SIZE, output.rows || DEFAULT_ROWS);
    },
    write: text => void output.write(text),
    keys: onKey => readKeys(input, onKey),
    resized: onSize => {
      output.on('resize', onSize);
      return { [Symbol.dispose]: () => void output.off('resize', onSize) };
    },
  };
}

function readKeys(input: ReadStream, onKey: (key: Key) => void): Disposable {
  const onData = (bytes: Buffer | string): void => {
    for (const key of keysIn(bytes.toString())) onKey(key);
  };
  input.setRawMode(true);
  input.on('data', onData);
  input.resume();
  return {
    [Symbol.dispose]: () => {
      input.off('data', onData);
      input.setRawMode(false);
      input.pause();
    },
  };
}
