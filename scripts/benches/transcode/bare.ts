/** The same ffmpeg command without a gateway around it: pictures go in by a pipe at their time, what comes out is counted. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AccessUnit } from '#core/media/h26x.ts';
import type { VideoTrack } from '#core/media/unit.ts';
import { NutReader } from '#core/nut/read.ts';
import { NutWriter } from '#core/nut/write.ts';
import { cpuSeconds } from '../relay/children.ts';
import { pace } from './footage.ts';

/** As in the cage of kit/ffmpeg: who waits longer finds colder caches. */
const NICE = 5;

export interface BareRun {
  readonly cpuSeconds: number;
  /** That came out meanwhile. */
  readonly pictures: number;
}

/** What it takes over `seconds`, after a warm-up. */
export async function bareRun(argv: readonly string[], track: VideoTrack, pictures: readonly AccessUnit[], warmUpS: number, seconds: number): Promise<BareRun> {
  const child = spawn('nice', ['-n', String(NICE), 'ffmpeg', ...argv], { stdio: ['pipe', 'pipe', 'inherit', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
  const [, , , sound] = child.stdio;
  const input = child.stdin!;
  const reader = new NutReader();
  let came = 0;
  child.stdout!.on('data', (bytes: Uint8Array) => {
    const frames = reader.push(bytes);
    if (frames.ok) came += frames.value.length;
  });
  (sound as NodeJS.ReadableStream).resume();
  const writer = new NutWriter([track]);
  input.write(writer.header());
  const pacing = pace(pictures, ({ bytes, keyFrame }, pts90k) => {
    input.write(writer.frameHeader(0, { bytes, keyFrame, pts90k }));
    input.write(bytes);
  });
  await new Promise(resolve => setTimeout(resolve, warmUpS * 1000));
  const before = { cpu: cpuSeconds(child.pid!), came };
  await new Promise(resolve => setTimeout(resolve, seconds * 1000));
  const used = { cpuSeconds: cpuSeconds(child.pid!) - before.cpu, pictures: came - before.came };
  pacing.stop();
  input.end();
  await once(child, 'exit');
  return used;
}
