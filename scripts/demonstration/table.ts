/** The one table that the demonstration ends with. */
import type { Row } from './plays.ts';

const GREEN = '\u001b[32m';
const RED = '\u001b[31m';
const PLAIN = '\u001b[0m';

const HEAD = ['camera leg', 'upstream leg', 'upstream', 'codec', 'frames', 'damaged', 'lost', 'first frame', 'same pictures', 'verdict'];

export function formatTable(rows: readonly Row[], colour: boolean): string {
  const cells = rows.map(row => [
    row.cameraLeg,
    row.upstreamLeg,
    row.upstream,
    row.codec,
    String(row.frames),
    String(row.damaged),
    String(row.lost),
    row.firstFrameMs === undefined ? '-' : `${Math.round(row.firstFrameMs)} ms`,
    `${row.same}/${row.pictures}`,
    row.faults.length === 0 ? 'ok' : row.faults.join('; '),
  ]);
  const widths = HEAD.map((title, column) => Math.max(title.length, ...cells.map(line => (column === HEAD.length - 1 ? 0 : line[column]!.length))));
  const line = (parts: readonly string[]): string => parts.map((part, column) => part.padEnd(widths[column]!)).join('  ').trimEnd();
  const painted = cells.map((parts, index) => {
    const text = line(parts);
    return colour ? `${rows[index]!.faults.length === 0 ? GREEN : RED}${text}${PLAIN}` : text;
  });
  return [line(HEAD), widths.map(width => '-'.repeat(width)).join('  '), ...painted].join('\n');
}
