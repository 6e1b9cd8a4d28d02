/**
 * scripts/bench transcode [--json] [--rounds N] [--seconds S]: what the gateway adds to the ffmpeg command that it runs. One camera of
 * H.265 becomes H.264, in turn through mediad and by the same command without it; and the same camera passes mediad in the same form,
 * demultiplexed and multiplexed, without ffmpeg. Exit code 1 when a limit is missed.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { planTranscode } from '#core/media/transcode-plan.ts';
import type { Rendition } from '#core/media/rendition.ts';
import type { VideoTrack } from '#core/media/unit.ts';
import { type Figure, isMet, machine, percentile, printFigures } from './common/figures.ts';
import { startGateway } from './relay/gateway.ts';
import { bareRun, type BareRun } from './transcode/bare.ts';
import { HEIGHT, WIDTH, makeFootage } from './transcode/footage.ts';
import { type Relayed, relayedRun } from './transcode/relayed.ts';

const MOST_OVERHEAD_PERCENT = 3;
const MOST_BACK_MS = 1000;
const WARM_UP_S = 3;
const RENDITION: Rendition = { video: 'h264', size: { width: 1920, height: 1080 }, bitrateKbps: 4096, fps: null, audio: 'none' };

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '8' } } });
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const say = (what: string): void => void (values.json ? undefined : process.stderr.write(`  ${what}\n`));
const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

const PASSING: Rendition = { ...RENDITION, video: 'copy', audio: 'copy' };

const track: VideoTrack = { codec: 'h265', parameterSets: [], width: WIDTH, height: HEIGHT };
const planned = planTranscode({ rendition: RENDITION, tracks: { video: track, audio: null }, hardware: 'none', encoders: new Set(['libx264']), after90k: -1, threads: 2 });
if (!planned.ok) throw new Error(planned.error.why);

const directory = mkdtempSync(join(tmpdir(), 'bench-transcode-'));
say(`a camera of ${WIDTH}x${HEIGHT} in H.265 is made`);
const pictures = await makeFootage(directory);
const bare: BareRun[] = [];
const passed: Relayed[] = [];
const turned: Relayed[] = [];
{
  await using gateway = await startGateway(4);
  say('mediad warms up');
  for (const rendition of [PASSING, RENDITION]) await relayedRun(gateway, pictures, { rendition, warmUpS: 1, seconds: WARM_UP_S, kill: false });
  for (let round = 1; round <= rounds; round += 1) {
    say(`round ${round}: as units, as a rendition, the command alone`);
    passed.push(await relayedRun(gateway, pictures, { rendition: PASSING, warmUpS: 1, seconds, kill: false }));
    turned.push(await relayedRun(gateway, pictures, { rendition: RENDITION, warmUpS: WARM_UP_S, seconds, kill: round === rounds }));
    bare.push(await bareRun(planned.value.argv, track, pictures, WARM_UP_S, seconds));
  }
}
rmSync(directory, { recursive: true, force: true });

/** CPU time of ffmpeg in all rounds for each picture that it made, as a share of a core at 25 pictures a second: a busy machine leaves some out. */
const share = (runs: readonly { readonly pictures: number }[], cpuSeconds: readonly number[]): number => (100 * 25 * sum(cpuSeconds)) / sum(runs.map(run => run.pictures));
const command = share(bare, bare.map(run => run.cpuSeconds));
const child = share(turned, turned.map(run => run.child));
/** mediad takes every picture of the camera, whatever becomes of it. */
const ofTime = (cpuSeconds: readonly number[]): number => (100 * sum(cpuSeconds)) / (rounds * seconds);
const mediad = ofTime(turned.map(run => run.mediad));
const relay = ofTime(passed.map(run => run.mediad));
const overhead = (100 * (child + mediad - relay - command)) / command;
const delays = turned.flatMap(run => run.delaysMs);
const [round2, round0] = [(value: number): number => Number(value.toFixed(2)), (value: number): number => Math.round(value)];
const method = `${rounds} times ${seconds} s in turn, after a warm-up of ${WARM_UP_S} s; CPU time from /proc/PID/stat; 25 pictures a second of H.265 in 1920x1080 and 4 Mbit/s over RTP/PS/UDP into H.264 of the same size and rate`;
const figures: Figure[] = [
  { name: 'ffmpeg alone', value: round2(command), unit: '% of a core', method: `the same arguments, pictures through a pipe at their time; for each picture that came out, at 25 a second; ${method}` },
  {
    name: 'overhead of the gateway',
    value: round2(overhead),
    unit: '% of ffmpeg alone',
    limit: { most: MOST_OVERHEAD_PERCENT },
    method: `mediad and its ffmpeg, less what mediad takes for the same camera when its pictures pass as they are, over ffmpeg alone; ${method}`,
    beside: { 'ffmpeg of mediad, % of a core': round2(child), 'mediad, % of a core': round2(mediad), 'mediad without ffmpeg, % of a core': round2(relay), 'all of mediad, % of ffmpeg alone': round2((100 * (child + mediad - command)) / command) },
  },
  { name: 'picture in to picture out', value: round2(percentile(delays, 0.5)), unit: 'ms p50', method: 'from the last packet of a picture of the camera to the first packet of what it became', beside: { p99: round2(percentile(delays, 0.99)), pictures: delays.length } },
  { name: 'first picture of a rendition', value: round0(Math.min(...turned.map(run => run.firstPictureMs))), unit: 'ms', method: 'from the first picture of the camera, start of the process included; best of the rounds' },
  { name: 'back after the process was killed', value: round0(turned.at(-1)!.backMs ?? NaN), unit: 'ms', limit: { most: MOST_BACK_MS }, method: 'SIGKILL to the next picture at the platform, once' },
];
const met = figures.every(isMet);
if (values.json) console.log(JSON.stringify({ bench: 'transcode', machine: machine(), met, figures: figures.map(figure => ({ ...figure, met: isMet(figure) })) }, undefined, 2));
else printFigures('transcode', figures);
process.exitCode = met ? 0 : 1;
