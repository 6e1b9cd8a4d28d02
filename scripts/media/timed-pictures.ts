/** Pictures of a file with their time, as a decoder shows them. ffmpeg is the decoder; a call for hashes, one for the pixels. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import type { LumaSize } from './ssim.ts';

const run = promisify(execFile);
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** Without -copyts a stream that begins with a lost picture is moved in time, and every picture is compared with its neighbour. */
const INPUT = ['-nostdin', '-hide_banner', '-v', 'error', '-threads', '1', '-copyts', '-i'];
const OUTPUT = ['-map', '0:v:0', '-fps_mode', 'passthrough', '-enc_time_base', '-1'];

export interface TimedPicture {
  readonly pts90k: number;
  /** MD5 of all planes. */
  readonly hash: string;
}

export interface TimedPictures extends LumaSize {
  readonly pictures: readonly TimedPicture[];
  /** Lines that the decoder had to say at level error. */
  readonly errors: readonly string[];
}

export async function timedPictures(path: string): Promise<TimedPictures> {
  const { stdout, stderr } = await run('ffmpeg', [...INPUT, path, ...OUTPUT, '-f', 'framemd5', '-'], { maxBuffer: MAX_OUTPUT_BYTES }).catch((error: { stdout?: string; stderr?: string }) => ({ stdout: error.stdout ?? '', stderr: error.stderr ?? String(error) }));
  const lines = stdout.split('\n').filter(line => line !== '');
  const [, numerator = '1', denominator = '90000'] = lines.map(line => /^#tb 0: (\d+)\/(\d+)/.exec(line)).find(match => match !== null) ?? [];
  const [, width = '0', height = '0'] = lines.map(line => /^#dimensions 0: (\d+)x(\d+)/.exec(line)).find(match => match !== null) ?? [];
  const ticks = (Number(numerator) * 90_000) / Number(denominator);
  const rows = lines.filter(line => !line.startsWith('#')).map(line => line.split(',').map(column => column.trim()));
  return { width: Number(width), height: Number(height), pictures: rows.map(row => ({ pts90k: Math.round(Number(row[2]) * ticks), hash: row.at(-1)! })), errors: stderr.split('\n').filter(line => line !== '') };
}

/** Luma of each picture in turn, valid during the call; the same pictures in the same order as `timedPictures`. */
export async function eachLuma(path: string, { width, height }: LumaSize, take: (luma: Uint8Array, index: number) => void): Promise<void> {
  const child = spawn('ffmpeg', [...INPUT, path, ...OUTPUT, '-vf', 'extractplanes=y', '-f', 'rawvideo', '-'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit');
  const picture = new Uint8Array(width * height);
  let [filled, index] = [0, 0];
  for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) {
    for (let at = 0; at < chunk.length; ) {
      const piece = chunk.subarray(at, at + picture.length - filled);
      picture.set(piece, filled);
      filled += piece.length;
      at += piece.length;
      if (filled < picture.length) continue;
      take(picture, index);
      index += 1;
      filled = 0;
    }
  }
  await ended;
}
