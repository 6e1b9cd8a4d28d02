/** Configuration of transcoding: the program, its limits, and the renditions that viewers name. */
import { z } from 'zod';
import { MAX_FPS, MAX_KBPS, MIN_KBPS, RENDITION_AUDIO, RENDITION_VIDEO, type Rendition, renditionOfFLine, sizeOf } from '../media/rendition.ts';
import { HARDWARE } from '../media/transcode-plan.ts';
import type { FLine } from '../sdp/f-line.ts';

export const renditionName = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected 1 to 32 letters, digits, - or _');

const rendition = z.strictObject({
  name: renditionName.describe('how viewers (?rendition=) and upstreams name it'),
  video: z.enum(RENDITION_VIDEO).default('h264').describe('copy: pictures pass as they are'),
  size: z.string().refine(text => text === 'source' || sizeOf(text) !== undefined, 'expected source, QCIF, CIF, 2CIF, 4CIF, D1, 720P, 1080P or WIDTHxHEIGHT').default('source').describe('source, QCIF, CIF, 2CIF, 4CIF, D1, 720P, 1080P or WIDTHxHEIGHT'),
  bitrateKbps: z.union([z.literal(0), z.int().min(MIN_KBPS).max(MAX_KBPS)]).default(0).describe(`${MIN_KBPS} to ${MAX_KBPS}; 0: by the size of the picture`),
  fps: z.int().min(0).max(MAX_FPS).default(0).describe(`pictures a second, at most; 0: as the source, up to ${MAX_FPS}`),
  audio: z.enum(RENDITION_AUDIO).default('copy').describe('copy: as it is'),
});

export type RenditionConfig = z.infer<typeof rendition>;

export const transcodeSchema = z.strictObject({
  ffmpeg: z.string().regex(/^(\/[^\0\r\n]{1,254})?$/, 'expected an absolute path').default('').describe('path of the program; empty: ffmpeg of PATH'),
  maxJobs: z.int().min(0).max(256).default(8).describe('processes of one mediad instance; more viewers of the same rendition share one; 0: no transcoding'),
  cores: z.number().min(0).max(256).default(0).describe('cores that they may take together, by what they were seen to take; more get 486 or 503; 0: three quarters of the machine'),
  threads: z.int().min(1).max(16).default(2).describe('of one process'),
  lingerS: z.int().min(0).max(600).default(5).describe('a rendition goes on this long after its last viewer'),
  hardware: z.enum(HARDWARE).default('none').describe('encoder of the machine; where ffmpeg has none or it fails, the processor does it; the unit needs access to the device'),
  renditions: z.array(rendition).max(64).default([]).describe('what a stream can be turned into'),
});

export type TranscodeConfig = z.infer<typeof transcodeSchema>;

export function renditionOf({ video, size, bitrateKbps, fps, audio }: RenditionConfig): Rendition {
  return { video, size: sizeOf(size) ?? null, bitrateKbps: bitrateKbps === 0 ? null : bitrateKbps, fps: fps === 0 ? null : fps, audio };
}

/** What one upstream gets of a channel: its f= line first, if it may say so, then the rendition of its entry; undefined: as the camera sends. */
export function renditionFor(upstream: { readonly transcode: string; readonly transcodeByF: boolean }, f: FLine | undefined, { renditions }: TranscodeConfig): Rendition | undefined {
  const asked = upstream.transcodeByF && f !== undefined ? renditionOfFLine(f) : undefined;
  if (asked !== undefined) return asked;
  const named = renditions.find(({ name }) => name === upstream.transcode);
  return named === undefined ? undefined : renditionOf(named);
}
