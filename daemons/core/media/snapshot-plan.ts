/** One key frame on standard input, one JPEG on standard output: arguments of ffmpeg made of our own words and numbers. */
import type { VideoCodec } from './h26x.ts';
import { MAX_SOURCE_PIXELS } from './transcode-plan.ts';

/** Of the JPEG: 2 is best, 31 worst. */
const QUALITY = 4;
export const MIN_SNAPSHOT_WIDTH = 16;
export const MAX_SNAPSHOT_WIDTH = 4096;
/** A JPEG of an 8K picture at this quality. */
export const MAX_JPEG_BYTES = 16 * 1024 * 1024;

/** `width`: in pixels, the height follows; null: as the picture. */
export function snapshotArgv(codec: VideoCodec, width: number | null): string[] {
  const scale = width === null ? [] : ['-vf', `scale=${Math.round(width / 2) * 2}:-2:flags=bilinear`];
  return [
    '-nostdin', '-hide_banner', '-nostats', '-v', 'error', '-protocol_whitelist', 'pipe', '-threads', '1', '-probesize', '32', '-analyzeduration', '0',
    '-max_pixels', String(MAX_SOURCE_PIXELS), '-f', codec === 'h265' ? 'hevc' : 'h264', '-i', 'pipe:0',
    '-map', '0:v:0', ...scale, '-frames:v', '1', '-pix_fmt', 'yuvj420p', '-c:v', 'mjpeg', '-threads', '1', '-q:v', String(QUALITY), '-f', 'mjpeg', 'pipe:1',
  ];
}

/** Begins and ends as a JPEG does (ISO/IEC 10918-1 B.1.1.3: SOI, EOI). */
export const isWholeJpeg = (bytes: Uint8Array): boolean =>
  bytes.length > 4 && bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[bytes.length - 2] === 0xff && bytes[bytes.length - 1] === 0xd9;
