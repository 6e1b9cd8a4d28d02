/** What the test footage is made from and how: one ffmpeg run for each elementary stream, argv only, no shell. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const FRAMES_PER_SECOND = 25;
export const PICTURES = 300;
export const DURATION_S = PICTURES / FRAMES_PER_SECOND;
export const G711_RATE_HZ = 8000;
export const AAC_RATE_HZ = 16000;
/** Raised when the argv below change, so that old caches are made again. */
export const RECIPE = 3;

/** Longer than the slowest machine that we know needs for one encode. */
const ENCODE_TIMEOUT_MS = 180_000;

export interface Source {
  /** `vtest.avi` or `testsrc2`. */
  readonly name: string;
  readonly path: string | undefined;
  /** Said once when the picture is not real footage. */
  readonly note: string | undefined;
}

const VTEST_PATHS = ['/usr/share/doc/opencv-doc/examples/data/vtest.avi', '/usr/share/doc/opencv-doc/examples/data/vtest.avi.gz', '/usr/share/doc/opencv-doc/examples/data/vtest.avi.xz'];

/** Footage of people walking, 768x576, from Debian's opencv-doc; a generated picture when it is not installed. */
export async function findSource(): Promise<Source> {
  const listed = await run('dpkg', ['-L', 'opencv-doc']).then(
    ({ stdout }) => stdout.split('\n').filter(line => /vtest\.avi(\.gz|\.xz)?$/.test(line)),
    () => [],
  );
  const path = [...listed, ...VTEST_PATHS].find(existsSync);
  if (path !== undefined) return { name: 'vtest.avi', path, note: undefined };
  return { name: 'testsrc2', path: undefined, note: 'opencv-doc is not installed: the picture is generated (apt-get install opencv-doc for real footage)' };
}

/** Unpacks a compressed source next to the cache; hands back what ffmpeg can open. */
export async function unpackSource(source: Source, into: string): Promise<string | undefined> {
  if (source.path === undefined || source.path.endsWith('.avi')) return source.path;
  const tool = source.path.endsWith('.gz') ? 'gzip' : 'xz';
  const { stdout } = await run(tool, ['-dc', source.path], { encoding: 'buffer', maxBuffer: 256 * 1024 * 1024 });
  const { writeFile } = await import('node:fs/promises');
  await writeFile(into, stdout);
  return into;
}

/** Each picture of the source becomes one picture at 25 a second, so that no two neighbours are equal. */
function videoInput(path: string | undefined): string[] {
  if (path === undefined) return ['-f', 'lavfi', '-i', `testsrc2=size=768x576:rate=${FRAMES_PER_SECOND}`];
  return ['-i', path, '-vf', `setpts=N/${FRAMES_PER_SECOND}/TB`];
}

const VIDEO_TAIL = ['-an', '-r', String(FRAMES_PER_SECOND), '-frames:v', String(PICTURES), '-pix_fmt', 'yuv420p'];

/** Syllables: a low voice, a high one, both swelling at the pace of speech. */
const SPEECH_LIKE = `sine=f=180:r=${AAC_RATE_HZ}:d=${DURATION_S},tremolo=f=3.7:d=0.95,vibrato=f=5:d=0.5[a];sine=f=720:r=${AAC_RATE_HZ}:d=${DURATION_S},tremolo=f=2.3:d=0.9[b];[a][b]amix=inputs=2:duration=first`;
const AUDIO_INPUT = ['-filter_complex', SPEECH_LIKE, '-ac', '1'];

export type StreamName = 'h264' | 'h265' | 'g711a' | 'aac';

export const FILE_OF: Readonly<Record<StreamName, string>> = { h264: 'video.h264', h265: 'video.h265', g711a: 'audio.alaw', aac: 'audio.aac' };

/** No B pictures, closed groups, parameter sets before each key frame: what a camera makes. */
function argvOf(stream: StreamName, input: string | undefined): string[] {
  const x264 = 'keyint=25:min-keyint=25:scenecut=0:bframes=0:repeat-headers=1';
  const x265 = 'keyint=50:min-keyint=50:scenecut=0:bframes=0:repeat-headers=1:open-gop=0:log-level=error';
  switch (stream) {
    case 'h264':
      return [...videoInput(input), ...VIDEO_TAIL, '-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'baseline', '-b:v', '2M', '-maxrate', '2500k', '-bufsize', '1M', '-x264-params', x264, '-f', 'h264'];
    case 'h265':
      return [...videoInput(input), ...VIDEO_TAIL, '-c:v', 'libx265', '-preset', 'ultrafast', '-b:v', '1500k', '-x265-params', x265, '-f', 'hevc'];
    case 'g711a':
      return [...AUDIO_INPUT, '-ar', String(G711_RATE_HZ), '-c:a', 'pcm_alaw', '-f', 'alaw'];
    case 'aac':
      return [...AUDIO_INPUT, '-ar', String(AAC_RATE_HZ), '-c:a', 'aac', '-b:a', '32k', '-f', 'adts'];
  }
}

export async function encode(stream: StreamName, input: string | undefined, into: string): Promise<void> {
  await run('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...argvOf(stream, input), into], { timeout: ENCODE_TIMEOUT_MS });
}
