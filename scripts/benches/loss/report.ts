/** The table of the loss bench, and the limits that hold for it. */
import type { Figure } from '../common/figures.ts';
import type { Outcome } from './outcome.ts';
import { MODES, type Mode, ROWS } from './rows.ts';

export type Outcomes = Readonly<Partial<Record<Mode, readonly Outcome[]>>>;

const HEAD = ['network', 'damaged %', 'frozen %', 'longest ms', 'decoder errors', 'lost after repair', 'late', 'delay p50 ms', 'delay max ms'];
const MOST_FROZEN_CAMERA_LEG = 5;
const MOST_FROZEN_GATEWAYS = 0.1;

const whole = (value: number): string => (Number.isFinite(value) && value > 0 ? value.toFixed(0) : '-');
const share = (value: number): string => (value === 0 ? '0' : value.toFixed(value < 1 ? 2 : 1));

function cellsOf({ row, damagedPercent, frozenPercent, longestFreezeMs, decoderErrors, lost, late, packets, delayP50Ms, delayMaxMs }: Outcome): string[] {
  const lostShare = packets + lost > 0 ? ` (${share((100 * lost) / (packets + lost))} %)` : '';
  return [row, share(damagedPercent), share(frozenPercent), String(Math.round(longestFreezeMs)), String(decoderErrors), `${lost}${lostShare}`, String(late), whole(delayP50Ms), whole(delayMaxMs)];
}

export function formatOutcomes(outcomes: Outcomes): string {
  const blocks = Object.entries(MODES).flatMap(([mode, { title, says }]) => {
    const measured = outcomes[mode as Mode];
    return measured === undefined ? [] : [{ title: `${title}: ${says}`, lines: measured.map(cellsOf) }];
  });
  const widths = HEAD.map((title, column) => Math.max(title.length, ...blocks.flatMap(({ lines }) => lines.map(line => line[column]!.length))));
  const format = (cells: readonly string[]): string => cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ');
  return blocks.map(({ title, lines }) => [title, format(HEAD), format(widths.map(width => '-'.repeat(width))), ...lines.map(format)].join('\n')).join('\n\n');
}

const sum = (outcomes: readonly Outcome[], field: 'shown' | 'sent' | 'damaged' | 'decoderErrors'): number => outcomes.reduce((total, outcome) => total + outcome[field], 0);

const METHOD = 'every picture that the camera sent is looked for in what ffmpeg decodes of what the viewer got, and compared by SSIM with its clean decode';

export function figuresOf(outcomes: Outcomes): Figure[] {
  const figures: Figure[] = [];
  const at = (mode: Mode, row: string): Outcome | undefined => outcomes[mode]?.find(outcome => outcome.row === row);
  const limited = (name: string, outcome: Outcome | undefined, field: 'frozenPercent' | 'late', most: number, method: string): void => {
    if (outcome !== undefined) figures.push({ name, value: outcome[field], unit: field === 'late' ? 'packets' : '%', limit: { most }, method, beside: { 'longest freeze ms': outcome.longestFreezeMs, 'delay p50 ms': Math.round(outcome.delayP50Ms), 'delay max ms': Math.round(outcome.delayMaxMs) } });
  };
  for (const mode of ['freeze', 'default', 'gateways'] as const) {
    const measured = outcomes[mode];
    if (measured === undefined) continue;
    const beside = { 'pictures shown': sum(measured, 'shown'), 'of': sum(measured, 'sent'), 'decoder errors': sum(measured, 'decoderErrors'), 'worst SSIM': Math.min(...measured.map(({ worstSsim }) => worstSsim)) };
    figures.push({ name: `${MODES[mode].title}: damaged, all networks`, value: (100 * sum(measured, 'damaged')) / Math.max(1, sum(measured, 'shown')), unit: '%', limit: { most: 0 }, method: METHOD, beside });
  }
  limited('camera leg, 0.1 %: frozen', at('default', '0.1 %'), 'frozenPercent', MOST_FROZEN_CAMERA_LEG, 'a camera that answers IFameCmd; share of its pictures that were not shown');
  for (const row of ['5 %', '10 %']) limited(`gateway to gateway, ${row}: frozen`, at('gateways', row), 'frozenPercent', MOST_FROZEN_GATEWAYS, MODES.gateways.says);
  for (const mode of ['default', 'gateways'] as const) {
    for (const { name } of ROWS.filter(({ losesNothing }) => losesNothing)) limited(`${MODES[mode].title}, ${name}: lost`, at(mode, name), 'late', 0, 'packets that the gateway had given up when they came; none was lost on the way');
  }
  return figures;
}
