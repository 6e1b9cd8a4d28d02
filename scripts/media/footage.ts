/** Test footage: made once into a cache, verified by checksum, loaded as access units and audio frames. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AAC_SAMPLES_PER_FRAME, splitAdts } from '#core/media/audio.ts';
import { type AccessUnit, splitAccessUnits } from '#core/media/h26x.ts';
import { AAC_RATE_HZ, FILE_OF, FRAMES_PER_SECOND, G711_RATE_HZ, RECIPE, type StreamName, encode, findSource, unpackSource } from './encode.ts';

export type VideoCodecName = 'h264' | 'h265';
export type AudioCodecName = 'g711a' | 'aac';
export type FootageName = `${VideoCodecName}-${AudioCodecName}` | VideoCodecName;

export interface Footage {
  readonly name: FootageName;
  readonly videoCodec: VideoCodecName;
  /** Elementary stream, Annex B: what ffmpeg reads to make reference pictures. */
  readonly videoPath: string;
  readonly audioCodec: AudioCodecName | undefined;
  readonly audioPath: string | undefined;
  readonly framesPerSecond: number;
  /** `vtest.avi`, or `testsrc2` with a note. */
  readonly source: string;
  readonly note: string | undefined;
}

export interface AudioFrame {
  readonly bytes: Uint8Array;
}

/** A footage in memory, shared by every session that plays it. */
export interface LoadedFootage extends Footage {
  readonly pictures: readonly AccessUnit[];
  readonly ticksPerPicture90k: number;
  readonly audioFrames: readonly AudioFrame[];
  readonly ticksPerAudioFrame90k: number;
}

export const FOOTAGE_NAMES: readonly FootageName[] = ['h264-g711a', 'h264-aac', 'h265-g711a', 'h265-aac', 'h264', 'h265'];

const STREAMS: readonly StreamName[] = ['h264', 'h265', 'g711a', 'aac'];
const MANIFEST = 'footage.json';
/** 40 ms a packet (GB/T 28181 Annex C asks 20 to 180). */
const G711_FRAME_BYTES = 320;

interface Manifest {
  readonly recipe: number;
  readonly source: string;
  readonly note: string | null;
  readonly sha256: Readonly<Record<StreamName, string>>;
}

export function cacheDirectory(): string {
  const base = process.env['XDG_CACHE_HOME'];
  if (base !== undefined && base !== '') return join(base, 'viewlink', 'footage');
  return fileURLToPath(new URL('../../.cache/footage', import.meta.url));
}

/** Makes what is missing (some seconds, once) and lists what there is. Safe when several processes call it at the same time. */
export async function prepareFootage(directory = cacheDirectory()): Promise<Footage[]> {
  const source = await findSource();
  const manifest = (await readManifest(directory, source.name)) ?? (await make(directory, source));
  return FOOTAGE_NAMES.map(name => describe(name, directory, manifest));
}

const loaded = new Map<string, Promise<LoadedFootage>>();

/** The footage of that name, read once a process. */
export function loadFootage(name: FootageName, directory = cacheDirectory()): Promise<LoadedFootage> {
  const key = `${directory} ${name}`;
  const footage = loaded.get(key) ?? load(name, directory);
  loaded.set(key, footage);
  return footage;
}

async function load(name: FootageName, directory: string): Promise<LoadedFootage> {
  const footage = (await prepareFootage(directory)).find(each => each.name === name);
  if (footage === undefined) throw new RangeError(`no footage ${name}`);
  const audio = footage.audioPath === undefined ? undefined : readFileSync(footage.audioPath);
  const isAac = footage.audioCodec === 'aac';
  return {
    ...footage,
    pictures: splitAccessUnits(footage.videoCodec, new Uint8Array(readFileSync(footage.videoPath))),
    ticksPerPicture90k: 90000 / footage.framesPerSecond,
    audioFrames: audio === undefined ? [] : isAac ? splitAdts(audio).frames.map(bytes => ({ bytes })) : cutG711(audio),
    ticksPerAudioFrame90k: isAac ? (AAC_SAMPLES_PER_FRAME * 90000) / AAC_RATE_HZ : (G711_FRAME_BYTES * 90000) / G711_RATE_HZ,
  };
}

function cutG711(bytes: Uint8Array): AudioFrame[] {
  const count = Math.floor(bytes.length / G711_FRAME_BYTES);
  return Array.from({ length: count }, (_, index) => ({ bytes: bytes.subarray(index * G711_FRAME_BYTES, (index + 1) * G711_FRAME_BYTES) }));
}

function describe(name: FootageName, directory: string, manifest: Manifest): Footage {
  const [videoCodec, audioCodec] = name.split('-') as [VideoCodecName, AudioCodecName | undefined];
  return {
    name,
    videoCodec,
    videoPath: join(directory, FILE_OF[videoCodec]),
    audioCodec,
    audioPath: audioCodec === undefined ? undefined : join(directory, FILE_OF[audioCodec]),
    framesPerSecond: FRAMES_PER_SECOND,
    source: manifest.source,
    note: manifest.note ?? undefined,
  };
}

async function sha256(path: string): Promise<string> {
  return createHash('sha256').update(await readFile(path)).digest('hex');
}

/** The manifest, when it is of this recipe and source and every file is as it was made. */
async function readManifest(directory: string, source: string): Promise<Manifest | undefined> {
  try {
    const manifest = JSON.parse(await readFile(join(directory, MANIFEST), 'utf8')) as Manifest;
    if (manifest.recipe !== RECIPE || manifest.source !== source) return undefined;
    for (const stream of STREAMS) if ((await sha256(join(directory, FILE_OF[stream]))) !== manifest.sha256[stream]) return undefined;
    return manifest;
  } catch {
    return undefined;
  }
}

/** Everything is made beside the cache and moved in by one rename, so that nobody reads half of it. */
async function make(directory: string, source: Awaited<ReturnType<typeof findSource>>): Promise<Manifest> {
  await mkdir(dirname(directory), { recursive: true });
  const work = await mkdtemp(`${directory}.making-`);
  try {
    await chmod(work, 0o755);
    const input = await unpackSource(source, join(work, 'source.avi'));
    for (const stream of STREAMS) await encode(stream, input, join(work, FILE_OF[stream]));
    const sums = await Promise.all(STREAMS.map(async stream => [stream, await sha256(join(work, FILE_OF[stream]))] as const));
    const manifest: Manifest = { recipe: RECIPE, source: source.name, note: source.note ?? null, sha256: Object.fromEntries(sums) as Record<StreamName, string> };
    await writeFile(join(work, MANIFEST), JSON.stringify(manifest, undefined, 2));
    await rm(join(work, 'source.avi'), { force: true });
    await swapIn(work, directory, source.name);
    return manifest;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function swapIn(work: string, directory: string, source: string): Promise<void> {
  try {
    await rename(work, directory);
  } catch (error) {
    // Not empty: an old recipe, or another process was faster. A whole one of this recipe stays: its readers have it open.
    if ((await readManifest(directory, source)) !== undefined) return;
    const old = `${work}-old`;
    await rename(directory, old).catch(() => undefined);
    await rename(work, directory).catch(async () => {
      if ((await readManifest(directory, source)) === undefined) throw error;
    });
    await rm(old, { recursive: true, force: true });
  }
}
