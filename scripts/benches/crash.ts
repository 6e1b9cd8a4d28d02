/**
 * scripts/bench crash [--json] [--streams N] [--runs N] [--instances N]: every daemon is killed in turn under N streams (128), as often as
 * asked (5). How long until it is back, which streams end by it, and what the others lose. Exit code 1 when a limit is missed.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '#kit/clock.ts';
import { Crowd, type Struck } from '../lab/crowd.ts';
import { type Figure, isMet, machine, percentile, printFigures } from './common/figures.ts';
import { smallPictures } from './failover/small-pictures.ts';

const BACK_MS = 1000;
/** Streams are shared out by load: one media process may have so many of a hundred more than its part. */
const UNEVEN_PERCENT = 5;

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, streams: { type: 'string', default: '128' }, runs: { type: 'string', default: '5' }, instances: { type: 'string', default: '4' } } });
const [streams, runs, instances] = [Number(values.streams), Number(values.runs), Number(values.instances)];

/** What the machine takes for a process that does nothing: the rest is the daemon's. */
function emptyStartMs(): number {
  const begunAt = clock.now();
  spawnSync(process.execPath, ['-e', '']);
  return clock.now() - begunAt;
}

function figuresOf(name: string, all: readonly Struck[], emptyMs: readonly number[]): Figure[] {
  const of = (pick: (struck: Struck) => number): number[] => all.map(pick);
  const sum = (pick: (struck: Struck) => number): number => of(pick).reduce((total, value) => total + value, 0);
  const share = Math.max(...of(({ ended }) => ended)) / streams;
  return [
    { name: `${name}: back, p99`, value: percentile(of(({ backMs }) => backMs), 0.99), unit: 'ms', limit: { most: BACK_MS }, method: 'from SIGKILL until it says that it is ready, with the 200 ms of its unit', beside: { p50: Math.round(percentile(of(({ backMs }) => backMs), 0.5)), 'an empty Node, p50': Math.round(percentile(emptyMs, 0.5)), 'an empty Node, max': Math.round(Math.max(...emptyMs)), runs: all.length } },
    { name: `${name}: streams that end by it`, value: 100 * share, unit: '%', limit: { most: name.startsWith('mediad') ? Math.ceil(100 / instances) + UNEVEN_PERCENT : 0 }, method: `of ${streams}, over ${instances} media processes`, beside: { 'least that went on': Math.min(...of(({ stayed }) => stayed)) } },
    { name: `${name}: packets lost by the others`, value: sum(({ lostPackets }) => lostPackets), unit: '', limit: { most: 0 }, method: 'as their receivers count them, over all runs', beside: { 'damaged pictures': sum(({ damagedPictures }) => damagedPictures) } },
  ];
}

// Compiled modules are kept, as the units have it.
const cache = mkdtempSync(join(tmpdir(), 'viewlink-crash-'));
process.env['NODE_COMPILE_CACHE'] = cache;
const figures: Figure[] = [];
{
  await using crowd = await Crowd.open({ streams, instances, pictures: smallPictures() });
  for (const name of [...crowd.daemons.keys()].filter(each => !each.startsWith('mediad') || each === 'mediad-1')) {
    const all: Struck[] = [];
    const emptyMs: number[] = [];
    for (let i = 0; i < runs; i++) {
      const struck = await crowd.strike(name);
      all.push(struck);
      emptyMs.push(emptyStartMs());
      if (process.stderr.isTTY || !values.json) process.stderr.write(`${name} ${i + 1}: back in ${Math.round(struck.backMs)} ms, ${struck.ended} ended, ${struck.stayed} went on, ${struck.lostPackets} packets lost\n`);
    }
    figures.push(...figuresOf(name, all, emptyMs));
  }
}
rmSync(cache, { recursive: true, force: true });
if (values.json) process.stdout.write(`${JSON.stringify({ machine: machine(), figures })}\n`);
else printFigures(`crash: one daemon after another under ${streams} streams`, figures);
process.exitCode = figures.every(isMet) ? 0 : 1;
