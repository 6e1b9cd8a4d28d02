/** Text for a terminal: tables that stand straight with Chinese names, and names that cannot steer the terminal (fault 93). */

import { say } from './language.ts';

const MAX_CELL_COLUMNS = 48;
const GAP = '  ';

/** Controls of the terminal and of writing direction. What they would have done is shown as one mark each. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Cs}/gu;
const MARK = '\u00b7';

/** One line that prints as it reads. */
export const inert = (text: string): string => text.replace(UNSAFE, MARK);

/** Several lines: line ends stay, everything else is inert. */
export const inertLines = (text: string): string => text.split('\n').map(inert).join('\n');

/** JSON that is safe to look at: what JSON leaves unescaped and a terminal obeys is written as \uXXXX. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(UNSAFE, character => (character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`));
}

/** East Asian Wide and Fullwidth (UAX 11), as ranges of code points: these take two columns. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f], [0x2329, 0x232a], [0x2e80, 0x303e], [0x3041, 0x33ff], [0x3400, 0x4dbf], [0x4e00, 0xa4cf], [0xa960, 0xa97c], [0xac00, 0xd7a3],
  [0xf900, 0xfaff], [0xfe10, 0xfe19], [0xfe30, 0xfe6f], [0xff00, 0xff60], [0xffe0, 0xffe6], [0x16fe0, 0x18aff], [0x1b000, 0x1b2ff],
  [0x1f300, 0x1f64f], [0x1f680, 0x1f6ff], [0x1f900, 0x1f9ff], [0x20000, 0x3fffd],
];
const COMBINING = /^\p{M}$|^[\u1160-\u11ff\ufe00-\ufe0f]$/u;

function columnsOf(character: string): number {
  const point = character.codePointAt(0)!;
  if (point < 0x300) return 1;
  if (COMBINING.test(character)) return 0;
  return WIDE.some(([first, last]) => point >= first && point <= last) ? 2 : 1;
}

/** Terminal columns that inert text takes. */
export function displayWidth(text: string): number {
  let columns = 0;
  for (const character of text) columns += columnsOf(character);
  return columns;
}

/** At most `columns` wide; what is cut off is an ellipsis. */
export function clip(text: string, columns: number): string {
  if (text.length <= columns / 2 || displayWidth(text) <= columns) return text;
  let kept = '';
  let used = 0;
  for (const character of text) {
    const width = columnsOf(character);
    if (used + width > columns - 1) break;
    kept += character;
    used += width;
  }
  return `${kept}…`;
}

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null;
  readonly align?: 'right';
  /** A sentence that one has come for: never cut. */
  readonly whole?: boolean;
}

/** A table with a heading, or `nothing` when there are no rows. Null is a hyphen. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], nothing: string): string {
  if (rows.length === 0) return nothing;
  const cells = rows.map(row => columns.map(column => clip(inert(String(column.value(row) ?? '-')), column.whole === true ? Infinity : MAX_CELL_COLUMNS)));
  const titles = columns.map(({ title }) => say(title));
  const widths = titles.map((title, i) => cells.reduce((widest, line) => Math.max(widest, displayWidth(line[i]!)), displayWidth(title)));
  const line = (values: readonly string[]): string =>
    values.map((value, i) => { const padding = ' '.repeat(widths[i]! - displayWidth(value)); return columns[i]!.align === 'right' ? padding + value : value + padding; }).join(GAP).trimEnd();
  return [line(titles), ...cells.map(line)].join('\n');
}

const UNITS: readonly (readonly [string, number])[] = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000]];

/** `3 s`, `5 min`, `26 h`: the largest unit that gives at least 2 of it, or seconds. */
export function duration(ms: number | null): string | null {
  if (ms === null) return null;
  const [unit, size] = UNITS.find(([, length]) => ms >= 2 * length) ?? ['s', 1000];
  return `${Math.floor(ms / size)} ${unit}`;
}
