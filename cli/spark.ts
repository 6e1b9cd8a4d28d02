/** A line of blocks for a terminal: as many columns as asked, the highest value fills one. */
const BLOCKS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const MISSING = ' ';

export interface SparkPoint {
  readonly atWallMs: number;
  readonly mean: number;
  readonly max: number;
}

/** From zero, or from the least when some are below it. What was not measured is left blank. */
export function sparkline(points: readonly SparkPoint[], fromWallMs: number, toWallMs: number, columns: number): string {
  const width = Math.max(1, (toWallMs - fromWallMs) / columns);
  const highest: (number | undefined)[] = Array.from({ length: columns }, () => undefined);
  for (const { atWallMs, max } of points) {
    const column = Math.min(columns - 1, Math.floor((atWallMs - fromWallMs) / width));
    if (column >= 0) highest[column] = Math.max(highest[column] ?? -Infinity, max);
  }
  const known = highest.filter(value => value !== undefined);
  const floor = known.reduce((least, value) => Math.min(least, value), 0);
  const span = known.reduce((most, value) => Math.max(most, value), 0) - floor;
  return highest.map(value => (value === undefined ? MISSING : BLOCKS[span === 0 ? 0 : Math.min(BLOCKS.length - 1, Math.floor(((value - floor) / span) * BLOCKS.length))]!)).join('');
}

const SCALES: readonly (readonly [number, string])[] = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];

/** `1.25 G`, `0.042`. */
export function short(value: number): string {
  const scale = SCALES.find(([size]) => Math.abs(value) >= size);
  return scale === undefined ? String(Number(value.toPrecision(3))) : `${Number((value / scale[0]).toPrecision(3))} ${scale[1]}`;
}
