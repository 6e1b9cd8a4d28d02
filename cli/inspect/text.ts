/** The inspection for a terminal. */
import { table } from '../render.ts';
import type { Inspection, ReportTable } from './report.ts';

const MARKS = { good: ' ', degraded: '!', broken: '#', none: ' ' } as const;

function section({ title, columns, rows, nothing }: ReportTable): string {
  const body = table(rows, [{ title: ' ', value: ({ mark }) => MARKS[mark] }, ...columns.map((column, i) => ({ title: column.toUpperCase(), value: (row: ReportTable['rows'][number]) => row.cells[i] ?? '', whole: true }))], `  ${nothing}`);
  return `${title}\n${body}`;
}

export const inspectionText = ({ title, subtitle, tables }: Inspection): string => [`${title}\n${subtitle}`, ...tables.map(section)].join('\n\n');
