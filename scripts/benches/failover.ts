/**
 * scripts/bench failover [--json] [--kinds LIST] [--runs N] [--udp N] [--tcp N] [--channels N] [--witness on|off] [--media both|active] [--soak MINUTES] [--loss PERCENT] [--no-replication]
 *
 * How long a pair of nodes is not there, seen from the platform above: until SIP is answered again, without a picture on the worst of all
 * sessions, until TCP sessions are back, with alarms coming all the time, and for how long both nodes owned the address. Sessions stay
 * through all runs. `--channels`: so many are known beside those that are played, of devices that are away. `--soak`: how often somebody takes over while PERCENT of heartbeats and adverts are lost (10). Needs root. Exit
 * code 1 when a limit is missed; when interrupted it leaves nothing behind.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { Owners } from '../lab/owners.ts';
import { type PairScene, openPairScene } from '../lab/pair-scene.ts';
import { BOTH_CARRY_MEDIA, enterWorld } from '../lab/pair.ts';
import { Alarms } from './failover/alarms.ts';
import { ASK_EVERY_MS, Questions } from './failover/questions.ts';
import { replicationFigures } from './failover/replication.ts';
import { smallPictures } from './failover/small-pictures.ts';
import { stockChannels } from './failover/stock.ts';
import { soakFigure } from './failover/soak.ts';
import { KINDS, type Kind, heal, strike } from './failover/strikes.ts';
import { Viewers } from './failover/viewers.ts';
import { type Figure, isMet, machine, percentile, printFigures } from './common/figures.ts';

const PLAY_MS = 60_000;
const BACK_MS = 12_000;
const READY_MS = 60_000;
const TCP_BACK_MS = 5000;
const GAP_MOST_MS: Readonly<Record<Kind, number>> = { killed: 1000, cut: 1000, stopped: 1000, switch: 200, severed: 1000, split: 1000 };
const DEFAULT_KINDS: readonly Kind[] = ['killed', 'cut', 'stopped', 'switch'];

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false }, kinds: { type: 'string', default: DEFAULT_KINDS.join(',') }, runs: { type: 'string', default: '5' }, udp: { type: 'string', default: '64' }, tcp: { type: 'string', default: '16' }, channels: { type: 'string', default: '0' },
    witness: { type: 'string', default: 'on' }, media: { type: 'string', default: 'both' }, soak: { type: 'string', default: '0' }, loss: { type: 'string', default: '10' }, replication: { type: 'boolean', default: true },
  },
  allowNegative: true,
});

interface Run {
  readonly sipMs: number;
  readonly gapMs: number;
  readonly kept: number;
  readonly tcpBackMs: readonly number[];
  readonly overlapMs: number;
  readonly tookMs: number;
  readonly load: number;
}

interface Watching {
  readonly scene: PairScene;
  readonly viewers: Viewers;
  readonly questions: Questions;
  readonly owners: Owners;
}

async function measure(kind: Kind, { scene: { lab }, viewers, questions, owners }: Watching): Promise<Run> {
  const beganAt = clock.now();
  await lab.ready(READY_MS);
  await viewers.complete(PLAY_MS);
  const active = lab.other(await lab.ready(READY_MS));
  questions.longestMs();
  await owners.overlapMs();
  const strickenAt = clock.now();
  let taken = false;
  const struck = strike(kind, lab, active);
  const served = lab.taken(active, BACK_MS).then(() => (taken = true), () => undefined);
  const seen = await viewers.watch(strickenAt, () => taken && questions.answeredSince(strickenAt), BACK_MS);
  await Promise.all([struck, served]);
  const sipMs = questions.longestMs();
  const overlapMs = await owners.overlapMs();
  await heal(kind, lab, active);
  return { sipMs, overlapMs, ...seen, tookMs: clock.now() - beganAt, load: loadavg()[0]! };
}

const rounded = (value: number): number => Math.round(value);
const spread = (values: readonly number[]): Record<string, number> => ({ p50: rounded(percentile(values, 0.5)), max: rounded(Math.max(...values)) });

function figuresOf(kind: Kind, runs: readonly Run[]): Figure[] {
  const of = (pick: (run: Run) => number): number[] => runs.map(pick);
  const most = GAP_MOST_MS[kind];
  const tcp = runs.flatMap(({ tcpBackMs }) => tcpBackMs);
  const machineLoad = { runs: runs.length, 'load 1': `${Math.min(...of(({ load }) => load)).toFixed(1)} to ${Math.max(...of(({ load }) => load)).toFixed(1)}`, 'a run, ms': rounded(percentile(of(({ tookMs }) => tookMs), 0.5)) };
  return [
    { name: `${kind}: SIP unanswered, p99`, value: percentile(of(({ sipMs }) => sipMs), 0.99), unit: 'ms', limit: { most }, method: `OPTIONS every ${ASK_EVERY_MS} ms`, beside: { ...spread(of(({ sipMs }) => sipMs)), ...machineLoad } },
    { name: `${kind}: UDP without a picture, p99`, value: percentile(of(({ gapMs }) => gapMs), 0.99), unit: 'ms', limit: { most }, method: 'worst session of each run', beside: spread(of(({ gapMs }) => gapMs)) },
    { name: `${kind}: UDP sessions kept`, value: (100 * of(({ kept }) => kept).reduce((sum, kept) => sum + kept, 0)) / runs.length, unit: '%', limit: { least: 99.9 }, method: 'without a new INVITE' },
    ...(tcp.length === 0 ? [] : [{ name: `${kind}: TCP sessions back in ${TCP_BACK_MS / 1000} s`, value: (100 * tcp.filter(ms => ms <= TCP_BACK_MS).length) / tcp.length, unit: '%', limit: { least: 99 }, method: 'until pictures come without a gap, on the session or on one asked for anew', beside: spread(tcp) }]),
    { name: `${kind}: two owners of the SIP address, max`, value: Math.max(...of(({ overlapMs }) => overlapMs)), unit: 'ms', limit: { most: ownersMost(kind) }, method: 'time stamps of both kernels', beside: spread(of(({ overlapMs }) => overlapMs)) },
  ];
}

/** With a witness nobody takes what the other one may still have; what stands between the two alone it cannot see before. */
const ownersMost = (kind: Kind): number => (values.witness === 'on' && kind !== 'split' ? 0 : 1000);

