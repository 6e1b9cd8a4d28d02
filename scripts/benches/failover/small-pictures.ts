/** Pictures of one packet each, so that what eighty sessions take away from the nodes is little: 25 a second, about 40 kbit/s. */
import { execFileSync } from 'node:child_process';
import { splitAccessUnits } from '#core/media/h26x.ts';
import type { LoadedFootage } from '../../media/footage.ts';

const SECONDS = 4;
const PER_SECOND = 25;

export function smallPictures(): LoadedFootage {
  const stream = execFileSync('ffmpeg', ['-nostdin', '-v', 'error', '-f', 'lavfi', '-i', `testsrc2=size=96x64:rate=${PER_SECOND}:duration=${SECONDS}`, '-pix_fmt', 'yuv420p', '-c:v', 'libx264', '-preset', 'veryfast', '-g', String(PER_SECOND), '-bf', '0', '-crf', '42', '-f', 'h264', 'pipe:1'], { maxBuffer: 16 * 1024 * 1024 });
  const pictures = splitAccessUnits('h264', new Uint8Array(stream));
  return {
    name: 'h264', videoCodec: 'h264', videoPath: '', audioCodec: undefined, audioPath: undefined, framesPerSecond: PER_SECOND, source: 'testsrc2', note: undefined,
    pictures, ticksPerPicture90k: 90_000 / PER_SECOND, audioFrames: [], ticksPerAudioFrame90k: Infinity,
  };
}
