/**
 * scripts/bench health [--json]: what telemetry costs beside 128 sessions and 10,000 channels, measured from outside. The same load is
 * looked at without healthd, with it, and without it again. Exit code 1 when a limit is missed.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Figure, isMet, machine, percentile, printFigures } from './common/figures.ts';
import { Scene, UPSTREAM_ADDRESS } from './sip/scene.ts';
import { MEDIA_PORT } from './sip/upstream.ts';
import { cpuSeconds, rssBytes } from './sip/usage.ts';
import { healthdRpc, startHealthd } from '../lab/healthd.ts';

const NVRS = 100;
const CHANNELS_EACH = 100;
const SESSIONS = 128;
const CALLS_PER_S = 20;
const MEDIA_PER_S = 20;
const COLLECT_LIMIT_S = 120;
/** After the last call began: what a start costs is not what sessions cost. */
const BEGUN_S = 30;
/** Of each look. */
const LOOK_S = 30;
/** After its start: what it does once is not what it costs. */
const SETTLE_S = 75;
const CPU_PERCENT = 1;
const RSS_MB = 80;
const SAMPLE_MS = 1000;

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const seconds = (s: number): Promise<void> => new Promise(resolve => setTimeout(resolve, s * 1000));

interface Look {
  /** Share of a core, in per cent, by process. */
  readonly cpu: Readonly<Record<string, number>>;
}

async function look(pids: Readonly<Record<string, number>>): Promise<Look> {
  const before = Object.entries(pids).map(([name, pid]) => [name, pid, cpuSeconds(pid)] as const);
  const startedAt = performance.now();
  await seconds(LOOK_S);
  const elapsedS = (performance.now() - startedAt) / 1000;
  return { cpu: Object.fromEntries(before.map(([name, pid, cpu]) => [name, (100 * (cpuSeconds(pid) - cpu)) / elapsedS])) };
}

async function run(): Promise<Figure[]> {
  const sink = createSocket('udp4').on('message', () => undefined);
  sink.bind(MEDIA_PORT, UPSTREAM_ADDRESS);
  await once(sink, 'listening');
  await using scene = await Scene.open(NVRS, 0, undefined, { mediaPerS: MEDIA_PER_S, upstreamOver: { pictures: 'as-received' }, devicesOver: { keepaliveS: 3600 } });
  const { load, lab, rpc } = scene;
  await load.order('upstreamRegistered');
  await load.order('setChannels', { channels: CHANNELS_EACH });
  await load.order('register', { concurrency: 16 });
  await scene.counted('catalog.complete', NVRS, COLLECT_LIMIT_S);
  const channelIds = (await rpc.call('listChannels', { limit: SESSIONS })).rows.map(({ channelId }) => channelId);
  const holdMs = (SESSIONS / CALLS_PER_S + BEGUN_S + 3 * LOOK_S + SETTLE_S + 30) * 1000;
  const calls = load.order('invites', { channelIds, pids: [lab.sipd.pid], perS: CALLS_PER_S, holdMs });
  await seconds(SESSIONS / CALLS_PER_S + BEGUN_S);
  const pids = { sipd: lab.sipd.pid, mediad: lab.mediads[0]!.pid };

  const without = await look(pids);
  const cache = join(lab.directory, 'modules');
  const healthd = await startHealthd(lab, { cache });
  await seconds(SETTLE_S);
  const rss: number[] = [];
  const sampling = setInterval(() => rss.push(rssBytes(healthd.pid)), SAMPLE_MS);
  const beside = await look({ ...pids, healthd: healthd.pid });
  clearInterval(sampling);
  const told = await asked(lab);
  await healthd[Symbol.asyncDispose]();
  const again = await look(pids);
  const flowing = (await rpc.call('summary', {})).sources.length;
  const { failures } = await calls;
  sink.close();
  const added = (name: string): number => beside.cpu[name]! - (without.cpu[name]! + again.cpu[name]!) / 2;
  const apart = (name: string): number => Math.abs(without.cpu[name]! - again.cpu[name]!);
  return [
    {
      name: 'healthd, processor',
      value: flowing < SESSIONS ? Infinity : beside.cpu['healthd']!,
      unit: '% of a core',
      limit: { most: CPU_PERCENT },
      method: `utime and stime of healthd over ${LOOK_S} s, ${SETTLE_S} s after its start, beside ${SESSIONS} sessions of ${MEDIA_PER_S} packets a second and ${NVRS * CHANNELS_EACH} channels of ${NVRS} NVRs; run as its unit runs it`,
      beside: { sessions: flowing, 'failed calls': failures.length, samples: told.samples, 'series with history': told.series, 'history MB': told.historyMb },
    },
    { name: 'healthd, memory', value: percentile(rss, 1) / 1e6, unit: 'MB', limit: { most: RSS_MB }, method: 'the largest RSS of those seconds, with nothing compiled before its start, the pages of the program that all daemons share included', beside: { 'p50 MB': percentile(rss, 0.5) / 1e6 } },
    { name: 'added to sipd', value: added('sipd'), unit: '% of a core', limit: { most: CPU_PERCENT }, method: 'with healthd less the mean of the looks before and after', beside: { 'without %': without.cpu['sipd']!, 'with %': beside.cpu['sipd']!, 'the looks without it lie apart by %': apart('sipd') } },
    { name: 'added to mediad', value: added('mediad'), unit: '% of a core', limit: { most: CPU_PERCENT }, method: 'the same', beside: { 'without %': without.cpu['mediad']!, 'with %': beside.cpu['mediad']!, 'the looks without it lie apart by %': apart('mediad') } },
  ];
}

/** How much it measures. */
async function asked(lab: Scene['lab']): Promise<{ readonly samples: number; readonly series: number; readonly historyMb: number }> {
  await using client = await healthdRpc(lab);
  const counters = await client.call('counters', {});
  return { samples: (await client.call('samples', {})).samples.length, series: counters['history.series'] ?? 0, historyMb: (counters['history.bytes'] ?? 0) / 1e6 };
}

const figures = await run();
const met = figures.every(isMet);
if (values.json) console.log(JSON.stringify({ bench: 'health', machine: machine(), met, figures: figures.map(figure => ({ ...figure, met: isMet(figure) })) }, undefined, 2));
else printFigures('health', figures);
process.exitCode = met ? 0 : 1;
