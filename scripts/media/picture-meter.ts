/**
 * What a viewer saw of a camera's pictures. A viewer decodes what it gets and goes on showing the last picture while none comes;
 * so each picture that the camera sent was shown whole, shown damaged, or not shown: the one before stood frozen in its place.
 * Pictures are found by their time stamp and held against the clean decode of the same picture.
 */
import { FRAMES_PER_SECOND } from './encode.ts';
import { type LumaSize, ssim } from './ssim.ts';
import { type TimedPicture, eachLuma, timedPictures } from './timed-pictures.ts';

/** Below it the eye sees the difference (damaged macroblocks are far below). */
export const LEAST_SSIM = 0.98;
const TICKS_PER_PICTURE = 90_000 / FRAMES_PER_SECOND;
const PICTURE_MS = 1000 / FRAMES_PER_SECOND;
const PTS_WRAP = 2 ** 33;

/** The source as it is when nothing was lost: by number of the picture. */
export interface CleanPictures extends LumaSize {
  readonly hashes: readonly string[];
  readonly luma: readonly Uint8Array[];
}

/** One picture that the camera sent. */
export interface SentPicture {
  readonly pts90k: number;
  /** Which one of the source. */
  readonly index: number;
}

export interface PictureMeasure {
  /** Pictures of the camera that were looked at. */
  readonly sent: number;
  readonly shown: number;
  /** Shown, but not like the source: SSIM under LEAST_SSIM. */
  readonly damaged: number;
  /** Of those shown. */
  readonly damagedPercent: number;
  /** Of those sent. */
  readonly frozenPercent: number;
  readonly longestFreezeMs: number;
  /** How often the picture stood still. */
  readonly freezes: number;
  readonly decoderErrors: number;
  readonly worstSsim: number;
}

/** About 130 MB of memory for 12 s: one for all files that are measured. */
export async function cleanPictures(videoPath: string): Promise<CleanPictures> {
  const { width, height, pictures } = await timedPictures(videoPath);
  const luma: Uint8Array[] = [];
  await eachLuma(videoPath, { width, height }, picture => luma.push(picture.slice()));
  return { width, height, hashes: pictures.map(({ hash }) => hash), luma };
}

/** `path`: what the viewer got, undefined when nothing came. `sent`: the pictures to look at, one after another without a gap. */
export async function measurePictures(path: string | undefined, sent: readonly SentPicture[], clean: CleanPictures): Promise<PictureMeasure> {
  const { pictures, errors } = path === undefined ? { pictures: [], errors: [] } : await timedPictures(path);
  const places = pictures.map(picture => placeOf(picture, sent));
  const suspects = places.map((place, index) => place !== undefined && pictures[index]!.hash !== clean.hashes[sent[place]!.index]);
  const similarity = new Map<number, number>();
  if (path !== undefined && suspects.includes(true)) {
    await eachLuma(path, clean, (luma, index) => {
      if (suspects[index]) similarity.set(index, ssim(luma, clean.luma[sent[places[index]!]!.index]!, clean));
    });
  }
  const worst = new Array<number | undefined>(sent.length).fill(undefined);
  for (const [index, place] of places.entries()) if (place !== undefined) worst[place] = Math.min(worst[place] ?? 1, similarity.get(index) ?? 1);
  return { ...judge(worst), decoderErrors: errors.length };
}

/** Number in `sent` of what the decoder shows; undefined when it is none of these. */
function placeOf({ pts90k }: TimedPicture, sent: readonly SentPicture[]): number | undefined {
  const first = sent[0]?.pts90k ?? 0;
  const place = Math.round(((pts90k - first + PTS_WRAP * 1.5) % PTS_WRAP - PTS_WRAP / 2) / TICKS_PER_PICTURE);
  return place >= 0 && place < sent.length ? place : undefined;
}

/** By picture sent: similarity of what was shown in its time, undefined when nothing new was. */
function judge(similarities: readonly (number | undefined)[]): Omit<PictureMeasure, 'decoderErrors'> {
  const shown = similarities.filter(value => value !== undefined);
  const damaged = shown.filter(value => value < LEAST_SSIM).length;
  let [run, longest, freezes] = [0, 0, 0];
  for (const value of similarities) {
    if (value === undefined && run === 0) freezes += 1;
    run = value === undefined ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  const sent = similarities.length;
  return {
    sent,
    shown: shown.length,
    damaged,
    damagedPercent: shown.length === 0 ? 0 : (100 * damaged) / shown.length,
    frozenPercent: sent === 0 ? 0 : (100 * (sent - shown.length)) / sent,
    longestFreezeMs: longest * PICTURE_MS,
    freezes,
    worstSsim: Math.min(1, ...shown),
  };
}
