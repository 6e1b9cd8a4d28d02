/** Pictures as a camera of today sends them: H.265, 1920x1080, 25 a second, 4 Mbit/s, made of the test footage on the spot. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AccessUnit, splitAccessUnits } from '#core/media/h26x.ts';
import { loadFootage } from '../../media/footage.ts';

export const WIDTH = 1920;
export const HEIGHT = 1080;
export const PICTURE_TICKS = 3600;
export const PICTURE_MS = 40;
const SECONDS = 8;

/** Grain of a sensor on top: a picture that was enlarged is too smooth, and cheap. */
export async function makeFootage(directory: string): Promise<readonly AccessUnit[]> {
  const path = join(directory, 'camera.h265');
  const { videoPath } = await loadFootage('h264');
  const x265 = 'keyint=50:min-keyint=50:scenecut=0:bframes=0:open-gop=0:repeat-headers=1:log-level=error';
  execFileSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', '-r', '25', '-f', 'h264', '-i', videoPath, '-t', String(SECONDS), '-vf', `scale=${WIDTH}:${HEIGHT},noise=alls=4:allf=t`, '-pix_fmt', 'yuv420p', '-c:v', 'libx265', '-preset', 'ultrafast', '-b:v', '4M', '-maxrate', '4M', '-bufsize', '4M', '-x265-params', x265, '-f', 'hevc', path]);
  return splitAccessUnits('h265', new Uint8Array(readFileSync(path)));
}

/** Calls back once for each picture, in real time and round again, until it is stopped. */
export function pace(pictures: readonly AccessUnit[], onPicture: (picture: AccessUnit, pts90k: number) => void): { stop(): void } {
  const from = performance.now();
  let next = 0;
  const timer = setInterval(() => {
    for (; next * PICTURE_MS <= performance.now() - from; next++) onPicture(pictures[next % pictures.length]!, next * PICTURE_TICKS);
  }, 5);
  return { stop: () => clearInterval(timer) };
}
