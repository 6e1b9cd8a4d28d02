/** What a bench found: each figure with its limit, how it was measured, and what was seen beside it. */
import { availableParallelism, cpus, loadavg } from 'node:os';

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Undefined: shown for comparison only. */
  readonly limit?: { readonly least: number } | { readonly most: number };
  readonly method: string;
  /** Seen in the same run. */
  readonly beside?: Readonly<Record<string, number | string>>;
}

export const isMet = ({ value, limit }: Figure): boolean => limit === undefined || ('least' in limit ? value >= limit.least : value <= limit.most);

/** Of unsorted numbers; NaN of none. `share` 0.99 is p99. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export const machine = (): Readonly<Record<string, string | number>> => ({
  node: process.version,
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: availableParallelism(),
  load1: Math.round((loadavg()[0] ?? 0) * 100) / 100,
});

/** Three significant digits, more for large numbers. */
function amount(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)));
}

function limitText({ limit, unit }: Figure): string {
  if (limit === undefined) return 'for comparison';
  return 'least' in limit ? `at least ${amount(limit.least)} ${unit}` : `at most ${amount(limit.most)} ${unit}`;
}

/** One block a figure: value, limit and verdict on the first line, then method and side figures. */
export function printFigures(title: string, figures: readonly Figure[]): void {
  const width = Math.max(...figures.map(({ name }) => name.length));
  const values = figures.map(figure => `${amount(figure.value)} ${figure.unit}`);
  const valueWidth = Math.max(...values.map(value => value.length));
  console.log(`${title}  (${Object.entries(machine()).map(([key, value]) => `${key} ${value}`).join(', ')})\n`);
  for (const [index, figure] of figures.entries()) {
    const verdict = figure.limit === undefined ? '' : isMet(figure) ? 'met' : 'MISSED';
    console.log(`${figure.name.padEnd(width)}  ${values[index]!.padStart(valueWidth)}  ${limitText(figure).padEnd(30)} ${verdict}`.trimEnd());
    console.log(`    ${figure.method}`);
    const beside = Object.entries(figure.beside ?? {}).map(([key, value]) => `${key} ${typeof value === 'number' ? amount(value) : value}`);
    if (beside.length > 0) console.log(`    ${beside.join(', ')}`);
  }
}