function kindsAsked(): readonly Kind[] {
  const asked = values.kinds.split(',').filter(each => each !== '');
  const unknown = asked.find(each => !KINDS.includes(each as Kind));
  if (unknown !== undefined) throw new Error(`unknown kind ${unknown}: one of ${KINDS.join(', ')}`);
  return asked as Kind[];
}

function lossAsked(): number {
  const percent = Number(values.loss);
  if (!Number.isInteger(percent) || percent < 0 || percent > 100) throw new Error(`--loss ${values.loss}: a whole number of percent`);
  return percent;
}

async function runAll(closer: Closer): Promise<readonly Figure[]> {
  const figures: Figure[] = values.replication ? [...(await replicationFigures())] : [];
  const kinds = kindsAsked();
  const [udp, tcp] = [Number(values.udp), Number(values.tcp)];
  const stock = (stateDirectory: string): void => stockChannels(stateDirectory, Number(values.channels));
  const scene = closer.use(await openPairScene(udp + tcp, { pictures: smallPictures(), stock, cluster: { ...(values.media === 'both' && BOTH_CARRY_MEDIA), ...(values.witness === 'off' && { witness: {} }) } }));
  if (kinds.length > 0) {
    const watching = { scene, viewers: new Viewers(scene.platform, scene.ids, tcp), questions: closer.use(new Questions()), owners: closer.use(new Owners(scene.lab)) };
    for (const kind of kinds) figures.push(...(await kindFigures(kind, watching)));
  }
  if (Number(values.soak) > 0) figures.push(await soakFigure(scene.lab, Number(values.soak), lossAsked()));
  return figures;
}

async function kindFigures(kind: Kind, watching: Watching): Promise<readonly Figure[]> {
  using alarms = new Alarms(watching.scene);
  const runs = await series(kind, watching);
  const { lost, ...beside } = await alarms.end();
  // Of two that do not know of each other, the one that gives way has taken alarms that nobody else has.
  const limit = kind === 'split' ? {} : { limit: { most: 0 } };
  return [...figuresOf(kind, runs), { name: `${kind}: alarms lost`, value: lost, unit: '', ...limit, method: 'of those that the pair took with 200', beside }];
}

async function series(kind: Kind, watching: Watching): Promise<readonly Run[]> {
  const runs: Run[] = [];
  for (let i = 0; i < Number(values.runs); i++) {
    const run = await measure(kind, watching);
    runs.push(run);
    if (process.stderr.isTTY || !values.json) process.stderr.write(`${kind} ${i + 1}: SIP ${rounded(run.sipMs)} ms, picture ${rounded(run.gapMs)} ms, kept ${run.kept}, TCP ${rounded(Math.max(0, ...run.tcpBackMs))} ms, owners ${rounded(run.overlapMs)} ms, run ${rounded(run.tookMs)} ms, load ${run.load.toFixed(1)}\n`);
  }
  return runs;
}

async function run(): Promise<void> {
  await using closer = new Closer();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => void closer[Symbol.asyncDispose]().finally(() => process.exit(130)));
  const figures = await runAll(closer);
  if (values.json) process.stdout.write(`${JSON.stringify({ machine: machine(), figures })}\n`);
  else printFigures('failover: a pair of nodes, seen from above', figures);
  process.exitCode = figures.every(isMet) ? 0 : 1;
}

if (enterWorld()) await run();
