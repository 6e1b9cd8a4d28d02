/** Pictures by their hash: what a file decodes to, and whether it is the same as its source. ffmpeg is the judge. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** G.711 in a program stream is taken for MPEG audio by ffmpeg 5, which then says so: not a word about the pictures. */
const VIDEO_DECODER = /^\[(h264|hevc) @/;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface DecodedPictures {
  /** MD5 of each decoded picture, in order. */
  readonly hashes: readonly string[];
  /** What the video decoder had to complain about. */
  readonly complaints: readonly string[];
}

/** Decodes the video of a file (elementary stream, program stream, MP4) with `ffmpeg -f framemd5`. */
export async function decodePictures(path: string): Promise<DecodedPictures> {
  const args = ['-nostdin', '-hide_banner', '-v', 'warning', '-threads', '1', '-i', path, '-map', '0:v:0', '-fps_mode', 'passthrough', '-f', 'framemd5', '-'];
  const { stdout, stderr } = await run('ffmpeg', args, { maxBuffer: MAX_OUTPUT_BYTES });
  const rows = stdout.split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return { hashes: rows.map(row => row.split(',').at(-1)!.trim()), complaints: stderr.split('\n').filter(line => VIDEO_DECODER.test(line)) };
}

/**
 * How many of `received` are the pictures of `source`, one after another; the source plays in a loop, and reception may
 * begin anywhere in it. `at` is the source picture that came first.
 */
export function matchLoop(source: readonly string[], received: readonly string[]): { readonly same: number; readonly at: number } {
  let best = { same: 0, at: -1 };
  for (let at = 0; at < source.length; at += 1) {
    if (source[at] !== received[0]) continue;
    const same = received.filter((hash, index) => hash === source[(at + index) % source.length]).length;
    if (same > best.same) best = { same, at };
  }
  return best;
}
