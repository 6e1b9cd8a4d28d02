import type { HistorySeries } from '#contracts/healthd.ts';
import { METRICS } from '#core/health/metrics.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { defineCommand, JSON_FLAG, type Context } from '../command.ts';
import { table, type Column } from '../render.ts';
import { short, sparkline } from '../spark.ts';
import { spanMs } from '../wire/duration.ts';

const DEFAULT_LAST = '1h';
const COLUMNS_OF_LINE = 40;
const MAX_POINTS = 400;
const PREFIX = 'viewlink_';

interface Row {
  readonly labels: string;
  readonly line: string;
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  readonly last: number;
}

function rowOf({ labels, points }: HistorySeries, fromWallMs: number, toWallMs: number): Row {
  return {
    labels: Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(' '),
    line: sparkline(points, fromWallMs, toWallMs, COLUMNS_OF_LINE),
    min: points.reduce((least, point) => Math.min(least, point.min), Infinity),
    mean: points.reduce((sum, { mean }) => sum + mean, 0) / points.length,
    max: points.reduce((most, point) => Math.max(most, point.max), -Infinity),
    last: points.at(-1)!.mean,
  };
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'OF', value: row => row.labels || '-' },
  { title: 'LEAST', value: row => short(row.min), align: 'right' },
  { title: 'MEAN', value: row => short(row.mean), align: 'right' },
  { title: 'MOST', value: row => short(row.max), align: 'right' },
  { title: 'LAST', value: row => short(row.last), align: 'right' },
  { title: 'LINE', value: row => row.line },
];

/** Without a metric: which there are. */
async function listMetrics(context: Context, json: boolean): Promise<number> {
  const { infos } = await context.healthd(client => client.call('samples', {}));
  context.print(infos, json, rows => table(rows, [{ title: 'METRIC', value: ({ metric }) => metric.replace(PREFIX, '') }, { title: 'WHAT', value: ({ help }) => help }], 'nothing is measured yet'));
  return 0;
}

function labelsOf(of: string | undefined): Readonly<Record<string, string>> {
  if (of === undefined) return {};
  const pairs = of.split(',').map(pair => /^([a-z_]{1,64})=(.{1,256})$/.exec(pair));
  if (pairs.some(pair => pair === null)) throw new GatewayError('BAD_REQUEST', { of, why: 'expected label=value, several with commas' });
  return Object.fromEntries(pairs.map(pair => [pair![1]!, pair![2]!]));
}

/** Also of a rule: `cpu.busy` is judged by cpu_busy_ratio. BAD_REQUEST: none, or several. */
function metricOf(typed: string): string {
  const name = PREFIX + typed.replace(PREFIX, '').replaceAll(/[.-]/g, '_');
  if (Object.hasOwn(METRICS, name)) return name;
  const names = Object.keys(METRICS);
  const alike = names.filter(each => each.startsWith(`${name}_`));
  if (alike.length === 1) return alike[0]!;
  const near = alike.length > 0 ? alike : names.filter(each => each.startsWith(`${PREFIX}${typed.replace(PREFIX, '').split(/[._-]/)[0]!}_`));
  const these = near.map(each => each.replace(PREFIX, '')).join(', ');
  throw new GatewayError('BAD_REQUEST', { metric: typed, why: `no such metric: ${these === '' ? 'vlink show history lists them' : `perhaps ${these}`}` });
}

export default defineCommand({
  path: 'show history',
  access: 'read',
  help: 'how a figure went, with a line of it; of what only grows, what it gained in a second',
  args: {
    metric: { type: 'argument', help: 'e.g. cpu_busy_ratio; without it: which there are', optional: true },
    last: { type: 'option', help: `how far back, e.g. 30m, 24h, 30d; default ${DEFAULT_LAST}` },
    of: { type: 'option', help: 'only of this, e.g. nic=eth0 or device=3402...,channel=3402...' },
    json: JSON_FLAG,
  },
  async run(context, { metric, last, of, json }) {
    if (metric === undefined) return listMetrics(context, json);
    const toWallMs = systemClock.wall();
    const fromWallMs = toWallMs - spanMs('last', last ?? DEFAULT_LAST);
    const name = metricOf(metric);
    const answer = await context.healthd(client => client.call('history', { metric: name, labels: labelsOf(of), fromWallMs, toWallMs, maxPoints: MAX_POINTS }));
    context.print(answer, json, ({ series, stepMs }) => {
      const rows = series.map(each => rowOf(each, fromWallMs, toWallMs)).sort((a, b) => b.max - a.max);
      return [table(rows, COLUMNS, `nothing of ${name} in that time`), ...(rows.length > 0 ? [`${new Date(fromWallMs).toISOString()} to ${new Date(toWallMs).toISOString()}, points of ${stepMs / 1000} s`] : [])].join('\n');
    });
    return answer.series.length > 0 ? 0 : 1;
  },
});
